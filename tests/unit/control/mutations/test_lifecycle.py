"""Nodes, engines, tokens, updates, groups: what is sent, and what is refused ahead."""

from dataclasses import replace
from typing import Any

import pytest

from loadprobe.control.mutations.changes import (
    ApplyUpdate,
    RotateAuth,
    SetDurability,
    SetNodeType,
    UpgradeEngine,
)
from loadprobe.control.mutations.lifecycle import CreateGroup, DeleteGroup
from loadprobe.control.mutations.marks import MARK_TAG
from loadprobe.control.mutations.migrations import (
    CompleteMigration,
    StartMigration,
    TryMigration,
)
from loadprobe.control.provider.replies import EngineVersion, UpdateAction
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import ApiCall
from tests.support.control_states import (
    THREE,
    TOKEN,
    absent,
    only,
    refused,
    state,
    topology,
)

# Nodes and engine


def test_the_node_type_is_one_of_those_offered() -> None:
    """What is not known to be refused is left to the provider."""
    mutation = SetNodeType("cache.r7g.large")
    assert only(mutation).arguments == {
        "ReplicationGroupId": "rg",
        "ApplyImmediately": True,
        "CacheNodeType": "cache.r7g.large",
    }
    offered = state(more={"node_types": ("cache.t4g.small", "cache.m7g.large")})
    text = refused(mutation, offered)
    assert text.endswith("allowed: cache.m7g.large, cache.t4g.small")
    assert len(SetNodeType("cache.t4g.small").plan(offered)) == 1
    assert SetNodeType("cache.t4g.micro").plan(offered) == ()


def test_the_node_type_is_reached_when_every_node_has_it() -> None:
    """One old node is enough to wait for, and so is not seeing any."""
    there = state()
    assert SetNodeType("cache.t4g.micro").is_reached(there)
    first, *rest = there.clusters
    mixed = replace(there, clusters=(replace(first, node_type="other"), *rest))
    assert not SetNodeType("cache.t4g.micro").is_reached(mixed)
    assert not SetNodeType("cache.t4g.micro").is_reached(replace(there, clusters=()))


def test_an_upgrade_names_the_engine_only_if_it_changes() -> None:
    """The parameter group goes along if one is given."""
    call = only(UpgradeEngine("redis", "7.2"))
    assert call.arguments == {
        "ReplicationGroupId": "rg",
        "ApplyImmediately": True,
        "EngineVersion": "7.2",
    }
    call = only(UpgradeEngine("valkey", "8.1", "valkey8-cluster"))
    assert call.arguments["Engine"] == "valkey"
    assert call.arguments["CacheParameterGroupName"] == "valkey8-cluster"


@pytest.mark.parametrize(
    ("wanted", "running", "is_reached"),
    [("7.1", "7.1.0", True), ("7.1.0", "7.1", False), ("7", "7.1.0", True)],
)
def test_a_version_is_reached_as_far_as_it_was_said(
    wanted: str, running: str, is_reached: bool
) -> None:
    """Any 7.1.x is "7.1"; ten is more than nine."""
    mutation = UpgradeEngine("redis", wanted)
    assert mutation.is_reached(state(version=running)) is is_reached
    assert not mutation.is_reached(state(version="10.0"))
    assert not mutation.is_reached(state(engine="valkey", version=running))


@pytest.mark.parametrize(
    ("engine", "version", "to_engine", "to_version"),
    [
        ("redis", "7.1.0", "redis", "7.0"),
        ("redis", "7.1.0", "redis", "6.2"),
        ("valkey", "8.0.1", "redis", "7.1"),
        ("valkey", "8.0.1", "redis", "8.2"),
        ("valkey", "10.0", "valkey", "9.1"),
    ],
)
def test_an_engine_is_not_downgraded(
    engine: str, version: str, to_engine: str, to_version: str
) -> None:
    """Neither to an older version nor back from Valkey."""
    there = state(engine=engine, version=version)
    text = refused(UpgradeEngine(to_engine, to_version), there)
    assert f"runs {engine} {version}, and an engine cannot be downgraded" in text


def test_an_engine_version_is_one_of_those_offered() -> None:
    """The offer is listed; a version is compared as far as it was said."""
    offered = (EngineVersion("valkey", "8.1.2"), EngineVersion("redis", "9.9"))
    there = state(more={"engine_versions": offered})
    assert len(UpgradeEngine("valkey", "8.1").plan(there)) == 1
    text = refused(UpgradeEngine("valkey", "9.9"), there)
    assert text.endswith("offered for valkey: 8.1.2")
    assert "expected 'redis' or 'valkey'" in refused(UpgradeEngine("keydb", "6"))
    assert "and a version such as '7.1'" in refused(UpgradeEngine("redis", "new"))


# Tokens


