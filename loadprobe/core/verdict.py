"""The verdict: what summary.json and outages.json say, from the results of a run.

Pure: the same results give the same documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.core.aggregate import LaneInfo, Results
from loadprobe.core.attribution import (
    Attribution,
    Cause,
    LaneFacts,
    Planned,
    attribute,
    make_context,
)
from loadprobe.core.columns import Scope
from loadprobe.core.histogram import Histogram
from loadprobe.core.incidents import (
    DarkTime,
    Downtime,
    Incident,
    dark_time,
    downtime,
    group_incidents,
)
from loadprobe.core.outcome import ErrorClass, Outcome
from loadprobe.core.scope_state import ScopeTotals
from loadprobe.core.sentences import make_sentences
from loadprobe.core.summary import (
    SCHEMA_VERSION,
    Bounds,
    DowntimeMs,
    IncidentSummary,
    LaneSummary,
    ObserverSummary,
    OutageList,
    OutageRow,
    Quantiles,
    ScopeDark,
    ScopeSummary,
    SloResult,
    State,
    Summary,
)


@dataclass(frozen=True, slots=True)
class ObserverHealth:
    """What the processes measured of themselves over the whole run.

    Args:
        max_loop_lag_ns: longest time a loop did not get to run.
        max_gc_pause_ns: longest garbage collection.
        late_sends: arrivals sent later than the probe tolerates.
        skipped: arrivals the schedule asked for that were never sent.
        cpu_ns: CPU time of all probe processes.
    """

    max_loop_lag_ns: int = 0
    max_gc_pause_ns: int = 0
    late_sends: int = 0
    skipped: int = 0
    cpu_ns: int = 0


@dataclass(frozen=True, slots=True)
class SloLimits:
    """Thresholds; None is not checked."""

    max_outage_ms: float | None = None
    availability: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that is said about a run."""

    summary: Summary
    outages: OutageList


@dataclass(frozen=True, slots=True)
class _Run:
    """The results with what is derived from them once."""

    results: Results
    clock: ClockPair
    shards: Mapping[str, tuple[str, ...]]
    incidents: Sequence[Incident]
    causes: Mapping[int, Attribution] = field(default_factory=dict)


def summarize(
    results: Results,
    *,
    clock: ClockPair,
    quiet_ns: int,
    observer: ObserverHealth,
    slo: SloLimits = SloLimits(),
    planned: Sequence[Planned] = (),
    stale_reads: int | None = None,
    lost_writes: int | None = None,
) -> Verdict:
    """Return what is to be said about a run.

    Args:
        results: what ``Aggregate.finish`` returned.
        clock: to show monotonic times as wall times.
        quiet_ns: outages closer together than this are one incident.
        observer: the probe processes' own health.
        slo: thresholds.
        planned: expected darkness of lanes.
        stale_reads: number of stale reads, None if not checked.
        lost_writes: number of lost writes, None if not checked.
    """
    shards = {
        lane.name: tuple(
            sorted({s.shard for s in results.scope_totals if s.lane == lane.name})
        )
        for lane in results.lanes
    }
    blind = [span for t in results.lane_totals.values() for span in t.blind]
    incidents = group_incidents(results.outages, blind, quiet_ns=quiet_ns)
    context = make_context(_lane_facts(results, shards), results.outages, planned)
    causes = {id(o): attribute(o, context) for o in results.outages}
    run = _Run(results, clock, shards, incidents, causes)

    lanes = [_lane(run, lane) for lane in results.lanes]
    overall = _overall_downtime(run)
    state = _state(lanes, results)
    observed = _observer(results, observer)
    checks = _check_slo(results, slo)
    summary = Summary(
        schema_version=SCHEMA_VERSION,
        state=state,
        verdict=make_sentences(
            results,
            state=state,
            causes=[attribution.cause for attribution in causes.values()],
            observer=observed,
            checks=checks,
        ),
        start_unix_ns=clock.to_wall(results.start_ns),
        end_unix_ns=clock.to_wall(results.end_ns),
        duration_s=(results.end_ns - results.start_ns) / NS_PER_S,
        downtime_ms=overall,
        client_seconds_lost=sum(lane.client_seconds_lost for lane in lanes),
        lanes=lanes,
        scopes=[_scope(run, s, t) for s, t in results.scope_totals.items()],
        incidents=[_incident(run, incident) for incident in incidents],
        observer=observed,
        slo=checks,
        lost_writes=lost_writes,
        stale_reads=stale_reads,
        wrong=sum(t.counts[Outcome.WRONG] for t in results.scope_totals.values()),
    )
    return Verdict(summary, OutageList(SCHEMA_VERSION, _rows(run)))


