"""TestFailover and RebootCacheCluster."""

from typing import Any

from loadprobe.errors import LoadprobeError
from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.failover import fail_over
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import CACHE_NODE_ID, ReplicationGroup
from loadprobe.local.api.operations.describe import group_of_node
from loadprobe.local.api.operations.rules import bad_combination, bad_value
from loadprobe.local.api.plane import Plane
from loadprobe.local.api.rendering import describe_group, describe_node
from loadprobe.local.cluster.layout import LocalShard


async def test_failover(plane: Plane, params: Params) -> dict[str, Any]:
    """TestFailover: accepted at once and performed in the background."""
    group = plane.group(params["ReplicationGroupId"])
    shard = group.shard(params["NodeGroupId"])
    if len(shard.nodes) < 2:
        raise _not_available(
            f"Node group {shard.node_group_id} has no replica to fail over to."
        )
    if not (group.automatic_failover or group.cluster.cluster_mode):
        raise _not_available("Automatic failover is disabled.")
    if group.is_failing_over:
        raise _not_available(
            "The previous node replacement in this replication group has not completed."
        )
    group.require_available()
    plane.count_failover()
    plane.add_group_event(
        group, f"Test Failover API called for node group {shard.node_group_id}"
    )
    group.replacing = plane.spawn(
        _fail_over(plane, group, shard), what=f"failover of {shard.node_group_id}"
    )
    return {"ReplicationGroup": await describe_group(group)}


async def reboot_cache_cluster(plane: Plane, params: Params) -> dict[str, Any]:
    """RebootCacheCluster: a crash and a start; not with cluster mode enabled.

    Nothing is saved to disk: a primary comes back empty, as on AWS, and so do then
    its replicas.
    """
    name = params["CacheClusterId"]
    group = group_of_node(plane, name)
    if group.cluster.cluster_mode:
        raise bad_combination(
            "Rebooting a node is not supported with cluster mode enabled."
        )
    if params["CacheNodeIdsToReboot"] != [CACHE_NODE_ID]:
        raise bad_value(f"CacheNodeIdsToReboot must be [{CACHE_NODE_ID!r}].")
    group.require_available()
    (shard,) = group.cluster.shards
    node = next(node for node in shard.nodes if node.name == name)

    async def perform(_change: Change) -> None:
        await node.kill()
        plane.add_event("cache-cluster", name, f"Cache node {CACHE_NODE_ID} shutdown")
        await node.start()
        plane.add_event("cache-cluster", name, f"Cache node {CACHE_NODE_ID} restarted")

    change = Change(
        "RebootCacheCluster",
        perform,
        status="rebooting cluster nodes",
        nodes=frozenset({name}),
    )
    plane.begin(group, change)
    return {"CacheCluster": describe_node(group, shard, node, with_nodes=False)}


async def _fail_over(plane: Plane, group: ReplicationGroup, shard: LocalShard) -> None:
    try:
        await fail_over(plane, group, shard)
    except LoadprobeError as exc:
        plane.add_group_event(
            group,
            f"Test Failover of node group {shard.node_group_id} failed: {exc}",
        )
        raise


def _not_available(text: str) -> ApiFault:
    return ApiFault("TestFailoverNotAvailableFault", text)