def test_a_token_is_sent_and_never_shown() -> None:
    """The strategy goes along; every text form of the call has a mask."""
    call = only(RotateAuth(TOKEN), state(tls_mode="required"))
    assert call.arguments["AuthToken"] == TOKEN
    assert call.arguments["AuthTokenUpdateStrategy"] == "ROTATE"
    for text in (call.shown(), str(call), repr(RotateAuth(TOKEN)), f"{TOKEN!r}"):
        assert TOKEN.reveal() not in text
    assert "AuthToken=****" in call.shown()
    there = state(tls_mode="required", has_auth=True)
    call = only(RotateAuth(TOKEN, "set"), there)
    assert call.arguments["AuthTokenUpdateStrategy"] == "SET"
    assert RotateAuth(TOKEN).is_reached(there)


@pytest.mark.parametrize(
    "token", ["fifteen-letters", "x" * 129, "correct horse battery", "x" * 16 + "@"]
)
def test_a_token_against_the_rules_is_refused(token: str) -> None:
    """The text has the rules and not the token."""
    text = refused(RotateAuth(Secret(token)), state(tls_mode="required"))
    assert "16 to 128 characters" in text
    assert token not in text


def test_a_token_needs_tls_and_its_turn() -> None:
    """TLS first, rotate before set, and no token under user groups."""
    encrypted = state(tls_mode="required")
    assert "needs TLS" in refused(RotateAuth(TOKEN))
    assert "rotate to this token first" in refused(RotateAuth(TOKEN, "set"), encrypted)
    text = refused(
        RotateAuth(TOKEN), state(tls_mode="required", user_groups=("admins",))
    )
    assert "user groups (admins)" in text
    odd: Any = "delete"
    assert "expected 'rotate' or 'set'" in refused(RotateAuth(TOKEN, odd), encrypted)


# Service updates


def update(name: str, status: str) -> UpdateAction:
    """Return an update that concerns the group."""
    return UpdateAction(name, status, "important")


def test_the_only_outstanding_update_needs_no_name() -> None:
    """Complete ones do not count."""
    there = state(
        more={"updates": (update("old", "complete"), update("new", "not-applied"))}
    )
    expected = ApiCall(
        "BatchApplyUpdateAction",
        {"ServiceUpdateName": "new", "ReplicationGroupIds": ["rg"]},
    )
    assert only(ApplyUpdate(), there) == expected
    assert only(ApplyUpdate("new"), there) == expected
    assert ApplyUpdate("old").plan(there) == ()
    assert ApplyUpdate("old").is_reached(there)
    assert not ApplyUpdate().is_reached(there)
    assert ApplyUpdate().plan(state()) == ()


def test_updates_that_cannot_be_applied() -> None:
    """Several without a name, an unknown one, and one that is under way."""
    two = state(
        more={"updates": (update("one", "not-applied"), update("two", "stopped"))}
    )
    assert "name one of: one, two" in refused(ApplyUpdate(), two)
    text = refused(ApplyUpdate("three"), two)
    assert "no such update concerns rg; known: one, two" in text
    going = state(more={"updates": (update("one", "in-progress"),)})
    assert "one is 'in-progress' already" in refused(ApplyUpdate(), going)


# Create, delete, migrate


def test_a_group_is_created_with_a_tag() -> None:
    """What is not said is left to the provider."""
    mutation = CreateGroup(
        shard_count=2,
        replicas=1,
        node_type="cache.t4g.micro",
        engine_version="8.1",
        tls_mode="preferred",
        token=TOKEN,
        tags={"team": "load"},
        mark="7f3a",
    )
    assert only(mutation, absent()) == ApiCall(
        "CreateReplicationGroup",
        {
            "ReplicationGroupId": "rg",
            "ReplicationGroupDescription": "made by loadprobe",
            "Engine": "valkey",
            "EngineVersion": "8.1",
            "CacheNodeType": "cache.t4g.micro",
            "NumNodeGroups": 2,
            "ReplicasPerNodeGroup": 1,
            "AutomaticFailoverEnabled": True,
            "MultiAZEnabled": True,
            "ClusterMode": "enabled",
            "TransitEncryptionEnabled": True,
            "TransitEncryptionMode": "preferred",
            "AuthToken": TOKEN,
            "Tags": [
                {"Key": "loadprobe:created-by", "Value": "loadprobe"},
                {"Key": "team", "Value": "load"},
                {"Key": "loadprobe:mark", "Value": "7f3a"},
            ],
        },
    )
    two = state(slots=(((0, 8191),), ((8192, 16383),)), replicas=(1, 1))
    assert mutation.is_reached(two)
    assert not mutation.is_reached(state())
    assert mutation.agrees(topology(), two)


def test_groups_that_cannot_be_created() -> None:
    """The name is taken, the shape is impossible, or a token lacks TLS."""
    small = CreateGroup(shard_count=1, replicas=0, node_type="cache.t4g.micro")
    assert "a group of that name exists and is 'available'" in refused(small)
    many = replace(small, shard_count=2, is_cluster=False)
    assert "without cluster mode a group has one shard" in refused(many, absent())
    assert "0 to 5 replicas" in refused(replace(small, replicas=6), absent())
    assert "needs TLS" in refused(replace(small, token=TOKEN), absent())


