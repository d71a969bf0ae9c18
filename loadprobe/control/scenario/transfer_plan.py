"""What steps that move data and lanes are going to do, told before they do it.

What is certain to fail is refused: a program that is not there, a tool that cannot copy
between such ends, a lane that the target does not serve.
"""

import re
import shutil
from collections.abc import Sequence

from loadprobe.config.keys import Lane, Target
from loadprobe.control.mutations.migration_guards import check_source
from loadprobe.control.provider.replies import Group
from loadprobe.control.provider.state import GroupState
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import SeedStep, cuts_over
from loadprobe.control.scenario.migrate_keys import (
    MigratePrepareStep,
    MigrateStartStep,
    MigrateTestStep,
)
from loadprobe.control.scenario.serverless_keys import CreateServerlessStep
from loadprobe.control.scenario.targets import check_lanes_fit
from loadprobe.control.scenario.transfer_keys import CopyStep, CutoverStep, DrainStep
from loadprobe.control.scenario.turns import Transfer
from loadprobe.errors import ControlError, PreflightError

_S3 = re.compile(r"arn:aws[a-z-]*:s3:::[^/]+/.+")


def check_transfers(
    scenario: Scenario,
    lanes: Sequence[Lane],
    state: GroupState,
    *,
    target: Target,
    is_local: bool = False,
) -> None:
    """Check the transfers of a scenario.

    Args:
        scenario: what was read.
        lanes: of the configuration.
        state: the group of [control], as it is before.
        target: where the lanes are at first: the source.
        is_local: its API is one that was named by its URL.

    Raises:
        PreflightError: one is certain to fail.
    """
    lanes, group = [*lanes, *scenario.lanes], state.group
    for step in scenario.steps:
        try:
            if isinstance(step, CopyStep | CutoverStep):
                _check_way(target)
            if isinstance(step, CopyStep):
                _check_program(step)
            if isinstance(step, MigrateTestStep | MigrateStartStep):
                _check_source(step, target, state, lanes)
            if isinstance(step, MigratePrepareStep):
                _check_prepared(step, target, lanes)
                if not is_local:
                    _check_follower(scenario, state)
            if cuts_over(step) and not scenario.has(CutoverStep):
                _check_moved(lanes, group)
            if isinstance(step, SeedStep) and not is_local:
                _check_snapshots(step)
            if isinstance(step, CreateServerlessStep) and not is_local:
                _check_restored(step)
            is_made = scenario.creates is not None and group.endpoint is None
            if isinstance(step, CutoverStep) and not is_made:
                check_lanes_fit(step, group, lanes)
        except ControlError as exc:
            where = f"scenario {scenario.name}, step {step.label}"
            raise PreflightError(f"{where}: {exc}") from exc


def _check_way(source: Target) -> None:
    if source.tunnel is not None:
        raise ControlError(
            "[target.tunnel] leads to the nodes of one cluster only; run loadprobe "
            "where both ends of the migration can be reached, without a tunnel"
        )


def told_transfer(step: Transfer, group: Group) -> str:
    """Return what a step is going to do, in one line."""
    match step:
        case DrainStep():
            return "the lanes read only, until they are led elsewhere"
        case CopyStep():
            to = step.file if step.method == "rdb" else _target(step.target_host, group)
            how = " ".join(step.command) if step.command else step.tool
            return f"copy the source to {to} by {how}"
        case CutoverStep():
            when = "once nothing is written any more"
            when = "at once" if step.writers == "at_once" else when
            return f"the lanes go over to {_target(step.target_host, group)} {when}"


def _check_source(
    step: MigrateTestStep | MigrateStartStep,
    target: Target,
    state: GroupState,
    lanes: Sequence[Lane],
) -> None:
    """Refuse a source that a group cannot follow, if it is the one of the lanes."""
    if step.source_host != target.host or not state.is_there:
        return
    check_source(
        state,
        f"migration from {step.source_host}:{step.source_port}",
        is_cluster=target.cluster,
        has_password=target.password_file is not None
        or target.password_env is not None,
        has_tls=all(lane.tls for lane in lanes),
    )


def _check_prepared(
    step: MigratePrepareStep, target: Target, lanes: Sequence[Lane]
) -> None:
    """Refuse a source that ElastiCache cannot talk to, if it is that of the lanes."""
    if step.source_host != target.host:
        return
    has_password = target.password_file is not None or target.password_env is not None
    if has_password and step.source_secret_arn is None:
        raise ControlError(
            "the lanes log in at the source; put its password into a secret of Secrets "
            "Manager, and set source_secret_arn"
        )
    has_tls = all(lane.tls for lane in lanes)
    is_there = step.source_port == target.port_of(tls=True)
    if has_tls and is_there and step.source_ca_file is None:
        raise ControlError(
            "the source is reached by TLS; set source_ca_file to the certificates by "
            "which ElastiCache is to know it"
        )


def _check_moved(lanes: Sequence[Lane], group: Group) -> None:
    """Refuse lanes that would stay at the source: a serverless cache has only TLS."""
    left = [lane.name for lane in lanes if not lane.tls]
    if left and not group.kind.has_nodes:
        raise ControlError(
            f"the {group.named} is reached by TLS, and lane {left[0]} is of plaintext: "
            "it would stay at the source; set tls = true in the lane, or remove it"
        )


def _check_follower(scenario: Scenario, state: GroupState) -> None:
    """Refuse a cache that cannot follow (user guide: of Valkey only)."""
    engine = state.engine
    if isinstance(scenario.creates, CreateServerlessStep):
        engine = scenario.creates.engine or "valkey"
    if engine not in {"valkey", ""}:
        raise ControlError(
            f"{state.group.id} is of {engine}, and only serverless caches of Valkey "
            'follow a source; upgrade its engine first, or use a "copy" step'
        )


def _check_snapshots(step: SeedStep) -> None:
    """Refuse what the provider cannot read (ElastiCache: RDB files in S3)."""
    strange = [each for each in step.snapshots if not _S3.match(each)]
    if strange:
        raise ControlError(
            f"{strange[0]!r} is no ARN of a file in S3 (arn:aws:s3:::bucket/file.rdb): "
            "copy the RDB file there first, where ElastiCache may read it"
        )


def _check_restored(step: CreateServerlessStep) -> None:
    """Refuse what is no ARN: of a file in S3, or of a snapshot."""
    strange = [each for each in step.snapshots or () if not each.startswith("arn:")]
    if strange:
        raise ControlError(
            f"{strange[0]!r} is no ARN: name a file in S3 "
            "(arn:aws:s3:::bucket/file.rdb) or a snapshot"
        )


def _target(host: str | None, group: Group) -> str:
    return host if host is not None else f"the {group.named}"


def _check_program(step: CopyStep) -> None:
    name = step.program or (step.command[0] if step.command else step.tool)
    if shutil.which(name) is None:
        raise ControlError(
            f"there is no program {name!r}; install it, or give its "
            "path (program = ...)"
        )
