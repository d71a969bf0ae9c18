"""Outages that the probe did not see the whole of: what is proven, what is possible."""

from typing import NamedTuple

import pytest

from loadprobe.core.intervals import difference
from loadprobe.core.judging import outage_making as module
from loadprobe.core.judging.columns import Failure
from loadprobe.core.judging.outage_tracker import OutageTracker
from loadprobe.core.judging.outages import Outage, Row
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from tests.support.tracking import (
    DEADLINE_NS,
    MS,
    SCOPE,
    ms,
    refused,
    served,
)


class Blind(NamedTuple):
    """The probe was blind from one time to another, in ms."""

    start: float
    end: float


Arrivals = tuple[list[Row], list[Failure]]


def judged(*parts: Arrivals | Blind) -> Outage:
    """Return the one outage of arrivals, and of blind times between."""
    tracker = OutageTracker(SCOPE, deadline_ns=DEADLINE_NS, begin_ns=0)
    for part in parts:
        if isinstance(part, Blind):
            tracker.cut(round(part.start * MS), round(part.end * MS))
        else:
            tracker.feed(*part)
    tracker.close(10_000 * MS)
    (outage,) = tracker.drain()[1]
    return outage


def test_blind_in_the_midst_of_an_outage() -> None:
    """Failures on both sides are one outage; what lies between is not proven."""
    before = [refused(t) for t in range(101, 110)]
    after = [refused(t) for t in range(200, 205)]
    outage = judged(
        ([served(100)], before),
        Blind(110, 200),
        ([served(t) for t in (205, 206)], after),
    )
    assert outage.failed == 14
    assert not outage.open_start
    assert not outage.open_end
    assert ms(outage.hull_start_ns, outage.hull_end_ns) == (100, 205.2)
    assert ms(outage.start_ns, outage.end_ns) == (100.5, 204.5)
    assert [ms(*core) for core in outage.cores] == [(101.2, 109), (200.2, 204)]
    assert ms(outage.lower_ns, outage.unseen_ns, outage.seen_ns) == (11.6, 90, 14)
    assert ms(outage.probe_gap_ns) == (1,)


def test_blind_over_the_end_of_an_outage() -> None:
    """It can have gone on until the first arrival that was served after it."""
    rows = [served(t) for t in (200, 201)]
    outage = judged(
        ([served(100)], [refused(t) for t in range(101, 110)]),
        Blind(110, 200),
        (rows, []),
    )
    assert ms(outage.core_end_ns, outage.hull_end_ns) == (109, 200.2)
    assert ms(outage.end_ns) == (154.5,), "the middle of where it can have ended"
    assert ms(outage.lower_ns, outage.upper_ns, outage.unseen_ns) == (7.8, 100.2, 90)
    assert not outage.open_end


def test_blind_over_the_start_of_an_outage() -> None:
    """It can have begun right after the last arrival that was served before it."""
    failures = [refused(t) for t in range(200, 210)]
    outage = judged(
        ([served(99), served(100)], []), Blind(101, 200), ([served(210)], failures)
    )
    assert ms(outage.hull_start_ns, outage.core_start_ns) == (100, 200.2)
    assert ms(outage.start_ns) == (150,), "the middle of where it can have begun"
    assert ms(outage.lower_ns, outage.unseen_ns) == (8.8, 99)
    assert not outage.open_start


def test_blind_far_longer_than_the_history() -> None:
    """However long the probe was blind, the nearest served arrivals bound the hull."""
    outage = judged(
        ([served(99), served(100)], []),
        Blind(101, 5_000),
        ([], [refused(5_001)]),
        Blind(5_002, 9_000),
        ([served(9_001)], []),
    )
    assert ms(outage.hull_start_ns, outage.hull_end_ns) == (100, 9_001.2)
    assert ms(outage.unseen_ns) == (8_897,)
    assert outage.lower_ns == 0


def test_what_lies_across_a_blind_time_proves_nothing_after_it() -> None:
    """A connection that was lost meanwhile does not tell when.

    The attempt to connect after it does: what was due before that may have failed only
    because our own connection was not back yet.
    """

    def lost(due: float, since: float, noticed: float) -> Failure:
        at, *span = (round(t * MS) for t in (due, since, noticed))
        kind = Outcome.UNSENT, ErrorClass.CONNECT_REFUSED
        return Failure(at, at, -1, *kind, span[0], span[1])

    outage = judged(
        ([served(100)], []),
        Blind(101, 200),
        ([served(203)], [lost(200, 100, 200.1), lost(201, 100, 200.1)]),
    )
    assert ms(outage.hull_start_ns, outage.hull_end_ns) == (100, 203.2)
    assert outage.lower_ns == 0
    assert ms(outage.core_start_ns, outage.core_end_ns) == (200.1, 100)
    proven = [lost(200, 100, 200.1), lost(202, 201, 201.2), lost(204, 203, 203.3)]
    outage = judged(([served(100)], []), Blind(101, 200), ([served(205)], proven))
    assert [ms(*core) for core in outage.cores] == [(202, 203)]


def test_blind_at_the_end_of_the_observation() -> None:
    """An outage that nobody saw the end of reaches over the blind time."""
    tracker = OutageTracker(SCOPE, deadline_ns=DEADLINE_NS, begin_ns=0)
    tracker.feed([served(100)], [refused(101), refused(102)])
    tracker.cut(103 * MS, 4_000 * MS)
    current = tracker.current
    assert current is not None
    assert ms(current.lower_ns) == (0.8,)
    tracker.close(4_500 * MS)
    (outage,) = tracker.drain()[1]
    assert outage.open_end
    assert ms(outage.hull_end_ns, outage.unseen_ns) == (4_500, 3_897)


def test_blind_at_the_start_of_the_observation() -> None:
    """An outage that was there when the probe looked first may have begun before."""
    outage = judged(Blind(500, 3_000), ([served(3_010)], [refused(3_001)]))
    assert outage.open_start
    assert ms(outage.hull_start_ns, outage.unseen_ns) == (0, 2_500)


def test_a_blind_time_that_was_told_in_parts_is_one() -> None:
    """Spans that adjoin are one stretch, also in an outage that goes on."""
    arrivals = ([served(100)], [refused(101), refused(102)])
    rest = ([served(201)], [refused(200)])
    parts = judged(arrivals, Blind(103, 120), Blind(120, 180), Blind(180, 200), rest)
    assert parts == judged(arrivals, Blind(103, 200), rest)


def test_served_before_a_blind_time_ends_an_outage() -> None:
    """Blind time after the return of the target is none of the outage's."""
    outage = judged(
        ([served(104)], [refused(102)]), Blind(110, 200), ([served(201)], [])
    )
    assert ms(outage.hull_end_ns) == (104.2,)
    assert outage.unseen == ()


def test_many_blind_times_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many the oldest are taken for one: less is certain, nothing is false."""
    parts: list[Arrivals | Blind] = []
    for at in range(100, 1100, 10):
        parts += ([], [refused(at)]), Blind(at + 1, at + 10)
    exact = judged(([served(99)], []), *parts, ([served(1101)], []))
    monkeypatch.setattr(module, "MOST_STRETCHES", 10)
    coarse = judged(([served(99)], []), *parts, ([served(1101)], []))
    assert (coarse.hull_start_ns, coarse.hull_end_ns) == exact.hull
    assert coarse.lower_ns <= exact.lower_ns
    assert coarse.unseen_ns >= exact.unseen_ns
    assert len(coarse.unseen) < 10
    assert difference(coarse.cores, exact.cores) == []
