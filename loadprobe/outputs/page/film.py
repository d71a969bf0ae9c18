"""What the film of a page is drawn from: rows, cells, and what is known besides. Pure.

Cells are there round failures only. Elsewhere the seconds tell that a scope was served;
where cells were lost they still tell of failures, as coarse as they are.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.judging.cells import FilmChunk, Frame
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.core.verdict.attribution import Cause
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.summary import Summary
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.page.packing import MOST_BYTES, blind_spans, pack_film
from loadprobe.outputs.page.seconds import StepSeries
from loadprobe.outputs.page.zero import Zero

_OPS = {op.label: op for op in OpKind}


def film_document(
    run: RunData, course: StepSeries, zero: Zero, *, most_bytes: int = MOST_BYTES
) -> dict[str, Any]:
    """Return the rows of the film, what is known of each, and its cells.

    Args:
        run: as it was read.
        course: of its seconds.
        zero: of the page.
        most_bytes: of its cells; more are thinned.
    """
    summary = run.summary
    scopes = _scopes(summary, run.film)
    rows = {scope: row for row, scope in enumerate(scopes)}
    zero_ms = zero.mono_ns // NS_PER_MS
    packed = pack_film(run.film, rows, zero_ms=zero_ms, most_bytes=most_bytes)
    filmed = filmed_spans(run.film)
    return {
        "rows": [
            {
                "lane": scope.lane,
                "shard": scope.shard,
                "op": scope.op.label,
                "served": _served(course, scope, zero),
                "failing": _failing(course, scope, zero, filmed),
                "planned": _planned(run.outages, scope, zero),
            }
            for scope in scopes
        ],
        "blind": blind_spans(run.film, zero_ns=zero.mono_ns),
        "outcomes": [outcome.label for outcome in Outcome],
        "chunks": packed.chunks,
        "packed": packed.packed,
        "is_thinned": packed.is_thinned,
    }


def _planned(
    outages: Iterable[OutageRow], scope: Scope, zero: Zero
) -> list[list[float]]:
    """Return when a scope was dark by plan.

    New connections have no outages of their own here: what was planned for other
    operations of their lane and shard was planned for them.
    """
    return [
        [zero.ms(outage.start_unix_ns), zero.ms(outage.end_unix_ns)]
        for outage in outages
        if outage.attribution == Cause.PLANNED
        and (outage.lane, outage.shard) == (scope.lane, scope.shard)
        and (scope.op is OpKind.CONNECT or outage.op == scope.op.label)
    ]


@dataclass(frozen=True, slots=True)
class Covered:
    """Stretches of time.

    Args:
        starts: of each, ascending.
        reach: how far it and those before it go.
    """

    starts: list[int]
    reach: list[int]

    @classmethod
    def of(cls, spans: Iterable[tuple[int, int]]) -> "Covered":
        """Return those of some spans [from, to) in any order."""
        ordered = sorted(spans)
        ends = accumulate((end for _, end in ordered), max)
        return cls([start for start, _ in ordered], list(ends))

    def touches(self, start: int, end: int) -> bool:
        """Tell whether a part of [start, end) is in one of them."""
        before = bisect_left(self.starts, end)
        return before > 0 and self.reach[before - 1] > start


def _scopes(summary: Summary, film: Iterable[Frame]) -> list[Scope]:
    """Return the scopes of a run by lane, of each those of new connections last."""
    told = [*summary.scopes, *(s for each in summary.connects for s in each.scopes)]
    scopes = [Scope(s.lane, s.shard, _OPS[s.op]) for s in told if s.op in _OPS]
    scopes += [frame.scope for frame in film if isinstance(frame, FilmChunk)]
    lanes = list(dict.fromkeys(scope.lane for scope in scopes))
    return sorted(dict.fromkeys(scopes), key=lambda scope: lanes.index(scope.lane))


def _served(course: StepSeries, scope: Scope, zero: Zero) -> list[list[float]]:
    return [
        [
            (first * NS_PER_S - zero.mono_ns) / NS_PER_MS,
            (last * NS_PER_S - zero.mono_ns) / NS_PER_MS,
        ]
        for first, last in course.served.get(scope, ())
    ]


def _failing(
    course: StepSeries, scope: Scope, zero: Zero, filmed: Mapping[Scope, Covered]
) -> list[list[float]]:
    """Return seconds with failures but no cells: from, length, dark, grey, in ms."""
    there = filmed.get(scope, Covered.of(()))
    return [
        [(second * NS_PER_S - zero.mono_ns) / NS_PER_MS, 1000 * length, dark, grey]
        for second, length, dark, grey in course.failing.get(scope, ())
        if not there.touches(1000 * second, 1000 * (second + length))
    ]


def filmed_spans(film: Iterable[Frame]) -> dict[Scope, Covered]:
    """Return of each scope from which to which millisecond there are cells."""
    spans: dict[Scope, list[tuple[int, int]]] = {}
    for frame in film:
        if isinstance(frame, FilmChunk):
            span = (frame.first_ms, frame.first_ms + sum(frame.steps) + 1)
            spans.setdefault(frame.scope, []).append(span)
    return {scope: Covered.of(own) for scope, own in spans.items()}
