"""What a scenario did, step by step: the values the controller hands to the verdict.

Pure. Times are monotonic nanoseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class StepState(StrEnum):
    """How a step ended."""

    SETTLED = "settled"
    UNNEEDED = "unneeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class ScenarioState(StrEnum):
    """How a scenario ended."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step as the controller carried it out.

    Args:
        name: the step's name, unique within its scenario's run.
        operation: "tls", "failover", "scale", "hold" and so on.
        state: how it ended; UNNEEDED: the target was reached before any call.
        shards: node groups it was about; empty means all, or none in particular.
        phases_ns: phase (see ``core.phase_names``) -> when it was seen.
        reason: why it failed or was skipped, else "".
    """

    name: str
    operation: str
    state: StepState
    shards: tuple[str, ...] = ()
    phases_ns: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Something the scenario expects of the load, judged at its end.

    Args:
        what: for example "no lost writes".
        is_met: whether it came true; None if it could not be told.
        detail: what was found instead, with numbers.
    """

    what: str
    is_met: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ScenarioRecord:
    """A scenario as it was carried out.

    Args:
        name: its name.
        state: how it ended; STOPPED: the run ended before it did.
        steps: in the order of their starts.
        reason: why it was aborted or failed, else "".
    """

    name: str
    state: ScenarioState
    steps: tuple[StepRecord, ...] = ()
    reason: str = ""
