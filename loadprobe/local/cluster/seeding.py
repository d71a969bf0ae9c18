"""A new cluster is filled with what RDB files hold, as a group is from snapshots.

A server of its own loads each file; its keys go to the nodes that own their slots.
"""

import shutil
from binascii import crc_hqx
from collections.abc import Sequence
from pathlib import Path

from loadprobe.errors import RunError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode

_AT_ONCE = 500
_SLOTS = 16_384


async def seed(cluster: LocalCluster, files: Sequence[Path]) -> int:
    """Load RDB files into a cluster; return how many keys they held.

    Only database 0 is looked at. Of a key in several files the last one counts.

    Raises:
        RunError: a file cannot be loaded, or a key cannot be written.
    """
    count = 0
    for file in files:
        async with LocalCluster(
            shards=1,
            replicas_per_shard=0,
            tls=False,
            cluster_mode=False,
            server=cluster.server.path,
            name="loader",
        ) as loader:
            (node,) = loader.nodes
            await node.kill()
            try:
                shutil.copy(file, node.folder / "dump.rdb")
            except OSError as exc:
                raise RunError(f"seeding from {file}: {exc.strerror}") from exc
            await node.start()
            count += await pour(node, cluster)
    return count


async def pour(loader: LocalNode, cluster: LocalCluster) -> int:
    """Write all keys of a server into a cluster; return how many they were.

    Raises:
        RunError: a key cannot be written.
    """
    owners = {
        shard.node_group_id: await cluster.primary_of(shard.node_group_id)
        for shard in cluster.shards
    }
    count, cursor = 0, "0"
    while True:
        cursor, names = await loader.command("SCAN", cursor, "COUNT", _AT_ONCE)
        asked = [(word, name) for name in names for word in ("PTTL", "DUMP")]
        replies = await loader.pipeline(list(asked)) if asked else []
        values = zip(names, replies[::2], replies[1::2], strict=True)
        by_node: dict[LocalNode, list[tuple[str | int, ...]]] = {}
        for name, ttl_ms, value in values:
            if value is not None:
                restore = ("RESTORE", name, max(0, int(ttl_ms)), value, "REPLACE")
                owner = owners[_owner(cluster, name)]
                by_node.setdefault(owner, []).append(restore)
                count += 1
        for node, commands in by_node.items():
            refused = set(await node.pipeline(commands)) - {"OK"}
            if refused:
                raise RunError(f"seeding {cluster.name}: {node.name} said {refused}")
        if cursor == "0":
            return count


def _owner(cluster: LocalCluster, name: str) -> str:
    """Return the node group of a key."""
    if not cluster.cluster_mode:
        return cluster.shards[0].node_group_id
    slot = slot_of(name.encode("utf-8", "surrogateescape"))
    return next(
        shard.node_group_id
        for shard in cluster.shards
        if any(owned.first <= slot <= owned.last for owned in shard.slots)
    )


def slot_of(key: bytes) -> int:
    """Return the hash slot of a key (redis.io, cluster specification)."""
    begin = key.find(b"{")
    end = key.find(b"}", begin + 1) if begin >= 0 else -1
    tag = key[begin + 1 : end] if end > begin + 1 else key
    return crc_hqx(tag, 0) % _SLOTS
