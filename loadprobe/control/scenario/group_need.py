"""Whether a scenario is about a replication group at all.

Pure. Steps that name the target of a migration by its host know all that they need: two
clusters of whoever runs them have no API to ask.
"""

from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import ExecStep, HoldStep, Step
from loadprobe.control.scenario.transfer_keys import CopyStep, CutoverStep, DrainStep
from loadprobe.errors import UsageError


def needs_group(scenario: Scenario) -> bool:
    """Tell whether any step has to know the group of [control]."""
    return any(map(_needs_group, scenario.steps))


def missing_group(scenario: Scenario) -> UsageError:
    """Return what is said of a scenario that needs a group, and has none."""
    lacking = [step for step in scenario.steps if _needs_group(step)]
    hint = ""
    if all(isinstance(step, CopyStep | CutoverStep) for step in lacking):
        labels = " and ".join(step.label for step in lacking)
        hint = f", or target_host to its steps {labels}"
    return UsageError(
        f"scenario {scenario.name} needs to know the replication group: add [control] "
        f"replication_group to the configuration{hint}"
    )


def copied_to(scenario: Scenario) -> str | None:
    """Return the first host that data is copied to by name, None if there is none."""
    hosts = (step.target_host for step in scenario.steps if isinstance(step, CopyStep))
    return next((host for host in hosts if host is not None), None)


def _needs_group(step: Step) -> bool:
    if isinstance(step, CopyStep):
        return step.method != "rdb" and step.target_host is None
    if isinstance(step, CutoverStep):
        return step.target_host is None
    return not isinstance(step, HoldStep | ExecStep | DrainStep)
