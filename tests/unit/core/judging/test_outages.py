"""Outages: which arrivals make one, and where its error bars lie."""

from loadprobe.core.judging.columns import Failure
from loadprobe.core.judging.outage_tracker import OutageTracker
from loadprobe.core.judging.outages import HISTORY_NS
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from tests.support.tracking import (
    DEADLINE_NS,
    MS,
    SCOPE,
    late,
    ms,
    refused,
    served,
    track,
)

US = 1_000


def silent(due: float) -> Failure:
    """Return an arrival that was never answered, in ms."""
    at = round(due * MS)
    return Failure(at, at, -1, Outcome.UNKNOWN, ErrorClass.TIMEOUT, at, at)


def test_refusals_between_served_arrivals() -> None:
    """Refusals are down from the first reply to the last send, up outside."""
    rows = [served(t) for t in (100, 101, 102, 106, 107)]
    (outage,) = track(rows, [refused(103), refused(104), refused(105)])
    assert ms(outage.hull_start_ns, outage.hull_end_ns) == (102, 106.2)
    assert ms(outage.core_start_ns, outage.core_end_ns) == (103.2, 105)
    assert ms(outage.start_ns, outage.end_ns) == (102.5, 105.5)
    assert ms(outage.lower_ns, outage.duration_ns, outage.upper_ns) == (1.8, 3.0, 4.2)
    assert outage.failed == 3
    assert outage.classes == {ErrorClass.CLUSTERDOWN: 3}
    assert outage.outcomes == {Outcome.REFUSED: 3}
    assert outage.probe_gap_ns == MS
    assert not outage.open_start
    assert not outage.open_end


def test_single_failure_proves_an_instant_only() -> None:
    """One failed arrival has a lower bound of zero."""
    rows = [served(t) for t in (100, 101, 103, 104)]
    (outage,) = track(rows, [refused(102)])
    assert outage.lower_ns == 0
    assert ms(outage.hull_start_ns, outage.hull_end_ns) == (101, 103.2)
    assert outage.hull_start_ns < outage.start_ns < outage.end_ns < outage.hull_end_ns


def test_two_runs_are_two_outages() -> None:
    """A served arrival between failures ends one outage and begins the next."""
    rows = [served(t) for t in (100, 102, 104)]
    first, second = track(rows, [refused(101), refused(103)])
    assert (first.failed, second.failed) == (1, 1)
    assert first.end_ns <= second.start_ns


def test_no_connection_uses_the_last_attempt() -> None:
    """Arrivals without a connection say only that the last attempt failed."""

    def unsent(due: float, attempt: float) -> Failure:
        span = (round(attempt * MS), round((attempt + 0.1) * MS))
        at = round(due * MS)
        return Failure(at, at, -1, Outcome.UNSENT, ErrorClass.CONNECT_REFUSED, *span)

    rows = [served(t) for t in (100, 101, 110, 111)]
    failures = [unsent(102, 101.5), unsent(105, 104.5), unsent(109, 106.5)]
    (outage,) = track(rows, failures)
    assert ms(outage.core_start_ns, outage.core_end_ns) == (102, 106.5)
    assert ms(outage.hull_end_ns) == (110.2,)


def test_freeze_is_measured_in_due_times() -> None:
    """A freeze of [1000, 1500) with deadline 250 fails arrivals due before 1250."""
    rows = [served(t) for t in range(900, 1000, 10)]
    failures = [late(t, 1500.2 + (t - 1000) / 1000) for t in range(1000, 1250, 10)]
    rows += [(t * MS, t * MS, round(1500.5 * MS)) for t in range(1260, 1500, 10)]
    (outage,) = track(rows, failures)
    assert ms(outage.hull_start_ns, outage.hull_end_ns) == (990, 1260)
    assert ms(outage.core_start_ns) == (1000.4,)
    assert ms(outage.core_end_ns) == (1240,)
    assert outage.lower_ns <= 250 * MS <= outage.upper_ns


def test_a_reply_that_was_read_late_does_not_end_a_freeze_early() -> None:
    """The hull of a freeze reaches to the deadline before the first reply in time.

    An arrival served by the benefit of the doubt (its reply may have waited for us)
    does not tell that the target spoke before its deadline. The freeze is [1000, 1505).
    """
    rows = [served(t) for t in range(900, 1000, 10)]
    failures = [late(t, 1506) for t in range(1000, 1250, 10)]
    rows += [(t * MS, t * MS, 1506 * MS) for t in range(1250, 1500, 10)]
    (outage,) = track(rows, failures)
    assert ms(outage.hull_end_ns) == (1256,)
    assert outage.upper_ns >= 255 * MS


