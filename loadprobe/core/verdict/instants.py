"""Times with error bars: when outages began, and when the target was served again.

Pure. The first (last) of several things lies between the first (last) of their bounds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from loadprobe.core.judging.outages import Outage


@dataclass(frozen=True, slots=True)
class Instant:
    """A time with error bars: it lies in [earliest, latest]."""

    at_ns: int
    earliest_ns: int
    latest_ns: int


def earliest(instants: Iterable[Instant | None]) -> Instant | None:
    """Return when the first of some things was; None if there are none."""
    return _of_all(instants, min)


def latest(instants: Iterable[Instant | None]) -> Instant | None:
    """Return when the last of some things was; None if there are none."""
    return _of_all(instants, max)


def _of_all(
    instants: Iterable[Instant | None], pick: Callable[[Iterable[int]], int]
) -> Instant | None:
    known = [instant for instant in instants if instant]
    if not known:
        return None
    return Instant(
        pick(instant.at_ns for instant in known),
        pick(instant.earliest_ns for instant in known),
        pick(instant.latest_ns for instant in known),
    )


def first_error(outages: Sequence[Outage]) -> Instant | None:
    """Return when the first of some outages began; None if there are none."""
    return earliest(
        Instant(
            # What was due before the first failure may have failed, too.
            o.start_ns if _is_start_unseen(o) else o.first_due_ns,
            o.hull_start_ns,
            o.core_start_ns,
        )
        for o in outages
    )


def _is_start_unseen(outage: Outage) -> bool:
    return bool(outage.unseen) and outage.unseen[0][0] < outage.first_due_ns


def served_again(
    outages: Sequence[Outage], *, of_shard: bool = False
) -> Instant | None:
    """Return when the last of some outages was over; None if there are none.

    Args:
        outages: all of them ended.
        of_shard: it is about shards; what others saw served bounds it.
    """
    if not outages:
        return None
    ends = [_over_by(o) if of_shard else o.hull_end_ns for o in outages]
    return Instant(
        max(min(o.end_ns, end) for o, end in zip(outages, ends, strict=True)),
        max(o.core_end_ns for o in outages),
        max(ends),
    )


def _over_by(outage: Outage) -> int:
    """Return when the shard of an outage is known to have been served again."""
    if outage.lit_beside and outage.lit_beside[-1][1] >= outage.hull_end_ns:
        return outage.lit_beside[-1][0]
    return outage.hull_end_ns
