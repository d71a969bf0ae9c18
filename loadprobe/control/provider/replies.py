"""The provider's answers as values: replication groups, nodes, events, calls.

Pure: built from the dictionaries botocore parses. Only members that are used are kept;
statuses stay open strings, because the provider knows more than its model documents.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.control.provider.faults import ApiUnanswered
from loadprobe.control.provider.kinds import (
    REPLICATION_GROUP,
    Kind,
)
from loadprobe.control.provider.serverless import Serverless

_P = ParamSpec("_P")
_T = TypeVar("_T")
Reply = Mapping[str, Any]
SlotRanges = tuple[tuple[int, int], ...]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_HALF_STEP_NS = NS_PER_S // 2


@dataclass(frozen=True, slots=True)
class Call:
    """One answered API call.

    Args:
        operation: API action, such as "TestFailover".
        before: both clocks just before the call.
        after: both clocks just after the reply.
        request_id: the provider's id of the request, "" if it gave none.
        offset_ns: provider clock minus ours, from the Date header; good to half a
            second (the header has whole seconds) plus half the round trip. None
            without the header.
    """

    operation: str
    before: ClockPair
    after: ClockPair
    request_id: str
    offset_ns: int | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where clients connect."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """A shard as the provider sees it; roles are not visible in cluster mode.

    Args:
        id: node group id, such as "0001".
        status: "creating", "available", "modifying", "deleting" or another.
        slots: inclusive slot ranges; empty without cluster mode.
        members: cache cluster ids of its nodes.
    """

    id: str
    status: str
    slots: SlotRanges
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """What is controlled: a replication group, or a serverless cache.

    A serverless cache is one of cluster mode and TLS whose shards nobody is told.

    Args:
        id: replication group id, or the name of the serverless cache.
        status: "available", "modifying", "migrating" or another.
        pending: PendingModifiedValues without its empty members; empty when nothing
            is pending.
        shards: node group id -> node group.
        endpoint: the configuration endpoint; without cluster mode, the primary's.
        tls_mode: "none", "preferred" or "required".
        call: the call that gave it.
        is_cluster: cluster mode is on.
        has_auth: clients log in with a token.
        user_groups: ids of the user groups that control access.
        multi_az: "enabled", "disabled" or "" (not told).
        auth_changed_unix_ns: when the token was last changed, the provider's time: a
            new token shows by nothing else.
        created_unix_ns: when the group was made, the provider's time.
        reader: the endpoint of the replicas, without cluster mode.
        arn: its resource name; "" if the provider tells none.
        durability: "sync", "async" or "disabled" as it is in effect; "" if it is not
            told.
        kind: which of the two it is.
        serverless: what only a serverless cache has; None while there is none.
    """

    id: str
    status: str
    pending: Mapping[str, object]
    shards: Mapping[str, NodeGroup]
    endpoint: Endpoint | None
    tls_mode: str
    call: Call
    is_cluster: bool = True
    has_auth: bool = False
    user_groups: tuple[str, ...] = ()
    multi_az: str = ""
    auth_changed_unix_ns: int | None = None
    created_unix_ns: int | None = None
    reader: Endpoint | None = None
    arn: str = ""
    durability: str = ""
    kind: Kind = REPLICATION_GROUP
    serverless: Serverless | None = None

    @property
    def named(self) -> str:
        """Its kind and its name, for people."""
        return f"{self.kind.word} {self.id}"

    @property
    def members(self) -> dict[str, str]:
        """Return cache cluster id -> node group id."""
        return {
            member: shard.id
            for shard in self.shards.values()
            for member in shard.members
        }


@dataclass(frozen=True, slots=True)
class CacheCluster:
    """One node as DescribeCacheClusters shows it."""

    id: str
    status: str
    node_type: str
    engine: str
    engine_version: str
    pending: Mapping[str, object] = field(default_factory=dict)
    maintenance_window: str = ""


@dataclass(frozen=True, slots=True)
class NodeUpdate:
    """What a service update does to one node, in the provider's time.

    Args:
        status: "not-applied", "in-progress", "complete" or another.
        start_unix_ns: when its update began; None if it has not.
        end_unix_ns: when its update ended; None if it has not.
    """

    status: str
    start_unix_ns: int | None
    end_unix_ns: int | None


@dataclass(frozen=True, slots=True)
class UpdateAction:
    """A service update as it concerns one replication group.

    Args:
        name: ServiceUpdateName.
        status: "not-applied", "in-progress", "complete" or another.
        severity: "critical", "important", "medium" or "low".
        nodes: its nodes.
        apply_by_unix_ns: until when it should be applied; None if that is not told.
    """

    name: str
    status: str
    severity: str
    nodes: tuple[NodeUpdate, ...] = ()
    apply_by_unix_ns: int | None = None


@dataclass(frozen=True, slots=True)
class EngineVersion:
    """An engine version the provider offers.

    Args:
        engine: "redis" or "valkey".
        version: such as "7.0.15".
        description: the provider's words; the local control plane says in them whether
            the program has TLS.
    """

    engine: str
    version: str
    description: str = ""

    @property
    def has_tls(self) -> bool:
        """Tell whether it can be encrypted: all can, unless it says otherwise."""
        return not self.description.endswith("without TLS")


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """One record of DescribeEvents; it has no id, so all four members are its key.

    Args:
        source_identifier: id of the group or of a node.
        source_type: "replication-group", "cache-cluster" or another.
        date_unix_ns: the provider's time of it, UNIX ns (millisecond steps).
        message: the text.
    """

    source_identifier: str
    source_type: str
    date_unix_ns: int
    message: str


def whole(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have a reader tell an answer that is not as the service describes it.

    Raises:
        ApiUnanswered: (the reader) a member lacks, or is not what it should be.
    """

    @wraps(read)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            raise ApiUnanswered(
                "the provider's answer is not as its service describes it "
                f"({read.__name__}: {type(exc).__name__} {exc}); look whether "
                "control.endpoint_url is the ElastiCache API"
            ) from exc

    return checked


