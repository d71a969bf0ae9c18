"""The operations that only look."""

import asyncio
from typing import Any

from loadprobe.errors import PreflightError
from loadprobe.local.api.codec import Params
from loadprobe.local.api.events import event_filter
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.node_types import larger_types, smaller_types
from loadprobe.local.api.operations.paging import marker, max_records, page
from loadprobe.local.api.operations.rules import ENGINES, bad_combination
from loadprobe.local.api.plane import Plane, now
from loadprobe.local.api.rendering import describe_group, describe_node
from loadprobe.local.cluster.servers import ServerBinary, find_engine


async def describe_replication_groups(plane: Plane, params: Params) -> dict[str, Any]:
    """DescribeReplicationGroups."""
    group_id = params.get("ReplicationGroupId")
    groups = (
        list(plane.groups.values()) if group_id is None else [plane.group(group_id)]
    )
    shown, following = page(groups, params)
    described = [await describe_group(group) for group in shown]
    return {"ReplicationGroups": described} | following


async def describe_cache_clusters(plane: Plane, params: Params) -> dict[str, Any]:
    """DescribeCacheClusters: every node of every group is a cache cluster."""
    wanted = params.get("CacheClusterId")
    members = [
        (group, shard, node)
        for group in plane.groups.values()
        for shard in group.cluster.shards
        for node in shard.nodes
        if wanted in (None, node.name)
    ]
    if wanted is not None and not members:
        raise ApiFault("CacheClusterNotFound", f"CacheCluster not found: {wanted}")
    if params.get("ShowCacheClustersNotInReplicationGroups"):
        members = []
    shown, following = page(members, params)
    with_nodes = params.get("ShowCacheNodeInfo", False)
    described = [
        describe_node(group, shard, node, with_nodes=with_nodes)
        for group, shard, node in shown
    ]
    return {"CacheClusters": described} | following


async def describe_events(plane: Plane, params: Params) -> dict[str, Any]:
    """DescribeEvents, oldest first; a marker is the number of the last event shown."""
    moment = now()
    wanted = event_filter(
        source_identifier=params.get("SourceIdentifier"),
        source_type=params.get("SourceType"),
        start=params.get("StartTime"),
        end=params.get("EndTime"),
        duration_min=params.get("Duration"),
        after_number=marker(params),
        now=moment,
    )
    found = plane.events.find(wanted, now=moment)
    most = max_records(params)
    shown = found[:most]
    described = [
        {
            "SourceIdentifier": event.source_identifier,
            "SourceType": event.source_type,
            "Message": event.message,
            "Date": event.date,
        }
        for event in shown
    ]
    following = {"Marker": str(shown[-1].number)} if len(found) > most else {}
    return {"Events": described} | following


async def describe_cache_engine_versions(
    _plane: Plane, params: Params
) -> dict[str, Any]:
    """DescribeCacheEngineVersions: the newest server of each engine found here."""
    servers = await asyncio.to_thread(_found_servers)
    wanted = {
        "Engine": params.get("Engine"),
        "EngineVersion": params.get("EngineVersion"),
        "CacheParameterGroupFamily": params.get("CacheParameterGroupFamily"),
    }
    described = [
        version
        for version in map(_engine_version, servers)
        if all(asked in (None, version[name]) for name, asked in wanted.items())
    ]
    shown, following = page(described, params)
    return {"CacheEngineVersions": list(shown)} | following


async def list_allowed_node_type_modifications(
    plane: Plane, params: Params
) -> dict[str, Any]:
    """ListAllowedNodeTypeModifications: every other type, by its place in the list."""
    group_id, node = params.get("ReplicationGroupId"), params.get("CacheClusterId")
    if (group_id is None) == (node is None):
        raise bad_combination("Give either ReplicationGroupId or CacheClusterId.")
    group = plane.group(group_id) if group_id else group_of_node(plane, str(node))
    return {
        "ScaleUpModifications": larger_types(group.node_type),
        "ScaleDownModifications": smaller_types(group.node_type),
    }


def group_of_node(plane: Plane, name: str) -> ReplicationGroup:
    """Return the group of a node, or raise the API's fault."""
    for group in plane.groups.values():
        if any(node.name == name for node in group.cluster.nodes):
            return group
    raise ApiFault("CacheClusterNotFound", f"CacheCluster not found: {name}")


def _found_servers() -> list[ServerBinary]:
    found = []
    for engine in ENGINES:
        try:
            found.append(find_engine(engine, None))
        except PreflightError:
            continue
    return found


def _engine_version(server: ServerBinary) -> dict[str, Any]:
    tls = "with TLS" if server.has_tls else "without TLS"
    return {
        "Engine": server.engine,
        "EngineVersion": server.version,
        "CacheParameterGroupFamily": server.engine + server.version.partition(".")[0],
        "CacheEngineDescription": server.engine.capitalize(),
        "CacheEngineVersionDescription": f"{server.engine} {server.version}, {tls}",
    }
