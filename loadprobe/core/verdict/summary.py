"""What summary.json holds; ``core.verdict.verdict`` makes it.

Pure. Times are UNIX nanoseconds or milliseconds, as the keys say; null means "not
checked" or "no value", never zero. docs/run-folder.md describes the keys.
"""

from typing import Literal

import msgspec

from loadprobe.core.budget.figures import ErrorBudget
from loadprobe.core.verdict.client_document import ClientComparison
from loadprobe.core.verdict.quantities import (
    NO_DOWNTIME,
    NO_TIME,
    Bounds,
    DowntimeMs,
    Quantiles,
)
from loadprobe.core.verdict.scenario_document import ScenarioSummary

SCHEMA_VERSION = 1

State = Literal["damaged", "outage", "invalid", "failed", "missed", "blind", "clean"]
"""The worst that is to be said of a run, worst first; see ``core.verdict.headline``."""

SummaryState = State | Literal["interrupted", "running"]
"""``interrupted``: the process was gone before the run was judged to its end, and what
else is to be said is in the headline; ``running``: the same of a run under way."""


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
        error_budget: of this target, over all runs, as it stood at the end; null
            without a target, and in a run that did not end in order.
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
    error_budget: ErrorBudget | None = None
