"""Parts of the verdict: scopes, lanes, new connections, incidents, outages. Pure."""

from collections.abc import Mapping, Sequence

from loadprobe.clock import NS_PER_S, ClockPair
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outages import OutageKey
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.verdict.attribution import Cause
from loadprobe.core.verdict.blame import Blamed
from loadprobe.core.verdict.incidents import Incident, dark_time
from loadprobe.core.verdict.judged import JudgedRun, availability_of
from loadprobe.core.verdict.measures import (
    as_downtime_ms,
    bounds,
    downtime_ms,
    ms,
    quantiles_ms,
)
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.summary import (
    ConnectSummary,
    IncidentSummary,
    LaneSummary,
    ScopeDark,
    ScopeSummary,
)


def _outcomes(totals: Sequence[ScopeTotals]) -> dict[str, int]:
    return {o.label: sum(t.counts[o] for t in totals) for o in Outcome}


def _classes(totals: Sequence[ScopeTotals]) -> dict[str, int]:
    counts = {e.label: sum(t.classes[e] for t in totals) for e in ErrorClass}
    return {label: count for label, count in counts.items() if count}


def scope_summary(run: JudgedRun, scope: Scope, totals: ScopeTotals) -> ScopeSummary:
    """Return what became of one scope."""
    outages = [o for o in run.outages if o.scope == scope]
    planned = [o for o in run.planned if o.scope == scope]
    planned_failed = sum(o.failed for o in planned)
    kept = sum(o.scope == scope for o in run.watched.outages)
    return ScopeSummary(
        lane=scope.lane,
        shard=scope.shard,
        op=scope.op.label,
        arrivals=totals.arrivals,
        outcomes=_outcomes([totals]),
        classes=_classes([totals]),
        availability=availability_of([totals], planned_failed),
        outages=totals.outages - kept + len(outages),
        dark_ms=bounds(dark_time(outages)),
        client_seconds_lost=totals.lost_ns / NS_PER_S,
        unseen_arrivals=totals.unseen,
        planned_ms=bounds(dark_time(planned)),
        planned_failed=planned_failed,
    )


def lane_summary(
    run: JudgedRun, lane: LaneInfo, *, absent_reads: int = 0
) -> LaneSummary:
    """Return what became of one lane."""
    own = run.watched.lane_totals[lane.name]
    totals = [t for s, t in run.watched.scope_totals.items() if s.lane == lane.name]
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
        availability=availability_of(totals, planned_failed),
        response_ms={
            op.label: quantiles_ms(h) for op, h in sorted(own.response.items())
        },
        service_ms={op.label: quantiles_ms(h) for op, h in sorted(own.service.items())},
        lateness_ms=quantiles_ms(own.lateness),
        downtime_ms=downtime_ms(outages, shards),
        client_seconds_lost=sum(t.lost_ns for t in totals) / NS_PER_S,
        blind_ms=ms(own.blind_ns),
        unseen_arrivals=sum(t.unseen for t in totals),
        planned_ms=downtime_ms(planned, shards),
        planned_failed=planned_failed,
        absent_reads=absent_reads,
        downtime_by_op_ms={
            op.label: downtime_ms([o for o in outages if o.scope.op is op], shards)
            for op in sorted(
                {s.op for s in run.watched.scope_totals if s.lane == lane.name}
            )
        },
    )


def connect_summary(run: JudgedRun, lane: LaneInfo) -> ConnectSummary:
    """Return what became of a lane's new connections, given a run of them alone."""
    own = lane_summary(run, lane)
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
            scope_summary(run, scope, totals)
            for scope, totals in run.watched.scope_totals.items()
            if scope.lane == lane.name
        ],
    )


def incident_summary(
    run: JudgedRun, incident: Incident, step_of: Mapping[OutageKey, str]
) -> IncidentSummary:
    """Return one incident as it is written down.

    Args:
        run: the run.
        incident: of that run.
        step_of: key of an outage -> name of the step that it belongs to.
    """
    ranked = sorted(incident.outages, key=lambda o: o.duration_ns, reverse=True)
    steps = [step_of[o.key] for o in incident.outages if o.key in step_of]
    why = dict.fromkeys(run.causes[o.key].cause.value for o in ranked)
    causes = [run.causes[o.key].cause for o in incident.outages]
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
        where=run.where(ranked) if ranked else "",
        why=", ".join(why) if ranked else Cause.PROBE.value,
        steps=list(dict.fromkeys(steps)),
        dark_ms=bounds(dark_time(ranked)),
    )


def outage_rows(run: JudgedRun) -> list[OutageRow]:
    """Return all outages as they are written down, by time."""
    incident_of = {o.key: i.number for i in run.incidents for o in i.outages}
    return [
        outage_row(part, clock=run.clock, incident=incident_of[part.outage.key])
        for part in run.blamed
    ]


def outage_row(part: Blamed, *, clock: ClockPair, incident: int) -> OutageRow:
    """Return an outage as it is written down."""
    outage, attribution = part.outage, part.attribution
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
        unseen_ms=ms(outage.unseen_ns),
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