@whole
def read_group(reply: Reply, call: Call) -> Group:
    """Build a Group from one member of ReplicationGroups."""
    shards = [
        NodeGroup(
            id=shard["NodeGroupId"],
            status=shard.get("Status", ""),
            slots=read_slots(shard.get("Slots", "")),
            members=tuple(
                member["CacheClusterId"] for member in shard.get("NodeGroupMembers", ())
            ),
        )
        for shard in reply.get("NodeGroups", ())
    ]
    endpoint, reader = reply.get("ConfigurationEndpoint"), None
    if endpoint is None and len(shards) == 1:
        endpoint = reply["NodeGroups"][0].get("PrimaryEndpoint")
        reader = reply["NodeGroups"][0].get("ReaderEndpoint")
    tls_mode = "none"
    if reply.get("TransitEncryptionEnabled"):
        # Absent on groups from before the mode existed; those are TLS only.
        tls_mode = reply.get("TransitEncryptionMode", "required")
    return Group(
        id=reply["ReplicationGroupId"],
        status=reply.get("Status", ""),
        pending=_without_empty(reply.get("PendingModifiedValues", {})),
        shards={shard.id: shard for shard in shards},
        endpoint=as_endpoint(endpoint),
        reader=as_endpoint(reader),
        tls_mode=tls_mode,
        call=call,
        is_cluster=reply.get("ClusterEnabled", True),
        has_auth=reply.get("AuthTokenEnabled", False),
        user_groups=tuple(reply.get("UserGroupIds", ())),
        multi_az=reply.get("MultiAZ", ""),
        auth_changed_unix_ns=as_unix_ns(reply.get("AuthTokenLastModifiedDate")),
        created_unix_ns=as_unix_ns(reply.get("ReplicationGroupCreateTime")),
        arn=reply.get("ARN", ""),
        durability=reply.get("EffectiveDurability", reply.get("Durability", "")),
    )


