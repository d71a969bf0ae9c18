"""What is to be said of a run while it lasts, in the form of its summary.

Pure. It is no verdict: data is not read back yet, steps have not settled, and what goes
on may become worse. What takes an end to be known is left out, as a summary leaves it
out: null, or empty.
"""

from collections.abc import Collection
from copy import copy
from dataclasses import replace

from loadprobe.clock import NS_PER_S
from loadprobe.core.judging.columns import Scope
from loadprobe.core.verdict.judged import JudgedRun
from loadprobe.core.verdict.judgement import observer_summary
from loadprobe.core.verdict.measured import ObserverHealth
from loadprobe.core.verdict.parts import incident_summary, lane_summary, scope_summary
from loadprobe.core.verdict.summary import SCHEMA_VERSION, State, Summary
from loadprobe.core.verdict.thresholds import SloLimits, check_slo


def still(run: JudgedRun, going_on: Collection[Scope]) -> JudgedRun:
    """Return a run that does not change while it is looked at, by a thread too.

    What is copied grows with the number of scopes, not with that of outages.

    Args:
        run: as it is judged.
        going_on: scopes with an outage that goes on: totals count it when it ends.
    """
    watched = run.watched
    lanes = {
        name: replace(
            totals,
            response={op: found.copy() for op, found in totals.response.items()},
            service={op: found.copy() for op, found in totals.service.items()},
            lateness=totals.lateness.copy(),
        )
        for name, totals in watched.lane_totals.items()
    }
    scopes = {
        scope: replace(
            totals,
            counts=list(totals.counts),
            classes=copy(totals.classes),
            outages=totals.outages + (scope in going_on),
        )
        for scope, totals in watched.scope_totals.items()
    }
    watched = replace(watched, lane_totals=lanes, scope_totals=scopes)
    return replace(run, watched=watched)


def summarize_so_far(
    run: JudgedRun,
    health: ObserverHealth,
    *,
    limits: SloLimits,
    words: tuple[State, str],
    stale_reads: int,
    most_incidents: int,
) -> Summary:
    """Return the summary of a run as far as it is known.

    Args:
        run: the load, judged until now.
        health: how the probe itself does.
        limits: thresholds; lost writes are looked for at the end.
        words: the worst in a word, and all that matters in one line.
        stale_reads: how many were found until now.
        most_incidents: so many of the latest ones are in it.
    """
    watched, clock = run.watched, run.clock
    begins = [
        t.begin_ns for t in watched.lane_totals.values() if t.begin_ns is not None
    ]
    start_ns = min(begins, default=watched.end_ns)
    lanes = [lane_summary(run, lane) for lane in watched.lanes]
    witnesses = run.witnesses
    return Summary(
        schema_version=SCHEMA_VERSION,
        state=words[0],
        headline=words[1],
        verdict=[],
        start_unix_ns=clock.to_wall(start_ns),
        end_unix_ns=clock.to_wall(watched.end_ns),
        duration_s=(watched.end_ns - start_ns) / NS_PER_S,
        downtime_ms=run.downtime_of(witnesses, run.outages),
        planned_ms=run.downtime_of(witnesses, run.planned),
        witnesses=list(witnesses),
        client_seconds_lost=sum(lane.client_seconds_lost for lane in lanes),
        lanes=lanes,
        scopes=[scope_summary(run, s, t) for s, t in watched.scope_totals.items()],
        incidents=[
            incident_summary(run, incident, {})
            for incident in run.incidents[-most_incidents:]
        ],
        observer=observer_summary(watched, health),
        slo=check_slo(run, replace(limits, max_lost_writes=None)),
        lost_writes=None,
        stale_reads=stale_reads,
        wrong=run.wrong,
    )
