"""The verdict: what summary.json and outages.json say, from the results of a run.

Pure: the same results give the same documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from loadprobe.clock import NS_PER_S, ClockPair
from loadprobe.core.activity import Activity
from loadprobe.core.aggregate import LaneInfo, Results
from loadprobe.core.attribution import (
    Attribution,
    Cause,
    LaneFacts,
    Planned,
    attribute,
    make_context,
)
from loadprobe.core.client_ranking import compare_clients, find_happenings
from loadprobe.core.columns import Scope
from loadprobe.core.connects import split
from loadprobe.core.events import Event
from loadprobe.core.expected import Expected, judge_expected
from loadprobe.core.histogram import Histogram
from loadprobe.core.incidents import Incident, dark_time, group_incidents
from loadprobe.core.latency import P99Log
from loadprobe.core.measures import (
    as_downtime_ms,
    bounds,
    downtime_ms,
    ms,
    quantiles_ms,
)
from loadprobe.core.op_sentences import connect_sentences, replica_sentences
from loadprobe.core.outages import Outage
from loadprobe.core.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.phases import LoadSeen, StepPhases, find_phases
from loadprobe.core.plan_edges import cut_at_plan
from loadprobe.core.scenario_summary import summarize_scenario
from loadprobe.core.scope_state import ScopeTotals
from loadprobe.core.sentences import make_sentences
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.summary import (
    SCHEMA_VERSION,
    ConnectSummary,
    IncidentSummary,
    LaneSummary,
    ObserverSummary,
    OutageList,
    OutageRow,
    ScenarioSummary,
    ScopeDark,
    ScopeSummary,
    State,
    Summary,
)
from loadprobe.core.thresholds import SloLimits, check_slo
from loadprobe.core.witness_edges import cut_at_witness

_NO_LIMITS = SloLimits()
_NOTHING = Expected()


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
class Verdict:
    """All that is said about a run."""

    summary: Summary
    outages: OutageList


@dataclass(frozen=True, slots=True)
class _Run:
    """The results with what is derived from them once.

    Args:
        results: what was judged.
        clock: to show monotonic times as wall times.
        shards: names of the shards of each lane.
        lanes: the lanes, as attribution knows them.
        causes: id of an outage -> its cause.
        outages: those that were not planned.
        planned: those that were.
        incidents: of both.
    """

    results: Results
    clock: ClockPair
    shards: Mapping[str, tuple[str, ...]]
    lanes: Sequence[LaneFacts]
    causes: Mapping[int, Attribution]
    outages: Sequence[Outage]
    planned: Sequence[Outage]
    incidents: Sequence[Incident] = field(default_factory=list)

    @property
    def all_shards(self) -> list[str]:
        """Return the names of the shards of all lanes."""
        return sorted({shard for shards in self.shards.values() for shard in shards})


def summarize(
    results: Results,
    *,
    clock: ClockPair,
    quiet_ns: int,
    observer: ObserverHealth,
    slo: SloLimits = _NO_LIMITS,
    planned: Sequence[Planned] = (),
    stale_reads: int | None = None,
    replica_stale_reads: int | None = None,
    lost_writes: int | None = None,
    scenario: ScenarioRecord | None = None,
    expected: Expected = _NOTHING,
    p99: P99Log | None = None,
    events: Sequence[Event] = (),
    activity: Activity | None = None,
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
        replica_stale_reads: the same of reads that replicas may answer.
        lost_writes: number of lost writes, None if not checked.
        scenario: what was done to the target, None if nothing.
        expected: what the scenario expects of the load, besides ``planned``.
        p99: response times second by second, for the phases of the scenario.
        events: the provider's events.
        activity: what lanes did, second by second; None if it was not counted.
    """
    results, apart = split(results)
    connecting = _derive(apart, clock, quiet_ns, planned, None)
    connects = [
        _connects(connecting, lane)
        for lane in apart.lanes
        if connecting.shards[lane.name]
    ]
    run = _derive(results, clock, quiet_ns, planned, activity)
    lanes = [_lane(run, lane) for lane in results.lanes]
    state = _state(run, lanes)
    observed = _observer(results, observer)
    totals = list(results.scope_totals.values())
    planned_failed = sum(o.failed for o in run.planned)
    checks = check_slo(
        results,
        slo,
        outages=run.outages,
        availability=_availability(totals, planned_failed),
    )
    wrong = sum(t.counts[Outcome.WRONG] for t in totals)
    steps: ScenarioSummary | None = None
    phases: list[StepPhases] = []
    if scenario is not None:
        load = LoadSeen(
            shards=run.shards,
            outages=run.outages,
            planned=run.planned,
            p99=p99 or P99Log(),
            begin_ns=results.start_ns,
            end_ns=results.end_ns,
        )
        phases = find_phases(scenario.steps, load)
        steps = summarize_scenario(
            scenario,
            phases,
            load,
            clock=clock,
            events=events,
            expectations=judge_expected(
                expected, load, planned, lost_writes=lost_writes, wrong=wrong
            ),
        )
    clients = compare_clients(
        find_happenings(phases, run.incidents),
        run.lanes,
        activity or Activity(),
        clock,
    )
    summary = Summary(
        schema_version=SCHEMA_VERSION,
        state=state,
        verdict=make_sentences(
            results,
            state=state,
            outages=run.outages,
            causes=[run.causes[id(o)] for o in run.outages],
            planned=run.planned,
            observer=observed,
            checks=checks,
            scenario=steps,
            clients=clients,
            clock=clock,
            lost_writes=lost_writes,
            stale_reads=stale_reads,
            wrong=wrong,
        )
        + replica_sentences(lanes)
        + connect_sentences(connects),
        start_unix_ns=clock.to_wall(results.start_ns),
        end_unix_ns=clock.to_wall(results.end_ns),
        duration_s=(results.end_ns - results.start_ns) / NS_PER_S,
        downtime_ms=downtime_ms(run.outages, run.all_shards),
        client_seconds_lost=sum(lane.client_seconds_lost for lane in lanes),
        lanes=lanes,
        scopes=[_scope(run, s, t) for s, t in results.scope_totals.items()],
        incidents=[_incident(run, incident) for incident in run.incidents],
        observer=observed,
        slo=checks,
        lost_writes=lost_writes,
        stale_reads=stale_reads,
        replica_stale_reads=replica_stale_reads,
        wrong=wrong,
        planned_ms=downtime_ms(run.planned, run.all_shards),
        scenario=steps,
        clients=clients,
        connects=connects,
    )
    rows = [msgspec.structs.replace(row, incident=0) for row in _rows(connecting)]
    return Verdict(summary, OutageList(SCHEMA_VERSION, _rows(run), rows))


