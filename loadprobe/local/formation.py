"""Turn started servers into a cluster, fast.

Every node meets every other one: with a star of MEETs the rest is found by gossip,
whose pace follows cluster-node-timeout. The floor is 2 s: a primary refuses writes
that long after its start (redis 7.0.15, redis 8.2.3, valkey 9.1.2, observed).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from loadprobe.errors import RunError
from loadprobe.local.admin import ServerGone, ServerRefused
from loadprobe.local.layout import LocalShard, is_settled, parse_nodes
from loadprobe.local.node import LocalNode

_T = TypeVar("_T")
_POLL_S = 0.03


async def form_cluster(shards: Sequence[LocalShard], *, timeout_s: float) -> None:
    """Join started nodes: the first node of a shard becomes its primary.

    Returns when every node sees a whole, healthy cluster and replicas are in sync.

    Raises:
        RunError: that was not so within ``timeout_s`` seconds.
    """
    nodes = [node for shard in shards for node in shard.nodes]
    for node, node_id in zip(nodes, await _each(nodes, _node_id), strict=True):
        node.node_id = node_id
    for epoch, node in enumerate(nodes, start=1):
        await node.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
    for shard in shards:
        for owned in shard.slots:
            await shard.nodes[0].command(
                "CLUSTER", "ADDSLOTSRANGE", owned.first, owned.last
            )
    for index, node in enumerate(nodes[:-1]):
        for other in nodes[index + 1 :]:
            await meet(node, other)
    try:
        async with asyncio.timeout(timeout_s):
            await until(lambda: _all_known(nodes))
            for shard in shards:
                for replica in shard.nodes[1:]:
                    await replica.command(
                        "CLUSTER", "REPLICATE", shard.nodes[0].node_id
                    )
            await until(lambda: is_healthy(nodes, replicas=len(nodes) - len(shards)))
    except TimeoutError as exc:
        tails = "\n".join(f"{node.name}: {node.log_tail()}" for node in nodes)
        raise RunError(
            f"forming a cluster of {len(nodes)} nodes: not ready in {timeout_s:g} s; "
            f"their logs end with:\n{tails}"
        ) from exc


async def meet(node: LocalNode, other: LocalNode) -> None:
    """Introduce two nodes to each other."""
    await node.command(
        "CLUSTER", "MEET", other.host, other.ports.plain, other.ports.bus
    )


async def is_healthy(nodes: Sequence[LocalNode], *, replicas: int) -> bool:
    """Tell whether all nodes agree on a whole cluster, with every replica in sync."""
    try:
        return all(await _each(nodes, lambda node: _sees_all(node, nodes, replicas)))
    except (ServerGone, ServerRefused):
        return False


async def in_sync(node: LocalNode) -> bool:
    """Tell whether a node is a primary, or a replica whose link is up."""
    replication = await node.info("replication")
    return (
        replication["role"] == "master" or replication.get("master_link_status") == "up"
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait, without a limit of its own, until a condition holds."""
    while not await condition():
        await asyncio.sleep(_POLL_S)


async def _sees_all(node: LocalNode, nodes: Sequence[LocalNode], replicas: int) -> bool:
    lines = parse_nodes(await node.command("CLUSTER", "NODES"))
    state = await node.cluster_info()
    if not is_settled(state, lines, nodes=len(nodes), replicas=replicas):
        return False
    # What clients are told: a replica is listed once its offset is known there.
    slots = await node.command("CLUSTER", "SLOTS")
    told = {member[2] for owned in slots for member in owned[2:]}
    return len(told) == len(nodes) and await in_sync(node)


async def _all_known(nodes: Sequence[LocalNode]) -> bool:
    async def knows_all(node: LocalNode) -> bool:
        lines = parse_nodes(await node.command("CLUSTER", "NODES"))
        handshaking = any("handshake" in line.flags for line in lines)
        return len(lines) == len(nodes) and not handshaking

    return all(await _each(nodes, knows_all))


async def _node_id(node: LocalNode) -> str:
    return str(await node.command("CLUSTER", "MYID"))


async def _each(
    nodes: Sequence[LocalNode], ask: Callable[[LocalNode], Awaitable[_T]]
) -> list[_T]:
    return list(await asyncio.gather(*(ask(node) for node in nodes)))
