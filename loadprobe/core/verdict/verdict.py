"""The verdict: what summary.json and outages.json say, from all that was measured.

Pure: the same run gives the same documents.
"""

from dataclasses import dataclass

import msgspec

from loadprobe.clock import NS_PER_S
from loadprobe.core.verdict.judgement import Judgement, judge
from loadprobe.core.verdict.measured import Measured
from loadprobe.core.verdict.outage_document import OutageList
from loadprobe.core.verdict.parts import incident_summary, outage_rows, scope_summary
from loadprobe.core.verdict.sentences import make_sentences
from loadprobe.core.verdict.summary import SCHEMA_VERSION, Summary


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that is said about a run."""

    summary: Summary
    outages: OutageList


def summarize(measured: Measured) -> Verdict:
    """Return what is to be said about a run."""
    judgement = judge(measured)
    rows = outage_rows(judgement.connecting)
    connects = [msgspec.structs.replace(row, incident=0) for row in rows]
    outages = OutageList(SCHEMA_VERSION, outage_rows(judgement.run), connects)
    return Verdict(_summary(judgement), outages)


def _summary(judgement: Judgement) -> Summary:
    measured, run, lanes = judgement.measured, judgement.run, judgement.lanes
    clock, results, watched = measured.clock, measured.results, run.watched
    witnesses = run.witnesses
    others = [lane.name for lane in watched.lanes if lane.name not in witnesses]
    return Summary(
        schema_version=SCHEMA_VERSION,
        state=judgement.findings.state,
        headline=judgement.findings.headline,
        verdict=make_sentences(judgement),
        start_unix_ns=clock.to_wall(results.start_ns),
        end_unix_ns=clock.to_wall(results.end_ns),
        duration_s=(results.end_ns - results.start_ns) / NS_PER_S,
        downtime_ms=run.downtime_of(witnesses, run.outages),
        witnesses=list(witnesses),
        client_downtime_ms=run.downtime_of(others, run.outages) if others else None,
        client_seconds_lost=sum(lane.client_seconds_lost for lane in lanes),
        lanes=list(lanes),
        scopes=[scope_summary(run, s, t) for s, t in watched.scope_totals.items()],
        incidents=[
            incident_summary(run, incident, judgement.step_of)
            for incident in run.incidents
        ],
        observer=judgement.observer,
        slo=list(judgement.checks),
        lost_writes=judgement.data.lost_writes,
        stale_reads=judgement.data.stale_reads,
        replica_stale_reads=judgement.data.replica_stale_reads,
        wrong=run.wrong,
        planned_ms=run.downtime_of(witnesses, run.planned),
        scenario=judgement.scenario,
        clients=list(judgement.clients),
        connects=list(judgement.connects),
    )
