"""What the provider knows of what is controlled, and a call that would change it.

Pure values. A state holds what was asked for: a mutation names what it must know before
it can be planned (see ``Need``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from loadprobe.clock import ClockPair
from loadprobe.control.provider.kinds import REPLICATION_GROUP, Kind
from loadprobe.control.provider.replies import (
    CacheCluster,
    Call,
    EngineVersion,
    Group,
    ProviderRecord,
    UpdateAction,
)

AVAILABLE = "available"
MIGRATING = "migrating"
CREATE_FAILED = "create-failed"
DELETING = "deleting"
ABSENT = "absent"
"""Our own status of a group that the provider does not know."""

AT_REST = frozenset({AVAILABLE, MIGRATING, CREATE_FAILED})
"""Where a group stays until somebody changes it."""


class Need(StrEnum):
    """What a state holds only if it was asked for; each is a call of its own."""

    UPDATES = "updates"
    NODE_TYPES = "node types"
    ENGINE_VERSIONS = "engine versions"
    RECORDS = "records"
    TAGS = "tags"


@dataclass(frozen=True, slots=True)
class GroupState:
    """One look at a group.

    Args:
        group: the group; its status is ABSENT if the provider knows none.
        clusters: its nodes.
        updates: service updates that concern it; empty unless asked for.
        node_types: what the node type may be changed to; None: not known.
        engine_versions: what the provider offers; None: not known.
        records: the account's events of the last 24 hours, oldest first; None: not
            known.
        seen_unix_ns: when it was looked at, in the provider's time.
        members: cache cluster id -> node group id of all nodes ever seen.
        tags: name -> value; None: not known, as those of a group at work.
    """

    group: Group
    clusters: tuple[CacheCluster, ...] = ()
    updates: tuple[UpdateAction, ...] = ()
    node_types: tuple[str, ...] | None = None
    engine_versions: tuple[EngineVersion, ...] | None = None
    records: tuple[ProviderRecord, ...] | None = None
    seen_unix_ns: int = 0
    members: Mapping[str, str] | None = None
    tags: Mapping[str, str] | None = None

    @property
    def is_there(self) -> bool:
        """Whether the provider knows the group."""
        return self.group.status != ABSENT

    @property
    def engine(self) -> str:
        """The engine, "" if nobody tells."""
        if self.group.serverless is not None:
            return self.group.serverless.engine
        return self.clusters[0].engine if self.clusters else ""

    @property
    def pending(self) -> dict[str, object]:
        """What is pending for the group and for each of its nodes, by name."""
        found = dict(self.group.pending)
        for cluster in self.clusters:
            found |= {f"{cluster.id}.{key}": v for key, v in cluster.pending.items()}
        return found


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A mutation as the API takes it.

    Args:
        operation: API action, such as "ModifyReplicationGroup".
        arguments: its members; secrets as ``Secret``.
    """

    operation: str
    arguments: Mapping[str, object]

    def shown(self) -> str:
        """Return it for people, secrets masked."""
        shown = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.operation}({shown})"


def no_group() -> GroupState:
    """Return what stands for the group where there is none to ask about."""
    never = ClockPair(0, 0)
    return GroupState(absent_group("", Call("", never, never, "", None)))


def absent_group(group_id: str, call: Call, kind: Kind = REPLICATION_GROUP) -> Group:
    """Return what stands for one that the provider does not know."""
    return Group(
        id=group_id,
        status=ABSENT,
        pending={},
        shards={},
        endpoint=None,
        tls_mode="none" if kind.has_nodes else "required",
        call=call,
        kind=kind,
    )
