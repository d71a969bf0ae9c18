"""The ElastiCache API in the few calls the controller needs, typed and timed.

Rule: reads are retried, a mutation is sent once and only once. Two clients keep that
apart; both exist, and have made a call, before load starts, because creating the first
client of a process blocks its event loop for about 300 ms (aiobotocore 2.25).
"""

import asyncio
import ipaddress
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import aioboto3  # type: ignore[import-untyped]
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session

from loadprobe import config
from loadprobe.clock import ClockPair, read_clock_pair
from loadprobe.control.faults import (
    THROTTLED_BY_CUSTOMER_RATE,
    ApiFault,
    ApiRefused,
    ApiUnanswered,
    CallErrors,
    explain,
)
from loadprobe.control.shapes import (
    CacheCluster,
    Call,
    Group,
    ProviderRecord,
    from_unix_ns,
    read_cache_cluster,
    read_group,
    read_offset_ns,
    read_records,
)

_PAGE_RECORDS = 100
_THROTTLE_ATTEMPTS = 5
_METADATA_TIMEOUT_S = 5
_METADATA_ATTEMPTS = 3
_CREDENTIAL_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class ElastiCacheApi:
    """Calls about one replication group; made by ``open_api``.

    Every method raises ControlError, as one of ApiRefused, ApiUnanswered and
    ApiUnreachable. Not to be shared between event loops.

    Attributes:
        group_id: the replication group.
        members: cache cluster id -> node group id of every node ever described; it
            only grows, so that events of removed nodes are still known as ours.
        offset_ns: provider clock minus ours as of the last reply (see ``Call``).
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
        self._reads = reads
        self._mutations = mutations
        self._where = where
        self._throttle_backoff_s = throttle_backoff_s

    async def warm_up(self) -> None:
        """Make the first call of each client.

        The client without retries goes first, so that an endpoint that cannot be
        reached shows in seconds; whatever else is wrong, the patient one tells.
        """
        with suppress(ApiRefused, ApiUnanswered):
            await self._call(
                self._mutations,
                "DescribeReplicationGroups",
                ReplicationGroupId=self.group_id,
            )
        await self.describe_group()

    async def describe_group(self) -> Group:
        """Return the replication group as it is now."""
        reply, call = await self._read(
            "DescribeReplicationGroups", ReplicationGroupId=self.group_id
        )
        groups = reply.get("ReplicationGroups", [])
        if not groups:
            raise ApiRefused(
                f"DescribeReplicationGroups at {self._where} knows no group "
                f"{self.group_id!r}; check control.replication_group and "
                "control.region",
                code="ReplicationGroupNotFoundFault",
            )
        group = read_group(groups[0], call)
        self.members.update(group.members)
        return group

    async def describe_clusters(self) -> tuple[CacheCluster, ...]:
        """Return the nodes of the group that exist now, with engine and node type."""
        members = (await self.describe_group()).members
        replies = await self._read_pages(
            "DescribeCacheClusters", "CacheClusters", ShowCacheNodeInfo=True
        )
        clusters = (read_cache_cluster(reply) for reply in replies)
        return tuple(cluster for cluster in clusters if cluster.id in members)

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

    async def test_failover(self, node_group_id: str) -> Call:
        """Ask for a failover of one shard; sent exactly once.

        Raises:
            ApiUnanswered: the reply was lost; the failover may be under way.
        """
        _, call = await self._call(
            self._mutations,
            "TestFailover",
            ReplicationGroupId=self.group_id,
            NodeGroupId=node_group_id,
        )
        return call

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
        before = read_clock_pair()
        try:
            reply: dict[str, Any] = await method(**arguments)
        except CallErrors as exc:
            raise self._fault(exc, operation, arguments) from exc
        call = _describe_call(operation, reply, before)
        self.offset_ns = call.offset_ns
        return reply, call

    def _fault(
        self, exc: BaseException, operation: str, arguments: dict[str, object]
    ) -> ApiFault:
        shown = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in arguments.items()
        }
        return explain(exc, operation=operation, arguments=shown, where=self._where)


_METHODS = {
    "DescribeReplicationGroups": "describe_replication_groups",
    "DescribeCacheClusters": "describe_cache_clusters",
    "DescribeEvents": "describe_events",
    "TestFailover": "test_failover",
}


@asynccontextmanager
async def open_api(
    control: config.Control, *, throttle_backoff_s: float = 1.0
) -> AsyncIterator[ElastiCacheApi]:
    """Open both clients and make a first call on each, so that nothing stalls later.

    Enter it before load starts, and in the process that carries no load. On a
    loopback endpoint without credentials in the environment, placeholder keys are
    used and no metadata service is asked.

    Args:
        control: replication group, region, endpoint.
        throttle_backoff_s: first pause after APICallRateForCustomerExceeded on a
            read; doubled each time, five attempts in all.

    Raises:
        ControlError: on entering: the group cannot be described.
    """
    is_local = _is_loopback(control.endpoint_url)
    arguments: dict[str, Any] = {
        "region_name": control.region,
        "endpoint_url": control.endpoint_url,
    }
    if is_local and not any(map(os.environ.get, _CREDENTIAL_VARIABLES)):
        arguments |= {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    where = control.endpoint_url or control.region
    async with AsyncExitStack() as stack:
        try:
            session = aioboto3.Session(botocore_session=_patient_session())
            reads, mutations = [
                await stack.enter_async_context(
                    session.client("elasticache", config=settings, **arguments)
                )
                for settings in (_read_settings(is_local), _mutation_settings(is_local))
            ]
        except (*CallErrors, ValueError) as exc:
            raise explain(
                exc, operation="create the client", arguments={}, where=where
            ) from exc
        api = ElastiCacheApi(
            reads,
            mutations,
            group_id=control.replication_group,
            where=where,
            throttle_backoff_s=throttle_backoff_s,
        )
        await api.warm_up()
        yield api


def _read_settings(is_local: bool) -> AioConfig:
    return AioConfig(
        retries={"mode": "standard", "max_attempts": 8},
        connect_timeout=3,
        read_timeout=10,
        tcp_keepalive=True,
        proxies={} if is_local else None,
    )


def _mutation_settings(is_local: bool) -> AioConfig:
    """One attempt (max_attempts would count the retries), on a fresh connection.

    A kept-alive connection that the provider has just closed would turn a request
    that never arrived into one that may have been applied.
    """
    return AioConfig(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=3,
        read_timeout=10,
        proxies={} if is_local else None,
        connector_args={"force_close": True, "keepalive_timeout": None},
    )


def _patient_session() -> AioSession:
    """Return a session that asks the instance metadata service more than once.

    The defaults are one attempt of one second (botocore 1.40); a value from the
    environment wins where it is larger.
    """
    session = get_session()
    for name, least in (
        ("metadata_service_timeout", _METADATA_TIMEOUT_S),
        ("metadata_service_num_attempts", _METADATA_ATTEMPTS),
    ):
        current = int(session.get_config_variable(name))
        session.set_config_variable(name, max(current, least))
    return session


def _is_loopback(endpoint_url: str | None) -> bool:
    host = urlsplit(endpoint_url or "").hostname
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
