"""Slots move while they are probed: redirects are followed, and nothing fails."""

import asyncio

from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.load.keyspace import Keyspace
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.running import (
    close_slots,
    config_of,
    measuring,
    open_slots,
    small_lane,
    target_of,
)

KEYS = 96
# Slots that move slow nothing down by this much: a busy machine might.
DEADLINE_MS = 1_000


async def test_slots_move_under_load() -> None:
    """No arrival fails, redirects are counted, and shards are probed evenly after."""
    keyspace = Keyspace("tcp", KEYS, 0, 1)
    async with LocalCluster(shards=3, replicas_per_shard=0, tls=False) as cluster:
        source = await cluster.primary_of("0001")
        target = await cluster.primary_of("0003")
        (owned,) = cluster.shard("0001").slots
        slots = sorted(
            {
                slot
                for key in range(KEYS)
                if owned.first <= (slot := keyspace.slot(key)) <= owned.last
            }
        )
        moving = slots[: len(slots) * 3 // 4]
        assert len(moving) >= 20
        lane = small_lane(
            keys=KEYS,
            rate_per_s=600,
            miss_ratio=0.1,
            read_ratio=0.7,
            deadline_ms=DEADLINE_MS,
        )
        async with measuring(config_of(target_of(cluster), lane)) as trial:
            await asyncio.sleep(1.0)
            await open_slots(moving, cluster, source, target)
            await asyncio.sleep(0.5)
            await close_slots(moving, cluster, source, target)
            await asyncio.sleep(2.6)

    assert trial.failed == 0, trial.classes
    assert trial.results.outages == []
    assert trial.redirects["ask"] > 0
    assert trial.redirects["moved"] > 0
    assert trial.count(Outcome.WRONG) == 0
    assert trial.stale == 0
    assert trial.measurement.lost_writes == 0
    # The last whole seconds were probed by the new slot map.
    last = max(second.second for second in trial.seconds)
    by_shard = {
        shard: sum(
            second.counts[Outcome.SERVED]
            for second in trial.seconds
            if second.scope.shard == shard and last - 2 <= second.second < last
        )
        for shard in ("0001", "0002", "0003")
    }
    # Three shards take turns; blind time of the probe takes from all alike.
    assert max(by_shard.values()) - min(by_shard.values()) <= 30, by_shard
    assert min(by_shard.values()) > 0


async def test_a_shard_is_emptied_under_load() -> None:
    """A primary that loses its last slot is probed no more, and nothing fails."""
    lane = small_lane(rate_per_s=300, deadline_ms=DEADLINE_MS)
    async with LocalCluster(shards=3, replicas_per_shard=0, tls=False) as cluster:
        source = await cluster.primary_of("0002")
        target = await cluster.primary_of("0001")
        (owned,) = cluster.shard("0002").slots
        async with measuring(config_of(target_of(cluster), lane)) as trial:
            await asyncio.sleep(0.6)
            slots = range(owned.first, owned.last + 1)
            for first in range(0, len(slots), 512):
                batch = slots[first : first + 512]
                await open_slots(batch, cluster, source, target)
                await close_slots(batch, cluster, source, target)
            await asyncio.sleep(2.4)
    assert trial.failed == 0, trial.classes
    assert trial.redirects["moved"] > 0
    assert trial.measurement.lost_writes == 0
    last = max(second.second for second in trial.seconds)
    probed = {
        second.scope.shard
        for second in trial.seconds
        if second.second == last - 1 and any(second.counts)
    }
    assert probed == {"0001", "0003"}
