"""IncreaseReplicaCount and DecreaseReplicaCount."""

import asyncio
from collections.abc import Mapping
from typing import Any

from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.operations.rules import (
    MOST_REPLICAS,
    bad_combination,
    bad_value,
    require_immediate,
)
from loadprobe.local.api.plane import Plane
from loadprobe.local.api.rendering import describe_group
from loadprobe.local.cluster.layout import LocalShard
from loadprobe.local.cluster.membership import add_replica, remove_replica
from loadprobe.local.cluster.node import LocalNode


async def increase_replica_count(plane: Plane, params: Params) -> dict[str, Any]:
    """IncreaseReplicaCount."""
    group = plane.group(params["ReplicationGroupId"])
    require_immediate(params)
    group.require_available()
    wanted = wanted_counts(_present(group), params)
    missing = {
        name: count - _present(group)[name]
        for name, count in wanted.items()
        if count != _present(group)[name]
    }
    if any(count < 0 for count in missing.values()):
        raise bad_value("The new number of replicas is below the present one.")
    if not missing:
        raise _no_operation()
    plane.require_room(sum(missing.values()))

    async def perform(_change: Change) -> None:
        for name, count in missing.items():
            shard = group.shard(name)
            for _ in range(count):
                await add_replica(group.cluster, shard)

    change = Change(
        "IncreaseReplicaCount",
        perform,
        shards=frozenset(missing),
        more_nodes=sum(missing.values()),
        done_event=f"Replica count of replication group {group.group_id} increased",
    )
    plane.begin(group, change)
    return {"ReplicationGroup": await describe_group(group)}


async def decrease_replica_count(plane: Plane, params: Params) -> dict[str, Any]:
    """DecreaseReplicaCount: the replicas named go, else the youngest; no primary."""
    group = plane.group(params["ReplicationGroupId"])
    require_immediate(params)
    group.require_available()
    named = params.get("ReplicasToRemove")
    if named:
        surplus = await _named(group, params, named)
    else:
        surplus = await _youngest(group, params)
    group.require_available()  # again: the servers were asked who is primary
    leaving = [node for nodes in surplus.values() for node in nodes]

    async def perform(change: Change) -> None:
        change.leaving.update(node.name for node in leaving)
        # A local replica is gone at once: let pollers see it leave.
        await asyncio.sleep(plane.knobs.settle_delay_s)
        for name, nodes in surplus.items():
            shard = group.shard(name)
            for node in nodes:
                await remove_replica(group.cluster, shard, node)

    change = Change(
        "DecreaseReplicaCount",
        perform,
        shards=frozenset(surplus),
        done_event=f"Replica count of replication group {group.group_id} decreased",
    )
    plane.begin(group, change)
    return {"ReplicationGroup": await describe_group(group)}


def wanted_counts(present: Mapping[str, int], params: Params) -> dict[str, int]:
    """Return the wanted number of replicas by node group id.

    Args:
        present: the number now, by node group id.
        params: the request: NewReplicaCount, or ReplicaConfiguration.

    Raises:
        ApiFault: both or neither, an unknown node group, or an impossible number.
    """
    count = params.get("NewReplicaCount")
    configured = params.get("ReplicaConfiguration")
    if (count is None) == (not configured):
        raise bad_combination("Give either NewReplicaCount or ReplicaConfiguration.")
    if count is not None:
        wanted = dict.fromkeys(present, int(count))
    else:
        wanted = {
            each["NodeGroupId"]: each["NewReplicaCount"] for each in configured or ()
        }
    for name, number in wanted.items():
        if name not in present:
            raise ApiFault("NodeGroupNotFoundFault", f"Node group {name} not found.")
        if not 0 <= number <= MOST_REPLICAS:
            raise bad_value(f"A node group has 0 to {MOST_REPLICAS} replicas.")
    return wanted


async def _youngest(
    group: ReplicationGroup, params: Params
) -> dict[str, list[LocalNode]]:
    """Return the nodes to remove by node group: the youngest replicas."""
    present = _present(group)
    surplus = {}
    for name, count in wanted_counts(present, params).items():
        if count > present[name]:
            raise bad_value("The new number of replicas is above the present one.")
        if count < present[name]:
            replicas = await _replicas(group, group.shard(name))
            surplus[name] = replicas[len(replicas) - (present[name] - count) :]
    if not surplus:
        raise _no_operation()
    _check_failover(group, surplus)
    return surplus


async def _named(
    group: ReplicationGroup, params: Params, named: list[str]
) -> dict[str, list[LocalNode]]:
    """Return the nodes to remove by node group: those named."""
    surplus: dict[str, list[LocalNode]] = {}
    for shard in list(group.cluster.shards):
        replicas = {node.name: node for node in await _replicas(group, shard)}
        for node in shard.nodes:
            if node.name in named and node.name not in replicas:
                raise bad_value(f"{node.name} is a primary and cannot be removed.")
        chosen = [replicas[name] for name in named if name in replicas]
        if chosen:
            surplus[shard.node_group_id] = chosen
    found = {node.name for nodes in surplus.values() for node in nodes}
    for name in named:
        if name not in found:
            raise ApiFault("CacheClusterNotFound", f"CacheCluster not found: {name}")
    if {"NewReplicaCount", "ReplicaConfiguration"} & set(params):
        present = _present(group)
        for name, count in wanted_counts(present, params).items():
            if present[name] - len(surplus.get(name, ())) != count:
                raise bad_combination(
                    f"ReplicasToRemove leaves another number of replicas in {name}."
                )
    _check_failover(group, surplus)
    return surplus


async def _replicas(group: ReplicationGroup, shard: LocalShard) -> list[LocalNode]:
    """Return the replicas of a shard, the oldest first."""
    primary = await group.cluster.find_primary(shard)
    if primary is None:
        raise ApiFault(
            "InvalidReplicationGroupState",
            f"Node group {shard.node_group_id} has no primary now.",
        )
    replicas = [node for node in shard.nodes if node is not primary]
    return sorted(replicas, key=lambda node: node.name)


def _check_failover(
    group: ReplicationGroup, surplus: Mapping[str, list[LocalNode]]
) -> None:
    """Without cluster mode, automatic failover needs a replica."""
    if group.cluster.cluster_mode or not group.automatic_failover:
        return
    for name, nodes in surplus.items():
        if len(group.shard(name).nodes) - len(nodes) < 2:
            raise bad_combination("Automatic failover needs a replica.")


def _present(group: ReplicationGroup) -> dict[str, int]:
    return {shard.node_group_id: len(shard.nodes) - 1 for shard in group.cluster.shards}


def _no_operation() -> ApiFault:
    return ApiFault("NoOperationFault", "The number of replicas is already so.")
