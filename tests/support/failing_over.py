"""Planned failovers of a local cluster: replicas are promoted in turn, nothing is lost.

Two of one shard within twice the node timeout of each other do not get a vote, and the
primary keeps writes waiting for five seconds meanwhile (redis 7.0.15, observed). So the
shards take turns, and every turn waits until the last one of its shard is long enough
ago and its replicas are in sync.
"""

import asyncio
from collections.abc import Callable

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import in_sync, until, within
from loadprobe.local.cluster.layout import LocalShard
from loadprobe.local.cluster.node import LocalNode

_NODE_TIMEOUTS_APART = 3
_PROMOTED_WITHIN_S = 4.0
_SYNCED_WITHIN_S = 10.0


async def fail_over_in_turn(
    cluster: LocalCluster,
    count: int,
    *,
    node_timeout_s: float,
    pause_s: float,
    tell: Callable[[str, float], None] = lambda _shard, _took_s: None,
) -> None:
    """Promote a replica of one shard after the other.

    Args:
        cluster: every shard has a replica.
        count: failovers of all shards together.
        node_timeout_s: of the cluster; failovers of a shard are thrice that apart.
        pause_s: least time from the end of a failover to the next one.
        tell: called with the shard and the seconds until its replica was promoted.

    Raises:
        RunError: a replica was not promoted, or its followers not in sync, in time.
    """
    last_ns: dict[str, int] = {}
    for turn in range(count):
        shard = cluster.shards[turn % len(cluster.shards)]
        name = shard.node_group_id
        begun_ns = mono_now_ns()
        rested_ns = last_ns.get(name, 0) + round(
            _NODE_TIMEOUTS_APART * node_timeout_s * NS_PER_S
        )
        await asyncio.sleep(max(0, rested_ns - begun_ns) / NS_PER_S)
        begun_ns = mono_now_ns()
        await fail_over(cluster, shard)
        last_ns[name] = mono_now_ns()
        tell(name, (last_ns[name] - begun_ns) / NS_PER_S)
        await asyncio.sleep(pause_s)


async def fail_over(cluster: LocalCluster, shard: LocalShard) -> None:
    """Promote a replica of a shard by its vote, without losing anything.

    Raises:
        RunError: it was not promoted in time, or its followers were not in sync.
    """
    old = await cluster.primary_of(shard.node_group_id)
    replicas = [node for node in shard.nodes if node is not old]
    async with within(_SYNCED_WITHIN_S, what=f"{replicas[0].name} is in sync"):
        await until(lambda: in_sync(replicas[0]))
    await replicas[0].command("CLUSTER", "FAILOVER")
    async with within(_PROMOTED_WITHIN_S, what=f"{replicas[0].name} is promoted"):
        await until(lambda: _follows(replicas[0], old))


async def _follows(new: LocalNode, old: LocalNode) -> bool:
    """Tell whether the old primary is in sync with the new one."""
    is_promoted = (await new.command("ROLE"))[0] == "master"
    role = await old.command("ROLE")
    return is_promoted and role[0] == "slave" and await in_sync(old)
