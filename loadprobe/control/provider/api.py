"""The ElastiCache API in the few calls the controller needs, typed and timed.

Rule: reads are retried, a mutation is sent once and only once (see ``clients``).
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

from loadprobe.clock import NS_PER_S, ClockPair, read_clock_pair, wall_now_ns
from loadprobe.config import keys as config
from loadprobe.control.provider.clients import open_clients
from loadprobe.control.provider.faults import (
    GROUP_NOT_FOUND,
    THROTTLED_BY_CUSTOMER_RATE,
    UNKNOWN_ACTION,
    ApiFault,
    ApiRefused,
    ApiUnanswered,
    CallErrors,
    explain,
)
from loadprobe.control.provider.replies import (
    CacheCluster,
    Call,
    EngineVersion,
    Group,
    ProviderRecord,
    UpdateAction,
    from_unix_ns,
    read_cache_cluster,
    read_group,
    read_offset_ns,
    read_records,
    read_update_action,
)
from loadprobe.control.provider.secret import Secret, reveal
from loadprobe.control.provider.state import (
    ABSENT,
    AT_REST,
    ApiCall,
    GroupState,
    Need,
    absent_group,
)

__all__ = ["ApiCall", "ElastiCacheApi", "GroupState", "Need", "open_api"]

_T = TypeVar("_T")
_PAGE_RECORDS = 100
_THROTTLE_ATTEMPTS = 5
_DAY_NS = 24 * 3600 * NS_PER_S
_NO_TAGS = (
    UNKNOWN_ACTION,
    GROUP_NOT_FOUND,
    "InvalidReplicationGroupState",
    "InvalidCacheClusterState",
)
"""Refusals to list tags that say nothing about the tags: the call is not known, or the
group began to change after it was described."""


class ElastiCacheApi:
    """Calls about one replication group; made by ``open_api``.

    Every method raises ControlError, as one of ApiRefused, ApiUnanswered and
    ApiUnreachable. Not to be shared between event loops.

    Attributes:
        group_id: the replication group.
        members: cache cluster id -> node group id of every node ever described; it
            only grows, so that events of removed nodes are still known as ours.
        offset_ns: provider clock minus ours as of the last reply (see ``Call``).
        changing: held by whoever changes the group: one mutation at a time.
    """

    def __init__(
        self,
        reads: Any,
        mutations: Any,
        *,
        group_id: str,
        where: str,
        throttle_backoff_s: float,
    ) -> None:
        self.group_id = group_id
        self.members: dict[str, str] = {}
        self.offset_ns: int | None = None
        self.changing = asyncio.Lock()
        self._reads = reads
        self._mutations = mutations
        self._where = where
        self._throttle_backoff_s = throttle_backoff_s

    @property
    def provider_now_ns(self) -> int:
        """The provider's time in UNIX ns, as far as its last reply tells."""
        return wall_now_ns() + (self.offset_ns or 0)

    async def warm_up(self, *, must_exist: bool = True) -> None:
        """Make the first call of each client.

        The client without retries goes first, so that an endpoint that cannot be
        reached shows in seconds; whatever else is wrong, the patient one tells.
        """
        with suppress(ApiRefused, ApiUnanswered):
            await self._call(
                self._mutations,
                _DESCRIBE_GROUPS,
                ReplicationGroupId=self.group_id,
            )
        await self._group(missing_ok=not must_exist)

    async def describe_group(self) -> Group:
        """Return the replication group as it is now."""
        reply, call = await self._read(
            _DESCRIBE_GROUPS, ReplicationGroupId=self.group_id
        )
        groups = reply.get("ReplicationGroups", [])
        if not groups:
            raise ApiRefused(
                f"DescribeReplicationGroups at {self._where} knows no group "
                f"{self.group_id!r}; check control.replication_group and "
                "control.region",
                code=GROUP_NOT_FOUND,
            )
        group = read_group(groups[0], call)
        self.members.update(group.members)
        return group

    async def describe_state(
        self, needs: Collection[Need] = (), *, missing_ok: bool = False
    ) -> GroupState:
        """Return the group with its nodes as they are now, and what else is needed.

        What an emulator does not know (InvalidAction) stays unknown.

        Args:
            needs: what to ask for beside the group and its nodes.
            missing_ok: a group the provider does not know gives a state, not a fault.
        """
        group = await self._group(missing_ok=missing_ok)
        is_there = group.status != ABSENT
        clusters = await self._clusters(group) if is_there else ()
        updates: tuple[UpdateAction, ...] = ()
        if Need.UPDATES in needs:
            updates = await self._updates()
        node_types = versions = records = None
        if Need.NODE_TYPES in needs and is_there:
            node_types = await _if_known(self._node_types())
        if Need.ENGINE_VERSIONS in needs:
            versions = await _if_known(self._engine_versions())
        if Need.RECORDS in needs:
            records = await self.events_since(self.provider_now_ns - _DAY_NS)
        tags = None
        if Need.TAGS in needs and group.arn and group.status in AT_REST:
            tags = await _if_known(self._tags(group), _NO_TAGS)
        return GroupState(
            group,
            clusters,
            updates,
            node_types=node_types,
            engine_versions=versions,
            records=records,
            seen_unix_ns=self.provider_now_ns,
            members=self.members,
            tags=tags,
        )

    async def describe_updates(self) -> tuple[UpdateAction, ...]:
        """Return the service updates of the group, and how far they are."""
        return await self._updates()

    async def describe_window(self) -> str:
        """Return the maintenance window, as its nodes have it; "" if none is told."""
        nodes = await self._clusters(await self.describe_group())
        return next((n.maintenance_window for n in nodes if n.maintenance_window), "")

    async def events_since(self, wall_ns: int) -> tuple[ProviderRecord, ...]:
        """Return the account's events from a UNIX time on, oldest first.

        Not filtered by source: events of nodes carry the node's id, and the API
        filters by one exact id only.

        Args:
            wall_ns: UNIX ns in the provider's time; it must not lie in its future.
        """
        replies = await self._read_pages(
            "DescribeEvents", "Events", StartTime=from_unix_ns(wall_ns)
        )
        return read_records(replies)

    async def send(self, call: ApiCall) -> Call:
        """Send a mutation, exactly once.

        Raises:
            ApiUnanswered: the reply was lost; it may have been applied.
        """
        reply, made = await self._call(
            self._mutations, call.operation, **call.arguments
        )
        # A batch answers "yes" also for what it did not do.
        for left in reply.get("UnprocessedUpdateActions", ()):
            code = left.get("ErrorType", "")
            raise ApiRefused(
                f"{call.shown()} at {self._where} was refused with {code}: "
                f"{left.get('ErrorMessage', 'no message')}; change the request or the "
                "group accordingly",
                code=code,
            )
        return made

    async def _group(self, *, missing_ok: bool) -> Group:
        try:
            return await self.describe_group()
        except ApiRefused as fault:
            if not missing_ok or fault.code != GROUP_NOT_FOUND:
                raise
        now = read_clock_pair()
        call = Call(_DESCRIBE_GROUPS, now, now, request_id="", offset_ns=None)
        return absent_group(self.group_id, call)

    async def _clusters(self, group: Group) -> tuple[CacheCluster, ...]:
        members = group.members
        replies = await self._read_pages(
            "DescribeCacheClusters", "CacheClusters", ShowCacheNodeInfo=True
        )
        clusters = (read_cache_cluster(reply) for reply in replies)
        return tuple(cluster for cluster in clusters if cluster.id in members)

    async def _updates(self) -> tuple[UpdateAction, ...]:
        replies = await self._read_pages(
            "DescribeUpdateActions",
            "UpdateActions",
            ReplicationGroupIds=[self.group_id],
            ShowNodeLevelUpdateStatus=True,
        )
        return tuple(map(read_update_action, replies))

    async def _tags(self, group: Group) -> dict[str, str]:
        reply, _ = await self._read("ListTagsForResource", ResourceName=group.arn)
        return {tag["Key"]: tag.get("Value", "") for tag in reply.get("TagList", ())}

    async def _node_types(self) -> tuple[str, ...]:
        reply, _ = await self._read(
            "ListAllowedNodeTypeModifications", ReplicationGroupId=self.group_id
        )
        return (
            *reply.get("ScaleUpModifications", ()),
            *reply.get("ScaleDownModifications", ()),
        )

    async def _engine_versions(self) -> tuple[EngineVersion, ...]:
        replies = await self._read_pages(
            "DescribeCacheEngineVersions", "CacheEngineVersions"
        )
        return tuple(
            EngineVersion(
                reply.get("Engine", ""),
                reply.get("EngineVersion", ""),
                reply.get("CacheEngineVersionDescription", ""),
            )
            for reply in replies
        )

    async def _read_pages(
        self, operation: str, member: str, **arguments: object
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page: dict[str, object] = {"MaxRecords": _PAGE_RECORDS}
        while True:
            reply, _ = await self._read(operation, **arguments, **page)
            found.extend(reply.get(member, ()))
            if not reply.get("Marker"):
                return found
            page["Marker"] = reply["Marker"]

    async def _read(
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
        method = getattr(client, _METHODS[operation])
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


async def _if_known(
    read: Coroutine[None, None, _T], unknown: Collection[str] = (UNKNOWN_ACTION,)
) -> _T | None:
    """Return what a read gives, or None if it is refused with one of these codes.

    Without others, that is an endpoint that does not know the call.
    """
    try:
        return await read
    except ApiRefused as fault:
        if fault.code not in unknown:
            raise
        return None


def _secrets(arguments: Mapping[str, object]) -> list[str]:
    return [v.reveal() for v in arguments.values() if isinstance(v, Secret)]


def _cause(exc: BaseException, arguments: Mapping[str, object]) -> BaseException | None:
    """Return the cause to show: none if its own text may hold a secret."""
    return None if _secrets(arguments) else exc


_DESCRIBE_GROUPS = "DescribeReplicationGroups"
_METHODS = {
    "BatchApplyUpdateAction": "batch_apply_update_action",
    "CompleteMigration": "complete_migration",
    "CreateReplicationGroup": "create_replication_group",
    "DecreaseReplicaCount": "decrease_replica_count",
    "DeleteReplicationGroup": "delete_replication_group",
    "DescribeCacheClusters": "describe_cache_clusters",
    "DescribeCacheEngineVersions": "describe_cache_engine_versions",
    "DescribeEvents": "describe_events",
    "DescribeReplicationGroups": "describe_replication_groups",
    "DescribeUpdateActions": "describe_update_actions",
    "IncreaseReplicaCount": "increase_replica_count",
    "ListAllowedNodeTypeModifications": "list_allowed_node_type_modifications",
    "ListTagsForResource": "list_tags_for_resource",
    "ModifyReplicationGroup": "modify_replication_group",
    "ModifyReplicationGroupShardConfiguration": (
        "modify_replication_group_shard_configuration"
    ),
    "StartMigration": "start_migration",
    "TestFailover": "test_failover",
}


@asynccontextmanager
async def open_api(
    control: config.Control,
    *,
    throttle_backoff_s: float = 1.0,
    must_exist: bool = True,
) -> AsyncIterator[ElastiCacheApi]:
    """Open both clients and make a first call on each, so that nothing stalls later.

    Enter it before load starts, and in the process that carries no load.

    Args:
        control: replication group, region, endpoint.
        throttle_backoff_s: first pause after APICallRateForCustomerExceeded on a
            read; doubled each time, five attempts in all.
        must_exist: False for a group that is to be created.

    Raises:
        ControlError: on entering: the group cannot be described.
    """
    async with open_clients(control) as (reads, mutations):
        api = ElastiCacheApi(
            reads,
            mutations,
            group_id=control.replication_group,
            where=control.endpoint_url or control.region,
            throttle_backoff_s=throttle_backoff_s,
        )
        await api.warm_up(must_exist=must_exist)
        yield api


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
