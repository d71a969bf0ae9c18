"""Copies of a source, which may have several shards, until they are poured elsewhere.

A cluster cannot replicate from a server that is not in it. So each shard of the source
gets a server of its own here that does, and at the end all that they hold is written
into the cluster.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from loadprobe.errors import RunError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import until, within
from loadprobe.local.cluster.migration import (
    ask_source,
    check_version,
    has_received,
    mode_of,
    offset_of,
)
from loadprobe.local.cluster.node import LocalNode, parse_info
from loadprobe.local.cluster.seeding import pour

_SYNC_TIMEOUT_S = 30.0

Address = tuple[str, int]


class SourceCopies:
    """The copies of one source.

    Args:
        host: an endpoint of the source.
        port: its plaintext port.
        into: the cluster that is to have the data.
    """

    def __init__(self, host: str, port: int, into: LocalCluster) -> None:
        self._source = host, port
        self._into = into
        self._what = f"migrating from {host}:{port} into {into.name}"
        self._copies: list[tuple[Address, LocalCluster]] = []

    @property
    def clusters(self) -> list[LocalCluster]:
        """The servers that replicate, each a cluster of one."""
        return [cluster for _, cluster in self._copies]

    async def check(self) -> Sequence[Address]:
        """Return the primaries of the source.

        Raises:
            RunError: it cannot be followed; the text has the reason.
        """
        host, port = self._source
        (info,) = await ask_source(host, port, ("INFO",), what=self._what)
        theirs = parse_info(info)
        node = self._into.shards[0].nodes[0]
        ours = parse_info(await node.command("INFO", "server"))
        check_version(theirs, ours, self._what)
        if mode_of(theirs) != "cluster":
            return (self._source,)
        (rows,) = await ask_source(host, port, ("CLUSTER", "SLOTS"), what=self._what)
        found = {(str(row[2][0]) or host, int(row[2][1])) for row in rows}
        return sorted(found)

    async def start(self) -> None:
        """Replicate from the source from now on, and wait until all links are up.

        Raises:
            RunError: they are not.
        """
        try:
            for address in await self.check():
                copy = LocalCluster(
                    shards=1,
                    replicas_per_shard=0,
                    tls=False,
                    cluster_mode=False,
                    server=self._into.server.path,
                    name=f"{self._into.name}-copy",
                )
                self._copies.append((address, copy))
                await copy.__aenter__()
                (node,) = copy.nodes
                await node.command("REPLICAOF", *address)
            async with within(_SYNC_TIMEOUT_S, what=f"{self._what}: a first copy"):
                for _, copy in self._copies:
                    await until(partial(has_received, copy.nodes[0], 0))
        except BaseException:
            await asyncio.shield(self.end())
            raise

    async def hand_over(self, *, force: bool) -> int:
        """Write all that has arrived into the cluster, and end the copies.

        Args:
            force: do not wait for what the source holds now.

        Returns:
            How many keys they were.

        Raises:
            RunError: the source cannot be asked; it is followed still.
        """
        if not self._copies:
            raise RunError(f"{self._what}: nothing follows the source")
        if not force:
            for address, copy in self._copies:
                offset = await offset_of(*address, what=self._what)
                await until(partial(has_received, copy.nodes[0], offset))
        count = 0
        for _, copy in self._copies:
            node: LocalNode = copy.nodes[0]
            await node.command("REPLICAOF", "NO", "ONE")
            count += await pour(node, self._into)
        await self.end()
        return count

    async def end(self) -> None:
        """End the copies."""
        for cluster in self.clusters:
            await cluster.__aexit__(None, None, None)
        self._copies.clear()


async def clear(cluster: LocalCluster) -> None:
    """Delete all that a cluster holds."""
    for shard in cluster.shards:
        primary = await cluster.primary_of(shard.node_group_id)
        await primary.command("FLUSHALL")


async def is_empty(cluster: LocalCluster) -> bool:
    """Tell whether a cluster holds nothing."""
    for shard in cluster.shards:
        primary = await cluster.primary_of(shard.node_group_id)
        if await primary.command("DBSIZE"):
            return False
    return True
