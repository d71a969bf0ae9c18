"""Which steps there are for which kind of target, told before anything is asked.

A step for the other kind is refused by its name, with what is missing there and what to
do instead.
"""

from collections.abc import Mapping

from loadprobe.config.keys import Control
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import (
    ApplyUpdateStep,
    AuthRotateStep,
    CreateStep,
    DurabilityStep,
    EngineStep,
    FailoverStep,
    NodeTypeStep,
    ReplicasStep,
    ScaleStep,
    Step,
    TlsStep,
    WaitStep,
)
from loadprobe.control.scenario.migrate_keys import (
    MigratePrepareStep,
    MigrateStartStep,
    MigrateStopStep,
    MigrateTestStep,
)
from loadprobe.control.scenario.serverless_keys import (
    CreateServerlessStep,
    LimitsStep,
    UserGroupStep,
)
from loadprobe.errors import PreflightError

_NOT_SERVERLESS: Mapping[type[Step], str] = {
    CreateStep: "it makes a group of nodes; use create_serverless",
    TlsStep: "TLS is always on there; remove the step",
    DurabilityStep: "it has no durability to choose; remove the step",
    FailoverStep: "nobody can fail over nodes that are the provider's own; remove it",
    ScaleStep: "the provider scales it by itself; set its limits (limits)",
    ReplicasStep: "its replicas are the provider's own; remove the step",
    NodeTypeStep: "it has no node type; set its limits (limits)",
    AuthRotateStep: "it has no AUTH token; change the user group (user_group)",
    ApplyUpdateStep: "it is kept up to date without service updates; remove the step",
    MigrateTestStep: "a source is looked at when it is prepared (migrate_prepare)",
}
_ONLY_SERVERLESS: Mapping[type[Step], str] = {
    CreateServerlessStep: "use create, or name a cache by control.serverless_cache",
    LimitsStep: "a group has no limits of use; change its shards or its node type",
    UserGroupStep: "changing the user groups of a group is no step; remove it",
    MigratePrepareStep: "a group names its source when it starts (migrate_start)",
    MigrateStopStep: "a group goes on by migrate_complete only; remove the step",
}
_STATUSES = frozenset({"settled", "available", "modifying"})
"""What a step may wait for with a serverless cache: the statuses it can have."""


def check_fitting(scenario: Scenario, control: Control) -> None:
    """Check that the steps are for the kind of what is controlled.

    Raises:
        PreflightError: one is not; which, why, and what to do.
    """
    problem_of = _of_serverless if control.is_serverless else _of_group
    for step in scenario.steps:
        problem = problem_of(step)
        if problem:
            kind = "serverless cache" if control.is_serverless else "replication group"
            raise PreflightError(
                f"scenario {scenario.name}, step {step.label}: {step.operation} is not "
                f"for a {kind}: {problem}"
            )


def _of_serverless(step: Step) -> str:
    """Return what is wrong with a step for a serverless cache, "" if it is right."""
    match step:
        case EngineStep() if step.parameter_group != "default":
            return "it has no parameter group; remove parameter_group"
        case MigrateStartStep() if step.source_host is not None:
            return "its source was named by migrate_prepare; remove source_host"
        case WaitStep() if step.until not in _STATUSES:
            return f"it is never {step.until}; wait until settled"
        case _:
            return _reason(_NOT_SERVERLESS, step)


def _of_group(step: Step) -> str:
    """Return what is wrong with a step for a group, "" if it is right."""
    if isinstance(step, MigrateStartStep):
        if step.auto_cutover or step.clear_target:
            return (
                "auto_cutover and clear_target are of serverless caches; remove them, "
                "and promote the group by migrate_complete"
            )
        if step.source_host is None:
            return "it has to name the source; set source_host"
    return _reason(_ONLY_SERVERLESS, step)


def _reason(table: Mapping[type[Step], str], step: Step) -> str:
    return next((why for kind, why in table.items() if isinstance(step, kind)), "")
