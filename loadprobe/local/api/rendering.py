"""How the API shows a replication group and its nodes. Only reads."""

from typing import Any

from loadprobe.local.api.groups import CACHE_NODE_ID, NO_ENDPOINTS, ReplicationGroup
from loadprobe.local.cluster.layout import LocalShard
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.state import LocalGroupState

REGION = "us-east-1"
ACCOUNT = "000000000000"
_ZONES = tuple(f"{REGION}{letter}" for letter in "abc")


async def describe_group(group: ReplicationGroup) -> dict[str, Any]:
    """Return the API's ReplicationGroup."""
    cluster = group.cluster
    has_failover = cluster.cluster_mode or (
        group.automatic_failover and group.has_replicas
    )
    has_zones = group.multi_az and group.has_replicas
    described: dict[str, Any] = {
        "ReplicationGroupId": group.group_id,
        "Description": group.description,
        "Status": group.status,
        "ARN": group_arn(group),
        "Engine": group.engine,
        "ClusterEnabled": cluster.cluster_mode,
        "ClusterMode": "enabled" if cluster.cluster_mode else "disabled",
        "CacheNodeType": group.node_type,
        "AutomaticFailover": "enabled" if has_failover else "disabled",
        "MultiAZ": "enabled" if has_zones else "disabled",
        "MemberClusters": [node.name for node in cluster.nodes],
        "NodeGroups": [
            await _node_group(group, shard) for shard in list(cluster.shards)
        ],
        "PendingModifiedValues": group.pending,
        "ReplicationGroupCreateTime": group.created,
        **_common(group),
    }
    if cluster.cluster_mode and cluster.nodes and group.status not in NO_ENDPOINTS:
        described["ConfigurationEndpoint"] = endpoint(group, cluster.endpoint)
    return described


def describe_node(
    group: ReplicationGroup,
    shard: LocalShard,
    node: LocalNode,
    *,
    with_nodes: bool,
) -> dict[str, Any]:
    """Return the API's CacheCluster: one node of the group.

    Args:
        group: the node's group.
        shard: its node group.
        node: the node.
        with_nodes: add CacheNodes (the request's ShowCacheNodeInfo).
    """
    status = group.node_status(shard, node)
    described: dict[str, Any] = {
        "CacheClusterId": node.name,
        "CacheClusterStatus": status,
        "CacheNodeType": group.node_type_of(node),
        "Engine": node.server.engine,
        "EngineVersion": node.server.version,
        "NumCacheNodes": 1,
        "PreferredAvailabilityZone": zone_of(node),
        "CacheClusterCreateTime": group.created,
        "PendingModifiedValues": group.node_pending(shard, node),
        "ReplicationGroupId": group.group_id,
        "ARN": _arn("cluster", node.name),
        **_common(group),
    }
    if group.parameter_group is not None:
        described["CacheParameterGroup"] = {
            "CacheParameterGroupName": group.parameter_group,
            "ParameterApplyStatus": "in-sync",
            "CacheNodeIdsToReboot": [],
        }
    if group.maintenance_window is not None:
        described["PreferredMaintenanceWindow"] = group.maintenance_window
    if with_nodes:
        member = {
            "CacheNodeId": CACHE_NODE_ID,
            "CacheNodeStatus": status,
            "CacheNodeCreateTime": group.created,
            "ParameterGroupStatus": "in-sync",
            "CustomerAvailabilityZone": zone_of(node),
        }
        if status not in NO_ENDPOINTS:
            member["Endpoint"] = endpoint(group, node)
        described["CacheNodes"] = [member]
    return described


def group_arn(group: ReplicationGroup) -> str:
    """Return the ARN of a group, or of the cache it serves."""
    kind = "serverlesscache" if group.is_serverless else "replicationgroup"
    return _arn(kind, group.group_id)


def endpoint(group: ReplicationGroup, node: LocalNode) -> dict[str, Any]:
    """Return a node's Endpoint: the TLS port when TLS is on, as AWS returns it."""
    port = node.ports.plain if group.tls_mode == "none" else node.ports.tls
    host = node.host if group.endpoints is None else group.endpoints.of_node(node)
    return {"Address": host, "Port": port}


def zone_of(node: LocalNode) -> str:
    """Return the (nominal) availability zone of a node."""
    return _ZONES[(int(node.name[-3:]) - 1) % len(_ZONES)]


def group_state(group: ReplicationGroup) -> LocalGroupState:
    """Return what is to be known of a group in a few words."""
    cluster = group.cluster
    is_up = bool(cluster.nodes) and group.status not in NO_ENDPOINTS
    return LocalGroupState(
        group_id=group.group_id,
        status=group.status,
        engine=group.engine,
        cluster_mode=cluster.cluster_mode,
        tls_mode=group.tls_mode,
        shards=len(cluster.shards),
        nodes=len(cluster.nodes),
        host=cluster.host,
        port=endpoint(group, cluster.endpoint)["Port"] if is_up else None,
        ca_file=str(cluster.ca_file) if cluster.ca_file else None,
    )


async def _node_group(group: ReplicationGroup, shard: LocalShard) -> dict[str, Any]:
    """Return the API's NodeGroup; roles are shown for cluster mode disabled only."""
    nodes = list(shard.nodes)
    members: list[dict[str, Any]] = [
        {
            "CacheClusterId": node.name,
            "CacheNodeId": CACHE_NODE_ID,
            "PreferredAvailabilityZone": zone_of(node),
        }
        for node in nodes
    ]
    status = group.shard_status(shard)
    described: dict[str, Any] = {
        "NodeGroupId": shard.node_group_id,
        "Status": status,
        "NodeGroupMembers": members,
    }
    if group.cluster.cluster_mode:
        described["Slots"] = ",".join(str(owned) for owned in shard.slots)
        return described
    if status in NO_ENDPOINTS:
        return described
    primary = await group.cluster.find_primary(shard)
    for node, member in zip(nodes, members, strict=True):
        member["CurrentRole"] = "primary" if node is primary else "replica"
        member["ReadEndpoint"] = endpoint(group, node)
    assert group.endpoints is not None, "without cluster mode it has names"
    if nodes:
        ports = endpoint(group, nodes[0])  # all nodes have the same
        described["PrimaryEndpoint"] = ports | {"Address": group.endpoints.primary}
        described["ReaderEndpoint"] = ports | {"Address": group.endpoints.reader}
    return described


def _common(group: ReplicationGroup) -> dict[str, Any]:
    """Return what a group and each of its nodes have in common."""
    common: dict[str, Any] = {
        "AuthTokenEnabled": group.cluster.password is not None,
        "AtRestEncryptionEnabled": False,
        "AutoMinorVersionUpgrade": False,
        "NetworkType": "ipv4",
        "IpDiscovery": "ipv4",
        "TransitEncryptionEnabled": group.tls_mode != "none",
    }
    if group.tls_mode != "none":
        common["TransitEncryptionMode"] = group.tls_mode
    if group.token_changed is not None:
        common["AuthTokenLastModifiedDate"] = group.token_changed
    return common


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:elasticache:{REGION}:{ACCOUNT}:{kind}:{name}"
