"""How the ElastiCache API is called: each call timed, and its failure explained.

Rule: reads are retried, a mutation is sent once and only once (see ``clients``).
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from loadprobe.clock import ClockPair, read_clock_pair
from loadprobe.control.provider import known_calls
from loadprobe.control.provider.explaining import CallErrors, explain
from loadprobe.control.provider.faults import (
    THROTTLED_BY_CUSTOMER_RATE,
    ApiFault,
    ApiRefused,
)
from loadprobe.control.provider.replies import Call, read_offset_ns
from loadprobe.control.provider.secret import Secret, reveal

_PAGE_RECORDS = 100
_THROTTLE_ATTEMPTS = 5


class Calls:
    """Calls the API. Every method raises one of the three faults.

    Args:
        reads: the client for reads.
        mutations: the client for mutations.
        where: the endpoint or the region, for messages.
        throttle_backoff_s: first pause after APICallRateForCustomerExceeded.

    Attributes:
        offset_ns: provider clock minus ours as of the last reply (see ``Call``).
    """

    def __init__(
        self, reads: Any, mutations: Any, *, where: str, throttle_backoff_s: float
    ) -> None:
        self.offset_ns: int | None = None
        self._reads = reads
        self._mutations = mutations
        self._where = where
        self._throttle_backoff_s = throttle_backoff_s

    async def send_once(
        self, operation: str, **arguments: object
    ) -> tuple[dict[str, Any], Call]:
        """Make a call with the client that repeats nothing."""
        return await self._call(self._mutations, operation, **arguments)

    async def read_pages(
        self, operation: str, member: str, **arguments: object
    ) -> list[dict[str, Any]]:
        """Return all rows of a read that comes in pages; ``member`` has them."""
        found: list[dict[str, Any]] = []
        page: dict[str, object] = {"MaxRecords": _PAGE_RECORDS}
        while True:
            reply, _ = await self.read(operation, **arguments, **page)
            found.extend(reply.get(member, ()))
            if not reply.get("Marker"):
                return found
            page["Marker"] = reply["Marker"]

    async def read(
        self, operation: str, **arguments: object
    ) -> tuple[dict[str, Any], Call]:
        """Call a read; wait and repeat on the one throttle botocore does not repeat."""
        backoff_s = self._throttle_backoff_s
        for _ in range(_THROTTLE_ATTEMPTS - 1):
            try:
                return await self._call(self._reads, operation, **arguments)
            except ApiRefused as fault:
                if fault.code != THROTTLED_BY_CUSTOMER_RATE:
                    raise
            await asyncio.sleep(backoff_s)
            backoff_s *= 2
        return await self._call(self._reads, operation, **arguments)

    async def _call(
        self, client: Any, operation: str, **arguments: object
    ) -> tuple[dict[str, Any], Call]:
        method = getattr(client, _METHODS[operation], None)
        if method is None:
            raise ApiRefused(
                f"{operation} was not sent: botocore {known_calls.installed()} does "
                f"not know it; {known_calls.MIGRATIONS_SINCE} does"
            )
        sent = {name: reveal(value) for name, value in arguments.items()}
        before = read_clock_pair()
        try:
            reply: dict[str, Any] = await method(**sent)
        except CallErrors as exc:
            raise self._fault(exc, operation, arguments) from _cause(exc, arguments)
        call = _describe_call(operation, reply, before)
        self.offset_ns = call.offset_ns
        return reply, call

    def _fault(
        self, exc: BaseException, operation: str, arguments: Mapping[str, object]
    ) -> ApiFault:
        shown = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in arguments.items()
        }
        return explain(
            exc,
            operation=operation,
            arguments=shown,
            where=self._where,
            hidden=_secrets(arguments),
        )


def _secrets(arguments: Mapping[str, object]) -> list[str]:
    return [v.reveal() for v in arguments.values() if isinstance(v, Secret)]


def _cause(exc: BaseException, arguments: Mapping[str, object]) -> BaseException | None:
    """Return the cause to show: none if its own text may hold a secret."""
    return None if _secrets(arguments) else exc


_METHODS = {
    "BatchApplyUpdateAction": "batch_apply_update_action",
    "CompleteMigration": "complete_migration",
    "CreateReplicationGroup": "create_replication_group",
    "CreateServerlessCache": "create_serverless_cache",
    "DecreaseReplicaCount": "decrease_replica_count",
    "DeleteReplicationGroup": "delete_replication_group",
    "DeleteServerlessCache": "delete_serverless_cache",
    "DescribeCacheClusters": "describe_cache_clusters",
    "DescribeCacheEngineVersions": "describe_cache_engine_versions",
    "DescribeEvents": "describe_events",
    "DescribeReplicationGroups": "describe_replication_groups",
    "DescribeServerlessCaches": "describe_serverless_caches",
    "DescribeUpdateActions": "describe_update_actions",
    "IncreaseReplicaCount": "increase_replica_count",
    "ListAllowedNodeTypeModifications": "list_allowed_node_type_modifications",
    "ListTagsForResource": "list_tags_for_resource",
    "ModifyReplicationGroup": "modify_replication_group",
    "ModifyReplicationGroupShardConfiguration": (
        "modify_replication_group_shard_configuration"
    ),
    "ModifyServerlessCache": "modify_serverless_cache",
    "PrepareMigration": "prepare_migration",
    "StartMigration": "start_migration",
    "StopMigration": "stop_migration",
    "TestFailover": "test_failover",
    "TestMigration": "test_migration",
}


def _describe_call(operation: str, reply: dict[str, Any], before: ClockPair) -> Call:
    after = read_clock_pair()
    metadata = reply.get("ResponseMetadata", {})
    return Call(
        operation=operation,
        before=before,
        after=after,
        request_id=metadata.get("RequestId", ""),
        offset_ns=read_offset_ns(
            metadata.get("HTTPHeaders", {}).get("date"), (before.wall_ns, after.wall_ns)
        ),
    )