def _lane_facts(
    results: Results, shards: Mapping[str, tuple[str, ...]]
) -> list[LaneFacts]:
    facts: list[LaneFacts] = []
    for lane in results.lanes:
        totals = results.lane_totals[lane.name]
        begin_ns = results.end_ns if totals.begin_ns is None else totals.begin_ns
        facts.append(
            LaneFacts(
                name=lane.name,
                tls=lane.tls,
                is_witness=lane.is_witness,
                shards=shards[lane.name],
                begin_ns=begin_ns,
                end_ns=results.end_ns,
                blind=totals.blind,
            )
        )
    return facts


def _ms(ns: float) -> float:
    return round(ns / NS_PER_MS, 6)


def _bounds(time: DarkTime) -> Bounds:
    return Bounds(_ms(time.estimate_ns), _ms(time.lower_ns), _ms(time.upper_ns))


def _downtime_ms(value: Downtime) -> DowntimeMs:
    return DowntimeMs(
        _bounds(value.any_shard),
        _bounds(value.all_shards),
        {shard: _bounds(time) for shard, time in value.shards.items()},
    )


def _overall_downtime(run: _Run) -> DowntimeMs:
    names = sorted({shard for shards in run.shards.values() for shard in shards})
    return _downtime_ms(downtime(run.results.outages, names))


def quantiles_ms(histogram: Histogram) -> Quantiles:
    """Return the usual quantiles of a histogram of ns, in ms."""

    def at(q: float) -> float | None:
        value = histogram.quantile(q)
        return None if value is None else _ms(value)

    longest = histogram.max_ns if histogram.count else None
    return Quantiles(
        p50=at(0.5),
        p90=at(0.9),
        p99=at(0.99),
        p99_9=at(0.999),
        max=None if longest is None else _ms(longest),
        count=histogram.count,
    )


def _outcomes(totals: Sequence[ScopeTotals]) -> dict[str, int]:
    return {o.label: sum(t.counts[o] for t in totals) for o in Outcome}


def _classes(totals: Sequence[ScopeTotals]) -> dict[str, int]:
    counts = {e.label: sum(t.classes[e] for t in totals) for e in ErrorClass}
    return {label: count for label, count in counts.items() if count}


def _availability(totals: Sequence[ScopeTotals]) -> float | None:
    arrivals = sum(t.arrivals for t in totals)
    return sum(t.served for t in totals) / arrivals if arrivals else None


def _scope(run: _Run, scope: Scope, totals: ScopeTotals) -> ScopeSummary:
    outages = [o for o in run.results.outages if o.scope == scope]
    return ScopeSummary(
        lane=scope.lane,
        shard=scope.shard,
        op=scope.op.label,
        arrivals=totals.arrivals,
        outcomes=_outcomes([totals]),
        classes=_classes([totals]),
        availability=_availability([totals]),
        outages=totals.outages,
        dark_ms=_bounds(dark_time(outages)),
        client_seconds_lost=totals.lost_ns / NS_PER_S,
        excused=totals.excused,
        unjudged=totals.unjudged,
    )


def _lane(run: _Run, lane: LaneInfo) -> LaneSummary:
    results = run.results
    own = results.lane_totals[lane.name]
    totals = [t for s, t in results.scope_totals.items() if s.lane == lane.name]
    outages = [o for o in results.outages if o.scope.lane == lane.name]
    return LaneSummary(
        name=lane.name,
        tls=lane.tls,
        arrivals=sum(t.arrivals for t in totals),
        outcomes=_outcomes(totals),
        classes=_classes(totals),
        availability=_availability(totals),
        response_ms={
            op.label: quantiles_ms(h) for op, h in sorted(own.response.items())
        },
        service_ms={op.label: quantiles_ms(h) for op, h in sorted(own.service.items())},
        lateness_ms=quantiles_ms(own.lateness),
        downtime_ms=_downtime_ms(downtime(outages, run.shards[lane.name])),
        client_seconds_lost=sum(t.lost_ns for t in totals) / NS_PER_S,
        blind_ms=_ms(own.blind_ns),
        excused=sum(t.excused for t in totals),
        unjudged=sum(t.unjudged for t in totals),
    )


