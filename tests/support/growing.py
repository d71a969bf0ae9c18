"""A cluster that fails over, and that grows by a shard, as its own commands do it."""

from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import all_serve
from loadprobe.local.cluster.layout import LocalShard
from loadprobe.local.cluster.membership import attach, launch
from loadprobe.local.cluster.node import LocalNode
from tests.support.running import close_slots, open_slots, until_true

MOVED = range(120)
"""Slots of the first shard that a new one is given: enough to hold some keys."""


async def fail_over(cluster: LocalCluster, shard: str) -> None:
    """Promote a replica by the servers' own command."""
    primary = await cluster.primary_of(shard)
    replica = next(n for n in cluster.shard(shard).nodes if n is not primary)
    await replica.command("CLUSTER", "FAILOVER")

    async def promoted() -> bool:
        return await cluster.primary_of(shard) is replica

    await until_true(promoted)


async def join_shard(cluster: LocalCluster) -> tuple[LocalNode, LocalNode]:
    """Add a primary without slots and its replica; return them."""
    shard = LocalShard(f"{len(cluster.shards) + 1:04d}", [])
    shard.nodes += [cluster.new_node(shard), cluster.new_node(shard)]
    primary, replica = shard.nodes
    await launch(cluster, shard.nodes)
    await attach(cluster, [replica], primary)
    await until_true(lambda: all_serve([primary]))
    return primary, replica


async def take_slots(cluster: LocalCluster, primary: LocalNode) -> None:
    """Have a new primary take slots of the first shard, with their keys."""
    owner = await cluster.primary_of("0001")
    await open_slots(MOVED, cluster, owner, primary)
    await close_slots(MOVED, cluster, owner, primary)
