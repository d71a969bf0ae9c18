"""A lane in virtual time: what it asks for, when, and how it judges what comes back."""

from collections import Counter

import pytest

from loadprobe.clock import mono_now_ns
from loadprobe.core.judging.columns import Block, Failure
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from tests.support.probe_bench import DEADLINE, MS, ONE, START, Bench, topology_of


def test_arrivals_are_due_by_the_schedule_alone() -> None:
    """An arrival is submitted at its due time, whatever is outstanding."""
    bench = Bench()
    bench.lane.start(START, START)
    arrivals = bench.run(from_ns=START, until_ns=START + 50 * MS)
    assert [a.due for a in arrivals] == [START + i * MS for i in range(50)]
    assert [a.worker for a in arrivals] == [i % 4 for i in range(50)]
    assert [a.recorder.scope.shard for a in arrivals[:4]] == [
        "0001",
        "0002",
        "0001",
        "0002",
    ]


def test_slices_make_the_whole_schedule() -> None:
    """The processes of a lane together have each due time exactly once."""
    dues: list[int] = []
    for index in range(3):
        bench = Bench(share=(index, 3), workers=6)
        bench.lane.start(START, START)
        dues += [a.due for a in bench.run(from_ns=START, until_ns=START + 60 * MS)]
    assert sorted(dues) == [START + i * MS for i in range(60)]


def test_what_is_overdue_is_left_out() -> None:
    """Arrivals older than the stall threshold are skipped and counted, never sent."""
    bench = Bench()
    bench.lane.start(START, START)
    next_ns, skipped = bench.lane.issue_due(START + 100 * MS)
    assert skipped == START
    assert next_ns == START + 101 * MS
    assert [a.due for a in bench.store.submitted] == [
        START + i * MS for i in range(80, 101)
    ]
    assert bench.lane.take_health().skipped == 80
    assert bench.lane.take_health().skipped == 0


def test_a_restart_goes_on_in_the_schedule() -> None:
    """What was due before the restart is nobody's: neither sent nor counted."""
    bench = Bench()
    bench.lane.start(START, START + 500 * MS)
    arrivals = bench.run(from_ns=START + 500 * MS, until_ns=START + 510 * MS)
    assert arrivals[0].due == START + 500 * MS
    assert len(arrivals) == 10
    assert bench.lane.take_health().skipped == 0


def test_served_arrivals_are_recorded() -> None:
    """Due, sent and done of every served arrival are in the next snapshot, once."""
    bench = Bench()
    bench.lane.start(START, START)
    arrivals = bench.serve(from_ns=START, until_ns=START + 20 * MS)
    block, failures = bench.take()
    assert failures == []
    assert sorted(block.due) == [a.due for a in arrivals]
    assert sorted(block.sent) == [a.due for a in arrivals]
    assert sorted(block.done) == [a.due + MS for a in arrivals]
    assert bench.take() == (Block(), [])
    health = bench.lane.take_health()
    writes = [a for a in arrivals if a.op is OpKind.WRITE]
    assert sum(health.acknowledged.values()) == len(writes) > 0


@pytest.mark.parametrize(
    ("after_ns", "is_served"), [(DEADLINE, True), (DEADLINE + 1, False)]
)
def test_the_deadline(after_ns: int, is_served: bool) -> None:
    """A reply at the deadline is served, one nanosecond later it is late."""
    bench = Bench()
    bench.lane.start(START, START)
    (arrival,) = bench.run(from_ns=START, until_ns=START + MS)
    bench.answer(arrival, after_ns=after_ns)
    block, failures = bench.take()
    assert block.served_count == is_served
    if not is_served:
        (failure,) = failures
        assert (failure.outcome, failure.error) == (Outcome.LATE, ErrorClass.LATE)
        assert failure.due_ns == START
        assert failure.done_ns == START + after_ns


@pytest.mark.parametrize("deadline_ns", [40 * MS, 160 * MS])
def test_another_deadline(deadline_ns: int) -> None:
    """Each arrival has that of its due time, whenever the change was told."""
    bench = Bench()
    bench.lane.start(START, START)
    old, new = bench.run(from_ns=START, until_ns=START + 2 * MS)
    bench.lane.change_deadline(new.due, deadline_ns)
    for arrival, own_ns in ((old, DEADLINE), (new, deadline_ns)):
        bench.answer(arrival, after_ns=own_ns)
    assert bench.take()[0].served_count == 2
    bench.serve(from_ns=START + 2 * MS, until_ns=START + 500 * MS)
    bench.take()
    bench.lane.give_up(START + 500 * MS)  # the older deadline is forgotten by then
    late, in_time = bench.run(from_ns=START + 500 * MS, until_ns=START + 502 * MS)
    bench.answer(late, after_ns=deadline_ns + 1)
    bench.answer(in_time, after_ns=deadline_ns)
    block, (failure,) = bench.take()
    assert block.served_count == 1
    assert failure.outcome is Outcome.LATE


