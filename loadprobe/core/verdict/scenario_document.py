"""What summary.json holds of a scenario and its steps. Pure.

Times are UNIX nanoseconds, or milliseconds from the API call of the step.
"""

import msgspec

from loadprobe.core.steps import Expectation, ScenarioState, StepState
from loadprobe.core.verdict.quantities import DowntimeMs


class PhaseTime(msgspec.Struct, frozen=True):
    """When a phase of a step was entered.

    ``offset_ms`` counts from the step's API call; it lies in [earliest_ms, latest_ms]
    where these are not null.
    """

    phase: str
    at_unix_ns: int
    offset_ms: float
    earliest_ms: float | None = None
    latest_ms: float | None = None


class P99Ms(msgspec.Struct, frozen=True):
    """How the p99 of response times went, in ms; see ``P99Course``."""

    baseline: float
    limit: float
    worst: float
    has_left: bool


class BlastRadius(msgspec.Struct, frozen=True):
    """What a step did to shards it was not about; see ``Blast``."""

    shards: list[str]
    failed: int
    shard: str | None
    baseline_p99_ms: float | None
    worst_p99_ms: float | None


class StepLane(msgspec.Struct, frozen=True):
    """What one lane saw of a step.

    ``phases`` may hold first_error, first_planned_error, planned_served, first_served
    and p99_recovered. ``redirects`` counts MOVED, ASK and others that were followed
    while the step was under way, in whole seconds.
    """

    lane: str
    phases: list[PhaseTime]
    dark_ms: DowntimeMs
    planned_ms: DowntimeMs
    is_dark_at_end: bool
    p99_ms: P99Ms | None
    blast_radius: BlastRadius | None
    redirects: dict[str, int] = {}


class LaneThere(msgspec.Struct, frozen=True):
    """A lane that a step led to another cluster.

    ``offset_ms`` is when its last process sent its arrivals there. Of its keys with an
    acknowledged write, looked up there at once: ``lost`` have neither the acknowledged
    value nor a newer one, ``overwritten`` were written before they could be read.
    ``unread`` is null if not all processes have said it.
    """

    lane: str
    offset_ms: float
    checked: int
    lost: int
    overwritten: int
    unread: int | None


class ProviderMoment(msgspec.Struct, frozen=True):
    """What the provider told of a step, with its own time and when we saw it.

    ``node`` is the node that it told it of; null if it is about the group.
    """

    date_unix_ns: int
    seen_unix_ns: int
    offset_ms: float
    message: str
    node: str | None = None


class StepSummary(msgspec.Struct, frozen=True):
    """One step: ``phases`` are those of the controller, and of all lanes together.

    ``start_unix_ns`` and ``end_unix_ns`` enclose the time of the step; null if it
    changed nothing. ``slots_moved`` counts the slots that came to other shards; the
    phases slots_first_moved and slots_last_moved say when that was seen. ``went_over``
    holds the lanes that were led to another cluster.
    """

    name: str
    operation: str
    state: StepState
    reason: str
    shards: list[str]
    start_unix_ns: int | None
    end_unix_ns: int | None
    phases: list[PhaseTime]
    lanes: list[StepLane]
    provider: list[ProviderMoment]
    slots_moved: int = 0
    went_over: list[LaneThere] = []


class ScenarioSummary(msgspec.Struct, frozen=True):
    """What was done to the target, step by step.

    ``outages_outside`` counts the outages that belong to no step, without planned.
    """

    name: str
    state: ScenarioState
    reason: str
    steps: list[StepSummary]
    expectations: list[Expectation]
    outages_outside: int
