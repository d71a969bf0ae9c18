"""Service updates: what there is, how far each group is, apply and stop."""

from collections.abc import Callable
from typing import Any

from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import CACHE_NODE_ID, ReplicationGroup
from loadprobe.local.api.operations.paging import page
from loadprobe.local.api.operations.rolling import replace_all
from loadprobe.local.api.plane import Plane, now
from loadprobe.local.api.service_updates import (
    UNDER_WAY,
    GroupUpdateProgress,
    NodeUpdateProgress,
    ServiceUpdate,
)
from loadprobe.local.cluster.node import LocalNode

_TYPE = "security-update"
_ESTIMATE = "a few seconds per node"


async def describe_service_updates(plane: Plane, params: Params) -> dict[str, Any]:
    """DescribeServiceUpdates."""
    name = params.get("ServiceUpdateName")
    found = list(plane.updates.updates.values())
    if name is not None:
        found = [plane.updates.update(name)]
    statuses = params.get("ServiceUpdateStatus")
    if statuses:
        found = [update for update in found if update.status in statuses]
    shown, following = page(found, params)
    return {"ServiceUpdates": [_service_update(each) for each in shown]} | following


async def describe_update_actions(plane: Plane, params: Params) -> dict[str, Any]:
    """DescribeUpdateActions; node by node with ShowNodeLevelUpdateStatus."""
    shown, following = page(_matching(plane, params), params)
    with_nodes = params.get("ShowNodeLevelUpdateStatus", False)
    described = [
        _update_action(group, action, with_nodes=with_nodes) for group, action in shown
    ]
    return {"UpdateActions": described} | following


async def batch_apply_update_action(plane: Plane, params: Params) -> dict[str, Any]:
    """BatchApplyUpdateAction: what cannot be done is in the reply, not a fault."""
    update = plane.updates.update(params["ServiceUpdateName"])

    def apply(group: ReplicationGroup, action: GroupUpdateProgress) -> None:
        if update.status != "available":
            raise _refused(f"Service update {update.name} is {update.status}.")
        if action.status in UNDER_WAY or action.status == "complete":
            raise _refused(f"The update action is {action.status} already.")
        group.require_available()
        members = [
            (shard.node_group_id, node.name)
            for shard in group.cluster.shards
            for node in shard.nodes
        ]
        action.ask(members, now=now())
        plane.begin(group, _application(plane, group, action))

    return _each(plane, params, update, apply)


async def batch_stop_update_action(plane: Plane, params: Params) -> dict[str, Any]:
    """BatchStopUpdateAction: the node group under way is completed, no further one."""
    update = plane.updates.update(params["ServiceUpdateName"])

    def stop(_group: ReplicationGroup, action: GroupUpdateProgress) -> None:
        if action.status not in ("waiting-to-start", "in-progress"):
            raise _refused(f"The update action is {action.status}.")
        action.enter("stopping", now=now())

    return _each(plane, params, update, stop)


def _application(
    plane: Plane, group: ReplicationGroup, action: GroupUpdateProgress
) -> Change:
    def on_node(step: str, node: LocalNode) -> None:
        status = {"started": "in-progress", "removed": "complete"}.get(step)
        for members in action.nodes.values():
            if status is not None and node.name in members:
                members[node.name].advance(status, now=now())

    def is_stopped() -> bool:
        return action.status == "stopping"

    async def perform(change: Change) -> None:
        if not is_stopped():
            action.enter("in-progress", now=now())
        done = {
            shard
            for shard, members in action.nodes.items()
            if all(node.status == "complete" for node in members.values())
        }
        await replace_all(
            plane,
            group,
            change,
            on_node=on_node,
            is_stopped=is_stopped,
            without=done,
        )

    def complete() -> None:
        action.enter("stopped" if is_stopped() else "complete", now=now())

    def give_up() -> None:
        action.enter("stopped", now=now())

    return Change(
        "BatchApplyUpdateAction",
        perform,
        complete=complete,
        give_up=give_up,
        done_event=f"Service update {action.update.name} ended for replication group "
        f"{group.group_id}",
    )


