"""Event texts: what they mean, whose they are, and which belong together."""

import pytest

from loadprobe.control.provider.event_texts import (
    EventKind,
    EventMeaning,
    FailoverGrouping,
    NewEvents,
    classify,
    is_ours,
)
from loadprobe.control.provider.replies import ProviderRecord

MEMBERS = {"rg-0001-001": "0001", "rg-0001-002": "0001", "odd-name": "0002"}
SECOND_NS = 1_000_000_000


def record(
    message: str, *, source: str = "rg", at_s: float = 1000.0, kind: str = ""
) -> ProviderRecord:
    """Build an event of the group, or of a node."""
    source_type = kind or ("replication-group" if source == "rg" else "cache-cluster")
    return ProviderRecord(source, source_type, int(at_s * SECOND_NS), message)


def understood(
    message: str, *, source: str = "rg", at_s: float = 1000.0
) -> EventMeaning:
    """Classify an event of our group."""
    return classify(
        record(message, source=source, at_s=at_s), group_id="rg", members=MEMBERS
    )


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            "Failed applying modification to cache node type to cache.r7g.large.",
            EventKind.FAILED,
        ),
        (
            "ModifyReplicationGroup of replication group rg failed: no luck",
            EventKind.FAILED,
        ),
        ("Complete Migration failed for rg", EventKind.FAILED),
        (
            "Service update is available for cache node 0001.",
            EventKind.UPDATE_AVAILABLE,
        ),
        ("Complete Migration successful for rg", EventKind.MIGRATION_COMPLETED),
        ("Start Migration successful for rg", EventKind.MIGRATION_STARTED),
        ("Test Migration successful for rg", EventKind.MIGRATION_TESTED),
        ("Test Migration failed for rg: it is newer", EventKind.FAILED),
        ("Replication group rg created", EventKind.CREATED),
        ("Replication group rg deleted", EventKind.DELETED),
        (
            "Replication group rg modified: node type cache.r7g.large",
            EventKind.MODIFIED,
        ),
        (
            "Replication group rg scaled in: 2 node groups, slots moved",
            EventKind.RESHARDED,
        ),
        (
            "Transit encryption mode of replication group rg changed to preferred",
            EventKind.TLS_CHANGED,
        ),
        (
            "Auth token of replication group rg changed: ROTATE",
            EventKind.AUTH_CHANGED,
        ),
        ("Replica count of replication group rg increased", EventKind.REPLICAS_CHANGED),
        (
            "Service update u-1 ended for replication group rg",
            EventKind.UPDATE_ENDED,
        ),
        ("Something that nobody has ever read", EventKind.OTHER),
    ],
)
def test_what_happens_to_a_whole_group_is_known(message: str, kind: EventKind) -> None:
    """It belongs to no shard, and to no failover; unknown texts are kept."""
    meaning = understood(message)
    assert (meaning.kind, meaning.node_group) == (kind, None)
    assert meaning.record.message == message
    assert FailoverGrouping().assign(meaning) is None


def test_a_failed_failover_is_about_its_shard() -> None:
    """The text has the node group."""
    meaning = understood("Test Failover of node group 0002 failed: nobody left")
    assert (meaning.kind, meaning.node_group) == (EventKind.FAILED, "0002")


@pytest.mark.parametrize(
    ("message", "source", "kind", "node_group", "from_node", "to_node"),
    [
        (
            "Test Failover API called for node group 0001",
            "rg",
            EventKind.TEST_FAILOVER_CALLED,
            "0001",
            None,
            None,
        ),
        (
            (
                "Failover from primary node rg-0001-001 "
                "to replica node rg-0001-002 completed"
            ),
            "rg",
            EventKind.FAILOVER_COMPLETED,
            "0001",
            "rg-0001-001",
            "rg-0001-002",
        ),
        (
            (
                "Failover from master node rg-0001-001 "
                "to replica node rg-0001-002 completed"
            ),
            "rg-0001-001",
            EventKind.FAILOVER_COMPLETED,
            "0001",
            "rg-0001-001",
            "rg-0001-002",
        ),
        (
            "Failover to replica node rg-0003-002 completed",
            "rg",
            EventKind.FAILOVER_COMPLETED,
            "0003",
            None,
            "rg-0003-002",
        ),
        (
            "Recovering cache nodes 0001",
            "rg-0001-001",
            EventKind.RECOVERY_STARTED,
            "0001",
            None,
            None,
        ),
        (
            "Finished recovery for cache nodes 0001, 0002",
            "odd-name",
            EventKind.RECOVERY_FINISHED,
            "0002",
            None,
            None,
        ),
        (
            "Cache node 0001 shutdown",
            "rg-0004-001",
            EventKind.NODE_SHUTDOWN,
            "0004",
            None,
            None,
        ),
        (
            "Cache node 0001 restarted",
            "rg-0001-001",
            EventKind.NODE_RESTARTED,
            "0001",
            None,
            None,
        ),
        (
            "Cache cluster patched",
            "rg-0001-001",
            EventKind.PATCHED,
            "0001",
            None,
            None,
        ),
        ("Something never read before", "rg", EventKind.OTHER, None, None, None),
    ],
)
def test_every_known_text_has_its_kind(
    message: str,
    source: str,
    kind: EventKind,
    node_group: str | None,
    from_node: str | None,
    to_node: str | None,
) -> None:
    """A known text gives its kind, shard and nodes; an unknown one is kept."""
    meaning = understood(message, source=source)
    assert (meaning.kind, meaning.node_group) == (kind, node_group)
    assert (meaning.from_node, meaning.to_node) == (from_node, to_node)
    assert meaning.record.message == message


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("rg", True),
        ("rg-0001-001", True),
        ("rg-0009-004", True),
        ("rg-001", True),
        ("odd-name", True),
        ("rg-blue", False),
        ("rg-blue-0001-001", False),
        ("other-rg-0001-001", False),
        ("", False),
    ],
)
def test_only_events_of_the_group_and_its_nodes_are_ours(
    source: str, expected: bool
) -> None:
    """A group whose name begins with ours is not ours; a removed node of ours is."""
    ours = is_ours(record("x", source=source), group_id="rg", members=MEMBERS)
    assert ours is expected


