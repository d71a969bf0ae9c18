"""Provider answers become values without loss of what is used."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from loadprobe.clock import ClockPair
from loadprobe.control.provider.replies import (
    Call,
    Endpoint,
    from_unix_ns,
    read_cache_cluster,
    read_group,
    read_offset_ns,
    read_records,
    read_slots,
    to_unix_ns,
)

PAIR = ClockPair(1, 2)
CALL = Call("DescribeReplicationGroups", PAIR, PAIR, "r-1", None)


def test_a_cluster_mode_group_is_read() -> None:
    """Shards, slots, members, endpoint, pending values and TLS mode come through."""
    group = read_group(
        {
            "ReplicationGroupId": "rg",
            "Status": "modifying",
            "PendingModifiedValues": {"TransitEncryptionMode": "required"},
            "NodeGroups": [
                {
                    "NodeGroupId": "0001",
                    "Status": "available",
                    "Slots": "0-8191,9000",
                    "NodeGroupMembers": [
                        {"CacheClusterId": "rg-0001-001"},
                        {"CacheClusterId": "rg-0001-002"},
                    ],
                }
            ],
            "ConfigurationEndpoint": {"Address": "host", "Port": 6379},
            "TransitEncryptionEnabled": True,
            "TransitEncryptionMode": "preferred",
        },
        CALL,
    )
    assert group.shards["0001"].slots == ((0, 8191), (9000, 9000))
    assert group.members == {"rg-0001-001": "0001", "rg-0001-002": "0001"}
    assert group.endpoint == Endpoint("host", 6379)
    assert (group.status, group.tls_mode) == ("modifying", "preferred")
    assert group.pending == {"TransitEncryptionMode": "required"}


@pytest.mark.parametrize(
    ("reply", "mode"),
    [
        ({}, "none"),
        ({"TransitEncryptionEnabled": False}, "none"),
        ({"TransitEncryptionEnabled": True}, "required"),
    ],
)
def test_absent_members_have_the_documented_meaning(
    reply: dict[str, object], mode: str
) -> None:
    """A bare group has no shards or endpoint; TLS without a mode is TLS only."""
    group = read_group({"ReplicationGroupId": "rg", **reply}, CALL)
    assert (group.tls_mode, group.shards, group.endpoint) == (mode, {}, None)


def test_a_node_is_read() -> None:
    """Engine version and pending values of a node come through."""
    node = read_cache_cluster(
        {
            "CacheClusterId": "rg-0001-001",
            "CacheClusterStatus": "available",
            "CacheNodeType": "cache.r7g.large",
            "Engine": "valkey",
            "EngineVersion": "8.0.1",
            "PendingModifiedValues": {"EngineVersion": "8.1"},
        }
    )
    assert (node.engine, node.engine_version) == ("valkey", "8.0.1")
    assert node.pending == {"EngineVersion": "8.1"}


def test_records_are_sorted_and_in_utc_nanoseconds() -> None:
    """A date of any zone becomes exact UNIX ns, and records come oldest first."""
    tokyo = timezone(timedelta(hours=9))
    late = datetime(2026, 1, 1, 9, 0, 1, 5000, tzinfo=tokyo)
    early = datetime(2026, 1, 1, tzinfo=UTC)
    records = read_records(
        [{"Date": late, "Message": "b"}, {"Date": early, "Message": "a"}]
    )
    assert [record.message for record in records] == ["a", "b"]
    assert records[1].date_unix_ns - records[0].date_unix_ns == 1_005_000_000
    assert records[0].date_unix_ns == 1_767_225_600 * 10**9


def test_times_are_cut_to_the_milliseconds_of_the_api() -> None:
    """A start time never lies after the instant asked for."""
    wall_ns = 1_767_225_600_123_999_999
    assert to_unix_ns(from_unix_ns(wall_ns)) == 1_767_225_600_123_000_000


def test_slots_of_no_shard_are_empty() -> None:
    """A group without cluster mode shows no slots."""
    assert read_slots("") == ()


def test_the_provider_clock_is_compared_in_the_middle_of_the_call() -> None:
    """The Date header, centred in its second, minus the middle of the call."""
    around = (1_767_225_600 * 10**9, 1_767_225_602 * 10**9)
    assert read_offset_ns("Thu, 01 Jan 2026 00:00:03 GMT", around) == 2_500_000_000


@pytest.mark.parametrize("header", [None, "", "yesterday"])
def test_no_readable_date_gives_no_offset(header: str | None) -> None:
    """A missing or broken Date header is no reason to fail."""
    assert read_offset_ns(header, (0, 1)) is None


def test_a_new_token_makes_a_group_another_one() -> None:
    """By its time alone: that is the sign that the change of a token has begun."""
    reply = {"ReplicationGroupId": "rg", "AuthTokenEnabled": True}
    at = datetime(2026, 1, 2, tzinfo=UTC)
    before = read_group({**reply, "AuthTokenLastModifiedDate": at}, CALL)
    later = at + timedelta(milliseconds=1)
    after = read_group({**reply, "AuthTokenLastModifiedDate": later}, CALL)
    assert before != after
