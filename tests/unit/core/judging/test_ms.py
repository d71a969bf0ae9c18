"""Single milliseconds: cut from judged arrivals, kept in one log, read by many."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.ms_log import LOG_BYTES, MsLog, MsWindow
from loadprobe.core.judging.ms_samples import (
    MsKind,
    MsSamples,
    MsSeries,
    PlanCutter,
)
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome

MS = 1_000_000
S = 1_000 * MS
SCOPE = Scope("tcp", "0001", OpKind.READ)
LABELS = ("tcp", "0001", "read")
REFUSED = MsSeries(MsKind.ERRORS, (*LABELS, "refused"))
UNSENT = MsSeries(MsKind.ERRORS, (*LABELS, "unsent"))
SERVED = MsSeries(MsKind.OPS, (*LABELS, "served"))
BLIND = MsSeries(MsKind.BLIND, ("tcp",))

Points = dict[MsSeries, list[tuple[int, int]]]


def failure(due_ns: int, outcome: Outcome = Outcome.REFUSED) -> Failure:
    """Return a failed arrival."""
    row = (due_ns, due_ns, due_ns, outcome, ErrorClass.CLUSTERDOWN, due_ns, due_ns)
    return Failure(*row)


def points_of(batches: Iterable[MsSamples]) -> Points:
    """Return the samples of every series."""
    points: Points = {}
    for batch in batches:
        rows = zip(batch.ms, batch.values, strict=True)
        points.setdefault(batch.series, []).extend(rows)
    return points


def judge(
    arrivals: Sequence[tuple[int, Outcome]],
    marks_ms: Sequence[int],
    stalls: Sequence[tuple[int, int]] = (),
) -> Points:
    """Return the samples of arrivals at milliseconds, sealed at some marks."""
    lane = LaneInfo("tcp", tls=False, processes=(0,), deadline_ns=250 * MS)
    aggregate = Aggregate([lane])
    aggregate.start_process(0, S)
    block = Block()
    for ms, outcome in arrivals:
        due = S + ms * MS
        if outcome is Outcome.SERVED:
            block.add_served(due, due, due + 1000)
        else:
            block.add_failure(failure(due, outcome))
    found: list[MsSamples] = []
    spans = [(S + start * MS, S + end * MS) for start, end in stalls]
    for mark in marks_ms:
        aggregate.add(0, {SCOPE: block}, watermark_ns=S + mark * MS, stalls=spans)
        block, spans = Block(), []
        found += aggregate.seal().samples
    return points_of(found)


def test_only_what_matters_is_cut() -> None:
    """Failing milliseconds are samples, then one without; all others are not."""
    arrivals = [(ms, Outcome.SERVED) for ms in range(10)]
    arrivals += [(10, Outcome.REFUSED), (10, Outcome.REFUSED), (10, Outcome.SERVED)]
    arrivals += [(11, Outcome.UNSENT)]
    arrivals += [(ms, Outcome.SERVED) for ms in range(13, 20)]
    assert judge(arrivals, [100]) == {
        REFUSED: [(1010, 2), (1011, 0)],
        UNSENT: [(1011, 1), (1013, 0)],
        SERVED: [(1010, 1), (1011, 0), (1013, 1)],
    }


def test_nobody_takes_an_earlier_run_for_this_one() -> None:
    """The first failing millisecond says that none was served: it may have been >0."""
    assert judge([(10, Outcome.REFUSED)], [100]) == {
        REFUSED: [(1010, 1)],
        SERVED: [(1010, 0)],
    }


def test_blind_time_is_told_apart() -> None:
    """What fails while the probe is blind is no sample; the blind time is one."""
    arrivals = [(ms, Outcome.REFUSED) for ms in range(20)]
    points = judge(arrivals, [100], stalls=[(5, 15)])
    assert [ms - 1000 for ms, _ in points[REFUSED]] == [*range(5), *range(15, 20)]
    assert points[BLIND] == [(1005, 10)]


def test_blind_time_that_goes_on_is_told_once() -> None:
    """A span that is sealed in parts adds up to its length, at different times."""
    points = judge([(0, Outcome.SERVED)], [7, 12, 100], stalls=[(5, 15)])
    assert points[BLIND] == [(1005, 2), (1007, 5), (1012, 3)]


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(list(Outcome))), max_size=60
    ),
    st.lists(st.integers(1, 40), max_size=5),
)
def test_where_it_is_sealed_does_not_matter(
    arrivals: list[tuple[int, Outcome]], marks: list[int]
) -> None:
    """The samples are the same however arrivals are sealed, and ascend by time."""
    whole = judge(arrivals, [41])
    assert judge(arrivals, [*sorted(marks), 41]) == whole
    for rows in whole.values():
        assert all(a[0] < b[0] for a, b in pairwise(rows))
    counted = {
        outcome: sum(n for _, n in whole.get(_series(outcome), []))
        for outcome in Outcome
        if outcome is not Outcome.SERVED
    }
    assert counted == {
        outcome: sum(one is outcome for _, one in arrivals) for outcome in counted
    }


def _series(outcome: Outcome) -> MsSeries:
    return MsSeries(MsKind.ERRORS, (*LABELS, outcome.label))


def batch_at(first_ms: int, count: int = 10) -> MsSamples:
    """Return a batch of samples of consecutive milliseconds."""
    batch = MsSamples(REFUSED)
    for ms in range(first_ms, first_ms + count):
        batch.add(ms, 1)
    return batch


def test_every_consumer_has_its_own_place() -> None:
    """Consumers read at their own pace; what one takes is there for the other."""
    log = MsLog()
    quick, slow = log.cursor(), log.cursor()
    batches = [batch_at(0), batch_at(10), batch_at(20)]
    log.add(batches[:2], until_ms=20)
    assert quick.take() == batches[:2]
    log.add(batches[2:], until_ms=30)
    assert quick.take() == batches[2:]
    assert quick.take() == []
    assert slow.take(limit=15) == batches[:1]
    assert slow.take(limit=1) == batches[1:2]
    assert slow.take() == batches[2:]
    assert log.cursor().take() == batches
    assert (quick.missed, slow.missed) == (0, 0)


def test_who_is_too_slow_knows_what_it_missed() -> None:
    """The log does not grow beyond its room; what went unread is counted."""
    log = MsLog(capacity_bytes=3 * batch_at(0).size_bytes)
    slow = log.cursor()
    for first in range(0, 100, 10):
        log.add([batch_at(first)], until_ms=first + 10)
    assert [batch.ms[0] for batch in slow.take()] == [70, 80, 90]
    assert (slow.missed, log.gone) == (70, 70)
    assert log.size_bytes <= 3 * batch_at(0).size_bytes
    log.add([], until_ms=1_000_000)
    assert log.size_bytes == 0


def test_a_window_is_the_same_to_all_who_look() -> None:
    """A page shows what is young enough, again and again; nothing is dropped by age."""
    log = MsLog()
    window = MsWindow(log, keep_ms=50)
    for first in range(0, 100, 10):
        log.add([batch_at(first)], until_ms=first + 10)
        window.advance(first + 10)
    assert [batch.ms[0] for batch in window.show()] == [50, 60, 70, 80, 90]
    assert window.show() == window.show()
    window.advance(1_000)
    assert window.show() == []
    assert window.dropped == 0


def test_a_window_without_room_counts_what_was_never_shown() -> None:
    """What makes room is counted as dropped unless a page has shown it."""
    log = MsLog()
    window = MsWindow(log, capacity=30)
    for first in range(0, 50, 10):
        log.add([batch_at(first)], until_ms=first + 10)
    window.advance(50)
    assert window.dropped == 20
    assert [batch.ms[0] for batch in window.show()] == [20, 30, 40]
    log.add([batch_at(50), batch_at(60)], until_ms=70)
    window.advance(70)
    assert window.dropped == 20
    log.add([batch_at(ms) for ms in (70, 80, 90)], until_ms=100)
    window.advance(100)
    assert window.dropped == 40


def test_a_minute_of_total_failure_fits() -> None:
    """Twelve scopes that fail in every millisecond for a minute: all is kept."""
    batch = batch_at(0, 250)
    assert 12 * 4 * 60 * batch.size_bytes <= LOG_BYTES


def test_announced_time_is_told_once_as_far_as_it_is_sealed() -> None:
    """A plan that goes on is continued; another one of the shard is told as well."""
    place = ("tcp", "0001")
    series = MsSeries(MsKind.PLANNED, place)
    cutter = PlanCutter()
    ongoing = (10 * MS, 1 << 62)
    assert cutter.cut({place: [ongoing]}, until_ns=10 * MS) == []
    found = cutter.cut({place: [ongoing]}, until_ns=14 * MS)
    assert points_of(found) == {series: [(10, 4)]}
    found = cutter.cut({place: [(10 * MS, 20 * MS + 1)]}, until_ns=30 * MS)
    assert points_of(found) == {series: [(14, 6)]}
    both = {place: [(10 * MS, 20 * MS), (40 * MS, 43 * MS)]}
    assert points_of(cutter.cut(both, until_ns=50 * MS)) == {series: [(40, 3)]}
    assert cutter.cut(both, until_ns=60 * MS) == []
    assert cutter.cut({}, until_ns=70 * MS) == []
