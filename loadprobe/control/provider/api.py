"""The ElastiCache API in the few calls the controller needs, typed.

How a call is made is in ``calls``; reads are repeated, mutations never.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from loadprobe.clock import NS_PER_S, read_clock_pair, wall_now_ns
from loadprobe.config import keys as config
from loadprobe.control.provider.faults import (
    UNKNOWN_ACTION,
    ApiRefused,
    ApiUnanswered,
)
from loadprobe.control.provider.kinds import NOT_FOUND, REPLICATION_GROUP, Kind, kind_of
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
    read_records,
    read_update_action,
)
from loadprobe.control.provider.serverless_replies import read_serverless_cache
from loadprobe.control.provider.state import (
    ABSENT,
    AT_REST,
    ApiCall,
    GroupState,
    Need,
    absent_group,
)

if TYPE_CHECKING:  # see open_api
    from loadprobe.control.provider.calls import Calls
    from loadprobe.control.provider.node_metrics import NodeMetrics

__all__ = ["ApiCall", "ElastiCacheApi", "GroupState", "Need", "open_api"]

_T = TypeVar("_T")
_DAY_NS = 24 * 3600 * NS_PER_S
_NO_TAGS = (
    UNKNOWN_ACTION,
    *NOT_FOUND,
    "InvalidReplicationGroupState",
    "InvalidCacheClusterState",
    "InvalidServerlessCacheStateFault",
)
"""Refusals to list tags that say nothing about the tags: the call is not known, or the
group began to change after it was described."""


class ElastiCacheApi:
    """Calls about one replication group or serverless cache; made by ``open_api``.

    Every method raises ControlError, as one of ApiRefused, ApiUnanswered and
    ApiUnreachable. Not to be shared between event loops.

    Args:
        calls: how it is called.
        group_id: see below.
        where: the endpoint or the region, for messages.
        kind: see below.

    Attributes:
        group_id: the replication group, or the serverless cache.
        kind: which of the two it is.
        was_seen: it was described once.
        members: cache cluster id -> node group id of every node ever described; it
            only grows, so that events of removed nodes are still known as ours.
        changing: held by whoever changes the group: one mutation at a time.
        metrics: those of CloudWatch; None if there is none.
    """

    def __init__(
        self,
        calls: "Calls",
        *,
        group_id: str,
        where: str,
        kind: Kind = REPLICATION_GROUP,
    ) -> None:
        self.group_id = group_id
        self.kind = kind
        self.was_seen = False
        self.members: dict[str, str] = {}
        self.changing = asyncio.Lock()
        self.metrics: NodeMetrics | None = None
        self._where = where
        self._calls = calls

    @property
    def offset_ns(self) -> int | None:
        """Provider clock minus ours as of the last reply (see ``Call``)."""
        return self._calls.offset_ns

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
            await self._calls.send_once(self.kind.describe, **self._named)
        await self._group(missing_ok=not must_exist)

    async def describe_group(self) -> Group:
        """Return what is controlled as it is now."""
        kind = self.kind
        reply, call = await self._calls.read(kind.describe, **self._named)
        found = reply.get(kind.listed, [])
        if not found:
            raise ApiRefused(
                f"{kind.describe} at {self._where} knows no {kind.word} "
                f"{self.group_id!r}; check control.{kind.key} and control.region",
                code=kind.not_found,
            )
        read = read_group if kind.has_nodes else read_serverless_cache
        group = read(found[0], call)
        self.was_seen = True
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
        has_nodes = is_there and self.kind.has_nodes
        clusters = await self._clusters(group) if has_nodes else ()
        updates: tuple[UpdateAction, ...] = ()
        if Need.UPDATES in needs:
            updates = await self.describe_updates()
        node_types = versions = records = None
        if Need.NODE_TYPES in needs and has_nodes:
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
        """Return the service updates of the group, and how far they are.

        A serverless cache has none, and no window: nobody is told when it is kept up.
        """
        if not self.kind.has_nodes:
            return ()
        replies = await self._calls.read_pages(
            "DescribeUpdateActions",
            "UpdateActions",
            ReplicationGroupIds=[self.group_id],
            ShowNodeLevelUpdateStatus=True,
        )
        return tuple(map(read_update_action, replies))

    async def describe_window(self) -> str:
        """Return the maintenance window, as its nodes have it; "" if none is told."""
        if not self.kind.has_nodes:
            return ""
        nodes = await self._clusters(await self.describe_group())
        return next((n.maintenance_window for n in nodes if n.maintenance_window), "")

    async def events_since(self, wall_ns: int) -> tuple[ProviderRecord, ...]:
        """Return the account's events from a UNIX time on, oldest first.

        Not filtered by source: events of nodes carry the node's id, and the API
        filters by one exact id only. Those of the other kind are left out: a group and
        a serverless cache may have the same name.

        Args:
            wall_ns: UNIX ns in the provider's time; it must not lie in its future.
        """
        replies = await self._calls.read_pages(
            "DescribeEvents", "Events", StartTime=from_unix_ns(wall_ns)
        )
        records = read_records(replies)
        return tuple(r for r in records if self.kind.is_source(r.source_type))

    async def send(self, call: ApiCall) -> Call:
        """Send a mutation, exactly once.

        Raises:
            ApiUnanswered: the reply was lost; it may have been applied.
        """
        reply, made = await self._calls.send_once(call.operation, **call.arguments)
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

    @property
    def _named(self) -> dict[str, str]:
        return {self.kind.argument: self.group_id}

    async def _group(self, *, missing_ok: bool) -> Group:
        try:
            return await self.describe_group()
        except ApiRefused as fault:
            if not missing_ok or fault.code != self.kind.not_found:
                raise
        now = read_clock_pair()
        call = Call(self.kind.describe, now, now, request_id="", offset_ns=None)
        return absent_group(self.group_id, call, self.kind)

    async def _clusters(self, group: Group) -> tuple[CacheCluster, ...]:
        members = group.members
        replies = await self._calls.read_pages(
            "DescribeCacheClusters", "CacheClusters", ShowCacheNodeInfo=True
        )
        clusters = (read_cache_cluster(reply) for reply in replies)
        return tuple(cluster for cluster in clusters if cluster.id in members)

    async def _tags(self, group: Group) -> dict[str, str]:
        reply, _ = await self._calls.read("ListTagsForResource", ResourceName=group.arn)
        return {tag["Key"]: tag.get("Value", "") for tag in reply.get("TagList", ())}

    async def _node_types(self) -> tuple[str, ...]:
        reply, _ = await self._calls.read(
            "ListAllowedNodeTypeModifications", ReplicationGroupId=self.group_id
        )
        return (
            *reply.get("ScaleUpModifications", ()),
            *reply.get("ScaleDownModifications", ()),
        )

    async def _engine_versions(self) -> tuple[EngineVersion, ...]:
        replies = await self._calls.read_pages(
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
        control: replication group or serverless cache, region, endpoint.
        throttle_backoff_s: first pause after APICallRateForCustomerExceeded on a
            read; doubled each time, five attempts in all.
        must_exist: False for a group that is to be created.

    Raises:
        ControlError: on entering: the group cannot be described.
    """
    # Here, as the AWS libraries are large, and most runs have nothing to ask of AWS.
    from loadprobe.control.provider.calls import Calls
    from loadprobe.control.provider.clients import open_clients, open_metrics

    where = control.endpoint_url or control.region
    async with (
        open_clients(control) as (reads, mutations),
        open_metrics(control) as metrics,
    ):
        api = ElastiCacheApi(
            Calls(reads, mutations, where=where, throttle_backoff_s=throttle_backoff_s),
            group_id=control.cache,
            kind=kind_of(control),
            where=where,
        )
        api.metrics = metrics
        await api.warm_up(must_exist=must_exist)
        yield api
