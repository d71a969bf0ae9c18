"""The verdict of a run in words that need no glossary, for the first screen.

Pure. A lane is called by its clients, an arrival is a request, and what is dark is
down; docs/measuring.md has the words with which all of it is defined. What is said is
what ``summary.json`` says, the worst first; the whole report has the rest.
"""

from collections.abc import Collection, Iterable, Sequence

from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.verdict.attribution import Cause
from loadprobe.core.verdict.headline import BLIND, END_WORDS, SILENT, ended_badly
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.quantities import Bounds
from loadprobe.core.verdict.summary import (
    ConnectSummary,
    IncidentSummary,
    SloResult,
    Summary,
)
from loadprobe.core.verdict.texts import clock_text
from loadprobe.outputs.report.timeline import is_dark_at
from loadprobe.outputs.wording import plain_words, printable

SHOWN_INCIDENTS = 3
_SHOWN_NAMES = 3

_CAUSES: dict[str, str] = {
    Cause.CLUSTER: "all shards at once",
    Cause.SHARD: "the shard itself",
    Cause.WRITES: "the shard refused writes, and served reads",
    Cause.ACCESS: "login or permission was refused",
    Cause.PATH: "nothing led there: a missing rule, or its name (DNS)",
    Cause.TRANSPORT: "the tunnel, or one of TCP and TLS alone",
    Cause.CLIENT: "the client library, the cluster answered others",
}
"""Whose fault it was."""

_STATES: dict[str, str] = {
    "damaged": "data was lost or wrong",
    "outage": "some requests found the cluster down",
    "invalid": "too little was measured to say anything",
    "failed": "the run, or what it was to do, failed",
    "missed": "a limit or an expectation was missed",
    "blind": "loadprobe itself was stalled, or off, for too long to tell",
    "clean": "it was never down",
    "interrupted": "the run was cut short",
    "running": "the run goes on",
}


def plain_bounds(value: Bounds) -> str:
    """Return a length with its error bars: ``2327 ms [2289, 2347]``."""
    digits = 0 if value.estimate >= 100 else 1
    low, high = (f"{x:.{digits}f}" for x in (value.lower, value.upper))
    return f"{value.estimate:.{digits}f} ms [{low}, {high}]"


def plain_headline(summary: Summary) -> str:
    """Return the verdict in one line."""
    return f"{summary.state} - {_STATES[summary.state]}"


def plain_verdict(summary: Summary, outages: Sequence[OutageRow]) -> list[str]:
    """Return what is to be said of a run, the worst first.

    Args:
        summary: the judgement.
        outages: of the run.
    """
    return [
        *_cut_short(summary, outages),
        *_damage(summary),
        *_incidents(summary),
        *_silent(summary),
        *_scenario(summary),
        *map(_limit, summary.slo),
        *_beside(summary),
    ]


def _cut_short(summary: Summary, outages: Sequence[OutageRow]) -> Iterable[str]:
    """Yield up to when it is complete, and what was down at its end."""
    if summary.complete_until_unix_ns is not None:
        at = clock_text(summary.complete_until_unix_ns)
        yield f"what follows is complete until {at} UTC; nothing is known of later"
    going_on = {
        (row.lane, row.shard)
        for row in outages
        if row.attribution != Cause.PLANNED and row.op != OpKind.CONNECT.label
        if is_dark_at(summary.end_unix_ns, row)
    }
    if going_on:
        yield f"still down at the end: {_where(going_on, summary)}"


def _damage(summary: Summary) -> Iterable[str]:
    """Yield what became of the data."""
    lost, stale, wrong = summary.lost_writes, summary.stale_reads, summary.wrong
    if lost:
        yield f"{lost:,} writes were acknowledged and are lost"
    if wrong:
        yield f"{wrong:,} replies were wrong"
    if stale:
        yield f"{stale:,} reads found an older value than was written"


def _incidents(summary: Summary) -> Iterable[str]:
    told = [incident for incident in summary.incidents if not incident.is_probe_only]
    worst = sorted(told, key=lambda i: (i.is_planned, -i.dark_ms.upper))
    for incident in worst[:SHOWN_INCIDENTS]:
        yield _incident(incident, summary)
    hidden = len(told) - SHOWN_INCIDENTS
    if hidden > 0:
        yield f"and {hidden:,} more times, shorter or as planned"
    if summary.observer.dropped_outages:
        yield f"{summary.observer.dropped_outages:,} outages were too many to keep"


