"""What a page that watches a run is told: once all that is kept, and then what is new.

Pure. The keys are those of ``document``. A part of a later moment has the same ones:
what can have changed is whole in it, while seconds, cells, blind spans and events are
only the new ones. ``static/live.js`` adds them up.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.core.phase_names import WORDS
from loadprobe.core.verdict.attribution import Cause
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.scenario_document import ScenarioSummary
from loadprobe.core.verdict.summary import Summary
from loadprobe.core.verdict.texts import duration_text
from loadprobe.outputs.folder.documents import RunInfo, series_row
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.page.course import BOUNDS_NS
from loadprobe.outputs.page.document import (
    PAGE_VERSION,
    about_run,
    calls_of,
    event_rows,
)
from loadprobe.outputs.page.film import filmed_spans
from loadprobe.outputs.page.packing import blind_spans, pack_film
from loadprobe.outputs.page.recent import RecentPart
from loadprobe.outputs.page.seconds import Grid, StepSeries
from loadprobe.outputs.page.servers import ServerCourse, figures, servers_document
from loadprobe.outputs.page.zero import Zero

_OPS = {op.label: op for op in OpKind}
_KINDS = ("response", "service")
_NOTED_MS = 2_000
_GOING_ON = "going on"


@dataclass(frozen=True, slots=True)
class Now:
    """How a run stands.

    Args:
        state: where it is in its life.
        summary: as far as it is known.
        outages: the latest ones, those that go on too.
        outages_left_out: how many there are besides.
        scopes: all of them, in the order in which they are shown.
        lanes: of each what the table of lanes shows.
        problems: what the operator should know now.
        scenario: what is to be said of its steps; None if there is none.
        going_on: names of the steps that go on.
        is_scenario_over: the scenario has ended.
    """

    state: str
    summary: Summary
    outages: Sequence[OutageRow]
    outages_left_out: int
    scopes: Sequence[Scope]
    lanes: Sequence[Mapping[str, object]]
    problems: Sequence[str]
    scenario: ScenarioSummary | None = None
    going_on: Collection[str] = ()
    is_scenario_over: bool = False


def zero_at(clock: ClockPair, second: int) -> Zero:
    """Return a monotonic second as that from which pages count."""
    mono_ns = second * NS_PER_S
    return Zero(clock, mono_ns, clock.to_wall(mono_ns), 1.0)


def first_document(
    about: tuple[RunInfo, Path],
    part: RecentPart,
    now: Now,
    zero: Zero,
    *,
    is_short: bool,
) -> dict[str, Any]:
    """Return what a page is told first.

    Args:
        about: what is run, and its folder.
        part: all that is kept.
        now: how the run stands.
        zero: from which the page counts.
        is_short: cells were let go before their time.
    """
    info, folder = about
    begun_ms = (zero.wall_ns - now.summary.start_unix_ns) / NS_PER_MS
    missing = []
    if begun_ms > _NOTED_MS:
        missing.append(
            "film, charts and events are those of the last minutes; all of the run: "
            "loadprobe report --html"
        )
    if is_short:
        missing.append(
            "there was much to film: of the older of it whole seconds are shown"
        )
    run = RunData(folder, info, now.summary, (), (), ())
    return {
        "page_version": PAGE_VERSION,
        "zero_unix_ns": zero.wall_ns,
        "run": about_run(run),
        "budget": "",
        "phase_words": {str(phase): words for phase, words in WORDS.items()},
        "stretches": [],
        "missing": missing,
        **grown_document(part, now, zero),
        "servers": _servers(part),
    }


def grown_document(part: RecentPart, now: Now, zero: Zero) -> dict[str, Any]:
    """Return what a page is told of a later moment.

    Args:
        part: what is new.
        now: how the run stands.
        zero: from which the page counts.
    """
    events, left_out = event_rows(part.events, zero)
    return {
        "state": now.state,
        "length_ms": (now.summary.end_unix_ns - zero.wall_ns) / NS_PER_MS,
        "lasted": duration_text(round(now.summary.duration_s) * NS_PER_S),
        "summary": msgspec.to_builtins(now.summary) | {"scenario": _scenario(now)},
        "calls": calls_of(part.events),
        "outages": msgspec.to_builtins(now.outages),
        "outages_left_out": now.outages_left_out,
        "events": events,
        "events_left_out": left_out,
        "now": list(now.lanes),
        "problems": list(now.problems),
        "film": _film(part, now, zero),
        "course": _course(part, zero),
        "servers": [
            {
                "node": row.node,
                "shard": row.shard,
                "at": _ms(row.second, zero),
                **figures(row),
            }
            for row in part.servers
        ],
    }


def _scenario(now: Now) -> dict[str, Any] | None:
    """Return the scenario as a summary has it; what goes on says so."""
    if now.scenario is None:
        return None
    told: dict[str, Any] = msgspec.to_builtins(now.scenario)
    if not now.is_scenario_over:
        told["state"] = _GOING_ON
    for step in told["steps"]:
        if step["name"] in now.going_on:
            step["state"] = _GOING_ON
    return told


def changed(grown: dict[str, Any], before: Now | None, now: Now) -> dict[str, Any]:
    """Leave out of a later moment the long lists that are as they were.

    Args:
        grown: of ``grown_document``.
        before: how the run stood when pages were told the last time.
        now: how it stands.
    """
    if before is None:
        return grown
    told = dict(grown)
    if now.outages == before.outages:
        del told["outages"]
    if now.summary.incidents == before.summary.incidents:
        told["summary"] = {k: v for k, v in told["summary"].items() if k != "incidents"}
    return told


def _servers(part: RecentPart) -> dict[str, Any]:
    """Return what servers told so far, as columns of single seconds."""
    course = ServerCourse(Grid(tuple(range(part.since_s, part.until_s + 1))))
    for row in part.servers:
        course.add(row, row.second)
    return servers_document(course)


def _film(part: RecentPart, now: Now, zero: Zero) -> dict[str, Any]:
    packed = pack_film(
        part.frames,
        {scope: row for row, scope in enumerate(now.scopes)},
        zero_ms=zero.mono_ns // NS_PER_MS,
    )
    served = _served(part, zero)
    failing = _failing(part, zero)
    planned = _planned(now.outages, zero)
    return {
        "rows": [
            {
                "lane": scope.lane,
                "shard": scope.shard,
                "op": scope.op.label,
                "served": served.get(scope, []),
                "failing": failing.get(scope, []),
                "planned": planned.get(scope, []),
            }
            for scope in now.scopes
        ],
        "blind": blind_spans(part.frames, zero_ns=zero.mono_ns),
        "outcomes": [outcome.label for outcome in Outcome],
        "chunks": packed.chunks,
        "packed": packed.packed,
        "is_thinned": packed.is_thinned,
    }


def _served(part: RecentPart, zero: Zero) -> dict[Scope, list[list[float]]]:
    """Return when scopes had arrivals that were served, in whole seconds."""
    course = StepSeries(Grid((part.since_s, part.since_s + 1)))
    for row in part.seconds:
        if row.counts[Outcome.SERVED]:
            course.add_counts(series_row(row), 0, 1)
    return {
        scope: [[_ms(first, zero), _ms(last, zero)] for first, last in spans]
        for scope, spans in course.served.items()
    }


def _failing(part: RecentPart, zero: Zero) -> dict[Scope, list[list[float]]]:
    """Return seconds with failures but no cells: from, length, dark, grey, in ms."""
    if not part.settled:
        return {}
    spans = filmed_spans(part.filmed)
    found: dict[Scope, list[list[float]]] = {}
    for row in part.settled:
        there = spans.get(row.scope)
        if there is None or not there.touches(
            1000 * row.second, 1000 * (row.second + 1)
        ):
            second = [_ms(row.second, zero), 1000, row.dark_ms, row.grey_ms]
            found.setdefault(row.scope, []).append(second)
    return found


def _planned(
    outages: Iterable[OutageRow], zero: Zero
) -> dict[Scope, list[list[float]]]:
    found: dict[Scope, list[list[float]]] = {}
    for outage in outages:
        if outage.attribution == Cause.PLANNED:
            scope = Scope(outage.lane, outage.shard, _OPS[outage.op])
            span = [zero.ms(outage.start_unix_ns), zero.ms(outage.end_unix_ns)]
            found.setdefault(scope, []).append(span)
    return found


def _course(part: RecentPart, zero: Zero) -> dict[str, Any]:
    """Return counts and latencies of single seconds."""
    grid = Grid(tuple(range(part.since_s, part.until_s + 1)))
    course = StepSeries(grid)
    for counts in part.seconds:
        course.add_counts(series_row(counts), 0, 1)
    rows = {(row.lane, row.second): row for row in part.latencies}
    lanes = list(dict.fromkeys(row.lane for row in part.latencies))
    steps = range(part.since_s, part.until_s)
    names = list(part.latencies[0].response) if lanes else []
    return {
        "at": [_ms(second, zero) for second in steps],
        "seconds": [1] * len(steps),
        "counts": [
            {"lane": lane, **{o.label: columns[o] for o in Outcome}}
            for lane, columns in course.counts.items()
        ],
        "latencies": [
            {
                "lane": lane,
                "kind": kind,
                **{
                    name: [
                        getattr(row, kind)[name] if row is not None else None
                        for row in (rows.get((lane, second)) for second in steps)
                    ]
                    for name in names
                },
            }
            for lane in lanes
            for kind in _KINDS
        ],
        "heat": {
            "bounds_ms": [bound / NS_PER_MS for bound in BOUNDS_NS],
            "lanes": [
                {
                    "lane": lane,
                    "columns": [
                        {"at": at, "steps": 1, "counts": row.heat}
                        for at, second in enumerate(steps)
                        if (row := rows.get((lane, second))) is not None
                    ],
                }
                for lane in lanes
            ],
        },
    }


def _ms(second: int, zero: Zero) -> float:
    return (second * NS_PER_S - zero.mono_ns) / NS_PER_MS