def test_a_reply_that_was_read_late_does_not_begin_a_freeze_late() -> None:
    """One process was not looking at the end of [1000, 1255), another one was."""
    rows = [served(990), (1_001 * MS, 1_001 * MS, 1_256 * MS), served(1_010)]
    (outage,) = track(rows, [late(1_003, 1_255.2)])
    assert ms(outage.hull_start_ns, outage.hull_end_ns) == (990, 1_010)


def test_backlog_after_a_freeze_proves_nothing() -> None:
    """Arrivals late only because a backlog is worked off do not extend the core."""
    rows = [served(t) for t in range(900, 1000, 10)]
    # The freeze ends at 1500; replies need until 1530, so those due to 1280 are late.
    failures = [late(t, 1500.2 + (t - 1000) / 9) for t in range(1000, 1280, 10)]
    rows += [served(t) for t in range(1540, 1600, 10)]
    (outage,) = track(rows, failures)
    assert ms(outage.core_end_ns) == (1500.2 - 0.4 - 250,)
    assert ms(outage.last_due_ns) == (1270,)


def test_slow_target_is_dark_as_long_as_it_is_slow() -> None:
    """Replies that keep coming too late are no backlog: all of it is certain."""
    rows = [served(t) for t in range(900, 1000, 10)]
    failures = [late(t, t + 300) for t in range(1000, 3000, 10)]
    rows += [served(t) for t in range(3000, 3100, 10)]
    (outage,) = track(rows, failures)
    assert ms(outage.core_start_ns, outage.core_end_ns) == (1000.4, 2990)


def test_unanswered_arrivals_before_late_ones() -> None:
    """What counts is when the silence ended, not when an arrival's turn came."""
    rows = [served(t) for t in range(900, 1000, 10)]
    failures = [silent(t) for t in range(1000, 3000, 10)]
    failures += [
        late(t, 4300 + (t - 3000) / 10, spoke=4100) for t in range(3000, 4050, 10)
    ]
    rows += [served(t) for t in range(4400, 4500, 10)]
    (outage,) = track(rows, failures)
    assert ms(outage.core_end_ns) == (3849.6,)


def test_unanswered_arrivals_bound_the_core_by_their_due() -> None:
    """An arrival that was given up proves silence at its due time at least."""
    rows = [served(t) for t in range(900, 1000, 10)]
    failures = [silent(1000), silent(1010), late(1020, 1280, spoke=1255)]
    rows += [served(t) for t in range(1300, 1400, 10)]
    (outage,) = track(rows, failures)
    assert ms(outage.core_end_ns) == (1010,)


def test_never_answered_is_down_until_the_next_reply() -> None:
    """After unanswered arrivals the hull ends with the first served reply."""
    rows = [served(t) for t in (100, 101, 110, 111)]
    (outage,) = track(rows, [silent(103), silent(106)])
    assert ms(outage.hull_start_ns, outage.hull_end_ns) == (101, 110.2)
    assert ms(outage.core_start_ns, outage.core_end_ns) == (103.4, 106)


def test_hull_reaches_to_a_certain_served_arrival() -> None:
    """A served arrival that may have overtaken the failure does not bound the hull."""
    rows = [
        served(100),
        served(101, took=5),  # answered after the failure was sent: proves nothing
        served(103, took=5),  # sent before the failure was answered: proves nothing
        served(108),
    ]
    (outage,) = track(rows, [refused(102, took=2)])
    assert ms(outage.hull_start_ns, outage.hull_end_ns) == (100, 108.2)


def test_history_is_bounded() -> None:
    """Without certainty in the history, the oldest arrival in it bounds the hull."""
    rows = [served(0, took=5000), served(500, took=5000), served(1400, took=5000)]
    (outage,) = track([*rows, served(9000)], [refused(1402)])
    assert outage.hull_start_ns == 500 * MS
    assert HISTORY_NS == 1000 * MS


def test_late_sends_collapse_the_core() -> None:
    """A refusal sent long after its due time is no evidence for its due time."""
    rows = [served(t) for t in (100, 101, 103, 104, 130)]
    (outage,) = track(rows, [refused(102, late=20)])
    assert outage.lower_ns == 0
    assert ms(outage.hull_end_ns) == (130.2,)


