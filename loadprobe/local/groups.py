"""A replication group: a local cluster plus what the API says about it.

Rendering only reads; the operations change a group.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loadprobe.local.cluster import LocalCluster
from loadprobe.local.layout import LocalShard
from loadprobe.local.node import LocalNode

REGION = "us-east-1"
ACCOUNT = "000000000000"
CACHE_NODE_ID = "0001"
_ZONES = tuple(f"{REGION}{letter}" for letter in "abc")


@dataclass(slots=True)
class ReplicationGroup:
    """One group.

    Args:
        group_id: ReplicationGroupId.
        cluster: the servers.
        created: ReplicationGroupCreateTime.
        description: Description.
        status: Status.
        pending: PendingModifiedValues.
        node_type: CacheNodeType: a label, the servers do not change with it.
        replacing: the node replacement under way, if any.
    """

    group_id: str
    cluster: LocalCluster
    created: datetime
    description: str = "local cluster"
    status: str = "available"
    pending: dict[str, Any] = field(default_factory=dict)
    node_type: str = "cache.t4g.micro"
    replacing: asyncio.Task[None] | None = None

    @property
    def transit_encryption_mode(self) -> str | None:
        """TransitEncryptionMode: both kinds of port are served, so "preferred"."""
        return "preferred" if self.cluster.tls else None


async def describe_group(group: ReplicationGroup) -> dict[str, Any]:
    """Return the API's ReplicationGroup."""
    cluster = group.cluster
    has_replicas = any(len(shard.nodes) > 1 for shard in cluster.shards)
    described: dict[str, Any] = {
        "ReplicationGroupId": group.group_id,
        "Description": group.description,
        "Status": group.status,
        "ARN": _arn("replicationgroup", group.group_id),
        "Engine": cluster.server.engine,
        "ClusterEnabled": cluster.cluster_mode,
        "ClusterMode": "enabled" if cluster.cluster_mode else "disabled",
        "CacheNodeType": group.node_type,
        "AutomaticFailover": "enabled" if has_replicas else "disabled",
        "MultiAZ": "enabled" if has_replicas else "disabled",
        "MemberClusters": [node.name for node in cluster.nodes],
        "NodeGroups": [await _node_group(group, shard) for shard in cluster.shards],
        "PendingModifiedValues": group.pending,
        "AuthTokenEnabled": cluster.password is not None,
        "AtRestEncryptionEnabled": False,
        "AutoMinorVersionUpgrade": False,
        "NetworkType": "ipv4",
        "IpDiscovery": "ipv4",
        "ReplicationGroupCreateTime": group.created,
        **_transit_encryption(group),
    }
    if cluster.cluster_mode:
        described["ConfigurationEndpoint"] = endpoint(group, cluster.endpoint)
    return described


def describe_node(
    group: ReplicationGroup, node: LocalNode, *, zone: str, with_nodes: bool
) -> dict[str, Any]:
    """Return the API's CacheCluster: one node of the group.

    Args:
        group: the node's group.
        node: the node.
        zone: its availability zone.
        with_nodes: add CacheNodes (the request's ShowCacheNodeInfo).
    """
    described: dict[str, Any] = {
        "CacheClusterId": node.name,
        "CacheClusterStatus": group.status,
        "CacheNodeType": group.node_type,
        "Engine": node.server.engine,
        "EngineVersion": node.server.version,
        "NumCacheNodes": 1,
        "PreferredAvailabilityZone": zone,
        "CacheClusterCreateTime": group.created,
        "PendingModifiedValues": {},
        "ReplicationGroupId": group.group_id,
        "ARN": _arn("cluster", node.name),
        "AuthTokenEnabled": group.cluster.password is not None,
        "AtRestEncryptionEnabled": False,
        "AutoMinorVersionUpgrade": False,
        "NetworkType": "ipv4",
        "IpDiscovery": "ipv4",
        **_transit_encryption(group),
    }
    if with_nodes:
        described["CacheNodes"] = [
            {
                "CacheNodeId": CACHE_NODE_ID,
                "CacheNodeStatus": group.status,
                "CacheNodeCreateTime": group.created,
                "Endpoint": endpoint(group, node),
                "ParameterGroupStatus": "in-sync",
                "CustomerAvailabilityZone": zone,
            }
        ]
    return described


def nodes_with_zones(shard: LocalShard) -> list[tuple[LocalNode, str]]:
    """Return the nodes of a shard, each with its (nominal) availability zone."""
    return [
        (node, _ZONES[index % len(_ZONES)]) for index, node in enumerate(shard.nodes)
    ]


def endpoint(group: ReplicationGroup, node: LocalNode) -> dict[str, Any]:
    """Return a node's Endpoint: the TLS port when TLS is on, as AWS returns it."""
    port = node.ports.tls if group.cluster.tls else node.ports.plain
    return {"Address": node.host, "Port": port}


async def _node_group(group: ReplicationGroup, shard: LocalShard) -> dict[str, Any]:
    """Return the API's NodeGroup; roles are shown for cluster mode disabled only."""
    described: dict[str, Any] = {
        "NodeGroupId": shard.node_group_id,
        "Status": group.status,
        "NodeGroupMembers": [
            {
                "CacheClusterId": node.name,
                "CacheNodeId": CACHE_NODE_ID,
                "PreferredAvailabilityZone": zone,
            }
            for node, zone in nodes_with_zones(shard)
        ],
    }
    if group.cluster.cluster_mode:
        described["Slots"] = ",".join(str(owned) for owned in shard.slots)
        return described
    primary = await group.cluster.find_primary(shard)
    for node, member in zip(shard.nodes, described["NodeGroupMembers"], strict=True):
        member["CurrentRole"] = "primary" if node is primary else "replica"
        member["ReadEndpoint"] = endpoint(group, node)
    if primary is not None:
        described["PrimaryEndpoint"] = endpoint(group, primary)
    replica = next((node for node in shard.nodes if node is not primary), primary)
    if replica is not None:
        described["ReaderEndpoint"] = endpoint(group, replica)
    return described


def _transit_encryption(group: ReplicationGroup) -> dict[str, Any]:
    mode = group.transit_encryption_mode
    if mode is None:
        return {"TransitEncryptionEnabled": False}
    return {"TransitEncryptionEnabled": True, "TransitEncryptionMode": mode}


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:elasticache:{REGION}:{ACCOUNT}:{kind}:{name}"
