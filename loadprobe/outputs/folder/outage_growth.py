"""How an outage that is not closed has changed, in few bytes. Pure."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TypeVar

from loadprobe.core.intervals import Interval
from loadprobe.core.judging.outages import Outage
from loadprobe.outputs.folder.sealed_lines import Growth, Spans

_Key = TypeVar("_Key", bound=Enum)


def growth_of(scope: int, before: Outage, now: Outage) -> Growth | None:
    """Return how an outage has grown; None if it changed in another way.

    Args:
        scope: number of its scope.
        before: as it was last written.
        now: as it is.
    """
    growth = Growth(
        scope,
        (
            now.core_start_ns - before.core_start_ns,
            now.core_end_ns - before.core_end_ns,
            now.end_ns - before.end_ns,
            now.hull_end_ns - before.hull_end_ns,
            now.last_due_ns - before.last_due_ns,
            now.probe_gap_ns - before.probe_gap_ns,
        ),
        _more(before.classes, now.classes),
        _more(before.outcomes, now.outcomes),
        _changed(before.gaps, now.gaps),
        _changed(before.unseen, now.unseen),
    )
    return growth if grow(before, growth) == now else None


def grow(before: Outage, growth: Growth) -> Outage:
    """Return an outage as it has grown."""
    core_start, core_end, end, hull_end, last_due, gap = growth.by_ns
    # Not ``replace``, which takes ten times as long: there may be a day of these.
    return Outage(
        before.scope,
        before.hull_start_ns,
        before.start_ns,
        before.core_start_ns + core_start,
        before.core_end_ns + core_end,
        before.end_ns + end,
        before.hull_end_ns + hull_end,
        before.first_due_ns,
        before.last_due_ns + last_due,
        before.failed + sum(growth.outcomes.values()),
        _sum(before.classes, growth.classes),
        _sum(before.outcomes, growth.outcomes),
        before.probe_gap_ns + gap,
        before.open_start,
        before.open_end,
        _applied(before.gaps, growth.gaps),
        _applied(before.unseen, growth.unseen),
        before.lit_beside,
    )


def _more(before: Mapping[_Key, int], now: Mapping[_Key, int]) -> dict[_Key, int]:
    return {
        key: count - before.get(key, 0)
        for key, count in now.items()
        if count != before.get(key, 0)
    }


def _sum(before: Mapping[_Key, int], more: Mapping[_Key, int]) -> Mapping[_Key, int]:
    if not more:
        return before
    both = dict(before)
    for key, count in more.items():
        both[key] = both.get(key, 0) + count
    return both


def _changed(before: Sequence[Interval], now: Sequence[Interval]) -> Spans | None:
    if before == now:
        return None
    kept = next(
        (
            at
            for at, (old, new) in enumerate(zip(before, now, strict=False))
            if old != new
        ),
        min(len(before), len(now)),
    )
    return Spans(kept, list(now[kept:]))


def _applied(before: tuple[Interval, ...], spans: Spans | None) -> tuple[Interval, ...]:
    if spans is None:
        return before
    return (*before[: spans.kept], *spans.then)
