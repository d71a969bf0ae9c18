"""What the provider's event texts mean, which are ours, and which are new.

Pure. Events have no id and no type, so they are told apart by all four members and
classified by their English texts. The texts are those of the ElastiCache user guide
("Event Notifications and Amazon SNS", "Testing automatic failover") plus one wording
seen in published logs only, "Failover to replica node X completed". A text that is not
known is kept as "other", never dropped.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.control.provider.replies import ProviderRecord

_FAILOVER_SPAN_NS = 30 * 60 * NS_PER_S
"""An event joins a failover that began at most so long before it; full recoveries of
13 minutes were observed."""


class EventKind(StrEnum):
    """What an event's text says."""

    TEST_FAILOVER_CALLED = "test_failover_called"
    FAILOVER_COMPLETED = "failover_completed"
    RECOVERY_STARTED = "recovery_started"
    RECOVERY_FINISHED = "recovery_finished"
    NODE_SHUTDOWN = "node_shutdown"
    NODE_RESTARTED = "node_restarted"
    PATCHED = "patched"
    UPDATE_AVAILABLE = "update_available"
    MIGRATION_COMPLETED = "migration_completed"
    FAILED = "failed"
    CREATED = "created"
    DELETED = "deleted"
    MODIFIED = "modified"
    TLS_CHANGED = "tls_changed"
    AUTH_CHANGED = "auth_changed"
    REPLICAS_CHANGED = "replicas_changed"
    RESHARDED = "resharded"
    UPDATE_ENDED = "update_ended"
    MIGRATION_STARTED = "migration_started"
    MIGRATION_TESTED = "migration_tested"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class EventMeaning:
    """An event understood.

    Args:
        record: the event as given.
        kind: what the text says.
        node_group: the shard it is about; None if neither text nor source tell.
        from_node: cache cluster id of the former primary, if the text names it.
        to_node: cache cluster id of the new primary, if the text names it.
    """

    record: ProviderRecord
    kind: EventKind
    node_group: str | None
    from_node: str | None
    to_node: str | None


_PATTERNS: tuple[tuple[EventKind, re.Pattern[str]], ...] = (
    (
        EventKind.TEST_FAILOVER_CALLED,
        re.compile(r"Test Failover API called for node group (?P<node_group>\S+)"),
    ),
    (
        EventKind.FAILOVER_COMPLETED,
        re.compile(
            r"Failover (?:from (?:master|primary) node (?P<from_node>\S+) )?"
            r"to replica node (?P<to_node>\S+) completed"
        ),
    ),
    (EventKind.RECOVERY_STARTED, re.compile(r"Recovering cache nodes [\d, ]+")),
    (
        EventKind.RECOVERY_FINISHED,
        re.compile(r"Finished recovery for cache nodes [\d, ]+"),
    ),
    (EventKind.NODE_SHUTDOWN, re.compile(r"Cache node \d+ shutdown")),
    (EventKind.NODE_RESTARTED, re.compile(r"Cache node \d+ restarted")),
    (EventKind.PATCHED, re.compile(r"Cache cluster patched")),
    (
        EventKind.UPDATE_AVAILABLE,
        re.compile(r"Service update is available for cache node"),
    ),
    (
        EventKind.MIGRATION_COMPLETED,
        re.compile(r"Complete Migration successful for \S+"),
    ),
    (
        EventKind.FAILED,
        re.compile(r"Failed applying modification to cache node type"),
    ),
    # ElastiCache's texts of what follows are not documented: these are those of the
    # local control plane.
    (
        EventKind.FAILED,
        re.compile(
            r"Test Failover of node group (?P<node_group>\S+) failed"
            r"|\w+ of replication group \S+ failed"
            r"|(?:Start|Complete|Test) Migration failed for \S+"
        ),
    ),
    (EventKind.CREATED, re.compile(r"Replication group \S+ created")),
    (EventKind.DELETED, re.compile(r"Replication group \S+ deleted")),
    (EventKind.MODIFIED, re.compile(r"Replication group \S+ modified")),
    (
        EventKind.RESHARDED,
        re.compile(r"Replication group \S+ (?:scaled (?:out|in)|rebalanced)"),
    ),
    (
        EventKind.TLS_CHANGED,
        re.compile(r"Transit encryption mode of replication group \S+ changed"),
    ),
    (
        EventKind.AUTH_CHANGED,
        re.compile(r"Auth token of replication group \S+ changed"),
    ),
    (
        EventKind.REPLICAS_CHANGED,
        re.compile(r"Replica count of replication group \S+ (?:in|de)creased"),
    ),
    (
        EventKind.UPDATE_ENDED,
        re.compile(r"Service update \S+ ended for replication group \S+"),
    ),
    (EventKind.MIGRATION_STARTED, re.compile(r"Start Migration successful for \S+")),
    (EventKind.MIGRATION_TESTED, re.compile(r"Test Migration successful for \S+")),
)
# Those of serverless caches are not documented but for the titles that EventBridge has
# ("Cache Created", "Cache Update Failed", ...): they are told apart by their words.
_SERVERLESS_PATTERNS: tuple[tuple[EventKind, re.Pattern[str]], ...] = (
    (EventKind.FAILED, re.compile(r"\bfail", re.IGNORECASE)),
    (
        EventKind.MIGRATION_COMPLETED,
        re.compile(r"migration.*complete|complete.*migration", re.IGNORECASE),
    ),
    (
        EventKind.MIGRATION_STARTED,
        re.compile(r"migration.*start|start.*migration", re.IGNORECASE),
    ),
    (EventKind.OTHER, re.compile(r"migration", re.IGNORECASE)),
    (EventKind.CREATED, re.compile(r"\bcreated\b", re.IGNORECASE)),
    (EventKind.DELETED, re.compile(r"\bdeleted\b", re.IGNORECASE)),
    (EventKind.MODIFIED, re.compile(r"\b(?:updated|modified)\b", re.IGNORECASE)),
)
_SERVERLESS_SOURCE = "serverless-cache"


