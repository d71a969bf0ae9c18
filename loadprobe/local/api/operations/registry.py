"""Which operations the control plane performs, by their API names.

An operation takes the plane and the typed parameters of its request, and returns the
members of its result; it raises ``ApiFault`` where AWS would refuse. To add one, write
the function and register it here.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from loadprobe.local.api.codec import Params
from loadprobe.local.api.operations import (
    create,
    delete,
    describe,
    failover,
    migration,
    modify,
    replicas,
    reshard,
    serverless,
    serverless_migration,
    tags,
    updates,
)
from loadprobe.local.api.operations.rules import bad_combination
from loadprobe.local.api.plane import Plane

Operation = Callable[[Plane, Params], Awaitable[dict[str, Any]]]


def _of_either(of_group: Operation, of_cache: Operation) -> Operation:
    """Return an operation on a replication group or a serverless cache, one of them."""

    async def perform(plane: Plane, params: Params) -> dict[str, Any]:
        names_group = "ReplicationGroupId" in params
        if names_group == ("ServerlessCacheName" in params):
            raise bad_combination(
                "Give either ReplicationGroupId or ServerlessCacheName."
            )
        return await (of_group if names_group else of_cache)(plane, params)

    return perform


OPERATIONS: dict[str, Operation] = {
    "AddTagsToResource": tags.add_tags_to_resource,
    "BatchApplyUpdateAction": updates.batch_apply_update_action,
    "BatchStopUpdateAction": updates.batch_stop_update_action,
    "CompleteMigration": _of_either(
        migration.complete_migration, serverless_migration.complete_migration
    ),
    "CreateReplicationGroup": create.create_replication_group,
    "CreateServerlessCache": serverless.create_serverless_cache,
    "DecreaseReplicaCount": replicas.decrease_replica_count,
    "DeleteReplicationGroup": delete.delete_replication_group,
    "DeleteServerlessCache": serverless.delete_serverless_cache,
    "DescribeCacheClusters": describe.describe_cache_clusters,
    "DescribeCacheEngineVersions": describe.describe_cache_engine_versions,
    "DescribeEvents": describe.describe_events,
    "DescribeReplicationGroups": describe.describe_replication_groups,
    "DescribeServerlessCaches": serverless.describe_serverless_caches,
    "DescribeServiceUpdates": updates.describe_service_updates,
    "DescribeUpdateActions": updates.describe_update_actions,
    "IncreaseReplicaCount": replicas.increase_replica_count,
    "ListAllowedNodeTypeModifications": describe.list_allowed_node_type_modifications,
    "ListTagsForResource": tags.list_tags_for_resource,
    "ModifyReplicationGroup": modify.modify_replication_group,
    "ModifyReplicationGroupShardConfiguration": reshard.modify_shard_configuration,
    "ModifyServerlessCache": serverless.modify_serverless_cache,
    "PrepareMigration": serverless_migration.prepare_migration,
    "RebootCacheCluster": failover.reboot_cache_cluster,
    "RemoveTagsFromResource": tags.remove_tags_from_resource,
    "StartMigration": _of_either(
        migration.start_migration, serverless_migration.start_migration
    ),
    "StopMigration": serverless_migration.stop_migration,
    "TestFailover": failover.test_failover,
    "TestMigration": migration.test_migration,
}
