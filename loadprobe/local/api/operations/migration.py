"""Online migration of a source outside into a group: test, start, complete."""

from typing import Any

from loadprobe.errors import LoadprobeError
from loadprobe.local.api.changes import Change
from loadprobe.local.api.codec import Params
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.operations.rules import bad_combination, read_source
from loadprobe.local.api.plane import Plane
from loadprobe.local.api.rendering import describe_group
from loadprobe.local.cluster import migration
from loadprobe.local.cluster.formation import within

_COMPLETE_TIMEOUT_S = 60.0


async def test_migration(plane: Plane, params: Params) -> dict[str, Any]:
    """TestMigration: the result is an event; the group stays as it is."""
    group = plane.group(params["ReplicationGroupId"])
    host, port = read_source(params)
    _check_target(group)
    plane.spawn(
        _check_source(plane, group, host, port),
        what=f"test of a migration to {group.group_id}",
    )
    return {"ReplicationGroup": await describe_group(group)}


async def start_migration(plane: Plane, params: Params) -> dict[str, Any]:
    """StartMigration: the group follows the source, and is "migrating" from then on."""
    group = plane.group(params["ReplicationGroupId"])
    host, port = read_source(params)
    _check_target(group)

    async def perform(_change: Change) -> None:
        await migration.start(group.cluster, host, port)

    def complete() -> None:
        group.resting_status = "migrating"

    change = Change(
        "StartMigration",
        perform,
        complete=complete,
        done_event=f"Start Migration successful for {group.group_id}",
        failed_event=f"Start Migration failed for {group.group_id}",
    )
    plane.begin(group, change)
    return {"ReplicationGroup": await describe_group(group)}


async def complete_migration(plane: Plane, params: Params) -> dict[str, Any]:
    """CompleteMigration: the group stops following, and serves on its own.

    If it fails the group is migrating still: it can be forced then.
    """
    group = plane.group(params["ReplicationGroupId"])
    if group.resting_status != "migrating":
        raise ApiFault(
            "ReplicationGroupNotUnderMigrationFault",
            f"Replication group {group.group_id} is not under migration.",
        )
    group.require_migrating()
    force = params.get("Force", False)

    async def perform(_change: Change) -> None:
        async with within(_COMPLETE_TIMEOUT_S, what="all data of the source arrived"):
            await migration.complete(group.cluster, force=force)

    def complete() -> None:
        group.resting_status = "available"

    change = Change(
        "CompleteMigration",
        perform,
        complete=complete,
        status="migrating",
        member_status="available",
        done_event=f"Complete Migration successful for {group.group_id}",
        failed_event=f"Complete Migration failed for {group.group_id}",
    )
    plane.begin(group, change)
    return {"ReplicationGroup": await describe_group(group)}


async def _check_source(
    plane: Plane, group: ReplicationGroup, host: str, port: int
) -> None:
    try:
        await migration.check_source(group.cluster, host, port)
    except LoadprobeError as exc:
        text = f"Test Migration failed for {group.group_id}: {exc}"
    else:
        text = f"Test Migration successful for {group.group_id}"
    plane.add_group_event(group, text)


def _check_target(group: ReplicationGroup) -> None:
    """Refuse what AWS's prerequisites refuse, and cluster mode (not done here)."""
    if group.resting_status == "migrating":
        raise ApiFault(
            "ReplicationGroupAlreadyUnderMigrationFault",
            f"Replication group {group.group_id} is already under migration.",
        )
    group.require_available()
    if group.cluster.cluster_mode:
        raise bad_combination(
            "Migration to a group with cluster mode enabled is not supported by this "
            "control plane."
        )
    if group.tls_mode != "none" or group.cluster.password is not None:
        raise bad_combination("Migration needs a group without encryption and token.")
    if not (group.multi_az and group.automatic_failover and group.has_replicas):
        raise bad_combination("Migration needs a group with Multi-AZ.")
