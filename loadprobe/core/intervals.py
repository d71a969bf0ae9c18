"""Sets of half-open time intervals [start, end) in integer nanoseconds.

Pure. Downtime is the length of a union, never a sum over workers; this module is
where unions, intersections and differences are taken.
"""

from collections.abc import Iterable, Sequence

Interval = tuple[int, int]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return disjoint sorted intervals that cover the same instants.

    Empty intervals vanish; touching ones are joined.
    """
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def intersection(sets: Sequence[Iterable[Interval]]) -> list[Interval]:
    """Return the instants that lie in every one of the given sets.

    The intersection of no sets at all is empty.
    """
    if not sets:
        return []
    result = union(sets[0])
    for other in sets[1:]:
        result = _intersect_two(result, union(other))
    return result


def _intersect_two(a: list[Interval], b: list[Interval]) -> list[Interval]:
    result: list[Interval] = []
    i = j = 0
    while i < len(a) and j < len(b):
        start = max(a[i][0], b[j][0])
        end = min(a[i][1], b[j][1])
        if start < end:
            result.append((start, end))
        if a[i][1] <= b[j][1]:
            i += 1
        else:
            j += 1
    return result


def difference(
    intervals: Iterable[Interval], removed: Iterable[Interval]
) -> list[Interval]:
    """Return the instants of the first set that are not in the second."""
    result: list[Interval] = []
    holes = union(removed)
    for start, end in union(intervals):
        cursor = start
        for hole_start, hole_end in holes:
            if hole_end <= cursor:
                continue
            if hole_start >= end:
                break
            if hole_start > cursor:
                result.append((cursor, hole_start))
            cursor = max(cursor, hole_end)
            if cursor >= end:
                break
        if cursor < end:
            result.append((cursor, end))
    return result


def length(intervals: Iterable[Interval]) -> int:
    """Return the length of the union, in nanoseconds."""
    return sum(end - start for start, end in union(intervals))


def overlaps(intervals: Iterable[Interval], start: int, end: int) -> bool:
    """Tell whether any interval shares an instant with [start, end)."""
    return any(s < end and start < e for s, e in intervals if s < e)
