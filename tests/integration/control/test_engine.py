"""The topology watch tells which engine the target runs."""

import asyncio

from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.running import target_of, until


async def test_the_watch_knows_the_engine() -> None:
    """It is named as the server names itself, with its version."""
    async with LocalCluster(shards=1, replicas_per_shard=0, tls=False) as cluster:
        info = await cluster.nodes[0].info("server")
        name = "valkey" if "valkey_version" in info else "redis"
        watch = TopologyWatch(target_of(cluster), lambda _: None, tls=False)
        watching = asyncio.create_task(watch.run())
        await until(lambda: bool(watch.engine), what="an engine")
        watching.cancel()
        assert watch.engine == f"{name} {info[f'{name}_version']}"
