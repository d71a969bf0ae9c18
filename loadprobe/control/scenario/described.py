"""The endpoint of a target that is named by its replication group only."""

from collections.abc import Collection

from loadprobe.config.keys import Config, with_endpoint
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.replies import Group
from loadprobe.control.scenario.lanes import unserved
from loadprobe.errors import NotThereYet, PreflightError


async def described_endpoint(config: Config, api: ElastiCacheApi) -> Config:
    """Return the configuration with the endpoint that an open API describes.

    Raises:
        ControlError: the API refused, or did not answer.
        PreflightError: there is no endpoint (yet).
    """
    group = await api.describe_group()
    if group.endpoint is None:
        raise NotThereYet(
            f"{group.id} is {group.status!r} and has no endpoint yet; wait until it is "
            "available, or set target.host"
        )
    return with_endpoint(
        config,
        group.endpoint.host,
        group.endpoint.port,
        is_cluster=group.is_cluster,
        reader_host=reader_of(group),
    )


def reader_of(group: Group) -> str | None:
    """Return the endpoint of the replicas, which clients without cluster mode need.

    Clients of a serverless cache find its replicas by CLUSTER SLOTS.
    """
    if group.is_cluster or group.reader is None:
        return None
    return group.reader.host


async def check_transports(
    config: Config, api: ElastiCacheApi, *, dormant: Collection[str] = ()
) -> None:
    """Refuse lanes of a transport that the group does not serve, and say which.

    Args:
        config: its endpoint is the one that the API described.
        api: the group.
        dormant: names of lanes that wait until it is served.

    Raises:
        ControlError: the API refused, or did not answer.
        PreflightError: a lane cannot connect.
    """
    group = await api.describe_group()
    idle = [lane for lane in unserved(group, config.lanes) if lane.name not in dormant]
    if idle:
        mode, lane = group.tls_mode, idle[0]
        serves, has = ("plaintext", "TLS") if lane.tls else ("TLS", "plaintext")
        raise PreflightError(
            f"{group.named} serves {serves} only (transit encryption {mode!r}), and "
            f"lane {lane.name} is of {has}; set tls = {str(not lane.tls).lower()} in "
            "the lane or remove it, or give the scenario that changes the mode "
            "(--scenario tls-migration)"
        )
