"""What summary.json and outages.json hold; ``core.verdict`` makes it.

Pure. Times are UNIX nanoseconds or milliseconds, as the keys say; null means "not
checked" or "no value", never zero. docs/run-folder.md describes the keys.
"""

from typing import Literal

import msgspec

SCHEMA_VERSION = 1

State = Literal["clean", "outage", "blind", "invalid"]


class Bounds(msgspec.Struct, frozen=True):
    """A time with error bars, in ms: lower <= estimate <= upper."""

    estimate: float
    lower: float
    upper: float


class DowntimeMs(msgspec.Struct, frozen=True):
    """Dark time: any shard (union), all shards at once (intersection), each shard."""

    any_shard: Bounds
    all_shards: Bounds
    shards: dict[str, Bounds]


class Quantiles(msgspec.Struct, frozen=True):
    """Quantiles of a latency in ms; null if nothing was recorded."""

    p50: float | None
    p90: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    count: int


class ScopeSummary(msgspec.Struct, frozen=True):
    """One scope: a lane, a shard and an op kind."""

    lane: str
    shard: str
    op: str
    arrivals: int
    outcomes: dict[str, int]
    classes: dict[str, int]
    availability: float | None
    outages: int
    dark_ms: Bounds
    client_seconds_lost: float
    excused: int
    unjudged: int


class LaneSummary(msgspec.Struct, frozen=True):
    """One lane, over its shards and op kinds."""

    name: str
    tls: bool
    arrivals: int
    outcomes: dict[str, int]
    classes: dict[str, int]
    availability: float | None
    response_ms: dict[str, Quantiles]
    service_ms: dict[str, Quantiles]
    lateness_ms: Quantiles
    downtime_ms: DowntimeMs
    client_seconds_lost: float
    blind_ms: float
    excused: int
    unjudged: int


class IncidentSummary(msgspec.Struct, frozen=True):
    """Outages and blind spans that belong together."""

    number: int
    start_unix_ns: int
    end_unix_ns: int
    outages: int
    is_probe_only: bool
    blind_ms: float
    causes: dict[str, int]
    downtime_ms: dict[str, DowntimeMs]
    scopes: list["ScopeDark"]


class ScopeDark(msgspec.Struct, frozen=True):
    """Dark time of one scope within an incident."""

    lane: str
    shard: str
    op: str
    dark_ms: Bounds


class SloResult(msgspec.Struct, frozen=True):
    """One threshold; ``actual`` is null if there was nothing to measure (not met)."""

    name: str
    limit: float
    actual: float | None
    is_met: bool


class ObserverSummary(msgspec.Struct, frozen=True):
    """How well the probe itself did."""

    max_loop_lag_ms: float
    max_gc_pause_ms: float
    late_sends: int
    skipped: int
    cpu_seconds: float
    lateness_ms: Quantiles
    blind_ms: float
    excused: int
    unjudged: int
    dropped_outages: int


class Summary(msgspec.Struct, frozen=True):
    """The content of summary.json.

    Args:
        state: "clean", "outage", "blind" (no outage seen, but the probe was blind at
            times) or "invalid" (a lane had no arrival to judge).
        verdict: plain sentences, the most important first.
        lost_writes: null as long as it is not checked.
    """

    schema_version: int
    state: State
    verdict: list[str]
    start_unix_ns: int
    end_unix_ns: int
    duration_s: float
    downtime_ms: DowntimeMs
    client_seconds_lost: float
    lanes: list[LaneSummary]
    scopes: list[ScopeSummary]
    incidents: list[IncidentSummary]
    observer: ObserverSummary
    slo: list[SloResult]
    lost_writes: int | None
    stale_reads: int | None
    wrong: int


class OutageRow(msgspec.Struct, frozen=True):
    """One outage in outages.json."""

    lane: str
    shard: str
    op: str
    start_unix_ns: int
    end_unix_ns: int
    duration_ms: float
    lower_ms: float
    upper_ms: float
    probe_gap_ms: float
    failed: int
    classes: dict[str, int]
    outcomes: dict[str, int]
    attribution: str
    evidence: str
    incident: int
    open_start: bool
    open_end: bool


class OutageList(msgspec.Struct, frozen=True):
    """The content of outages.json."""

    schema_version: int
    outages: list[OutageRow]