def test_a_group_without_replicas_fails_nothing_over() -> None:
    """Without cluster mode, automatic failover is for groups with replicas."""
    small = CreateGroup(
        shard_count=1, replicas=0, node_type="cache.t4g.micro", is_cluster=False
    )
    arguments = only(small, absent()).arguments
    assert arguments["AutomaticFailoverEnabled"] is False
    assert arguments["TransitEncryptionEnabled"] is False
    assert "TransitEncryptionMode" not in arguments


def test_a_deletion_keeps_nothing() -> None:
    """A group that is gone needs none."""
    ours = replace(state(), tags={MARK_TAG: "7f3a"})
    assert only(DeleteGroup("7f3a"), ours) == ApiCall(
        "DeleteReplicationGroup",
        {"ReplicationGroupId": "rg", "RetainPrimaryCluster": False},
    )
    assert DeleteGroup("7f3a").plan(absent()) == ()
    assert DeleteGroup("7f3a").is_reached(absent())
    assert DeleteGroup("7f3a").agrees(topology(), absent())


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (None, "the provider does not tell its tags"),
        ({"loadprobe:created-by": "loadprobe"}, "it has no tag loadprobe:mark"),
        ({MARK_TAG: "another"}, "its tag loadprobe:mark is not that of the group"),
    ],
)
def test_a_group_that_is_not_ours_is_not_deleted(
    tags: dict[str, str] | None, reason: str
) -> None:
    """Its name is not enough."""
    text = refused(DeleteGroup("7f3a"), replace(state(), tags=tags))
    assert reason in text
    assert "nothing is deleted" in text
    assert "is not that" in refused(
        DeleteGroup(""), replace(state(), tags={MARK_TAG: ""})
    )


def test_a_migration_has_one_source_and_an_open_target() -> None:
    """Neither TLS nor logins are allowed at the target."""
    mutation = StartMigration("source.example", 7000)
    assert only(mutation) == ApiCall(
        "StartMigration",
        {
            "ReplicationGroupId": "rg",
            "CustomerNodeEndpointList": [{"Address": "source.example", "Port": 7000}],
        },
    )
    assert "rg has TLS (preferred)" in refused(mutation, state(tls_mode="preferred"))
    assert "have to log in" in refused(mutation, state(has_auth=True))
    assert mutation.is_reached(state(status="migrating"))
    assert mutation.agrees(topology(), state())


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        ({"multi_az": "disabled"}, "rg has no Multi-AZ"),
        ({"version": "5.0.5"}, "needs 5.0.6 or newer there"),
        ({"version": "5.0.4", "is_cluster": False}, "needs 5.0.5 or newer there"),
        ({"node_type": "cache.r6gd.xlarge"}, "data tiering cannot be migrated to"),
    ],
)
def test_a_target_that_cannot_follow(group: dict[str, Any], problem: str) -> None:
    """The limits of the user guide, before the call; a test has the same."""
    node_type = group.pop("node_type", None) if "node_type" in group else None
    there = state(**group)
    if node_type is not None:
        nodes = [replace(node, node_type=node_type) for node in there.clusters]
        there = replace(there, clusters=tuple(nodes))
    assert problem in refused(StartMigration("source.example", 7000), there)
    assert problem in refused(TryMigration("source.example", 7000), there)


def test_a_migration_can_be_tested() -> None:
    """The result is an event: the group stays as it is."""
    mutation = TryMigration("source.example", 7000)
    assert only(mutation).operation == "TestMigration"
    assert mutation.is_reached(state())
    assert mutation.agrees(topology(), state())
    assert mutation.after(state()) == state()


def test_only_a_migration_under_way_can_be_completed() -> None:
    """By force if need be."""
    assert only(CompleteMigration(force=True), state(status="migrating")) == ApiCall(
        "CompleteMigration", {"ReplicationGroupId": "rg", "Force": True}
    )
    text = refused(CompleteMigration())
    assert "the group rg is 'available' and follows no source" in text
    assert CompleteMigration().is_reached(state())
    assert CompleteMigration().agrees(topology(*THREE), state())


def test_durability() -> None:
    """Of Valkey 9.0 and newer; what is in effect already is not asked for."""
    mutation = SetDurability("async")
    new = state(engine="valkey", version="9.0.1", durability="sync")
    assert only(mutation, new).arguments == {
        "ReplicationGroupId": "rg",
        "ApplyImmediately": True,
        "Durability": "async",
    }
    after = mutation.after(new)
    assert mutation.is_reached(after)
    assert mutation.plan(after) == ()
    for engine, version in (("valkey", "8.1"), ("redis", "7.1")):
        text = refused(mutation, state(engine=engine, version=version))
        assert "durability needs Valkey 9.0 or newer" in text
    made = CreateGroup(1, 0, "small", durability="sync")
    assert only(made, absent()).arguments["Durability"] == "sync"
    assert "Durability" not in only(CreateGroup(1, 0, "small"), absent()).arguments
