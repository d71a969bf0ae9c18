"""TestFailover: the primary crashes, a replica takes over, the old one returns.

Order and texts of the events are those AWS documents for "Testing automatic failover".
The surviving primaries elect a replica by themselves where they have a majority
(three shards or more). With two shards they never do: after ``detect_s`` the control
plane promotes the replica that has received most.
"""

import asyncio

from loadprobe.errors import RunError
from loadprobe.local.api.groups import CACHE_NODE_ID, ReplicationGroup
from loadprobe.local.api.plane import Plane
from loadprobe.local.cluster.admin import ServerGone, ServerRefused
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.layout import LocalShard, parse_nodes
from loadprobe.local.cluster.membership import follows
from loadprobe.local.cluster.node import LocalNode

_POLL_S = 0.02
_TAKEOVER_TIMEOUT_S = 15.0
_RECOVERY_TIMEOUT_S = 60.0


async def fail_over(plane: Plane, group: ReplicationGroup, shard: LocalShard) -> None:
    """Crash the primary of a shard and see the shard through to full recovery.

    Raises:
        RunError: there was no primary to crash, no replica to promote, or a step did
            not complete in time.
    """
    cluster = group.cluster
    old = await cluster.primary_of(shard.node_group_id)
    await old.kill()
    try:
        new = await _promoted(cluster, shard, within_s=plane.knobs.detect_s)
        if new is None:
            new = await _promote(cluster, shard)
    except RunError:
        await old.start()  # nobody took over: it comes back as what it was
        raise
    done = f"Failover from primary node {old.name} to replica node {new.name} completed"
    plane.add_event("cache-cluster", old.name, done)
    plane.add_event("replication-group", group.group_id, done)
    plane.add_event(
        "cache-cluster", old.name, f"Recovering cache nodes {CACHE_NODE_ID}"
    )
    if not cluster.cluster_mode:
        await cluster.follow(old, new)
        await _wait_for_names(group, old, ttl_s=plane.knobs.endpoint_ttl_s)
    await _return_as_replica(cluster, old, new)
    plane.add_event(
        "cache-cluster", old.name, f"Finished recovery for cache nodes {CACHE_NODE_ID}"
    )


async def _promoted(
    cluster: LocalCluster, shard: LocalShard, *, within_s: float
) -> LocalNode | None:
    """Wait until a live node of the shard is a primary that serves, or None."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                new = await cluster.find_primary(shard)
                if new is not None and await _serves(cluster, new):
                    return new
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        return None


async def _serves(cluster: LocalCluster, node: LocalNode) -> bool:
    if not cluster.cluster_mode:
        return True
    try:
        return (await node.cluster_info())["cluster_state"] == "ok"
    except (ServerGone, ServerRefused):
        return False


async def _promote(cluster: LocalCluster, shard: LocalShard) -> LocalNode:
    """Promote the replica with the highest replication offset, without a vote."""
    if await cluster.find_primary(shard) is None:
        try:
            await _force(cluster, shard)
        except ServerRefused:
            # A late election may have been won a moment ago.
            if await cluster.find_primary(shard) is None:
                raise
    new = await _promoted(cluster, shard, within_s=_TAKEOVER_TIMEOUT_S)
    if new is None:
        raise RunError(
            f"a replica of node group {shard.node_group_id} was promoted and does "
            f"not serve within {_TAKEOVER_TIMEOUT_S:g} s"
        )
    return new


async def _force(cluster: LocalCluster, shard: LocalShard) -> None:
    replicas = [node for node in shard.nodes if node.is_responsive]
    if not replicas:
        raise RunError(f"no live replica to promote in {shard.node_group_id}")
    offsets = [await _offset(node) for node in replicas]
    best = replicas[offsets.index(max(offsets))]
    if cluster.cluster_mode:
        await best.command("CLUSTER", "FAILOVER", "TAKEOVER")
    else:
        await _promote_standalone(cluster, best, replicas)


async def _offset(replica: LocalNode) -> int:
    """Return how much a replica has received, in bytes.

    INFO, not ROLE: without a link ROLE says -1 (redis 7.0.15, observed).
    """
    return int((await replica.info("replication")).get("slave_repl_offset", -1))


async def _promote_standalone(
    cluster: LocalCluster, best: LocalNode, replicas: list[LocalNode]
) -> None:
    best.settings.pop("replicaof", None)
    await best.command("REPLICAOF", "NO", "ONE")
    for replica in replicas:
        if replica is not best:
            await cluster.follow(replica, best)


async def _wait_for_names(
    group: ReplicationGroup, old: LocalNode, *, ttl_s: float
) -> None:
    """Wait until no name points to a node any more, nor an answer that may be kept.

    On AWS a node is replaced in minutes, and until it is in step it answers reads by
    what it has: as if no key existed, or by an old file.

    Raises:
        RunError: a name still points there after a minute.
    """
    if group.endpoints is None:
        return
    try:
        async with asyncio.timeout(_RECOVERY_TIMEOUT_S):
            while group.endpoints.point_to(old):
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise RunError(
            f"names of group {group.group_id} still point to {old.name}, which is "
            f"down, after {_RECOVERY_TIMEOUT_S:g} s"
        ) from None
    await asyncio.sleep(ttl_s)


async def _return_as_replica(
    cluster: LocalCluster, old: LocalNode, new: LocalNode
) -> None:
    """Start the old primary again; it finds out by itself that it lost its slots."""
    await old.start()
    try:
        async with asyncio.timeout(_RECOVERY_TIMEOUT_S):
            while not await _is_recovered(cluster, old, new):
                await asyncio.sleep(_POLL_S)
    except TimeoutError as exc:
        raise RunError(
            f"{old.name} did not come back as a replica of {new.name} within "
            f"{_RECOVERY_TIMEOUT_S:g} s; its log ends with:\n{old.log_tail()}"
        ) from exc


async def _is_recovered(cluster: LocalCluster, old: LocalNode, new: LocalNode) -> bool:
    try:
        return await _is_replica_of(old, new) and await _is_accepted(cluster, old)
    except ServerGone:  # some other node is being stopped just now
        return False


async def _is_replica_of(old: LocalNode, new: LocalNode) -> bool:
    return await follows(old, new)


async def _is_accepted(cluster: LocalCluster, old: LocalNode) -> bool:
    """Tell whether every live node sees the old primary as a healthy replica."""
    if not cluster.cluster_mode:
        return True
    for node in cluster.nodes:
        if node.is_responsive:
            lines = parse_nodes(await node.command("CLUSTER", "NODES"))
            flags = {line.node_id: line.flags for line in lines}[old.node_id]
            if "slave" not in flags or flags & {"fail", "fail?"}:
                return False
    return True
