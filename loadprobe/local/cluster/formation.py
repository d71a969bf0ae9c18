"""Turn started servers into a cluster, fast.

Every node meets every other one: with a star of MEETs the rest is found by gossip,
whose pace follows cluster-node-timeout. The floor is 2 s: a primary refuses writes
that long after its start (redis 7.0.15, redis 8.2.3, valkey 9.1.2, observed).
"""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from loadprobe.errors import RunError
from loadprobe.local.cluster.admin import ServerGone, ServerRefused
from loadprobe.local.cluster.layout import DOUBTS, LocalShard, is_whole, parse_nodes
from loadprobe.local.cluster.node import LocalNode

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


async def start_all(nodes: Sequence[LocalNode]) -> None:
    """Start nodes at the same time.

    Raises:
        RunError: the first that did not come up.
    """
    try:
        async with asyncio.TaskGroup() as starting:
            for node in nodes:
                starting.create_task(node.start())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def join(
    newcomers: Sequence[LocalNode], members: Sequence[LocalNode], *, timeout_s: float
) -> None:
    """Make started nodes known to the nodes of a cluster, and the other way round.

    Raises:
        RunError: that was not so within ``timeout_s`` seconds.
    """
    for node in newcomers:
        node.node_id = await _node_id(node)
    for index, node in enumerate(newcomers):
        for other in (*members, *newcomers[index + 1 :]):
            await meet(node, other)
    names = ", ".join(node.name for node in newcomers)
    async with within(timeout_s, what=f"{names} and the other nodes know each other"):
        everyone = [*members, *newcomers]
        await until(lambda: _know_each_other(everyone))


async def agree(nodes: Sequence[LocalNode]) -> bool:
    """Tell whether live nodes see the same roles and slots, and no doubt about any."""
    try:
        views = await _each(nodes, lambda node: _view(node, nodes))
    except (ServerGone, ServerRefused):
        return False
    return None not in views and len(set(views)) == 1


async def agreed(nodes: Callable[[], Sequence[LocalNode]], *, timeout_s: float) -> None:
    """Wait until live nodes see the same roles and slots.

    Args:
        nodes: returns the live nodes.
        timeout_s: the limit in seconds.

    Raises:
        RunError: they do not in time; the text says what each of them sees.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await until(lambda: agree(nodes()))
    except TimeoutError as exc:
        views = "\n".join(await _each(nodes(), _shown))
        raise RunError(
            f"not so within {timeout_s:g} s: all nodes see the same owners; they see:\n"
            f"{views}"
        ) from exc


async def _shown(node: LocalNode) -> str:
    """Return how a node sees the cluster, one line for each node, for people."""
    try:
        text = str(await node.command("CLUSTER", "NODES")).strip()
    except (ServerGone, ServerRefused) as exc:
        text = str(exc)
    return f"{node.name}:\n" + textwrap.indent(text, "  ")


async def all_serve(nodes: Sequence[LocalNode]) -> bool:
    """Tell whether nodes take commands: a new primary does not, for 2 s."""
    states = await _each(nodes, lambda node: node.cluster_info())
    return all(state["cluster_state"] == "ok" for state in states)


@asynccontextmanager
async def within(timeout_s: float, *, what: str) -> AsyncIterator[None]:
    """Limit the time of a block.

    Args:
        timeout_s: the limit in seconds.
        what: what should hold at its end, for the error text.

    Raises:
        RunError: the time was over.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as exc:
        raise RunError(f"not so within {timeout_s:g} s: {what}") from exc


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
    if not is_whole(state, lines, nodes=len(nodes), replicas=replicas):
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


async def _know_each_other(nodes: Sequence[LocalNode]) -> bool:
    wanted = {node.node_id for node in nodes}

    async def knows(node: LocalNode) -> bool:
        lines = parse_nodes(await node.command("CLUSTER", "NODES"))
        known = {line.node_id for line in lines if not line.flags & DOUBTS}
        return known >= wanted

    return all(await _each(nodes, knows))


async def _view(
    node: LocalNode, nodes: Sequence[LocalNode]
) -> frozenset[tuple[object, ...]] | None:
    """Return who owns what, as a node sees it, or None if it is in doubt."""
    wanted = {each.node_id for each in nodes}
    text = await node.command("CLUSTER", "NODES")
    lines = [line for line in parse_nodes(text) if line.node_id in wanted]
    if len(lines) < len(wanted) or any(line.flags & DOUBTS for line in lines):
        return None
    return frozenset((line.node_id, line.primary_id, line.slots) for line in lines)


async def _node_id(node: LocalNode) -> str:
    return str(await node.command("CLUSTER", "MYID"))


async def _each(
    nodes: Sequence[LocalNode], ask: Callable[[LocalNode], Awaitable[_T]]
) -> list[_T]:
    return list(await asyncio.gather(*(ask(node) for node in nodes)))
