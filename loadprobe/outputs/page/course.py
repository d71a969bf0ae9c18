"""Latencies over the time of a run, and before, while and after something happened.

Pure. Quantiles are those of merged histograms, never means of quantiles.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from loadprobe.clock import NS_PER_MS
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.outcome import Outcome
from loadprobe.outputs.page.seconds import StepSeries

MOST_COLUMNS = 240
BOUNDS_NS = tuple(round(100_000 * 10 ** (n / 6)) for n in range(-2, 31))
"""From 46 us to 10 s: six rows for each power of ten."""

_QUANTILES = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}


def latency_columns(course: StepSeries) -> list[dict[str, Any]]:
    """Return latencies of each lane and kind in ms by step; null without a value."""
    keys = dict.fromkeys((lane, kind) for lane, kind, _ in course.latencies)
    return [
        {"lane": lane, "kind": kind, **_columns(course, lane, kind)}
        for lane, kind in keys
    ]


def heat(course: StepSeries) -> dict[str, Any]:
    """Return how many response times lay where and when.

    Returns:
        ``bounds_ms``: upper bounds of rows, ascending; what is above the last one is in
        a row of its own. ``lanes``: of each its ``lane`` and ``columns``: ``at`` (the
        number of the first step), ``steps`` (how many), ``counts`` (per row).
    """
    steps = len(course.grid)
    length = -(-steps // MOST_COLUMNS)
    lanes = dict.fromkeys(lane for lane, _, _ in course.latencies)
    return {
        "bounds_ms": [bound / NS_PER_MS for bound in BOUNDS_NS],
        "lanes": [
            {
                "lane": lane,
                "columns": [
                    {
                        "at": at,
                        "steps": min(length, steps - at),
                        "counts": heat_row(
                            course.merged(
                                lane, "response", range(at, min(at + length, steps))
                            )
                        ),
                    }
                    for at in range(0, steps, length)
                ],
            }
            for lane in lanes
        ],
    }


def heat_row(histogram: Histogram) -> list[int]:
    """Return how many values lie below each bound and above the one before it."""
    totals = [0, *histogram.cumulative(BOUNDS_NS), histogram.count]
    return [after - before for before, after in pairwise(totals)]


def stretches(
    course: StepSeries, spans: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Return what every lane was like before, while and after things happened.

    Args:
        course: of the seconds.
        spans: [from, to) of what happened, in monotonic seconds.

    Returns:
        For each stretch and lane its ``seconds``, ``offered``, ``failed`` and response
        times in ms; no more than the whole run if nothing happened.
    """
    parts = _parts(course, spans)
    edges = course.grid.edges
    return [
        {
            "stretch": name,
            "lane": lane,
            "seconds": sum(edges[step + 1] - edges[step] for step in steps),
            "offered": sum(_total(column, steps) for column in columns),
            "failed": sum(
                _total(columns[outcome], steps)
                for outcome in Outcome
                if outcome is not Outcome.SERVED
            ),
            **quantiles_of(course.merged(lane, "response", steps)),
        }
        for name, steps in parts
        if steps
        for lane, columns in course.counts.items()
    ]


def _total(column: Sequence[int], steps: Sequence[int]) -> int:
    return sum(column[step] for step in steps)


def _parts(
    course: StepSeries, spans: Sequence[tuple[int, int]]
) -> list[tuple[str, list[int]]]:
    """Return the steps of each stretch."""
    edges, steps = course.grid.edges, range(len(course.grid))
    if not spans:
        return [("the whole run", list(steps))]
    first = min(start for start, _ in spans)
    meanwhile = {
        step
        for step in steps
        if any(edges[step] < end and start < edges[step + 1] for start, end in spans)
    }
    before = [n for n in steps if n not in meanwhile and edges[n] < first]
    after = [n for n in steps if n not in meanwhile and edges[n] >= first]
    return [("before", before), ("meanwhile", sorted(meanwhile)), ("after", after)]


def _columns(course: StepSeries, lane: str, kind: str) -> dict[str, list[float | None]]:
    rows = [
        quantiles_of(found) if (found := course.latencies.get((lane, kind, n))) else {}
        for n in range(len(course.grid))
    ]
    return {name: [row.get(name) for row in rows] for name in (*_QUANTILES, "max")}


def quantiles_of(histogram: Histogram) -> dict[str, float | None]:
    """Return quantiles by their names, and the largest value, in ms."""
    values = {name: histogram.quantile(q) for name, q in _QUANTILES.items()}
    values["max"] = None if histogram.max_ns is None else float(histogram.max_ns)
    return {name: _ms(value) for name, value in values.items()}


def _ms(value_ns: float | None) -> float | None:
    return None if value_ns is None else round(value_ns / NS_PER_MS, 3)
