"""Acknowledged writes that a real failover loses, counted against a known truth.

The truth owes nothing to the meter. Writes are stopped on the old primary and all its
values are read; what it has then is all that it ever acknowledged, as no later write is
applied. When the run is over, the values of the promoted node are read. A key that has
an older version there, or none, is lost.
"""

import asyncio
import struct
from collections.abc import Mapping

import pytest

from loadprobe.core.judging.outcome import OpKind
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import until as eventually
from loadprobe.local.cluster.node import LocalNode
from tests.support.failing_over import fail_over_in_turn
from tests.support.running import (
    Trial,
    config_of,
    measuring,
    small_lane,
    target_of,
    until,
)

SHARD = "0002"
LANES = (
    small_lane("tcp", read_ratio=0.4, keys=200),
    small_lane("tls", tls=True, read_ratio=0.4, keys=200),
)
# What a value says about itself: format, key, version (see core/values.py).
_HEAD = struct.Struct(">2sIQ")
_WRITES_WAIT_MS = 30_000


async def versions(node: LocalNode) -> dict[str, int]:
    """Return the version of every key that a node has, read from the node itself."""
    names = await node.command("KEYS", "*")
    values = await node.pipeline([("GET", name) for name in names])
    found: dict[str, int] = {}
    for name, value in zip(names, values, strict=True):
        _, _, found[name] = _HEAD.unpack_from(value.encode("utf-8", "surrogateescape"))
    return found


async def cut_off(replica: LocalNode, primary: LocalNode) -> None:
    """Make a replica lose its primary for good: it logs in by a name nobody has."""
    await replica.configure({"masteruser": "nobody", "masterauth": "nothing"})
    await replica.command("CLIENT", "KILL", "TYPE", "master")

    async def is_cut() -> bool:
        return (await primary.info("replication"))["connected_slaves"] == "0"

    await eventually(is_cut)


async def has_all(replica: LocalNode, primary: LocalNode) -> bool:
    """Tell whether a replica has received all that its primary has sent."""
    sent = (await primary.info("replication"))["master_repl_offset"]
    return bool((await replica.info("replication"))["slave_repl_offset"] == sent)


async def crash_and_take_over(
    primary: LocalNode, replica: LocalNode, *, in_sync: bool
) -> dict[str, int]:
    """Kill a primary and promote its replica; return what the primary had at its end.

    Args:
        primary: it applies no write from the moment its values are read.
        replica: it is promoted without a vote.
        in_sync: first wait until it has everything.
    """
    await primary.command("CLIENT", "PAUSE", _WRITES_WAIT_MS, "WRITE")
    had = await versions(primary)
    if in_sync:
        await eventually(lambda: has_all(replica, primary))
    # The last acknowledgements are on their way: they are not to die with the sockets.
    await asyncio.sleep(0.1)
    await primary.kill()
    await replica.command("CLUSTER", "FAILOVER", "TAKEOVER")
    return had


def writes_acknowledged(trial: Trial) -> int:
    """Return how many writes of the shard were served so far."""
    totals = trial.measurement.aggregate.scope_totals
    return sum(
        t.served for scope, t in totals.items() if scope[1:] == (SHARD, OpKind.WRITE)
    )


def lost(had: Mapping[str, int], has: Mapping[str, int]) -> set[str]:
    """Return the keys whose last version, or a newer one, is not there."""
    return {name for name, version in had.items() if has.get(name, -1) < version}


@pytest.mark.parametrize("is_cut", [True, False], ids=["cut off", "in sync"])
async def test_lost_writes_are_counted_exactly(is_cut: bool) -> None:
    """A replica that had not everything loses what the meter says, to the key."""
    async with LocalCluster(
        shards=2, replicas_per_shard=1, node_timeout_ms=30_000
    ) as cluster:
        primary = await cluster.primary_of(SHARD)
        (replica,) = [n for n in cluster.shard(SHARD).nodes if n is not primary]
        async with measuring(config_of(target_of(cluster), *LANES)) as trial:
            if is_cut:
                await cut_off(replica, primary)
            before = writes_acknowledged(trial)
            await until(
                lambda: writes_acknowledged(trial) > before + 100,
                what="a hundred acknowledged writes",
            )
            had = await crash_and_take_over(primary, replica, in_sync=not is_cut)
            has = await versions(replica)
            lost_at_first = lost(had, has)
            before = writes_acknowledged(trial)
            await until(
                lambda: writes_acknowledged(trial) > before + 60,
                what="writes acknowledged by the promoted node",
            )
        has = await versions(replica)
    truth = lost(had, has)
    summary = trial.verdict().summary
    assert summary.lost_writes == len(truth)
    by_lane = {
        name: sum(f":{name}:" in key for key in truth) for name in ("tcp", "tls")
    }
    found = {result.lane: result.lost for result in trial.measurement.read_backs}
    assert found == by_lane
    assert summary.wrong == 0
    told = f"{len(truth)} acknowledged writes were lost"
    assert any(told in sentence for sentence in summary.verdict) == is_cut
    if is_cut:
        assert all(by_lane.values()), "nothing was lost: the test proves nothing"
        # Keys that were written again are not lost any more, and were stale till then.
        assert truth < lost_at_first
        assert trial.stale > 0
    else:
        assert not lost_at_first
        assert trial.stale == 0


async def test_planned_failovers_lose_nothing() -> None:
    """A replica that is promoted by a vote has every acknowledged write."""
    async with LocalCluster(shards=3, replicas_per_shard=1) as cluster:
        before = [await cluster.primary_of(s.node_group_id) for s in cluster.shards]
        async with measuring(config_of(target_of(cluster), *LANES)) as trial:
            await fail_over_in_turn(cluster, 3, node_timeout_s=1.0, pause_s=0.3)
        after = [await cluster.primary_of(s.node_group_id) for s in cluster.shards]
    assert not set(before) & set(after)
    summary = trial.verdict().summary
    assert (summary.lost_writes, summary.stale_reads, summary.wrong) == (0, 0, 0)
    for result in trial.measurement.read_backs:
        assert result.checked > 0
        assert result.unread == 0
