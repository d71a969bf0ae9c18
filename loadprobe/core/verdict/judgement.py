"""A run that is over, judged: what its documents and its sentences are made from.

Pure. Everything is found out here, once; what comes after it only tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadprobe.clock import NS_PER_S
from loadprobe.core.judging.activity import Activity
from loadprobe.core.judging.connects import split
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.outages import OutageKey
from loadprobe.core.judging.results import Results
from loadprobe.core.verdict.blame import Watched, blame
from loadprobe.core.verdict.client_document import ClientComparison
from loadprobe.core.verdict.client_ranking import compare_clients, find_happenings
from loadprobe.core.verdict.expected import judge_expected
from loadprobe.core.verdict.headline import (
    Findings,
    ended_badly,
    find_findings,
    find_missed,
)
from loadprobe.core.verdict.judged import JudgedRun, judge_run
from loadprobe.core.verdict.measured import DataFound, Measured, ObserverHealth
from loadprobe.core.verdict.measures import ms, quantiles_ms
from loadprobe.core.verdict.parts import connect_summary, lane_summary
from loadprobe.core.verdict.phases import find_phases
from loadprobe.core.verdict.scenario_document import ScenarioSummary
from loadprobe.core.verdict.scenario_summary import summarize_scenario
from loadprobe.core.verdict.step_phases import LoadSeen, StepPhases
from loadprobe.core.verdict.summary import (
    ConnectSummary,
    LaneSummary,
    ObserverSummary,
    SloResult,
)
from loadprobe.core.verdict.thresholds import check_slo


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that was found out about a run.

    Args:
        measured: what is known of it.
        run: the load, judged.
        connecting: the new connections, judged apart.
        findings: what matters.
        observer: how well the probe itself did.
        checks: thresholds, met or not.
        lanes: what became of each lane.
        connects: what became of the new connections of each lane that made any.
        scenario: what was done to the target, None if nothing.
        clients: client lanes beside each other.
        step_of: name of the step that an outage belongs to, by its key.
    """

    measured: Measured
    run: JudgedRun
    connecting: JudgedRun
    findings: Findings
    observer: ObserverSummary
    checks: Sequence[SloResult]
    lanes: Sequence[LaneSummary]
    connects: Sequence[ConnectSummary]
    scenario: ScenarioSummary | None
    clients: Sequence[ClientComparison]
    step_of: Mapping[OutageKey, str]

    @property
    def data(self) -> DataFound:
        """Return what became of the data."""
        return self.measured.data


def judge(measured: Measured) -> Judgement:
    """Return what is to be found out about a run."""
    load, apart = split(measured.results)
    run = _judged(measured, load, measured.course.activity)
    connecting = _judged(measured, apart, None)
    checks = check_slo(run, measured.slo, lost_writes=measured.data.lost_writes)
    phases, scenario = _judge_scenario(measured, run)
    absent = measured.data.absent_reads
    known = Findings(
        lost_writes=measured.data.lost_writes or 0,
        stale_reads=measured.data.stale_reads or 0,
        scenario=ended_badly(scenario),
        problems=measured.problems,
        missed=find_missed(scenario, checks),
    )
    return Judgement(
        measured=measured,
        run=run,
        connecting=connecting,
        findings=find_findings(run, known),
        observer=observer_summary(run.watched, measured.observer),
        checks=checks,
        lanes=[
            lane_summary(run, lane, absent_reads=absent.get(lane.name, 0))
            for lane in load.lanes
        ],
        connects=[
            connect_summary(connecting, lane)
            for lane in apart.lanes
            if connecting.shards[lane.name]
        ],
        scenario=scenario,
        clients=compare_clients(
            find_happenings(phases, run.incidents),
            run.watched.facts(),
            measured.course.activity or Activity(),
            measured.clock,
        ),
        step_of={
            outage.key: step.record.name
            for step in phases
            for lane in step.lanes
            for outage in (*lane.outages, *lane.planned)
        },
    )


def _judged(
    measured: Measured, results: Results, activity: Activity | None
) -> JudgedRun:
    """Return a part of the results, judged."""
    watched = Watched.until_end(results)
    blamed = blame(
        results.outages,
        watched,
        planned=measured.changes.planned,
        served=activity.served if activity is not None else None,
    )
    return judge_run(watched, blamed, clock=measured.clock, quiet_ns=measured.quiet_ns)


def _judge_scenario(
    measured: Measured, run: JudgedRun
) -> tuple[Sequence[StepPhases], ScenarioSummary | None]:
    """Return what was seen of the steps, and what is to be said of them all."""
    changes, course = measured.changes, measured.course
    if changes.scenario is None:
        return [], None
    load = LoadSeen(
        shards=run.shards,
        outages=run.outages,
        planned=run.planned,
        p99=course.p99,
        begin_ns=measured.results.start_ns,
        end_ns=measured.results.end_ns,
        activity=course.activity or Activity(),
        controller=course.controller,
    )
    phases = find_phases(changes.scenario.steps, load)
    return phases, summarize_scenario(
        changes.scenario,
        phases,
        load,
        clock=measured.clock,
        events=changes.events,
        expectations=judge_expected(
            changes.expected,
            load,
            changes.planned,
            lost_writes=measured.data.lost_writes,
            wrong=run.wrong,
        ),
    )


def observer_summary(watched: Watched, health: ObserverHealth) -> ObserverSummary:
    """Return how well the probe itself did."""
    lateness = Histogram()
    lanes = watched.lane_totals.values()
    for totals in lanes:
        lateness.merge(totals.lateness)
    return ObserverSummary(
        max_loop_lag_ms=ms(health.max_loop_lag_ns),
        max_gc_pause_ms=ms(health.max_gc_pause_ns),
        late_sends=health.late_sends,
        skipped=health.skipped,
        cpu_seconds=health.cpu_ns / NS_PER_S,
        lateness_ms=quantiles_ms(lateness),
        blind_ms=ms(max((totals.blind_ns for totals in lanes), default=0)),
        unseen_arrivals=sum(t.unseen for t in watched.scope_totals.values()),
        dropped_outages=watched.dropped_outages,
    )
