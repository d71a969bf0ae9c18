"""A cluster that is filled from RDB files."""

from pathlib import Path

import pytest

from loadprobe.errors import RunError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.seeding import seed, slot_of


async def test_seed() -> None:
    """Every type arrives, binary or not, with its time to live, where it belongs."""
    async with LocalCluster(
        shards=1, replicas_per_shard=0, cluster_mode=False, tls=False
    ) as source:
        (node,) = source.nodes
        names = [f"key:{number}" for number in range(50)]
        await node.pipeline([("SET", name, name) for name in names])
        await node.command("SET", "{tag}\udcff\r\n", "\udc80\udcff binary")
        await node.command("SET", "short", "lived", "PX", 600_000)
        await node.command("HSET", "hash", "a", "1")
        await node.command("ZADD", "set", "1.5", "one")
        await node.command("SAVE")
        file = node.folder / "dump.rdb"
        async with LocalCluster(shards=2, replicas_per_shard=0) as cluster:
            assert await seed(cluster, [file]) == 54
            first, second = cluster.nodes
            sizes = [int(await each.command("DBSIZE")) for each in (first, second)]
            found = []
            for name in (*names, "{tag}\udcff\r\n", "short"):
                slot = slot_of(name.encode("utf-8", "surrogateescape"))
                assert slot == await first.command("CLUSTER", "KEYSLOT", name)
                owned = cluster.shards[0].slots[0]
                owner = first if slot <= owned.last else second
                found.append(await owner.command("GET", name))
                if name == "short":
                    assert 0 < await owner.command("PTTL", name) <= 600_000
    assert found == [*names, "\udc80\udcff binary", "lived"]
    assert sum(sizes) == 54
    assert min(sizes) > 0


async def test_a_file_that_is_none(tmp_path: Path) -> None:
    """It is said which, and why."""
    async with LocalCluster(
        shards=1, replicas_per_shard=0, cluster_mode=False, tls=False
    ) as cluster:
        with pytest.raises(RunError, match=r"nowhere\.rdb: No such file"):
            await seed(cluster, [tmp_path / "nowhere.rdb"])