def _derive(
    results: Results,
    clock: ClockPair,
    quiet_ns: int,
    planned: Sequence[Planned],
    activity: Activity | None,
) -> _Run:
    shards = _shards(results, results.scope_totals)
    facts = _lane_facts(results, shards)
    served = activity.served if activity is not None else None
    outages: list[Outage] = []
    causes: dict[int, Attribution] = {}
    for op in sorted({scope.op.witnessed_as for scope in results.scope_totals}):
        same = [s for s in results.scope_totals if s.op.witnessed_as is op]
        beside = _lane_facts(results, _shards(results, same))
        whole = [o for o in results.outages if o.scope.op.witnessed_as is op]
        own = cut_at_witness(cut_at_plan(whole, planned), beside)
        context = make_context(beside, own, planned, served)
        causes |= {id(o): attribute(o, context) for o in own}
        outages += own
    outages.sort(key=lambda o: (o.first_due_ns, o.scope))
    parts: tuple[list[Outage], list[Outage]] = [], []
    for outage in outages:
        parts[causes[id(outage)].cause is Cause.PLANNED].append(outage)
    blind = [span for t in results.lane_totals.values() for span in t.blind]
    incidents = group_incidents(parts[0], blind, quiet_ns=quiet_ns, planned=parts[1])
    return _Run(results, clock, shards, facts, causes, *parts, incidents)


