"""What is read back of the keys that were written: here, or where the load went."""

import asyncio
from collections.abc import Callable

from loadprobe.clock import NS_PER_S, boot_now_ns, mono_now_ns
from loadprobe.config.keys import Lane
from loadprobe.core.load.lifetimes import Lifetimes
from loadprobe.core.load.values import ValueCodec
from loadprobe.probe.moving import look_there
from loadprobe.probe.prefill import read_back
from tests.support.probe_bench import Answers, Bench

CODEC = ValueCodec("tcp", Lane("tcp").value_bytes)


class Cluster(Answers):
    """A driver that reads from its store, and has something happen meanwhile."""

    def __init__(self, keys: Bench, versions: dict[int, int]) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None
        for key, version in versions.items():
            name = keys.lane.keys.space.key(key)
            self.values[name] = CODEC.encode(key, version)

    def request(self, slot: int, command: bytes) -> "asyncio.Future[object]":
        """Read a key; what happens is heard of before the reply."""
        found = super().request(slot, command)
        self.meanwhile()
        return found


def acknowledge(bench: Bench, key: int, version: int) -> None:
    """Have a version of a key acknowledged."""
    record = bench.lane.keys.record(key)
    record.begin_write(version)
    record.acked(version, bench.lane.keys.content.encode(key, version))


def written(versions: dict[int, int]) -> Bench:
    """Return a lane that has written keys a while ago."""
    bench = Bench(keys=40)
    for key, version in versions.items():
        acknowledge(bench, key, version)
    return bench


async def test_what_is_older_or_gone_is_lost() -> None:
    """The version that was acknowledged is there, or a newer one, or it is lost."""
    bench = written({0: 3, 1: 4, 2: 5, 3: 6})
    result = await read_back(bench.lane, Cluster(bench, {0: 3, 1: 3, 2: 9}))
    assert (result.checked, result.unread, result.expired) == (4, 0, 0)
    assert list(result.lost) == [1, 3]
    assert result.lost_by_shard == {
        shard: [*map(bench.lane.shard_of, (1, 3))].count(shard)
        for shard in map(bench.lane.shard_of, (1, 3))
    }
    assert (await read_back(bench.lane, None)).unread == 4


async def test_an_acknowledgement_that_comes_late_accuses_nobody() -> None:
    """A write without an answer is applied, and acknowledged, after the key was read.

    So it is with a server that stood still: what waited in its sockets is carried out
    in any order.
    """
    bench = written({0: 3})
    cluster = Cluster(bench, {0: 3})
    bench.lane.keys.record(0).begin_write(4)
    value = bench.lane.keys.content.encode(0, 4)
    cluster.meanwhile = lambda: bench.lane.keys.record(0).acked(4, value)
    result = await read_back(bench.lane, cluster)
    assert (result.checked, list(result.lost)) == (1, [])


async def test_what_is_looked_for_where_the_load_went() -> None:
    """Lost is what the copy should have; it may know nothing of renewals before it."""
    bench = written({0: 3, 1: 4, 2: 5, 3: 6, 4: 20})
    keys, now_ns = bench.lane.keys, boot_now_ns()
    there = Cluster(bench, {0: 3, 1: 3, 3: 12})
    assert await look_there(bench.lane, there, 10) == (3, 2, 2, 0)
    keys.lifetimes = Lifetimes(3_600, now_ns=now_ns, version=100)  # all are old
    for _ in range(2):
        keys.record(2).renewed(now_ns - 100 * NS_PER_S, mono_now_ns())
    assert await look_there(bench.lane, there, 10) == (2, 1, 2, 1)
    assert keys.is_lost(2, None, acked=5), "here it would be"
