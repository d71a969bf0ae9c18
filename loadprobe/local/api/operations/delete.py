"""DeleteReplicationGroup: the servers end, and the group is gone."""

from typing import Any

from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.operations.rules import refuse
from loadprobe.local.api.plane import Plane, end_cluster
from loadprobe.local.api.rendering import describe_group


async def delete_replication_group(plane: Plane, params: Params) -> dict[str, Any]:
    """DeleteReplicationGroup, also of a group that the caller's cluster is."""
    group = plane.group(params["ReplicationGroupId"])
    refuse(params, ("RetainPrimaryCluster", "FinalSnapshotIdentifier"))
    group.require_deletable()

    async def perform(_change: Change) -> None:
        await end_cluster(group.cluster)

    def forget() -> None:
        plane.groups.pop(group.group_id, None)
        plane.updates.forget(group.group_id)

    change = Change(
        "DeleteReplicationGroup",
        perform,
        complete=forget,
        status="deleting",
        is_visible=True,
        done_event=f"Replication group {group.group_id} deleted",
    )
    plane.begin(group, change)
    return {"ReplicationGroup": await describe_group(group)}
