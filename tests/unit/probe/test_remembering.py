"""What a later process has to know to find lost writes."""

from array import array

import pytest

from loadprobe.clock import NS_PER_S, boot_now_ns
from loadprobe.config.keys import Lane
from loadprobe.core.load.lifetimes import LONG_AGO
from loadprobe.core.load.remembered import Remembered
from loadprobe.core.load.values import ValueCodec
from loadprobe.probe import remembering
from loadprobe.probe.messages import Acknowledged
from loadprobe.probe.remembering import Remembering, look_up
from tests.support.probe_bench import MS, START, Answers, Bench

CODEC = ValueCodec("tcp", Lane("tcp").value_bytes)


def rows(told: Acknowledged | None) -> dict[int, int]:
    """Return key -> version of what was told."""
    if told is None:
        return {}
    assert (told.process, told.lane) == (3, "tcp")
    columns = array("Q", told.keys), array("Q", told.versions)
    return dict(zip(*columns, strict=True))


def test_settled_writes_are_told_once() -> None:
    """What was acknowledged is told; what is on its way is not, nor twice."""
    bench = Bench(keys=40, read_ratio=0.0)
    told = Remembering(3, "tcp", bench.lane.keys)
    assert told.take() is None
    bench.lane.start(START, START)
    sent = bench.run(from_ns=START, until_ns=START + 10 * MS)
    assert told.take() is None
    for arrival in sent[:6]:
        bench.answer(arrival, after_ns=MS)
    assert rows(told.take()) == {a.key.index: a.version for a in sent[:6] if a.key}
    assert told.take() is None


def test_an_unanswered_write_keeps_its_key_out() -> None:
    """An older write that may be applied yet would make a newer one look lost."""
    bench = Bench(keys=2, read_ratio=0.0, workers=1)
    told = Remembering(3, "tcp", bench.lane.keys)
    bench.lane.start(START, START)
    first, _, second, *_ = bench.run(from_ns=START, until_ns=START + 4 * MS)
    assert first.key is second.key
    bench.answer(second, after_ns=MS)
    assert told.take() is None
    bench.answer(first, after_ns=2 * MS)
    assert told.take() is None, "the server may have applied the two in any order"
    third, *_ = bench.run(from_ns=START + 4 * MS, until_ns=START + 6 * MS)
    assert third.key is first.key
    assert third.key is not None
    bench.answer(third, after_ns=MS)
    assert rows(told.take()) == {third.key.index: third.version}


def test_many_keys_are_told_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few at a time, and of very many an even sample."""
    monkeypatch.setattr(remembering, "MOST_KEYS", 10)
    monkeypatch.setattr(remembering, "_AT_ONCE", 4)
    bench = Bench(keys=40, read_ratio=0.0)
    told = Remembering(3, "tcp", bench.lane.keys)
    bench.lane.start(START, START)
    bench.serve(from_ns=START, until_ns=START + 40 * MS)
    turns = [rows(told.take()) for _ in range(4)]
    assert [len(turn) for turn in turns] == [4, 4, 2, 0]
    assert {key for turn in turns for key in turn} == set(range(0, 40, 4))


async def test_what_is_gone_or_older_is_lost() -> None:
    """A version or a newer one is there, it has expired, or it is lost."""
    bench = Bench(keys=40)
    keys, driver = bench.lane.keys, Answers()
    for key, version in ((0, 7), (1, 9), (2, 4)):
        driver.values[keys.space.key(key)] = CODEC.encode(key, version)
    now_ns = boot_now_ns()
    versions = {0: 7, 1: 8, 2: 5, 3: 1, 40: 1, 1 << 63: 1}
    remembered = {key: Remembered(v, now_ns) for key, v in versions.items()}
    remembered |= {
        4: Remembered(1, now_ns - 3_500 * NS_PER_S),
        5: Remembered(1, LONG_AGO),
    }
    found = await look_up(3, bench.lane, driver, remembered)
    assert (found.process, found.lane, found.checked, found.unread) == (3, "tcp", 6, 0)
    assert list(array("Q", found.lost_keys)) == [2, 3]
    assert found.expired == 2
    assert found.lost_by_shard == {bench.lane.shard_of(2): 1, bench.lane.shard_of(3): 1}
