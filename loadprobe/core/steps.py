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
class WentOver:
    """A lane that went over to another cluster.

    Of its keys with an acknowledged write of this run, looked up there at once:

    Args:
        lane: its name.
        at_ns: when its last process sent its arrivals there, monotonic.
        checked: those that were read.
        lost: those whose acknowledged value, or a newer one, was not there.
        overwritten: those that were written there before they were looked at.
        unread: those that could not be read; None: not all processes said it.
    """

    lane: str
    at_ns: int
    checked: int
    lost: int
    overwritten: int
    unread: int | None


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
        went_over: the lanes that it led to another cluster.
    """

    name: str
    operation: str
    state: StepState
    shards: tuple[str, ...] = ()
    phases_ns: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    went_over: tuple[WentOver, ...] = ()


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