@whole
def read_cache_cluster(reply: Reply) -> CacheCluster:
    """Build a CacheCluster from one member of CacheClusters."""
    return CacheCluster(
        id=reply["CacheClusterId"],
        status=reply.get("CacheClusterStatus", ""),
        node_type=reply.get("CacheNodeType", ""),
        engine=reply.get("Engine", ""),
        engine_version=reply.get("EngineVersion", ""),
        pending=_without_empty(reply.get("PendingModifiedValues", {})),
        maintenance_window=reply.get("PreferredMaintenanceWindow", ""),
    )


@whole
def read_update_action(reply: Reply) -> UpdateAction:
    """Build an UpdateAction from one member of UpdateActions."""
    nodes = [
        node
        for shard in reply.get("NodeGroupUpdateStatus", ())
        for node in shard.get("NodeGroupMemberUpdateStatus", ())
    ]
    return UpdateAction(
        name=reply.get("ServiceUpdateName", ""),
        status=reply.get("UpdateActionStatus", ""),
        severity=reply.get("ServiceUpdateSeverity", ""),
        apply_by_unix_ns=as_unix_ns(reply.get("ServiceUpdateRecommendedApplyByDate")),
        nodes=tuple(
            NodeUpdate(
                status=node.get("NodeUpdateStatus", ""),
                start_unix_ns=as_unix_ns(node.get("NodeUpdateStartDate")),
                end_unix_ns=as_unix_ns(node.get("NodeUpdateEndDate")),
            )
            for node in nodes
        ),
    )


@whole
def read_records(replies: Iterable[Reply]) -> tuple[ProviderRecord, ...]:
    """Build records from members of Events, in the order of their dates."""
    records = [
        ProviderRecord(
            source_identifier=reply.get("SourceIdentifier", ""),
            source_type=reply.get("SourceType", ""),
            date_unix_ns=to_unix_ns(reply["Date"]),
            message=reply.get("Message", ""),
        )
        for reply in replies
    ]
    return tuple(sorted(records, key=lambda record: record.date_unix_ns))


def read_slots(text: str) -> SlotRanges:
    """Parse "0-5461,9000" into inclusive ranges."""
    ranges: list[tuple[int, int]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = part.partition("-")
        ranges.append((int(first), int(last or first)))
    return tuple(ranges)


def read_offset_ns(date_header: str | None, around: tuple[int, int]) -> int | None:
    """Return provider clock minus ours in ns from a reply's Date header.

    Args:
        date_header: RFC 9110 date, whole seconds; None or unreadable gives None.
        around: our wall clock before and after the call.
    """
    if date_header is None:
        return None
    try:
        date = parsedate_to_datetime(date_header)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        told_ns = to_unix_ns(date)
    except (ValueError, OverflowError):
        return None
    return told_ns + _DATE_HALF_STEP_NS - (around[0] + around[1]) // 2


def to_unix_ns(date: datetime) -> int:
    """Return an aware datetime as UNIX ns, exactly."""
    return (date - _EPOCH) // timedelta(microseconds=1) * 1000


def from_unix_ns(wall_ns: int) -> datetime:
    """Return UNIX ns as UTC, cut to the millisecond the provider's API knows."""
    return _EPOCH + timedelta(milliseconds=wall_ns // NS_PER_MS)


def as_endpoint(reply: Reply | None) -> Endpoint | None:
    """Return an Endpoint of a reply; None if it has none."""
    return Endpoint(reply["Address"], reply["Port"]) if reply else None


def as_unix_ns(date: datetime | None) -> int | None:
    """Return a date of a reply as UNIX ns; None if it has none."""
    return None if date is None else to_unix_ns(date)


def _without_empty(pending: Reply) -> dict[str, object]:
    """Drop members that say nothing: some replies carry empty structures."""
    return {name: value for name, value in pending.items() if value not in ({}, [], "")}