def _incident(incident: IncidentSummary, summary: Summary) -> str:
    """Say when or in which step who was down, for how long, and why."""
    where = _where({(s.lane, s.shard) for s in incident.scopes}, summary)
    at = f"{clock_text(incident.start_unix_ns)} UTC"
    if incident.steps:
        at = f"step {', '.join(incident.steps)}"
    why = "; ".join(_CAUSES.get(cause, cause) for cause in incident.why.split(", "))
    if incident.is_planned:
        why = "planned, not counted"
    return printable(f"{at}: {where}, {plain_bounds(incident.dark_ms)}: {why}")


def _where(places: Collection[tuple[str, str]], summary: Summary) -> str:
    """Return which shards, and for whom: ``shard 0002 was down for tls clients``.

    Clients are named only if there are several.
    """
    shards = sorted({shard for _, shard in places})
    known = {scope.shard for scope in summary.scopes}
    if len(shards) > 1 and len(shards) == len(known):
        who = f"all {len(shards)} shards were down"
    elif len(shards) > _SHOWN_NAMES:
        who = f"{len(shards)} shards were down"
    elif len(shards) > 1:
        who = f"shards {_listed(shards)} were down"
    else:
        who = f"shard {_listed(shards)} was down"
    if len(summary.lanes) < 2:
        return who
    found = {lane for lane, _ in places}
    lanes = [lane.name for lane in summary.lanes if lane.name in found]
    if len(lanes) > _SHOWN_NAMES:
        return f"{who} for {len(lanes)} kinds of clients"
    return f"{who} for {_listed(lanes)} clients"


def _listed(names: Sequence[str]) -> str:
    *first, last = names or ["?"]
    return f"{', '.join(first)} and {last}" if first else last


def _silent(summary: Summary) -> Iterable[str]:
    """Yield why nothing is known."""
    if SILENT in summary.headline:
        silent = [lane.name for lane in summary.lanes if not lane.arrivals]
        yield f"not one request of {_listed(silent)} clients could be judged"
    elif summary.state == "invalid":
        yield "nothing was measured"


def _scenario(summary: Summary) -> Iterable[str]:
    scenario = summary.scenario
    if scenario is None:
        return
    ended = ended_badly(scenario)
    if ended is not None:
        why = f": {plain_words(scenario.reason)}" if scenario.reason else ""
        yield f"scenario {printable(ended[0])} {END_WORDS[ended[1]]}{why}"
    for expectation in scenario.expectations:
        if expectation.is_met is True:
            continue
        word = "not as expected" if expectation.is_met is False else "not to be told"
        detail = f" ({plain_words(expectation.detail)})" if expectation.detail else ""
        yield f"{word}: {plain_words(expectation.what)}{detail}"


def _limit(check: SloResult) -> str:
    actual = "no value" if check.actual is None else f"{check.actual:.6g}"
    word = "met" if check.is_met else "MISSED"
    more = ""
    if check.possible is not None:
        more = f", at most {check.possible:.6g} with what was not seen"
    return f"limit {check.name} {word}: {actual}, limit {check.limit:.6g}{more}"


def _beside(summary: Summary) -> Iterable[str]:
    """Yield what is good to know: data, new connections, budget, own stalls."""
    if not (summary.lost_writes or summary.wrong or summary.stale_reads):
        lost, stale = summary.lost_writes, summary.stale_reads
        good = [
            *(["no write was lost"] if lost is not None else []),
            *(["no reply was wrong"]),
            *(["none was out of date"] if stale is not None else []),
        ]
        yield ", ".join(good)
    failed = [
        f"{lane.lane} {count:,}"
        for lane in summary.connects
        if (count := _failed_connects(lane))
    ]
    if failed:
        yield f"new connections that failed, and are not counted: {', '.join(failed)}"
    if summary.error_budget is not None:
        left = [
            (row.left_ratio, place)
            for place in summary.error_budget.places
            for row in place.periods
            if row.left_ratio is not None
        ]
        if left:
            ratio, place = min(left, key=lambda pair: pair[0])
            yield (
                f"error budget: {ratio:.1%} left where least is, "
                f"{place.lane} clients at shard {place.shard}"
            )
    blind_ms = summary.observer.blind_ms
    much = [part for part in summary.headline.split("; ") if part.startswith(BLIND)]
    if much:
        words = plain_words(much[0])
        yield f"{words}, too much to measure well: is the machine busy, or was it off?"
    elif blind_ms:
        yield (
            f"loadprobe itself stalled for {blind_ms:,.0f} ms, which counts neither "
            "as up nor as down"
        )


def _failed_connects(lane: ConnectSummary) -> int:
    """Return how many new connections failed, but for those by plan."""
    planned = sum(scope.planned_failed for scope in lane.scopes)
    return lane.arrivals - lane.outcomes.get("served", 0) - planned