def _each(
    plane: Plane,
    params: Params,
    update: ServiceUpdate,
    act: Callable[[ReplicationGroup, GroupUpdateProgress], None],
) -> dict[str, Any]:
    """Do something for each group of a request; return the reply."""
    processed, unprocessed = [], []
    for group_id in params.get("ReplicationGroupIds", []):
        named = {"ReplicationGroupId": group_id, "ServiceUpdateName": update.name}
        try:
            group = plane.group(group_id)
            action = _action(plane, group, update)
            act(group, action)
        except ApiFault as fault:
            unprocessed.append(named | _error(fault))
        else:
            processed.append(named | {"UpdateActionStatus": action.status})
    for name in params.get("CacheClusterIds", []):
        # Nodes of a group are updated with their group; there are no others here.
        missing = ApiFault("CacheClusterNotFound", f"CacheCluster not found: {name}")
        named = {"CacheClusterId": name, "ServiceUpdateName": update.name}
        unprocessed.append(named | _error(missing))
    return {
        "ProcessedUpdateActions": processed,
        "UnprocessedUpdateActions": unprocessed,
    }


def _matching(
    plane: Plane, params: Params
) -> list[tuple[ReplicationGroup, GroupUpdateProgress]]:
    name = params.get("ServiceUpdateName")
    updates = list(plane.updates.updates.values())
    if name is not None:
        updates = [plane.updates.update(name)]
    group_ids = params.get("ReplicationGroupIds")
    groups = list(plane.groups.values())
    if group_ids:
        groups = [plane.group(group_id) for group_id in group_ids]
    elif params.get("CacheClusterIds"):
        groups = []  # those that belong to no group
    engine = params.get("Engine")
    return [
        (group, action)
        for group in groups
        for update in updates
        if engine in (None, group.engine)
        and update.status in (params.get("ServiceUpdateStatus") or (update.status,))
        and (action := _action(plane, group, update)).status
        in (params.get("UpdateActionStatus") or (action.status,))
    ]


def _action(
    plane: Plane, group: ReplicationGroup, update: ServiceUpdate
) -> GroupUpdateProgress:
    return plane.updates.action(group.group_id, update, created=group.created)


def _service_update(update: ServiceUpdate) -> dict[str, Any]:
    return {
        "ServiceUpdateName": update.name,
        "ServiceUpdateReleaseDate": update.released,
        "ServiceUpdateEndDate": update.ends,
        "ServiceUpdateSeverity": update.severity,
        "ServiceUpdateRecommendedApplyByDate": update.apply_by,
        "ServiceUpdateStatus": update.status,
        "ServiceUpdateDescription": "Replaces every node with a new one.",
        "ServiceUpdateType": _TYPE,
        "AutoUpdateAfterRecommendedApplyByDate": False,
        "EstimatedUpdateTime": _ESTIMATE,
    }


def _update_action(
    group: ReplicationGroup, action: GroupUpdateProgress, *, with_nodes: bool
) -> dict[str, Any]:
    update = action.update
    described: dict[str, Any] = {
        "ReplicationGroupId": action.group_id,
        "ServiceUpdateName": update.name,
        "ServiceUpdateReleaseDate": update.released,
        "ServiceUpdateSeverity": update.severity,
        "ServiceUpdateStatus": update.status,
        "ServiceUpdateRecommendedApplyByDate": update.apply_by,
        "ServiceUpdateType": _TYPE,
        "UpdateActionAvailableDate": action.available,
        "UpdateActionStatus": action.status,
        "NodesUpdated": f"{action.updated}/{len(group.cluster.nodes)}",
        "UpdateActionStatusModifiedDate": action.modified,
        "SlaMet": "yes" if action.status == "complete" else "n/a",
        "EstimatedUpdateTime": _ESTIMATE,
        "Engine": group.engine,
    }
    if with_nodes:
        described["NodeGroupUpdateStatus"] = [
            {
                "NodeGroupId": shard,
                "NodeGroupMemberUpdateStatus": [
                    _member(action, name, node) for name, node in members.items()
                ],
            }
            for shard, members in action.nodes.items()
        ]
    return described


def _member(
    action: GroupUpdateProgress, name: str, node: NodeUpdateProgress
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "CacheClusterId": name,
        "CacheNodeId": CACHE_NODE_ID,
        "NodeUpdateStatus": node.status,
        "NodeUpdateInitiatedBy": "customer",
        "NodeUpdateInitiatedDate": action.initiated,
        "NodeUpdateStatusModifiedDate": node.modified,
    }
    if node.started is not None:
        described["NodeUpdateStartDate"] = node.started
    if node.ended is not None:
        described["NodeUpdateEndDate"] = node.ended
    return described


def _error(fault: ApiFault) -> dict[str, str]:
    return {"ErrorType": fault.code, "ErrorMessage": fault.message}


def _refused(text: str) -> ApiFault:
    return ApiFault("InvalidParameterCombination", text)
