"""ModifyReplicationGroupShardConfiguration: scale out, scale in, rebalance."""

from collections.abc import Sequence
from typing import Any

from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.operations.rules import (
    MOST_SHARDS,
    bad_combination,
    bad_value,
    require_immediate,
)
from loadprobe.local.api.plane import Plane
from loadprobe.local.api.rendering import describe_group
from loadprobe.local.cluster.resharding import rebalance, scale_in, scale_out

_ACTION = "ModifyReplicationGroupShardConfiguration"


async def modify_shard_configuration(plane: Plane, params: Params) -> dict[str, Any]:
    """ModifyReplicationGroupShardConfiguration."""
    group = plane.group(params["ReplicationGroupId"])
    require_immediate(params)
    if not group.cluster.cluster_mode:
        raise bad_combination("Online resharding needs cluster mode enabled.")
    group.require_available()
    wanted = params["NodeGroupCount"]
    there = len(group.cluster.shards)
    if not 1 <= wanted <= MOST_SHARDS:
        raise _bad_count(wanted)
    if wanted > there:
        change = _out(plane, group, params, wanted)
    elif wanted < there:
        change = _in(group, params, wanted)
    else:
        _refuse_lists(params)
        change = _balance(group)
    change.pending = _progress(0.0)
    plane.begin(group, change)
    return {"ReplicationGroup": await describe_group(group)}


def _out(plane: Plane, group: ReplicationGroup, params: Params, wanted: int) -> Change:
    """Add node groups, each with as many nodes as the smallest one has."""
    if "NodeGroupsToRemove" in params or "NodeGroupsToRetain" in params:
        raise bad_combination("Node groups to remove or retain are for scaling in.")
    configured = params.get("ReshardingConfiguration")
    if configured and len(configured) != wanted:
        raise bad_value(
            f"ReshardingConfiguration has {len(configured)} elements; NodeGroupCount "
            f"is {wanted}."
        )
    shards = group.cluster.shards
    more = (wanted - len(shards)) * min(len(shard.nodes) for shard in shards)
    plane.require_room(more)

    async def perform(change: Change) -> None:
        await scale_out(
            group.cluster, wanted, on_progress=lambda ratio: _tell(change, ratio)
        )

    return Change(
        _ACTION, perform, more_nodes=more, done_event=_done(group, "scaled out", wanted)
    )


def _in(group: ReplicationGroup, params: Params, wanted: int) -> Change:
    """Remove the node groups named, after their slots were moved."""
    if "ReshardingConfiguration" in params:
        raise bad_combination("ReshardingConfiguration is for scaling out.")
    leaving = leaving_shards(
        [shard.node_group_id for shard in group.cluster.shards],
        wanted,
        remove=params.get("NodeGroupsToRemove"),
        retain=params.get("NodeGroupsToRetain"),
    )

    async def perform(change: Change) -> None:
        change.leaving.update(leaving)
        for node_group_id in leaving:
            members = group.shard(node_group_id).nodes
            change.leaving.update(node.name for node in members)
        await scale_in(
            group.cluster, leaving, on_progress=lambda ratio: _tell(change, ratio)
        )

    return Change(_ACTION, perform, done_event=_done(group, "scaled in", wanted))


def _balance(group: ReplicationGroup) -> Change:
    async def perform(change: Change) -> None:
        await rebalance(group.cluster, on_progress=lambda ratio: _tell(change, ratio))

    shards = len(group.cluster.shards)
    return Change(_ACTION, perform, done_event=_done(group, "rebalanced", shards))


def leaving_shards(
    there: Sequence[str],
    wanted: int,
    *,
    remove: Sequence[str] | None,
    retain: Sequence[str] | None,
) -> list[str]:
    """Return the node groups to remove.

    Args:
        there: ids of the node groups there are.
        wanted: how many are to stay.
        remove: NodeGroupsToRemove.
        retain: NodeGroupsToRetain.

    Raises:
        ApiFault: not exactly one list, an unknown node group, or a wrong number.
    """
    if (remove is None) == (retain is None):
        raise bad_combination(
            "Scaling in needs either NodeGroupsToRemove or NodeGroupsToRetain."
        )
    for name in [*(remove or ()), *(retain or ())]:
        if name not in there:
            raise ApiFault("NodeGroupNotFoundFault", f"Node group {name} not found.")
    leaving = [
        name
        for name in there
        if (name in remove if remove is not None else name not in (retain or ()))
    ]
    if len(there) - len(leaving) != wanted:
        raise bad_value(
            f"NodeGroupCount is {wanted}, but {len(there) - len(leaving)} of "
            f"{len(there)} node groups would stay."
        )
    return leaving


def _refuse_lists(params: Params) -> None:
    for name in ("NodeGroupsToRemove", "NodeGroupsToRetain", "ReshardingConfiguration"):
        if name in params:
            raise bad_combination(f"{name} is for another number of node groups.")


def _bad_count(wanted: int) -> ApiFault:
    if wanted > MOST_SHARDS:
        return ApiFault(
            "NodeGroupsPerReplicationGroupQuotaExceeded",
            f"NodeGroupCount is {wanted}: at most {MOST_SHARDS}.",
        )
    return bad_value(f"NodeGroupCount is {wanted}: at least 1.")


def _tell(change: Change, percent: float) -> None:
    change.pending = _progress(percent)


def _progress(percent: float) -> dict[str, Any]:
    return {"Resharding": {"SlotMigration": {"ProgressPercentage": percent}}}


def _done(group: ReplicationGroup, what: str, shards: int) -> str:
    return (
        f"Replication group {group.group_id} {what}: {shards} node groups, slots moved"
    )