def test_an_event_passes_once_however_often_it_is_listed() -> None:
    """Overlapping polls give each event once; any differing member makes it another."""
    new = NewEvents(since_unix_ns=0)
    first = record("a")
    assert new.take([first, first]) == [first]
    others = [
        record("b"),
        record("a", at_s=1000.001),
        record("a", source="rg-0001-001"),
        record("a", kind="cache-cluster"),
    ]
    assert new.take([first, *others]) == others
    assert new.take([first, *others]) == []


def test_events_before_the_run_do_not_pass() -> None:
    """The first millisecond of the run counts as the run; nothing older does."""
    new = NewEvents(since_unix_ns=1000 * SECOND_NS + 900_000)
    older, same_ms = record("x", at_s=999.999), record("x", at_s=1000.0)
    assert new.take([older, same_ms]) == [same_ms]


def test_forgetting_old_events_keeps_the_recent_ones() -> None:
    """Memory is bounded by time, and what may be listed again is remembered."""
    new = NewEvents(since_unix_ns=0)
    old, recent = record("x", at_s=10), record("x", at_s=1000)
    new.take([old, recent])
    new.forget_before(500 * SECOND_NS)
    assert new.take([recent]) == []
    assert new.take([old]) == [old]


CALLED = "Test Failover API called for node group 0001"
DONE = "Failover from primary node rg-0001-001 to replica node rg-0001-002 completed"
BACK = "Failover from primary node rg-0001-002 to replica node rg-0001-001 completed"
SHORT = "Failover to replica node rg-0001-002 completed"


def ids(*events: tuple[str, str, float]) -> list[str | None]:
    """Return the failover ids of (message, source, seconds) in the order given."""
    grouping = FailoverGrouping()
    return [
        grouping.assign(understood(message, source=source, at_s=at_s))
        for message, source, at_s in events
    ]


def test_all_events_of_one_failover_share_an_id() -> None:
    """Five events in three wordings are one failover."""
    assert (
        ids(
            (CALLED, "rg", 0),
            (DONE, "rg-0001-001", 60),
            (DONE, "rg", 60),
            (SHORT, "rg", 61),
            ("Recovering cache nodes 0001", "rg-0001-001", 140),
            ("Finished recovery for cache nodes 0001", "rg-0001-001", 760),
        )
        == ["0001#1"] * 6
    )


def test_a_second_failover_has_an_id_of_its_own() -> None:
    """A new call, or a completion towards another node, begins another failover."""
    assert ids((CALLED, "rg", 0), (DONE, "rg", 60), (CALLED, "rg", 90)) == [
        "0001#1",
        "0001#1",
        "0001#2",
    ]
    assert ids((DONE, "rg", 0), (BACK, "rg", 600)) == ["0001#1", "0001#2"]


def test_late_events_join_the_failover_of_their_date() -> None:
    """Publication order does not matter where the dates tell."""
    assert ids(
        (DONE, "rg", 60), (CALLED, "rg", 0), (CALLED, "rg", 300), (SHORT, "rg", 62)
    ) == ["0001#1", "0001#1", "0001#2", "0001#1"]


def test_events_outside_a_failover_have_no_id() -> None:
    """A patched node, an unknown text and a long past failover give no id."""
    assert ids(
        ("Cache cluster patched", "rg-0001-001", 0),
        ("Something new", "rg", 1),
        (DONE, "rg", 2),
        ("Recovering cache nodes 0001", "rg-0001-001", 7200),
    ) == [None, None, "0001#1", None]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Serverless cache sc created", EventKind.CREATED),
        ("Cache Updated", EventKind.MODIFIED),
        ("Cache Update Failed", EventKind.FAILED),
        ("Cache Creation Failed", EventKind.FAILED),
        ("Cache Deleted", EventKind.DELETED),
        ("Cache Limit Approaching", EventKind.OTHER),
        ("Prepare Migration successful for sc", EventKind.OTHER),
        ("Start Migration successful for sc", EventKind.MIGRATION_STARTED),
        ("Migration completed", EventKind.MIGRATION_COMPLETED),
        ("StartMigration of serverless cache sc failed: no", EventKind.FAILED),
    ],
)
def test_texts_of_a_serverless_cache(message: str, kind: EventKind) -> None:
    """They are told apart by their words: AWS documents titles only."""
    told = record(message, source="sc", kind="serverless-cache")
    assert classify(told, group_id="sc", members={}).kind is kind
