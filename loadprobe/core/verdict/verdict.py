"""The verdict: what summary.json and outages.json say, from the results of a run.

Pure: the same results give the same documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from loadprobe.clock import NS_PER_S, ClockPair
from loadprobe.core.events import ProviderTold
from loadprobe.core.judging.activity import Activity
from loadprobe.core.judging.aggregate import Results
from loadprobe.core.judging.connects import split
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.latency import P99Log
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.blame import Watched, blame
from loadprobe.core.verdict.client_ranking import compare_clients, find_happenings
from loadprobe.core.verdict.controller_log import ControllerLog
from loadprobe.core.verdict.expected import Expected, judge_expected
from loadprobe.core.verdict.headline import ended_badly, find_findings, find_missed
from loadprobe.core.verdict.judged import JudgedRun, judge_run
from loadprobe.core.verdict.measures import ms, quantiles_ms
from loadprobe.core.verdict.op_words import connect_sentences, replica_sentences
from loadprobe.core.verdict.parts import (
    connect_summary,
    incident_summary,
    lane_summary,
    outage_rows,
    scope_summary,
)
from loadprobe.core.verdict.phases import LoadSeen, StepPhases, find_phases
from loadprobe.core.verdict.scenario_summary import summarize_scenario
from loadprobe.core.verdict.sentences import make_sentences
from loadprobe.core.verdict.summary import (
    SCHEMA_VERSION,
    ObserverSummary,
    OutageList,
    ScenarioSummary,
    Summary,
)
from loadprobe.core.verdict.thresholds import SloLimits, check_slo

_NO_LIMITS = SloLimits()
_NOTHING = Expected()
_NOTHING_SEEN = ControllerLog()


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
    absent_reads: Mapping[str, int] | None = None,
    lost_writes: int | None = None,
    scenario: ScenarioRecord | None = None,
    expected: Expected = _NOTHING,
    p99: P99Log | None = None,
    events: Sequence[ProviderTold] = (),
    activity: Activity | None = None,
    controller: ControllerLog = _NOTHING_SEEN,
    problems: int = 0,
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
        absent_reads: reads of keys that are not there on purpose, by lane.
        lost_writes: number of lost writes, None if not checked.
        scenario: what was done to the target, None if nothing.
        expected: what the scenario expects of the load, besides ``planned``.
        p99: response times second by second, for the phases of the scenario.
        events: the provider's events.
        activity: what lanes did, second by second; None if it was not counted.
        controller: what the supervisor saw of itself and of slots.
        problems: how many things went wrong in the run itself.
    """
    results, apart = split(results)
    connecting = _judge(apart, clock, quiet_ns, planned, None)
    connects = [
        connect_summary(connecting, lane)
        for lane in apart.lanes
        if connecting.shards[lane.name]
    ]
    run = _judge(results, clock, quiet_ns, planned, activity)
    asked_absent = absent_reads or {}
    lanes = [
        lane_summary(run, lane, absent_reads=asked_absent.get(lane.name, 0))
        for lane in results.lanes
    ]
    observed = _observer(results, observer)
    checks = check_slo(results, slo, outages=run.outages, availability=run.availability)
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
            activity=activity or Activity(),
            controller=controller,
        )
        phases = find_phases(scenario.steps, load)
        steps = summarize_scenario(
            scenario,
            phases,
            load,
            clock=clock,
            events=events,
            expectations=judge_expected(
                expected, load, planned, lost_writes=lost_writes, wrong=run.wrong
            ),
        )
    found = find_findings(
        run,
        lost_writes=lost_writes or 0,
        stale_reads=stale_reads or 0,
        scenario=ended_badly(steps),
        problems=problems,
        missed=find_missed(steps, checks),
    )
    step_of = {
        outage.key: step.record.name
        for step in phases
        for lane in step.lanes
        for outage in (*lane.outages, *lane.planned)
    }
    witnesses = run.witnesses
    others = [lane.name for lane in results.lanes if lane.name not in witnesses]
    clients = compare_clients(
        find_happenings(phases, run.incidents),
        run.watched.facts(),
        activity or Activity(),
        clock,
    )
    summary = Summary(
        schema_version=SCHEMA_VERSION,
        state=found.state,
        headline=found.headline,
        verdict=make_sentences(
            results,
            is_void=bool(found.void),
            outages=run.outages,
            causes=[run.causes[o.key] for o in run.outages],
            planned=run.planned,
            observer=observed,
            checks=checks,
            scenario=steps,
            clients=clients,
            clock=clock,
            lost_writes=lost_writes,
            stale_reads=stale_reads,
            wrong=run.wrong,
        )
        + replica_sentences(lanes)
        + connect_sentences(connects),
        start_unix_ns=clock.to_wall(results.start_ns),
        end_unix_ns=clock.to_wall(results.end_ns),
        duration_s=(results.end_ns - results.start_ns) / NS_PER_S,
        downtime_ms=run.downtime_of(witnesses, run.outages),
        witnesses=list(witnesses),
        client_downtime_ms=run.downtime_of(others, run.outages) if others else None,
        client_seconds_lost=sum(lane.client_seconds_lost for lane in lanes),
        lanes=lanes,
        scopes=[scope_summary(run, s, t) for s, t in results.scope_totals.items()],
        incidents=[
            incident_summary(run, incident, step_of) for incident in run.incidents
        ],
        observer=observed,
        slo=checks,
        lost_writes=lost_writes,
        stale_reads=stale_reads,
        replica_stale_reads=replica_stale_reads,
        wrong=run.wrong,
        planned_ms=run.downtime_of(witnesses, run.planned),
        scenario=steps,
        clients=clients,
        connects=connects,
    )
    rows = [msgspec.structs.replace(row, incident=0) for row in outage_rows(connecting)]
    return Verdict(summary, OutageList(SCHEMA_VERSION, outage_rows(run), rows))


def _judge(
    results: Results,
    clock: ClockPair,
    quiet_ns: int,
    planned: Sequence[Planned],
    activity: Activity | None,
) -> JudgedRun:
    watched = Watched.until_end(results)
    served = activity.served if activity is not None else None
    blamed = blame(results.outages, watched, planned=planned, served=served)
    return judge_run(watched, blamed, clock=clock, quiet_ns=quiet_ns)


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
        unseen_arrivals=sum(t.unseen for t in totals),
        dropped_outages=results.dropped_outages,
    )