def test_open_start() -> None:
    """Without a served arrival before, the outage starts where observation starts."""
    (outage,) = track([served(105)], [refused(102), refused(103)])
    assert outage.open_start
    assert ms(outage.hull_start_ns) == (0,)
    tracker = OutageTracker(SCOPE, deadline_ns=DEADLINE_NS)
    tracker.feed([], [refused(102)])
    current = tracker.current
    assert current is not None
    assert ms(current.hull_start_ns) == (102,)


def test_open_start_of_a_young_scope() -> None:
    """A scope that appears in the middle of a run was not down since its start."""
    (outage,) = track([served(7002)], [refused(7000)])
    assert ms(outage.hull_start_ns) == (6000,)


def test_open_end() -> None:
    """Without a served arrival after, the outage lasts until observation ends."""
    (outage,) = track([served(100)], [refused(102), refused(103)], end_ms=150)
    assert outage.open_end
    assert ms(outage.hull_end_ns, outage.probe_gap_ns) == (150, 47)


def test_no_more_arrivals_are_no_outage_until_the_end() -> None:
    """The bar of a scope that gets no arrivals any more ends 1 s after the last one."""
    (outage,) = track([served(100)], [refused(102), refused(103)], end_ms=600_000)
    assert outage.open_end
    assert ms(outage.hull_end_ns, outage.end_ns) == (1103, 603)
    assert ms(outage.probe_gap_ns) == (1000,)


def test_few_arrivals_leave_a_longer_bar() -> None:
    """With arrivals more than 1 s apart the open end is as long as their distance."""
    (outage,) = track([served(100)], [refused(4100), refused(5100)], end_ms=600_000)
    assert ms(outage.hull_end_ns, outage.end_ns) == (9100, 7100)


def test_blind_time_long_after_the_last_arrival() -> None:
    """A cut does not stretch an outage that gets no arrivals any more."""
    tracker = OutageTracker(SCOPE, deadline_ns=DEADLINE_NS, begin_ns=0)
    tracker.feed([served(100)], [refused(101), refused(102)])
    tracker.cut(60_000 * MS, 60_100 * MS)
    tracker.close(100_000 * MS)
    (outage,) = tracker.drain()[1]
    assert ms(outage.hull_end_ns) == (1102,)
    assert outage.unseen == ()


def test_failing_arrivals_keep_an_outage_going() -> None:
    """A scope that still gets failing arrivals is down up to now, however long."""
    tracker = OutageTracker(SCOPE, deadline_ns=DEADLINE_NS, begin_ns=0)
    tracker.feed([served(100)], [refused(t) for t in range(200, 60_000, 100)])
    current = tracker.current
    assert current is not None
    assert ms(current.core_end_ns, current.end_ns) == (59_900, 59_900)
    tracker.close(60_000 * MS)
    (outage,) = tracker.drain()[1]
    assert ms(outage.hull_end_ns, outage.end_ns) == (60_000, 59_950)


def test_live_view() -> None:
    """An outage that goes on is shown and reported as opened exactly once."""
    tracker = OutageTracker(SCOPE, deadline_ns=DEADLINE_NS, begin_ns=0)
    assert tracker.current is None
    tracker.feed([served(100)], [refused(101), refused(105)])
    opened, closed = tracker.drain()
    assert [o.failed for o in opened] == [2]
    assert closed == []
    assert not tracker.is_idle
    tracker.feed([], [refused(106)])
    assert tracker.drain() == ([], [])
    current = tracker.current
    assert current is not None
    assert (current.failed, current.open_end) == (3, True)
    tracker.feed([served(107)], [])
    assert tracker.current is None
    tracker.advance(120 * MS)
    assert tracker.is_idle
    assert [o.failed for o in tracker.drain()[1]] == [3]


def test_seed_leaves_out_what_is_too_old() -> None:
    """Arrivals served before the last outage do not bound the next one."""
    tracker = OutageTracker(SCOPE, deadline_ns=DEADLINE_NS, begin_ns=0)
    tracker.feed([served(100), served(102), served(110)], [refused(101)])
    tracker.seed([served(100), served(102), served(110)])
    tracker.feed([served(112)], [refused(111, took=0.1)])
    tracker.close(200 * MS)
    assert [o.hull_start_ns / MS for o in tracker.drain()[1]] == [100, 110]
    tracker.seed([served(100)])
    tracker.feed([], [refused(203)])
    current = tracker.current
    assert current is not None
    assert current.open_start