def _shards(results: Results, scopes: Iterable[Scope]) -> dict[str, tuple[str, ...]]:
    """Return the names of the shards that each lane has scopes of."""
    found: dict[str, set[str]] = {lane.name: set() for lane in results.lanes}
    for scope in scopes:
        found[scope.lane].add(scope.shard)
    return {lane: tuple(sorted(names)) for lane, names in found.items()}


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


def _outcomes(totals: Sequence[ScopeTotals]) -> dict[str, int]:
    return {o.label: sum(t.counts[o] for t in totals) for o in Outcome}


def _classes(totals: Sequence[ScopeTotals]) -> dict[str, int]:
    counts = {e.label: sum(t.classes[e] for t in totals) for e in ErrorClass}
    return {label: count for label, count in counts.items() if count}


def _availability(totals: Sequence[ScopeTotals], planned: int) -> float | None:
    """Return served / all arrivals, without the given number that failed by plan."""
    arrivals = sum(t.arrivals for t in totals) - planned
    return sum(t.served for t in totals) / arrivals if arrivals else None


def _scope(run: _Run, scope: Scope, totals: ScopeTotals) -> ScopeSummary:
    outages = [o for o in run.outages if o.scope == scope]
    planned = [o for o in run.planned if o.scope == scope]
    planned_failed = sum(o.failed for o in planned)
    kept = sum(o.scope == scope for o in run.results.outages)
    return ScopeSummary(
        lane=scope.lane,
        shard=scope.shard,
        op=scope.op.label,
        arrivals=totals.arrivals,
        outcomes=_outcomes([totals]),
        classes=_classes([totals]),
        availability=_availability([totals], planned_failed),
        outages=totals.outages - kept + len(outages),
        dark_ms=bounds(dark_time(outages)),
        client_seconds_lost=totals.lost_ns / NS_PER_S,
        excused=totals.excused,
        unjudged=totals.unjudged,
        planned_ms=bounds(dark_time(planned)),
        planned_failed=planned_failed,
    )


def _lane(run: _Run, lane: LaneInfo) -> LaneSummary:
    own = run.results.lane_totals[lane.name]
    totals = [t for s, t in run.results.scope_totals.items() if s.lane == lane.name]
    outages = [o for o in run.outages if o.scope.lane == lane.name]
    planned = [o for o in run.planned if o.scope.lane == lane.name]
    planned_failed = sum(o.failed for o in planned)
    shards = run.shards[lane.name]
    return LaneSummary(
        name=lane.name,
        tls=lane.tls,
        arrivals=sum(t.arrivals for t in totals),
        outcomes=_outcomes(totals),
        classes=_classes(totals),
        availability=_availability(totals, planned_failed),
        response_ms={
            op.label: quantiles_ms(h) for op, h in sorted(own.response.items())
        },
        service_ms={op.label: quantiles_ms(h) for op, h in sorted(own.service.items())},
        lateness_ms=quantiles_ms(own.lateness),
        downtime_ms=downtime_ms(outages, shards),
        client_seconds_lost=sum(t.lost_ns for t in totals) / NS_PER_S,
        blind_ms=ms(own.blind_ns),
        excused=sum(t.excused for t in totals),
        unjudged=sum(t.unjudged for t in totals),
        planned_ms=downtime_ms(planned, shards),
        planned_failed=planned_failed,
        downtime_by_op_ms={
            op.label: downtime_ms([o for o in outages if o.scope.op is op], shards)
            for op in sorted(
                {s.op for s in run.results.scope_totals if s.lane == lane.name}
            )
        },
    )


