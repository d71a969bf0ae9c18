"""The operations the control plane performs, and the registry that names them.

An operation takes the plane and the typed parameters of its request, and returns the
members of its result; it raises ``ApiFault`` where AWS would refuse. To add one, write
the function and register it under its API name.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from loadprobe.local.api_codec import Params
from loadprobe.local.events import event_filter
from loadprobe.local.failover import fail_over
from loadprobe.local.faults import ApiFault
from loadprobe.local.groups import describe_group, describe_node, nodes_with_zones
from loadprobe.local.plane import Plane, now

Operation = Callable[[Plane, Params], Awaitable[dict[str, Any]]]

_T = TypeVar("_T")
_FEWEST_RECORDS, _MOST_RECORDS = 20, 100


async def describe_replication_groups(plane: Plane, params: Params) -> dict[str, Any]:
    """DescribeReplicationGroups."""
    group_id = params.get("ReplicationGroupId")
    groups = (
        list(plane.groups.values()) if group_id is None else [plane.group(group_id)]
    )
    page, marker = _page(groups, params)
    shown = [await describe_group(group) for group in page]
    return {"ReplicationGroups": shown} | marker


async def describe_cache_clusters(plane: Plane, params: Params) -> dict[str, Any]:
    """DescribeCacheClusters: every node of every group is a cache cluster."""
    wanted = params.get("CacheClusterId")
    members = [
        (group, node, zone)
        for group in plane.groups.values()
        for shard in group.cluster.shards
        for node, zone in nodes_with_zones(shard)
        if wanted in (None, node.name)
    ]
    if wanted is not None and not members:
        raise ApiFault("CacheClusterNotFound", f"CacheCluster not found: {wanted}")
    if params.get("ShowCacheClustersNotInReplicationGroups"):
        members = []
    page, marker = _page(members, params)
    with_nodes = params.get("ShowCacheNodeInfo", False)
    shown = [
        describe_node(group, node, zone=zone, with_nodes=with_nodes)
        for group, node, zone in page
    ]
    return {"CacheClusters": shown} | marker


async def describe_events(plane: Plane, params: Params) -> dict[str, Any]:
    """DescribeEvents, oldest first; a marker is the number of the last event shown."""
    moment = now()
    wanted = event_filter(
        source_identifier=params.get("SourceIdentifier"),
        source_type=params.get("SourceType"),
        start=params.get("StartTime"),
        end=params.get("EndTime"),
        duration_min=params.get("Duration"),
        after_number=_marker(params),
        now=moment,
    )
    found = plane.events.find(wanted, now=moment)
    most = _max_records(params)
    page = found[:most]
    shown = [
        {
            "SourceIdentifier": event.source_identifier,
            "SourceType": event.source_type,
            "Message": event.message,
            "Date": event.date,
        }
        for event in page
    ]
    marker = {"Marker": str(page[-1].number)} if len(found) > most else {}
    return {"Events": shown} | marker


async def test_failover(plane: Plane, params: Params) -> dict[str, Any]:
    """TestFailover: accepted at once and performed in the background."""
    group = plane.group(params["ReplicationGroupId"])
    node_group_id = params["NodeGroupId"]
    shards = {shard.node_group_id: shard for shard in group.cluster.shards}
    shard = shards.get(node_group_id)
    if shard is None:
        raise ApiFault(
            "NodeGroupNotFoundFault",
            f"Node group {node_group_id} not found in {group.group_id}.",
        )
    if len(shard.nodes) < 2:
        raise ApiFault(
            "TestFailoverNotAvailableFault",
            f"Node group {node_group_id} has no replica to fail over to.",
        )
    if group.replacing is not None and not group.replacing.done():
        raise ApiFault(
            "TestFailoverNotAvailableFault",
            "The previous node replacement in this replication group has not "
            "completed.",
        )
    if group.status != "available":
        raise ApiFault(
            "InvalidReplicationGroupState",
            f"Replication group {group.group_id} is {group.status}, not available.",
        )
    plane.count_failover()
    plane.add_event(
        "replication-group",
        group.group_id,
        f"Test Failover API called for node group {node_group_id}",
    )
    group.replacing = plane.spawn(
        fail_over(plane, group, shard), what=f"failover of {node_group_id}"
    )
    return {"ReplicationGroup": await describe_group(group)}


OPERATIONS: dict[str, Operation] = {
    "DescribeCacheClusters": describe_cache_clusters,
    "DescribeEvents": describe_events,
    "DescribeReplicationGroups": describe_replication_groups,
    "TestFailover": test_failover,
}


def _page(items: Sequence[_T], params: Params) -> tuple[Sequence[_T], dict[str, str]]:
    """Return one page of items; its marker is the position of the next one."""
    first, most = _marker(params), _max_records(params)
    after = first + most
    return items[first:after], {"Marker": str(after)} if after < len(items) else {}


def _marker(params: Params) -> int:
    marker = params.get("Marker") or "0"
    if not marker.isdecimal():
        raise ApiFault("InvalidParameterValue", f"Marker {marker!r} is not valid.")
    return int(marker)


def _max_records(params: Params) -> int:
    most = int(params.get("MaxRecords", _MOST_RECORDS))
    if not _FEWEST_RECORDS <= most <= _MOST_RECORDS:
        raise ApiFault(
            "InvalidParameterValue",
            f"MaxRecords is {most}: it must be {_FEWEST_RECORDS} to {_MOST_RECORDS}.",
        )
    return most
