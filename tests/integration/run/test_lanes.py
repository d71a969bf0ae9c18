"""Kinds of lanes against real servers, and values that are wrong on purpose."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import length
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from tests.support.running import (
    Trial,
    config_of,
    measuring,
    small_lane,
    target_of,
)

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Start two shards without replicas and without TLS."""
    async with LocalCluster(shards=2, replicas_per_shard=0, tls=False) as started:
        yield started


def assert_verified(trial: Trial) -> None:
    """Assert that all went well and that acknowledged writes were read back."""
    assert trial.failed == 0, trial.classes
    assert trial.served > 0
    assert trial.stale == 0
    assert trial.measurement.lost_writes == 0
    checked = sum(result.checked for result in trial.measurement.read_backs)
    assert checked > 0


async def test_schedules_and_loops(cluster: LocalCluster) -> None:
    """Closed loop, ramp and Poisson lanes serve every arrival with the right value."""
    lanes = [
        small_lane("closed", loop="closed", workers=3, keys=200, processes=2),
        small_lane("piped", loop="closed", workers=2, pipeline=4, keys=200),
        small_lane("shared", loop="closed", workers=8, connections=1, keys=200),
        small_lane("ramp", schedule="ramp", ramp_from_per_s=50, ramp_s=1.5),
        small_lane("poisson", schedule="poisson", processes=2),
    ]
    async with measuring(config_of(target_of(cluster), *lanes)) as trial:
        await asyncio.sleep(2.5)
    assert_verified(trial)
    seconds = (trial.ended_ns - trial.begun_ns) / 1e9
    served = {lane.name: trial.count(Outcome.SERVED, lane=lane.name) for lane in lanes}
    blind = {lane.name: length(trial.blind(lane.name)) / 1e9 for lane in lanes}
    # 50/s to 300/s in 1.5 s takes (300 - 50) / 2 * 1.5 arrivals from the full rate.
    ramp = 300 * seconds - 187.5
    skipped = trial.skipped
    assert ramp - 300 * blind["ramp"] - skipped - 3 <= served["ramp"] <= ramp + 3
    assert all(served[name] > 100 for name in ("closed", "piped", "shared"))
    assert 0.6 * 300 * seconds - skipped < served["poisson"] < 1.4 * 300 * seconds
    for lane in lanes:
        assert {(s.shard, s.op) for s in trial.scopes if s.lane == lane.name} == {
            (shard, op)
            for shard in ("0001", "0002")
            for op in (OpKind.READ, OpKind.WRITE)
        }


async def test_a_closed_loop_through_a_stop(cluster: LocalCluster) -> None:
    """A closed loop is stuck while a shard is stopped, and goes on after it."""
    lane = small_lane(loop="closed", workers=4, keys=200, deadline_ms=100)
    node = await cluster.primary_of("0002")
    async with measuring(config_of(target_of(cluster), lane)) as trial:
        await asyncio.sleep(0.4)
        node.pause()
        await asyncio.sleep(0.5)
        node.resume()
        await asyncio.sleep(0.6)
        served = trial.measurement.aggregate.scope_totals
        assert served
    dark = trial.outages("tcp", "0002")
    assert dark or trial.blind("tcp")
    assert trial.outages("tcp", "0001") == []
    # Each worker can have had one arrival outstanding.
    assert trial.failed <= 4
    assert trial.measurement.lost_writes == 0
    last = max(second.second for second in trial.seconds)
    assert any(s.scope.shard == "0002" for s in trial.seconds if s.second == last)


async def test_absent_keys(cluster: LocalCluster) -> None:
    """Reads of absent keys are answered nil, as the server's own counters say."""
    lane = small_lane(read_ratio=1.0, miss_ratio=0.5)
    async with measuring(config_of(target_of(cluster), lane)) as trial:
        before = [await misses(node) for node in cluster.nodes]
        await asyncio.sleep(1.0)
        after = [await misses(node) for node in cluster.nodes]
    assert trial.failed == 0
    for was, then in zip(before, after, strict=True):
        hits, missed = then[0] - was[0], then[1] - was[1]
        assert missed > 0
        assert abs(hits - missed) <= 2 + (hits + missed) // 10
    # The whole load asked for them, also before and after the servers were looked at.
    seen = sum(then[1] - was[1] for was, then in zip(before, after, strict=True))
    (summary,) = trial.verdict().summary.lanes
    assert seen <= summary.absent_reads < summary.arrivals
    assert abs(2 * summary.absent_reads - summary.arrivals) <= 0.1 * summary.arrivals


async def misses(node: LocalNode) -> tuple[int, int]:
    """Return (hits, misses) of a server's keyspace."""
    stats = await node.info("stats")
    return int(stats["keyspace_hits"]), int(stats["keyspace_misses"])


async def test_a_wrong_value_is_counted_exactly() -> None:
    """Every read of a value that somebody else wrote is wrong, and no other one."""
    lane = small_lane(keys=1, read_ratio=1.0)
    async with LocalCluster(shards=1, replicas_per_shard=0, tls=False) as cluster:
        (node,) = cluster.nodes
        async with measuring(config_of(target_of(cluster), lane)) as trial:
            (name,) = await node.command("KEYS", "lp:*")
            good = await node.command("GET", name)
            await asyncio.sleep(0.3)
            spoilt = await write_and_count_reads(node, name, "garbage")
            await asyncio.sleep(0.3)
            healed = await write_and_count_reads(node, name, good)
            await asyncio.sleep(0.3)
    wrong = healed - spoilt
    assert wrong > 10
    assert trial.count(Outcome.WRONG) == wrong
    assert trial.classes == {ErrorClass.VALUE: wrong}
    assert trial.verdict().summary.wrong == wrong
    outages = trial.outages("tcp", "0001")
    assert (
        sum(outage.failed for outage in outages)
        + sum(totals.unseen for totals in trial.results.scope_totals.values())
        == wrong
    )
    longest = max((outage.upper_ns for outage in outages), default=0)
    assert longest < 2_000 * NS_PER_MS


async def write_and_count_reads(node: LocalNode, name: str, value: str) -> int:
    """Write a value and return, for that very moment, how many GETs there were."""
    *_, replies = await node.pipeline(
        [("MULTI",), ("SET", name, value), ("INFO", "commandstats"), ("EXEC",)]
    )
    line = next(
        row for row in replies[1].splitlines() if row.startswith("cmdstat_get:")
    )
    return int(line.partition("calls=")[2].partition(",")[0])


async def test_all_keys_are_flushed(cluster: LocalCluster) -> None:
    """Keys that vanish are wrong until they are written again; else they are lost."""
    few = small_lane("few", keys=60, read_ratio=0.5)
    many = small_lane("many", keys=3000, read_ratio=0.5)
    node = await cluster.primary_of("0001")
    async with measuring(config_of(target_of(cluster), few, many)) as trial:
        await asyncio.sleep(0.5)
        await node.command("FLUSHALL")
        await asyncio.sleep(2.0)
    assert trial.failed == trial.count(Outcome.WRONG)
    for lane in (few, many):
        reads = {
            scope.shard: totals
            for scope, totals in trial.results.scope_totals.items()
            if (scope.lane, scope.op) == (lane.name, OpKind.READ)
        }
        assert reads["0001"].failed > 0
        assert reads["0001"].served > 0
        assert reads["0002"].failed == 0
    lost = {result.lane: result.lost for result in trial.measurement.read_backs}
    assert lost["few"] == 0  # each of its keys was written again
    assert lost["many"] > 0
    assert trial.measurement.lost_writes == lost["many"]