def _connects(run: _Run, lane: LaneInfo) -> ConnectSummary:
    """Return what became of a lane's new connections, given a run of them alone."""
    own = _lane(run, lane)
    label = OpKind.CONNECT.label
    return ConnectSummary(
        lane=lane.name,
        arrivals=own.arrivals,
        outcomes=own.outcomes,
        classes=own.classes,
        availability=own.availability,
        response_ms=own.response_ms.get(label, quantiles_ms(Histogram())),
        service_ms=own.service_ms.get(label, quantiles_ms(Histogram())),
        downtime_ms=own.downtime_ms,
        planned_ms=own.planned_ms,
        scopes=[
            _scope(run, scope, totals)
            for scope, totals in run.results.scope_totals.items()
            if scope.lane == lane.name
        ],
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
        blind_ms=ms(sum(span.duration_ns for span in incident.blind)),
        causes={c.value: causes.count(c) for c in Cause if c in causes},
        downtime_ms={
            lane: as_downtime_ms(value)
            for lane, value in incident.downtime(run.shards).items()
        },
        scopes=[
            ScopeDark(scope.lane, scope.shard, scope.op.label, bounds(time))
            for scope, time in incident.scopes().items()
        ],
        is_planned=incident.is_planned,
    )


def _rows(run: _Run) -> list[OutageRow]:
    incident_of = {id(o): i.number for i in run.incidents for o in i.outages}
    kept = [*run.outages, *run.planned]
    return [
        outage_row(
            outage,
            run.causes[id(outage)],
            clock=run.clock,
            incident=incident_of[id(outage)],
        )
        for outage in sorted(kept, key=lambda o: (o.first_due_ns, o.scope))
    ]


def outage_row(
    outage: Outage, attribution: Attribution, *, clock: ClockPair, incident: int
) -> OutageRow:
    """Return an outage as it is written down."""
    scope = outage.scope
    return OutageRow(
        lane=scope.lane,
        shard=scope.shard,
        op=scope.op.label,
        start_unix_ns=clock.to_wall(outage.start_ns),
        end_unix_ns=clock.to_wall(outage.end_ns),
        duration_ms=ms(outage.duration_ns),
        lower_ms=ms(outage.lower_ns),
        upper_ms=ms(outage.upper_ns),
        probe_gap_ms=ms(outage.probe_gap_ns),
        failed=outage.failed,
        classes={e.label: n for e, n in sorted(outage.classes.items())},
        outcomes={o.label: n for o, n in sorted(outage.outcomes.items())},
        attribution=attribution.cause.value,
        evidence=attribution.evidence,
        incident=incident,
        open_start=outage.open_start,
        open_end=outage.open_end,
    )


def _observer(results: Results, health: ObserverHealth) -> ObserverSummary:
    lateness = Histogram()
    for lane_totals in results.lane_totals.values():
        lateness.merge(lane_totals.lateness)
    totals = results.scope_totals.values()
    return ObserverSummary(
        max_loop_lag_ms=ms(health.max_loop_lag_ns),
        max_gc_pause_ms=ms(health.max_gc_pause_ns),
        late_sends=health.late_sends,
        skipped=health.skipped,
        cpu_seconds=health.cpu_ns / NS_PER_S,
        lateness_ms=quantiles_ms(lateness),
        blind_ms=ms(max((t.blind_ns for t in results.lane_totals.values()), default=0)),
        excused=sum(t.excused for t in totals),
        unjudged=sum(t.unjudged for t in totals),
        dropped_outages=results.dropped_outages,
    )


def _state(run: _Run, lanes: Sequence[LaneSummary]) -> State:
    totals = run.results.lane_totals
    begun = [lane for lane in lanes if totals[lane.name].begin_ns is not None]
    if not begun or any(lane.arrivals == 0 for lane in begun):
        return "invalid"
    if run.outages or run.results.dropped_outages:
        return "outage"
    if any(lane.blind_ms or lane.unjudged for lane in lanes):
        return "blind"
    return "clean"
