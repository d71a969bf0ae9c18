"""Second by second: what lanes did is summed over the right seconds, and forgotten."""

from loadprobe.core.judging.activity import Activity, SecondLog, Work, seconds_of
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.latency import SecondHistograms
from loadprobe.core.judging.outcome import OpKind, Outcome

S = 1_000_000_000
MS = 1_000_000
READS = Scope("tcp", "0001", OpKind.READ)


def second_of(number: int, shard: str, *, served: int, late: int = 0) -> SecondCounts:
    """Return a second of reads of the lane tcp."""
    counts = SecondCounts(Scope("tcp", shard, OpKind.READ), number)
    counts.counts[Outcome.SERVED] = served
    counts.counts[Outcome.LATE] = late
    return counts


def test_seconds_that_a_span_touches() -> None:
    """A span of no length touches its second; one that ends at a whole one not that."""
    assert seconds_of(5 * S, 5 * S) == (5, 6)
    assert seconds_of(5 * S + 1, 6 * S) == (5, 6)
    assert seconds_of(5 * S, 6 * S + 1) == (5, 7)


def test_arrivals_are_counted_by_shard() -> None:
    """Served arrivals are those of a shard, arrivals those of the lane."""
    activity = Activity()
    activity.add_seconds(
        [
            second_of(5, "0001", served=10, late=1),
            second_of(6, "0001", served=20),
            second_of(6, "0002", served=7),
        ]
    )
    assert activity.served(READS, 5 * S, 6 * S) == 10
    assert activity.served(READS, 5 * S, 6 * S + 1) == 30
    assert activity.served(READS._replace(shard="0003"), 0, 9 * S) == 0
    assert activity.arrivals("tcp", 5, 7) == 38


def test_the_longest_response_of_all_kinds() -> None:
    """The longest of reads and writes is told; without any there is none."""
    activity = Activity()
    for op, longest_ms in ((OpKind.READ, 3), (OpKind.WRITE, 90)):
        response = Histogram()
        response.record_many([MS, longest_ms * MS])
        activity.add_histograms([SecondHistograms("tcp", op, 7, response=response)])
    assert activity.worst_ns("tcp", 7, 8) == 90 * MS
    assert activity.worst_ns("tcp", 8, 9) is None


def test_work_of_several_processes_adds_up() -> None:
    """Snapshots of a second are summed, in whatever order they come."""
    activity = Activity()
    activity.add_work("app", 9 * S + 1, Work(attempts=4, refreshes=1))
    activity.add_work("app", 8 * S, Work(attempts=1, connects=2, raised=3))
    activity.add_work("app", 9 * S + 2, Work(attempts=5))
    assert activity.work("app", 8, 10) == Work(10, 2, 1, 3)
    assert activity.work("app", 9, 10) == Work(9, 0, 1, 0)
    assert activity.work("other", 0, 99) == Work()


def test_old_seconds_are_forgotten() -> None:
    """Memory is bounded, also after a pause, and what was forgotten stays so."""
    log = SecondLog(1, kept_s=10)
    for second in range(25):
        log.add(("a",), second, (1,))
    assert [len(row) for row in log.between(("a",), 0, 25)] == [15]
    log.add(("a",), 1, (1,))
    assert sum(log.between(("a",), 0, 99)[0]) == 15
    log.add(("a",), 1_000_000, (2,))
    assert list(log.between(("a",), 0, 2_000_000)[0]) == [2]
