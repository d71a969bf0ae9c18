"""What summary.json and outages.json hold; ``core.verdict.verdict`` makes it.

Pure. Times are UNIX nanoseconds or milliseconds, as the keys say; null means "not
checked" or "no value", never zero. docs/run-folder.md describes the keys.
"""

from typing import Literal

import msgspec

from loadprobe.core.steps import Expectation, ScenarioState, StepState

SCHEMA_VERSION = 1

State = Literal["damaged", "outage", "invalid", "failed", "missed", "blind", "clean"]
"""The worst that is to be said of a run, worst first; see ``core.verdict.headline``."""

SummaryState = State | Literal["interrupted", "running"]
"""``interrupted``: the process was gone before the run was judged to its end, and what
else is to be said is in the headline; ``running``: the same of a run under way."""


class Bounds(msgspec.Struct, frozen=True):
    """A time with error bars, in ms: lower <= estimate <= upper.

    ``unseen`` is how much of the upper bound the probe did not see.
    """

    estimate: float
    lower: float
    upper: float
    unseen: float = 0.0


class DowntimeMs(msgspec.Struct, frozen=True):
    """Dark time: any shard (union), all shards at once (intersection), each shard."""

    any_shard: Bounds
    all_shards: Bounds
    shards: dict[str, Bounds]


NO_TIME = Bounds(0.0, 0.0, 0.0)
NO_DOWNTIME = DowntimeMs(NO_TIME, NO_TIME, {})


class Quantiles(msgspec.Struct, frozen=True):
    """Quantiles of a latency in ms; null if nothing was recorded."""

    p50: float | None
    p90: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    count: int


class ScopeSummary(msgspec.Struct, frozen=True):
    """One scope: a lane, a shard and an op kind.

    ``planned_ms`` and ``planned_failed`` are about the darkness by plan: it is neither
    in ``dark_ms`` and ``outages`` nor counted against ``availability``.
    """

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
    unseen_arrivals: int
    planned_ms: Bounds = NO_TIME
    planned_failed: int = 0


class LaneSummary(msgspec.Struct, frozen=True):
    """One lane, over its shards and op kinds; what is planned as in a scope.

    ``downtime_by_op_ms`` has the parts of ``downtime_ms``, planned ones left out.
    ``absent_reads`` are the reads of keys that are not there on purpose
    (``miss_ratio``): nil is the right reply to them.
    """

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
    unseen_arrivals: int
    planned_ms: DowntimeMs = NO_DOWNTIME
    planned_failed: int = 0
    downtime_by_op_ms: dict[str, DowntimeMs] = {}
    absent_reads: int = 0


class ConnectSummary(msgspec.Struct, frozen=True):
    """New connections of one lane; they count in no other figure of the run.

    ``downtime_ms`` is the time in which shards took no new connection.
    """

    lane: str
    arrivals: int
    outcomes: dict[str, int]
    classes: dict[str, int]
    availability: float | None
    response_ms: Quantiles
    service_ms: Quantiles
    downtime_ms: DowntimeMs
    planned_ms: DowntimeMs
    scopes: list[ScopeSummary]


class IncidentSummary(msgspec.Struct, frozen=True):
    """Outages and blind spans that belong together; planned outages by themselves.

    ``where`` names its shards and lanes, ``why`` its causes by their longest outage,
    ``steps`` those of the scenario to which its outages belong. ``dark_ms`` is the time
    in which any shard was dark on any lane.
    """

    number: int
    start_unix_ns: int
    end_unix_ns: int
    outages: int
    is_probe_only: bool
    blind_ms: float
    causes: dict[str, int]
    downtime_ms: dict[str, DowntimeMs]
    scopes: list["ScopeDark"]
    is_planned: bool = False
    where: str = ""
    why: str = ""
    steps: list[str] = []
    dark_ms: Bounds = NO_TIME


class ScopeDark(msgspec.Struct, frozen=True):
    """Dark time of one scope within an incident."""

    lane: str
    shard: str
    op: str
    dark_ms: Bounds


class SloResult(msgspec.Struct, frozen=True):
    """One threshold; ``actual`` is null if there was nothing to measure (not met).

    It is judged by what was seen. ``possible`` is what it can have been with what was
    not, if that would not meet the limit; else null.
    """

    name: str
    limit: float
    actual: float | None
    is_met: bool
    possible: float | None = None


