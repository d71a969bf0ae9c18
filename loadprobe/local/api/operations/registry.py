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
    tags,
    updates,
)
from loadprobe.local.api.plane import Plane

Operation = Callable[[Plane, Params], Awaitable[dict[str, Any]]]

OPERATIONS: dict[str, Operation] = {
    "AddTagsToResource": tags.add_tags_to_resource,
    "BatchApplyUpdateAction": updates.batch_apply_update_action,
    "BatchStopUpdateAction": updates.batch_stop_update_action,
    "CompleteMigration": migration.complete_migration,
    "CreateReplicationGroup": create.create_replication_group,
    "DecreaseReplicaCount": replicas.decrease_replica_count,
    "DeleteReplicationGroup": delete.delete_replication_group,
    "DescribeCacheClusters": describe.describe_cache_clusters,
    "DescribeCacheEngineVersions": describe.describe_cache_engine_versions,
    "DescribeEvents": describe.describe_events,
    "DescribeReplicationGroups": describe.describe_replication_groups,
    "DescribeServiceUpdates": updates.describe_service_updates,
    "DescribeUpdateActions": updates.describe_update_actions,
    "IncreaseReplicaCount": replicas.increase_replica_count,
    "ListAllowedNodeTypeModifications": describe.list_allowed_node_type_modifications,
    "ListTagsForResource": tags.list_tags_for_resource,
    "ModifyReplicationGroup": modify.modify_replication_group,
    "ModifyReplicationGroupShardConfiguration": reshard.modify_shard_configuration,
    "RebootCacheCluster": failover.reboot_cache_cluster,
    "RemoveTagsFromResource": tags.remove_tags_from_resource,
    "StartMigration": migration.start_migration,
    "TestFailover": failover.test_failover,
    "TestMigration": migration.test_migration,
}
