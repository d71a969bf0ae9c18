"""A lane judges what a read brings: right, stale, wrong, or lost."""

import pytest

from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.drivers import resp
from tests.support.key_slots import key_slot
from tests.support.probe_bench import MS, ONE, START, Bench


def test_absent_keys() -> None:
    """A read of an absent key wants nil; a value is wrong."""
    bench = Bench(read_ratio=1.0, miss_ratio=1.0)
    bench.lane.start(START, START)
    first, second = bench.run(from_ns=START, until_ns=START + 2 * MS)
    bench.lane.replied(first, None, START + MS)
    bench.lane.replied(second, b"something", START + 2 * MS)
    block, failures = bench.take()
    assert block.served_count == 1
    assert [f.outcome for f in failures] == [Outcome.WRONG]
    assert sum(bench.lane.take_health().wrong.values()) == 1


@pytest.mark.parametrize(
    "reply",
    [b"garbage", None, b"", 7, [b"x"]],
    ids=["other", "nil", "empty", "7", "[]"],
)
def test_wrong_values(reply: object) -> None:
    """A reply that nobody wrote is wrong, in time or not, and the run goes on."""
    bench = Bench(topology=ONE, keys=1, read_ratio=0.5)
    bench.lane.start(START, START)
    done = bench.serve(from_ns=START, until_ns=START + 4 * MS)
    assert any(a.op is OpKind.WRITE for a in done)
    bench.take()
    arrivals = bench.run(from_ns=START + 4 * MS, until_ns=START + 6 * MS)
    (read,) = [a for a in arrivals if a.op is OpKind.READ]
    bench.lane.replied(read, reply, read.due + MS)
    (failure,) = bench.take()[1]
    assert (failure.outcome, failure.error) == (Outcome.WRONG, ErrorClass.VALUE)
    assert failure.evidence_start_ns <= failure.evidence_end_ns
    assert sum(bench.lane.take_health().wrong.values()) == 1


def test_a_stale_value() -> None:
    """An older value than the acknowledged one is served, and counted as stale."""
    bench = Bench(topology=ONE, keys=1, read_ratio=0.5)
    bench.lane.start(START, START)
    bench.serve(from_ns=START, until_ns=START + 2 * MS)
    (key,) = bench.store.values
    old = bench.store.values[key]
    bench.serve(from_ns=START + 2 * MS, until_ns=START + 6 * MS)
    assert bench.store.values[key] != old
    bench.take()
    bench.lane.take_health()
    arrivals = bench.run(from_ns=START + 6 * MS, until_ns=START + 8 * MS)
    (read,) = [a for a in arrivals if a.op is OpKind.READ]
    bench.lane.replied(read, old, read.due + MS)
    block, failures = bench.take()
    assert (block.served_count, failures) == (1, [])
    assert sum(bench.lane.take_health().stale.values()) == 1


def test_a_write_in_flight_may_be_read() -> None:
    """A read that finds a write which is not answered yet is right."""
    bench = Bench(topology=ONE, keys=1, read_ratio=0.5)
    bench.lane.start(START, START)
    bench.serve(from_ns=START, until_ns=START + 4 * MS)
    arrivals = bench.run(from_ns=START + 4 * MS, until_ns=START + 8 * MS)
    replies = {id(a): bench.store.apply(a) for a in arrivals}
    for arrival in reversed(arrivals):
        bench.lane.replied(arrival, replies[id(arrival)], START + 9 * MS)
    assert bench.take()[1] == []
    health = bench.lane.take_health()
    assert (health.wrong, health.stale) == ({}, {})


def test_read_back_knows_lost_writes() -> None:
    """What was acknowledged must be there later; nil, garbage and older is lost."""
    bench = Bench(topology=ONE, keys=1, read_ratio=0.0)
    bench.lane.start(START, START)
    bench.serve(from_ns=START, until_ns=START + MS)
    (name,) = bench.store.values
    older = bench.store.values[name]
    bench.serve(from_ns=START + MS, until_ns=START + 2 * MS)
    assert list(bench.lane.keys.acknowledged_keys()) == [0]
    acked = bench.lane.keys.record(0).acked_version
    assert bench.lane.keys.is_lost(0, bench.store.values[name], acked=acked) is False
    for reply in (older, None, b"garbage"):
        assert bench.lane.keys.is_lost(0, reply, acked=acked) is True


def test_prefill_values_are_good() -> None:
    """What prefill writes is taken for a good value of that key, and of no other."""
    bench = Bench()
    slot, command, _ = bench.lane.keys.make_write(3)
    words = resp.parse(command)
    assert isinstance(words, list)
    assert words[0] == b"SET"
    assert words[3:] == [b"EX", b"3600"]
    assert slot == key_slot(words[1]) == bench.lane.keys.make_read(3)[0]
    value = words[2]
    assert bench.lane.keys.is_good(3, value)
    assert not bench.lane.keys.is_good(4, value)
    assert not bench.lane.keys.is_good(3, None)
    assert not bench.lane.keys.is_good(3, value[:-1])
