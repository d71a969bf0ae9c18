"""What the API takes and answers; docs/openapi.json is made from these types.

Pure values. Times are UNIX nanoseconds or milliseconds, as the keys say; null means
"not known" or "no value", never zero.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from loadprobe.core.budget.figures import ErrorBudget
from loadprobe.core.judging.shard_states import ShardState
from loadprobe.core.topology.topology import Topology
from loadprobe.core.verdict.outage_document import OutageFields, OutageRow
from loadprobe.core.verdict.quantities import DowntimeMs
from loadprobe.core.verdict.summary import State
from loadprobe.outputs.folder.documents import EventLine

LONGEST_MARK = 300
LARGEST_LIMIT = 1000

RunState = Literal["starting", "running", "ending"]

Limit = Annotated[
    int, Meta(ge=1, le=LARGEST_LIMIT, description="How many are returned at most.")
]
Since = Annotated[
    int, Meta(ge=0, le=(1 << 63) - 1, description="UNIX time in nanoseconds.")
]
Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1, description="Number of an event.")]


# --- what is asked -------------------------------------------------------------------


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters are taken."""


class OutagesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which outages; the latest of them are returned."""

    lane: Annotated[str, Meta(description="Only this lane.")] | None = None
    shard: Annotated[str, Meta(description="Only this shard.")] | None = None
    since_unix_ns: Since | None = None
    limit: Limit = 100


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events; the first of them after ``after``, else the latest."""

    kind: Annotated[str, Meta(description="Only this kind.")] | None = None
    since_unix_ns: Since | None = None
    after: Number | None = None
    limit: Limit = 100


class MarkText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A note for the timeline; printable characters only."""

    text: Annotated[str, Meta(min_length=1, max_length=LONGEST_MARK)]


# --- what is answered ----------------------------------------------------------------


class ShardNow(msgspec.Struct, frozen=True):
    """How a shard of a lane is doing; dark since when, if it is, by plan or not."""

    state: ShardState
    dark_since_unix_ns: int | None


class LaneNow(msgspec.Struct, frozen=True):
    """How a lane is doing; rates and quantiles are those of the last seconds."""

    name: str
    tls: bool
    offered_per_s: float
    served_per_s: float
    errors_per_s: dict[str, float]
    p50_ms: float | None
    p99_ms: float | None
    connections: int
    shards: dict[str, ShardNow]


class ObserverNow(msgspec.Struct, frozen=True):
    """How well the probe itself is doing since the start; CPU in the last second."""

    max_loop_lag_ms: float
    lateness_p99_ms: float | None
    blind_ms: float
    cpu_cores: float


class VerdictNow(msgspec.Struct, frozen=True):
    """The verdict as far as it is known; it is judged anew at the end.

    ``state`` and ``headline`` are those of summary.json, from what is known now.
    ``outages``, ``incidents``, ``downtime_ms`` and ``availability`` hold no planned
    darkness; ``open_outages`` does: ``open_planned_outages`` of them are by plan now.
    ``dropped_outages`` came when too many were kept already, and are in none.
    ``downtime_ms`` is that of the witnesses, and null beyond 1000 outages: it is
    summed up at the end.
    """

    state: State
    headline: str
    incidents: int
    arrivals: int
    served: int
    availability: float | None
    outages: int
    open_outages: int
    planned_outages: int
    open_planned_outages: int
    dropped_outages: int
    downtime_ms: DowntimeMs | None


class Status(msgspec.Struct, frozen=True):
    """The run as it is now; judged are arrivals due before ``judged_until_unix_ns``."""

    version: str
    state: RunState
    run: str
    target: str
    scenario: str | None
    now_unix_ns: int
    since_unix_ns: int | None
    judged_until_unix_ns: int | None
    planned_s: float | None
    lanes: list[LaneNow]
    verdict: VerdictNow
    observer: ObserverNow
    problems: list[str]


class OutageNow(OutageFields, frozen=True):
    """One outage as in outages.json, as far as it is known; not numbered yet."""

    open_start: bool
    open_end: bool
    is_open: bool


def outage_now(row: OutageRow, *, is_open: bool) -> OutageNow:
    """Return a row as the API shows it."""
    fields = msgspec.structs.asdict(row)
    del fields["incident"]
    return OutageNow(**fields, is_open=is_open)


class Outages(msgspec.Struct, frozen=True):
    """The latest outages that match, by start; ``matched`` counts all that do."""

    matched: int
    outages: list[OutageNow]


class NumberedEvent(msgspec.Struct, frozen=True):
    """One line of events.ndjson, with its number in this run (from 1)."""

    number: int
    wall_ns: int
    mono_ns: int
    source: str
    kind: str
    fields: dict[str, Any]


def numbered(number: int, line: EventLine) -> NumberedEvent:
    """Return a line of the journal with its number."""
    return NumberedEvent(
        number, line.wall_ns, line.mono_ns, line.source, line.kind, line.fields
    )


class Events(msgspec.Struct, frozen=True):
    """Events in the order they were noted.

    ``first_number`` is that of the oldest one that is kept, ``last_number`` that of the
    newest; 0 if there is none. Ask for ``after`` the last one you have seen.
    """

    first_number: int
    last_number: int
    events: list[NumberedEvent]


class BudgetNow(msgspec.Struct, frozen=True):
    """The error budgets of this target, over all runs; null without a target."""

    error_budget: ErrorBudget | None


class UpdateRow(msgspec.Struct, frozen=True):
    """A service update of the group, and the status of its update action."""

    name: str
    severity: str
    status: str
    apply_by_unix_ns: int | None


class MaintenanceRow(msgspec.Struct, frozen=True):
    """A maintenance; ``end_unix_ns`` and ``outages`` are null while it goes on."""

    number: int
    reason: str
    start_unix_ns: int
    end_unix_ns: int | None
    outages: int | None
    verdict: str


class MaintenanceNow(msgspec.Struct, frozen=True):
    """What others change of the group, and are going to; the latest 100 of it.

    ``window`` is the weekly one, as the provider writes it; null if it is not known.
    """

    window: str | None = None
    next_window_unix_ns: int | None = None
    updates: list[UpdateRow] = []
    maintenances: list[MaintenanceRow] = []


class ShardNodes(msgspec.Struct, frozen=True):
    """A shard: ranges of slots (both ends included) and its nodes, as host:port."""

    name: str
    ranges: list[tuple[int, int]]
    primary: str
    replicas: list[str]


class TopologyNow(msgspec.Struct, frozen=True):
    """The shards as last seen; null as long as nothing is known."""

    shards: list[ShardNodes] | None


def topology_now(topology: Topology | None) -> TopologyNow:
    """Return a topology as the API shows it."""
    if topology is None:
        return TopologyNow(None)
    return TopologyNow(
        [
            ShardNodes(
                shard.name,
                list(shard.ranges),
                shard.primary.address,
                [node.address for node in shard.replicas],
            )
            for shard in topology.shards
        ]
    )


class Problem(msgspec.Struct, frozen=True):
    """Why there is no answer: the HTTP status, and what to do."""

    status: int
    message: str


class ErrorReply(msgspec.Struct, frozen=True):
    """The body of every error."""

    error: Problem
