"""Add nodes to a running cluster, and take them away.

A node belongs to the cluster object from the moment it is made, so whatever fails or
is cancelled, its process ends with the cluster.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import hiredis

from loadprobe.errors import RunError, UsageError
from loadprobe.local.cluster.admin import ServerGone
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import agreed, join, start_all, until, within
from loadprobe.local.cluster.layout import LocalShard, parse_nodes
from loadprobe.local.cluster.node import LocalNode

_JOIN_TIMEOUT_S = 40.0
_SYNC_TIMEOUT_S = 60.0
_LINGER_S = 0.5


async def add_replica(cluster: LocalCluster, shard: LocalShard) -> LocalNode:
    """Start a node and return it once it is a replica in sync, known to all.

    Raises:
        RunError: it did not come to that; the new node is gone again.
    """
    primary = await cluster.primary_of(shard.node_group_id)
    node = cluster.new_node(shard)
    async with undone_on_failure(
        cluster, [node], what=f"adding a replica to node group {shard.node_group_id}"
    ):
        await launch(cluster, [node])
        await attach(cluster, [node], primary)
        await cluster.set_node_timeout([node])
    shard.nodes.append(node)
    return node


async def remove_replica(
    cluster: LocalCluster, shard: LocalShard, node: LocalNode
) -> None:
    """Make the cluster forget a replica, and end it.

    Raises:
        UsageError: the node is the shard's primary, or not of that shard.
        RunError: another node refused to forget it; it is still there.
    """
    what = f"removing {node.name} from node group {shard.node_group_id}"
    if node not in shard.nodes:
        known = ", ".join(each.name for each in shard.nodes)
        raise UsageError(f"{what}: its nodes are {known}")
    if node is await cluster.primary_of(shard.node_group_id):
        raise UsageError(f"{what}: it is the primary; name a replica")
    await forget(cluster, [node])
    shard.nodes.remove(node)
    await cluster.retire(node)


async def launch(cluster: LocalCluster, nodes: Sequence[LocalNode]) -> None:
    """Start nodes; with cluster mode they are empty primaries that all know.

    They have a short node timeout, so that news of them spread fast; give them that of
    the cluster when they have their place (``LocalCluster.set_node_timeout``).

    Raises:
        RunError: one did not start, or they did not get to know each other.
    """
    members = [node for node in cluster.live_nodes if node not in nodes]
    await start_all(nodes)
    if cluster.cluster_mode:
        await join(nodes, members, timeout_s=_JOIN_TIMEOUT_S)


async def attach(
    cluster: LocalCluster, replicas: Sequence[LocalNode], primary: LocalNode
) -> None:
    """Make nodes replicas of a primary; return when they are in sync, known to all.

    Raises:
        RunError: that was not so in time.
    """
    await replicate(cluster, replicas, primary)
    await synced(cluster, replicas, primary)


async def replicate(
    cluster: LocalCluster, replicas: Sequence[LocalNode], primary: LocalNode
) -> None:
    """Make nodes replicas of a primary, without waiting for their data."""
    for replica in replicas:
        if cluster.cluster_mode:
            await replica.command("CLUSTER", "REPLICATE", primary.node_id)
        else:
            await cluster.follow(replica, primary)


async def synced(
    cluster: LocalCluster, replicas: Sequence[LocalNode], primary: LocalNode
) -> None:
    """Wait until replicas of a primary are in sync, and until all nodes know it.

    Raises:
        RunError: that was not so in time.
    """
    for replica in replicas:
        async with within(
            _SYNC_TIMEOUT_S, what=f"{replica.name} in sync with {primary.name}"
        ):
            await until(lambda replica=replica: follows(replica, primary))  # type: ignore[misc]
    if cluster.cluster_mode:
        await agreed(lambda: cluster.live_nodes, timeout_s=_JOIN_TIMEOUT_S)
        async with within(_JOIN_TIMEOUT_S, what="all nodes tell clients of it"):
            await until(lambda: _is_told(replicas, primary))


async def follows(replica: LocalNode, primary: LocalNode) -> bool:
    """Tell whether a node is a replica of another one, with the link up."""
    replication = await replica.info("replication")
    ports = {str(primary.ports.plain), str(primary.ports.tls)}
    return (
        replication.get("master_host") == primary.host
        and replication.get("master_port") in ports
        and replication.get("master_link_status") == "up"
    )


async def forget(cluster: LocalCluster, gone: Sequence[LocalNode]) -> None:
    """Make all other live nodes forget some nodes; their processes go on.

    Raises:
        RunError: a node refused.
    """
    if not cluster.cluster_mode:
        return
    commands = [("CLUSTER", "FORGET", node.node_id) for node in gone if node.node_id]
    for node in cluster.live_nodes:
        if node in gone or not commands:
            continue
        for reply in await node.pipeline(list(commands)):
            if isinstance(reply, hiredis.ReplyError) and "Unknown" not in str(reply):
                names = ", ".join(each.name for each in gone)
                raise RunError(f"{node.name} refused to forget {names}: {reply}")


async def part_with(cluster: LocalCluster, gone: Sequence[LocalNode]) -> None:
    """End nodes that hold no data any more; all others forget them.

    They live on for a moment: clients with an old view get a redirect from them rather
    than a reset.

    Raises:
        RunError: a node refused to forget them.
    """
    await asyncio.sleep(_LINGER_S)
    await forget(cluster, gone)
    await cluster.retire(*gone)


@asynccontextmanager
async def undone_on_failure(
    cluster: LocalCluster, nodes: Sequence[LocalNode], *, what: str
) -> AsyncIterator[None]:
    """End new nodes, and make all forget them, when the block fails.

    Args:
        cluster: their cluster.
        nodes: nodes that nobody depends on yet.
        what: what is being done, for the error text.

    Raises:
        RunError: what the block raised, saying that nothing was changed.
    """
    try:
        yield
    except BaseException as exc:
        for node in nodes:
            node.signal_kill()
        with suppress(RunError):
            await forget(cluster, nodes)
        await cluster.retire(*nodes)
        if isinstance(exc, RunError):
            raise RunError(f"{what}: {exc}; the cluster is as it was before") from exc
        raise


async def _is_told(replicas: Sequence[LocalNode], primary: LocalNode) -> bool:
    """Tell whether clients are told of replicas: not before their offset is known."""
    lines = parse_nodes(await primary.command("CLUSTER", "NODES"))
    if not next(line for line in lines if "myself" in line.flags).slots:
        return True
    try:
        slots = await primary.command("CLUSTER", "SLOTS")
    except ServerGone:
        return False
    told = {member[2] for owned in slots for member in owned[2:]}
    return told >= {replica.node_id for replica in replicas}
