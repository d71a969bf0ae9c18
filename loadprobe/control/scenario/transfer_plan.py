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
from loadprobe.control.scenario.keys import (
    CreateStep,
    MigrateStartStep,
    MigrateTestStep,
    SeedStep,
)
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
            if isinstance(step, SeedStep):
                _check_snapshots(step, is_local=is_local)
            is_made = scenario.has(CreateStep) and group.endpoint is None
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


def _check_snapshots(step: SeedStep, *, is_local: bool) -> None:
    """Refuse what the provider cannot read (ElastiCache: RDB files in S3)."""
    strange = [each for each in step.snapshots if not _S3.match(each)]
    if strange and not is_local:
        raise ControlError(
            f"{strange[0]!r} is no ARN of a file in S3 (arn:aws:s3:::bucket/file.rdb): "
            "copy the RDB file there first, where ElastiCache may read it"
        )


def _target(host: str | None, group: Group) -> str:
    return host if host is not None else f"the group {group.id}"


def _check_program(step: CopyStep) -> None:
    name = step.program or (step.command[0] if step.command else step.tool)
    if shutil.which(name) is None:
        raise ControlError(
            f"there is no program {name!r}; install it, or give its "
            "path (program = ...)"
        )