def test_nothing_is_given_up_before_its_own_deadline() -> None:
    """While two deadlines hold, what has the longer one is waited for as long."""
    bench = Bench()
    bench.lane.start(START, START)
    old, new = bench.run(from_ns=START, until_ns=START + 2 * MS)
    bench.lane.stop(START + 2 * MS)
    bench.lane.change_deadline(new.due, MS)
    bench.lane.give_up(old.due + DEADLINE + 200 * MS - 1)
    assert bench.take()[1] == []
    bench.lane.give_up(new.due + DEADLINE + 200 * MS)
    assert len(bench.take()[1]) == 2


def test_a_reply_that_queued_behind_a_silence() -> None:
    """A late reply proves the silence only up to when the server answered again."""
    bench = Bench()
    bench.lane.start(START, START)
    (arrival,) = bench.run(from_ns=START, until_ns=START + MS)
    bench.store.resumed = START + 150 * MS
    bench.answer(arrival, after_ns=170 * MS)
    (failure,) = bench.take()[1]
    assert failure.outcome is Outcome.LATE
    assert failure.done_ns == START + 170 * MS
    assert failure.evidence_start_ns == START + 150 * MS


def test_no_reply_at_all() -> None:
    """An arrival is given up after deadline and slack; a later reply is too late."""
    bench = Bench()
    bench.lane.start(START, START)
    (arrival,) = bench.run(from_ns=START, until_ns=START + MS)
    bench.lane.stop(START + MS)
    bench.lane.give_up(START + DEADLINE + 200 * MS - 1)
    assert bench.take()[1] == []
    assert not bench.lane.is_drained
    assert bench.lane.watermark_ns(START + DEADLINE) == START
    bench.lane.give_up(START + DEADLINE + 200 * MS)
    (failure,) = bench.take()[1]
    assert (failure.outcome, failure.error) == (Outcome.UNKNOWN, ErrorClass.TIMEOUT)
    assert bench.store.suspected == [arrival.slot]
    assert bench.lane.is_drained
    bench.answer(arrival, after_ns=500 * MS)
    assert bench.take() == (Block(), [])
    assert bench.lane.take_health().too_late == 1


def test_an_arrival_that_was_never_sent() -> None:
    """What waited for a connection all the time is unsent, not unknown."""
    bench = Bench()
    bench.store.is_connected = False
    bench.lane.start(START, START)
    bench.run(from_ns=START, until_ns=START + MS)
    bench.lane.give_up(START + 1000 * MS)
    (failure,) = bench.take()[1]
    assert (failure.outcome, failure.error) == (Outcome.UNSENT, ErrorClass.UNREACHABLE)
    assert failure.evidence_start_ns == START
    assert failure.evidence_end_ns == START + DEADLINE + 200 * MS


def test_a_failure_is_taken_once() -> None:
    """The driver's failure is recorded with its evidence, and only the first one."""
    bench = Bench()
    bench.lane.start(START, START)
    (arrival,) = bench.run(from_ns=START, until_ns=START + MS)
    for _ in range(2):
        bench.lane.failed(
            arrival,
            Outcome.REFUSED,
            ErrorClass.CLUSTERDOWN,
            done_ns=START + 3 * MS,
            evidence=(START, START + 3 * MS),
        )
    (failure,) = bench.take()[1]
    assert failure == Failure(
        START,
        START,
        START + 3 * MS,
        Outcome.REFUSED,
        ErrorClass.CLUSTERDOWN,
        START,
        START + 3 * MS,
    )


def test_the_watermark_waits_for_the_oldest() -> None:
    """Everything due before the watermark is decided; nothing later holds it up."""
    bench = Bench()
    bench.lane.start(START, START)
    first, second, third = bench.run(from_ns=START, until_ns=START + 3 * MS)
    bench.answer(second, after_ns=MS)
    assert bench.lane.watermark_ns(START + 3 * MS) == first.due
    bench.answer(first, after_ns=MS)
    assert bench.lane.watermark_ns(START + 3 * MS) == third.due
    bench.answer(third, after_ns=MS)
    assert bench.lane.watermark_ns(START + 9 * MS) == START + 3 * MS
    assert bench.lane.watermark_ns(START + 2 * MS) == START + 2 * MS


def test_nothing_is_due_after_the_stop() -> None:
    """A stop takes back what is not yet due, and what is outstanding is waited for."""
    bench = Bench()
    bench.lane.start(START, START)
    arrivals = bench.run(from_ns=START, until_ns=START + 3 * MS)
    bench.lane.stop(START + 3 * MS)
    assert bench.lane.issue_due(START + 10 * MS)[0] > START + 10_000 * MS
    assert len(bench.store.submitted) == 3
    assert not bench.lane.is_drained
    for arrival in arrivals:
        bench.answer(arrival, after_ns=MS)
    assert bench.lane.is_drained