def is_ours(record: ProviderRecord, *, group_id: str, members: Iterable[str]) -> bool:
    """Tell whether an event is about a group or one of its nodes, past or present.

    A node that was never described (it came and went between two looks) is known by
    the provider's naming: GROUP-SHARD-NODE or GROUP-NODE.
    """
    source = record.source_identifier
    if source == group_id or source in members:
        return True
    return _member_pattern(group_id).fullmatch(source) is not None


def classify(
    record: ProviderRecord, *, group_id: str, members: Mapping[str, str]
) -> EventMeaning:
    """Return what an event means.

    Args:
        record: the event.
        group_id: our replication group.
        members: cache cluster id -> node group id, of all nodes ever seen.
    """
    is_serverless = record.source_type == _SERVERLESS_SOURCE
    patterns = _SERVERLESS_PATTERNS if is_serverless else _PATTERNS
    kind, found = _read_text(record.message, patterns)
    from_node, to_node = found.get("from_node"), found.get("to_node")
    node_group = found.get("node_group")
    for node in (to_node, from_node, record.source_identifier):
        if node_group is None and node is not None:
            node_group = _node_group_of(node, group_id=group_id, members=members)
    return EventMeaning(record, kind, node_group, from_node, to_node)


class NewEvents:
    """Lets every event pass once.

    Args:
        since_unix_ns: older events never pass.
        passed: those that did before.
    """

    def __init__(
        self, *, since_unix_ns: int, passed: Iterable[ProviderRecord] = ()
    ) -> None:
        # The API's dates are cut to milliseconds; an event of our first one is ours.
        self._since_unix_ns = since_unix_ns - since_unix_ns % NS_PER_MS
        self._seen = set(passed)

    def take(self, records: Iterable[ProviderRecord]) -> list[ProviderRecord]:
        """Return those not returned before, in the order given."""
        fresh: list[ProviderRecord] = []
        for record in records:
            if record.date_unix_ns >= self._since_unix_ns and record not in self._seen:
                self._seen.add(record)
                fresh.append(record)
        return fresh

    def forget_before(self, wall_ns: int) -> None:
        """Drop the memory of events that will not be asked for again."""
        self._seen = {r for r in self._seen if r.date_unix_ns >= wall_ns}


_KEPT_FAILOVERS = 100
"""Of one shard: events of older ones do not come any more."""


@dataclass(slots=True)
class _Failover:
    id: str
    first_unix_ns: int
    called: bool = False
    to_node: str | None = None


class FailoverGrouping:
    """Gives the events of one failover of one shard a common id.

    One failover yields up to five events, and "completed" comes from the group and
    from the node, sometimes in two wordings. A new failover of a shard begins with
    "called", or with "completed" towards another node (failovers that nobody asked
    for have no "called"). Ids are "SHARD#N", counted per shard.
    """

    def __init__(self) -> None:
        self._failovers: dict[str, list[_Failover]] = {}
        self._begun: Counter[str] = Counter()

    def assign(self, meaning: EventMeaning) -> str | None:
        """Return the failover an event belongs to; None if it belongs to none."""
        if meaning.node_group is None or meaning.kind is EventKind.OTHER:
            return None
        date = meaning.record.date_unix_ns
        known = self._failovers.setdefault(meaning.node_group, [])
        near = [f for f in known if abs(date - f.first_unix_ns) <= _FAILOVER_SPAN_NS]
        before = [f for f in near if f.first_unix_ns <= date]
        after = [f for f in near if f.first_unix_ns > date]
        failover = before[-1] if before else after[0] if after else None
        if meaning.kind is EventKind.TEST_FAILOVER_CALLED:
            # Published after its own "completed"? Then it belongs to that one.
            failover = next((f for f in after if not f.called), None)
            failover = failover or self._begin(meaning.node_group, date)
            failover.called = True
        elif meaning.kind is EventKind.FAILOVER_COMPLETED:
            if failover is None or failover.to_node not in (None, meaning.to_node):
                failover = self._begin(meaning.node_group, date)
            failover.to_node = meaning.to_node
        return failover.id if failover is not None else None

    def _begin(self, node_group: str, date_unix_ns: int) -> _Failover:
        known = self._failovers[node_group]
        self._begun[node_group] += 1
        failover = _Failover(f"{node_group}#{self._begun[node_group]}", date_unix_ns)
        known.append(failover)
        known.sort(key=lambda each: each.first_unix_ns)
        del known[:-_KEPT_FAILOVERS]
        return failover


def _read_text(
    message: str, patterns: Iterable[tuple[EventKind, re.Pattern[str]]]
) -> tuple[EventKind, dict[str, str | None]]:
    for kind, pattern in patterns:
        match = pattern.search(message)
        if match is not None:
            return kind, match.groupdict()
    return EventKind.OTHER, {}


def _member_pattern(group_id: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(group_id)}-(?:(?P<node_group>\d{{4}})-)?\d{{3}}")


def _node_group_of(
    node: str, *, group_id: str, members: Mapping[str, str]
) -> str | None:
    if node in members:
        return members[node]
    match = _member_pattern(group_id).fullmatch(node)
    return match["node_group"] if match is not None else None
