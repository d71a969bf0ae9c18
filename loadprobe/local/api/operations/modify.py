"""ModifyReplicationGroup: one kind of change a request.

Labels (description, maintenance window and the like) apply at once. What changes the
servers is one of: transit encryption, auth token, or node type with engine version.
AWS takes some combinations of these; here they are refused, so that every status and
event belongs to one kind of change.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.operations.modify_auth import plan_auth
from loadprobe.local.api.operations.modify_nodes import plan_nodes
from loadprobe.local.api.operations.modify_tls import plan_tls
from loadprobe.local.api.operations.rules import (
    bad_combination,
    check_no_user_groups,
    refuse,
)
from loadprobe.local.api.plane import Plane
from loadprobe.local.api.rendering import describe_group

Planner = Callable[[Plane, ReplicationGroup, Params], Awaitable[Change | None]]

_REFUSED = (
    "PrimaryClusterId",
    "SnapshottingClusterId",
    "NodeGroupId",
    "CacheSecurityGroupNames",
    "LogDeliveryConfigurations",
    "RemoveUserGroups",
    "ClusterMode",
)
_KINDS: dict[Planner, tuple[str, ...]] = {
    plan_tls: ("TransitEncryptionEnabled", "TransitEncryptionMode"),
    plan_auth: ("AuthToken", "AuthTokenUpdateStrategy"),
    plan_nodes: ("CacheNodeType", "Engine", "EngineVersion", "CacheParameterGroupName"),
}


async def modify_replication_group(plane: Plane, params: Params) -> dict[str, Any]:
    """ModifyReplicationGroup."""
    group = plane.group(params["ReplicationGroupId"])
    group.require_available()
    refuse(params, _REFUSED)
    check_no_user_groups(params.get("UserGroupIdsToAdd", []))
    check_no_user_groups(params.get("UserGroupIdsToRemove", []))
    asked = {
        planner: names
        for planner, names in _KINDS.items()
        if any(name in params for name in names)
    }
    if len(asked) > 1:
        kinds = "; ".join("/".join(names) for names in asked.values())
        raise bad_combination(f"One kind of change a request, not: {kinds}.")
    _check_failover_flags(group, params)
    change = None
    for planner in asked:
        change = await planner(plane, group, params)
    group.require_available()  # again: a planner may have waited
    _set_labels(group, params)
    if change is not None:
        if params.get("ApplyImmediately", False):
            plane.begin(group, change)
        else:
            plane.defer(group, change)
    return {"ReplicationGroup": await describe_group(group)}


def _check_failover_flags(group: ReplicationGroup, params: Params) -> None:
    wanted = params.get("AutomaticFailoverEnabled")
    if group.cluster.cluster_mode and wanted is False:
        raise bad_combination(
            "Turning off automatic failover for replication group with cluster mode "
            "enabled is not supported"
        )
    if wanted and not group.has_replicas:
        raise bad_combination("Automatic failover needs a replica.")
    has_failover = wanted if wanted is not None else group.automatic_failover
    has_zones = params.get("MultiAZEnabled", group.multi_az)
    is_asked = wanted is not None or "MultiAZEnabled" in params
    if is_asked and has_zones and not has_failover:
        raise bad_combination("Multi-AZ needs automatic failover.")


def _set_labels(group: ReplicationGroup, params: Params) -> None:
    group.description = params.get("ReplicationGroupDescription", group.description)
    group.maintenance_window = params.get(
        "PreferredMaintenanceWindow", group.maintenance_window
    )
    group.automatic_failover = params.get(
        "AutomaticFailoverEnabled", group.automatic_failover
    )
    group.multi_az = params.get("MultiAZEnabled", group.multi_az)
