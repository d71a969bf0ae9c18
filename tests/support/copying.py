"""Texts copied from one server to a cluster, for tests of migrations."""

from collections.abc import Mapping

from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode


async def keys_of(node: LocalNode, pattern: str = "*") -> list[str]:
    """Return the names of keys."""
    return sorted(await node.command("KEYS", pattern))


async def values_of(node: LocalNode) -> dict[str, str]:
    """Return all texts of a node, by key."""
    names = await keys_of(node)
    values = await node.pipeline([("GET", name) for name in names])
    return dict(zip(names, values, strict=True))


async def copy_keys(cluster: LocalCluster, values: Mapping[str, str]) -> None:
    """Write texts into a cluster, each where it belongs."""
    slots = dict(
        zip(
            values,
            await cluster.nodes[0].pipeline(
                [("CLUSTER", "KEYSLOT", name) for name in values]
            ),
            strict=True,
        )
    )
    for shard in cluster.shards:
        own = [
            k for k in values if any(r.first <= slots[k] <= r.last for r in shard.slots)
        ]
        replies = await shard.nodes[0].pipeline([("SET", k, values[k]) for k in own])
        assert set(replies) <= {"OK"}