class ObserverSummary(msgspec.Struct, frozen=True):
    """How well the probe itself did."""

    max_loop_lag_ms: float
    max_gc_pause_ms: float
    late_sends: int
    skipped: int
    cpu_seconds: float
    lateness_ms: Quantiles
    blind_ms: float
    unseen_arrivals: int
    dropped_outages: int


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
    """How the p99 of response times went, in ms; see ``phases.P99Course``."""

    baseline: float
    limit: float
    worst: float
    has_left: bool


class BlastRadius(msgspec.Struct, frozen=True):
    """What a step did to shards it was not about; see ``core.verdict.phases.Blast``."""

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
    phases slots_first_moved and slots_last_moved say when that was seen.
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


class ClientRates(msgspec.Struct, frozen=True):
    """What a lane did to its target; null without arrivals, or without a second."""

    attempts_per_arrival: float | None
    connects_per_s: float | None
    refreshes_per_s: float | None


class ClientRow(msgspec.Struct, frozen=True):
    """What became of one lane in a change or incident; see ``client_ranking``.

    Args:
        lane: its name.
        rank: 1 was served again first; null for a witness.
        recovered_ms: end of its last outage, from the start on; 0 without any, null if
            it was dark to the end.
        dark_ms: time in which any of its shards was dark.
        beyond_witness_ms: of that, while the witness was served there; null without
            a witness.
        longest_ms: longest time that one of its shards was dark.
        failed: failed arrivals by outcome.
        raised: operations that the client ended with an error.
        worst_response_ms: of served and late arrivals; null without any.
        is_hiding: the witness was dark, and the client said nothing.
        amplifies: "attempts", "connects", "refreshes": those far above the rest.
        rates: while anything was dark.
        rates_at_rest: in all other seconds of the run.
        blind_ms: time in which it was blind meanwhile.
    """

    lane: str
    rank: int | None
    recovered_ms: float | None
    dark_ms: Bounds
    beyond_witness_ms: Bounds | None
    longest_ms: float
    failed: dict[str, int]
    raised: int
    worst_response_ms: float | None
    is_hiding: bool
    amplifies: list[str]
    rates: ClientRates
    rates_at_rest: ClientRates
    blind_ms: float


class ClientComparison(msgspec.Struct, frozen=True):
    """Client lanes beside each other in one change, or in an incident of its own.

    ``rows`` begin with the witnesses; then come the clients by rank.
    """

    about: str
    start_unix_ns: int
    end_unix_ns: int
    rows: list[ClientRow]


class Summary(msgspec.Struct, frozen=True):
    """The content of summary.json.

    Args:
        state: the worst in a word; planned darkness is no outage.
        headline: all that matters in one line, the worst first; "" if all is well.
        verdict: plain sentences, the most important first.
        downtime_ms: what the witnesses saw.
        witnesses: the lanes that ``downtime_ms`` and ``planned_ms`` are of; without a
            lane of the wire driver these are all.
        client_downtime_ms: the same of client lanes beside them; null without both.
        lost_writes: null as long as it is not checked.
        planned_ms: darkness by plan, which is not in ``downtime_ms``.
        scenario: null if nothing was done to the target.
        clients: comparisons of client lanes; empty unless there are two or more.
        connects: new connections of each lane that made any.
        replica_stale_reads: stale reads of lanes that read from replicas; they are not
            in ``stale_reads``.
        ended_hard: the run was not given the time to judge all that was under way.
        complete_until_unix_ns: then, and in a run that was interrupted or still runs,
            everything due before was judged, and of what is due later nothing is known;
            null in a run that ended in order.
    """

    schema_version: int
    state: SummaryState
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
    planned_ms: DowntimeMs = NO_DOWNTIME
    scenario: ScenarioSummary | None = None
    clients: list[ClientComparison] = []
    connects: list[ConnectSummary] = []
    replica_stale_reads: int | None = None
    ended_hard: bool = False
    complete_until_unix_ns: int | None = None
    headline: str = ""
    witnesses: list[str] = []
    client_downtime_ms: DowntimeMs | None = None


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
    unseen_ms: float
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
    """The content of outages.json.

    ``connects`` has those of new connections; they belong to no incident (0).
    """

    schema_version: int
    outages: list[OutageRow]
    connects: list[OutageRow] = []