def _incident(run: _Run, incident: Incident) -> IncidentSummary:
    causes = [run.causes[id(o)].cause for o in incident.outages]
    if incident.is_probe_only:
        causes = [Cause.PROBE]
    return IncidentSummary(
        number=incident.number,
        start_unix_ns=run.clock.to_wall(incident.start_ns),
        end_unix_ns=run.clock.to_wall(incident.end_ns),
        outages=len(incident.outages),
        is_probe_only=incident.is_probe_only,
        blind_ms=_ms(sum(span.duration_ns for span in incident.blind)),
        causes={c.value: causes.count(c) for c in Cause if c in causes},
        downtime_ms={
            lane: _downtime_ms(value)
            for lane, value in incident.downtime(run.shards).items()
        },
        scopes=[
            ScopeDark(scope.lane, scope.shard, scope.op.label, _bounds(time))
            for scope, time in incident.scopes().items()
        ],
    )


def _rows(run: _Run) -> list[OutageRow]:
    incident_of = {id(o): i.number for i in run.incidents for o in i.outages}
    rows: list[OutageRow] = []
    for outage in run.results.outages:
        attribution = run.causes[id(outage)]
        scope = outage.scope
        rows.append(
            OutageRow(
                lane=scope.lane,
                shard=scope.shard,
                op=scope.op.label,
                start_unix_ns=run.clock.to_wall(outage.start_ns),
                end_unix_ns=run.clock.to_wall(outage.end_ns),
                duration_ms=_ms(outage.duration_ns),
                lower_ms=_ms(outage.lower_ns),
                upper_ms=_ms(outage.upper_ns),
                probe_gap_ms=_ms(outage.probe_gap_ns),
                failed=outage.failed,
                classes={e.label: n for e, n in sorted(outage.classes.items())},
                outcomes={o.label: n for o, n in sorted(outage.outcomes.items())},
                attribution=attribution.cause.value,
                evidence=attribution.evidence,
                incident=incident_of[id(outage)],
                open_start=outage.open_start,
                open_end=outage.open_end,
            )
        )
    return rows


def _observer(results: Results, health: ObserverHealth) -> ObserverSummary:
    lateness = Histogram()
    for lane_totals in results.lane_totals.values():
        lateness.merge(lane_totals.lateness)
    totals = results.scope_totals.values()
    return ObserverSummary(
        max_loop_lag_ms=_ms(health.max_loop_lag_ns),
        max_gc_pause_ms=_ms(health.max_gc_pause_ns),
        late_sends=health.late_sends,
        skipped=health.skipped,
        cpu_seconds=health.cpu_ns / NS_PER_S,
        lateness_ms=quantiles_ms(lateness),
        blind_ms=_ms(
            max((t.blind_ns for t in results.lane_totals.values()), default=0)
        ),
        excused=sum(t.excused for t in totals),
        unjudged=sum(t.unjudged for t in totals),
        dropped_outages=results.dropped_outages,
    )


def _check_slo(results: Results, limits: SloLimits) -> list[SloResult]:
    checks: list[SloResult] = []
    totals = list(results.scope_totals.values())
    if limits.max_outage_ms is not None:
        longest = max((o.duration_ns for o in results.outages), default=0)
        actual = _ms(longest) if totals else None
        met = actual is not None and actual <= limits.max_outage_ms
        checks.append(SloResult("max_outage_ms", limits.max_outage_ms, actual, met))
    if limits.availability is not None:
        share = _availability(totals)
        met = share is not None and share >= limits.availability
        checks.append(SloResult("availability", limits.availability, share, met))
    if limits.p99_ms is not None:
        merged = Histogram()
        for lane_totals in results.lane_totals.values():
            for histogram in lane_totals.response.values():
                merged.merge(histogram)
        p99 = quantiles_ms(merged).p99
        met = p99 is not None and p99 <= limits.p99_ms
        checks.append(SloResult("p99_ms", limits.p99_ms, p99, met))
    return checks


def _state(lanes: Sequence[LaneSummary], results: Results) -> State:
    if not lanes or any(lane.arrivals == 0 for lane in lanes):
        return "invalid"
    if results.outages or results.dropped_outages:
        return "outage"
    if any(lane.blind_ms or lane.unjudged for lane in lanes):
        return "blind"
    return "clean"