@pytest.mark.parametrize("keys", [1, 2, 7, 30])
def test_every_key_is_used_evenly(keys: int) -> None:
    """A round uses each key of a shard once, and reads and writes take turns on it."""
    bench = Bench(topology=ONE, keys=keys, read_ratio=0.5)
    bench.lane.start(START, START)
    arrivals = bench.run(from_ns=START, until_ns=START + 12 * keys * MS)
    used = Counter(a.slot for a in arrivals)
    assert set(used.values()) == {12}
    both = Counter((a.slot, a.op) for a in arrivals)
    assert len(both) == 2 * keys
    assert min(both.values()) >= 4


def test_a_new_shard_is_probed_as_much_as_the_others() -> None:
    """With a new topology all shards get the same number of arrivals at once."""
    bench = Bench()
    bench.lane.start(START, START)
    bench.serve(from_ns=START, until_ns=START + 20 * MS)
    bench.lane.on_topology(topology_of((0, 4095), (8192, 16383), (4096, 8191)))
    arrivals = bench.serve(from_ns=START + 20 * MS, until_ns=START + 80 * MS)
    shards = Counter(a.recorder.scope.shard for a in arrivals)
    assert shards == {"0001": 20, "0002": 20, "0003": 20}
    for arrival in arrivals:
        shard = arrival.recorder.scope.shard
        first, last = {
            "0001": (0, 4095),
            "0002": (8192, 16383),
            "0003": (4096, 8191),
        }[shard]
        assert first <= arrival.slot <= last
    assert bench.take()[1] == []


def test_a_closed_loop_has_one_arrival_per_worker() -> None:
    """The next arrival of a worker is made when its last one has ended."""
    bench = Bench(loop="closed")
    bench.lane.start(START, START)
    bench.lane.issue_due(START)
    assert [a.worker for a in bench.store.submitted] == [0, 1, 2, 3]
    bench.answer(bench.store.submitted[2], after_ns=MS)
    assert len(bench.store.submitted) == 5
    assert bench.store.submitted[4].worker == 2
    assert bench.store.submitted[4].due == START + MS
    assert bench.lane.watermark_ns(START + 2 * MS) == START


def test_a_closed_loop_pauses_without_a_connection() -> None:
    """A worker that could not send waits a millisecond: no busy loop, no recursion."""
    bench = Bench(loop="closed", workers=1)
    start = mono_now_ns()
    bench.lane.start(start, start)
    bench.lane.issue_due(start)
    (arrival,) = bench.store.submitted
    bench.lane.failed(
        arrival,
        Outcome.UNSENT,
        ErrorClass.CONNECT_REFUSED,
        done_ns=-1,
        evidence=(start, start),
    )
    assert len(bench.store.submitted) == 1
    next_ns, _ = bench.lane.issue_due(start)
    assert next_ns >= start + MS
    bench.lane.issue_due(next_ns)
    assert len(bench.store.submitted) == 2


def test_a_closed_loop_goes_on_after_no_reply() -> None:
    """A worker whose arrival is given up goes on, and is drained after the stop."""
    bench = Bench(loop="closed", workers=1)
    bench.store.now_ns = START
    bench.lane.start(START, START)
    bench.lane.issue_due(START)
    bench.lane.give_up(START + 300 * MS)
    assert len(bench.store.submitted) == 2
    bench.lane.stop(START + 301 * MS)
    assert not bench.lane.is_drained
    bench.answer(bench.store.submitted[1], after_ns=2 * MS)
    bench.lane.issue_due(START + 302 * MS)
    assert bench.lane.is_drained
    (failure,) = bench.take()[1]
    assert failure.outcome is Outcome.UNKNOWN


def test_late_replies_among_expected_ones() -> None:
    """Each worker of a closed loop goes on once, whether its reply was in time."""
    bench = Bench(loop="closed", topology=ONE)
    bench.store.now_ns = START
    bench.lane.start(START, START)
    bench.lane.issue_due(START)
    arrivals = bench.store.submitted[:]
    for arrival, after_ns in zip(arrivals, (MS, 2 * DEADLINE, MS, MS), strict=True):
        bench.store.apply(arrival)
        arrival.done = START + after_ns
    bench.lane.expected(arrivals)
    again = bench.store.submitted[4:]
    assert [a.worker for a in again] == [0, 2, 3, 1]
    assert again[:3] == [arrivals[0], arrivals[2], arrivals[3]]
    assert again[3] is not arrivals[1]
    block, failures = bench.take()
    assert block.served_count == 3
    assert [f.outcome for f in failures] == [Outcome.LATE]
