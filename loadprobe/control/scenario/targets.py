"""The target of a migration: where it is, and how to log in there."""

import msgspec

from loadprobe.config.keys import Lane, Target
from loadprobe.config.secret_refs import read_secret
from loadprobe.control.programs.ends import DataEnd
from loadprobe.control.provider.replies import Endpoint, Group
from loadprobe.control.provider.secret import Secret
from loadprobe.control.scenario.transfer_keys import TargetedStep
from loadprobe.control.watch.names import first_address
from loadprobe.drivers.resolver import Resolver
from loadprobe.errors import ControlError


def moves(step: TargetedStep, group: Group) -> bool:
    """Tell whether the target is reached by TLS, and so the lanes of TLS led there."""
    return step.target_tls if step.target_host is not None else group.tls_mode != "none"


def led_to(step: TargetedStep, source: Target, group: Group) -> Target:
    """Return where a step leads.

    Args:
        step: the step.
        source: what [target] holds.
        group: the group of [control].

    Raises:
        ControlError: it is not known, or asks for a password that is not given.
    """
    tls = moves(step, group)
    host, port, is_cluster = step.target_host, step.target_port, step.target_cluster
    reader = None
    if host is None:
        if group.endpoint is None:
            raise ControlError(
                f"the {group.named} is {group.status!r} and has "
                "no endpoint; wait until it is available, or give target_host"
            )
        host, port, is_cluster = group.endpoint.host, group.endpoint.port, False
        is_cluster = group.is_cluster
        reader = None if is_cluster or not group.reader else group.reader.host
        if group.has_auth and password_of(step) is None:
            raise ControlError(
                f"the {group.named} has an AUTH token; give "
                "target_password_file or target_password_env"
            )
    there = msgspec.structs.replace(
        source,
        cluster=is_cluster,
        username=step.target_username,
        password_file=step.target_password_file,
        password_env=step.target_password_env,
        ca_file=step.target_ca_file or source.ca_file,
        reader_host=reader,
        iam_user=None,
        iam_cache=None,
        iam_region=None,
        tls_port=None,
    )
    return there.at(tls=tls, host=host, port=port)


def where(target: Target, *, tls: bool) -> tuple[str, int]:
    """Return host and port of a target for lanes of a transport."""
    return target.host, target.port_of(tls=tls)


def password_of(step: TargetedStep) -> Secret | None:
    """Return the password of the target; None if there is none.

    Raises:
        ConfigError: it is not where the step says.
    """
    found = read_secret(
        f"step {step.label}",
        "target_password",
        file=step.target_password_file,
        env=step.target_password_env,
    )
    return None if found is None else Secret(found)


async def data_end(
    target: Target, endpoint: Endpoint, *, tls: bool, password: Secret | None
) -> DataEnd:
    """Return an end of a copy, as a program that knows no name server of ours needs it.

    Args:
        target: how it is talked to.
        endpoint: where it is.
        tls: by TLS.
        password: what to log in with.
    """
    host = endpoint.host
    if target.name_server is not None:
        host = await first_address(Resolver(target.name_server), host)
    return DataEnd(
        host,
        endpoint.port,
        tls=tls,
        is_cluster=target.cluster,
        username=target.username,
        password=password,
        ca_file=target.ca_file,
    )


def check_lanes_fit(step: TargetedStep, group: Group, lanes: "list[Lane]") -> None:
    """Refuse lanes of a transport that the target does not serve.

    Raises:
        ControlError: there is one, and which.
    """
    tls = moves(step, group)
    left = [lane.name for lane in lanes if lane.tls != tls]
    if left:
        serves, has = ("TLS", "plaintext") if tls else ("plaintext", "TLS")
        raise ControlError(
            f"the target is reached by {serves}, and lane "
            f"{left[0]} is of {has}: it would stay at the source; set tls = "
            f"{str(tls).lower()} in the lane, or remove it"
        )
