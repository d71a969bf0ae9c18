"""Mutations send what the API wants, and refuse ahead what it would refuse."""

from dataclasses import replace
from typing import Any

import pytest

from loadprobe.clock import ClockPair, MonoNs, WallNs
from loadprobe.control.mutations import (
    ApplyUpdate,
    CompleteMigration,
    CreateGroup,
    DeleteGroup,
    FailOver,
    Mutation,
    RotateAuth,
    Scale,
    SetNodeType,
    SetReplicas,
    SetTls,
    StartMigration,
    TlsMode,
    UpgradeEngine,
)
from loadprobe.control.secret import Secret
from loadprobe.control.shapes import (
    CacheCluster,
    Call,
    Endpoint,
    EngineVersion,
    Group,
    NodeGroup,
    SlotRanges,
    UpdateAction,
)
from loadprobe.control.state import ApiCall, GroupState, absent_group
from loadprobe.core.topology import Node, Shard, Topology
from loadprobe.errors import ControlError

_CLOCKS = ClockPair(MonoNs(0), WallNs(0))
CALL = Call("DescribeReplicationGroups", _CLOCKS, _CLOCKS, "", None)
THREE = (((0, 5460),), ((5461, 10922),), ((10923, 16383),))
TOKEN = Secret("correct-horse-battery!&#$^<>-")


def state(
    *,
    slots: tuple[SlotRanges, ...] = THREE,
    replicas: tuple[int, ...] = (1, 1, 1),
    engine: str = "redis",
    version: str = "7.1.0",
    more: dict[str, Any] | None = None,
    **group: Any,
) -> GroupState:
    """Return a healthy group of three shards, other than said."""
    shards = {}
    for number, (ranges, count) in enumerate(zip(slots, replicas, strict=True), 1):
        name = f"{number:04d}"
        members = tuple(f"rg-{name}-{n + 1:03d}" for n in range(count + 1))
        shards[name] = NodeGroup(name, "available", ranges, members)
    plain: dict[str, Any] = {
        "id": "rg",
        "status": "available",
        "pending": {},
        "shards": shards,
        "endpoint": Endpoint("here", 6379),
        "tls_mode": "none",
        "call": CALL,
    }
    described = Group(**(plain | group))
    clusters = tuple(
        CacheCluster(member, "available", "cache.t4g.micro", engine, version)
        for member in described.members
    )
    return GroupState(described, clusters, **(more or {}))


def topology(*slots: SlotRanges, replicas: int = 1) -> Topology:
    """Return a topology with these shards."""
    return Topology(
        tuple(
            Shard(
                name=f"{number:04d}",
                ranges=ranges,
                primary=Node(f"p{number}", "h", number),
                replicas=tuple(Node(f"r{n}", "h", 9) for n in range(replicas)),
                epoch=number,
            )
            for number, ranges in enumerate(slots, 1)
        )
    )


def only(mutation: Mutation, of: GroupState | None = None) -> ApiCall:
    """Return the one call of a plan."""
    (call,) = mutation.plan(of or state())
    return call


def refused(mutation: Mutation, of: GroupState | None = None) -> str:
    """Return why a plan is refused."""
    with pytest.raises(ControlError) as caught:
        mutation.plan(of or state())
    return str(caught.value)


MUTATIONS: list[Mutation] = [
    SetTls("preferred"),
    FailOver("0001"),
    Scale(4),
    SetReplicas(2),
    SetNodeType("cache.r7g.large"),
    UpgradeEngine("valkey", "8.1"),
    RotateAuth(TOKEN),
    ApplyUpdate(),
    StartMigration("source", 6379),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.operation)
def test_a_busy_or_absent_group_is_refused(mutation: Mutation) -> None:
    """All but creation, deletion and the end of a migration need it available."""
    text = refused(mutation, state(status="modifying"))
    assert "rg is 'modifying', not 'available'" in text
    text = refused(mutation, GroupState(absent_group("rg", CALL)))
    assert "the provider knows no group 'rg'" in text


# Transit encryption


@pytest.mark.parametrize(
    ("before", "after", "arguments"),
    [
        (
            "none",
            "preferred",
            {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "preferred"},
        ),
        (
            "preferred",
            "required",
            {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "required"},
        ),
        (
            "required",
            "preferred",
            {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "preferred"},
        ),
        ("preferred", "none", {"TransitEncryptionEnabled": False}),
    ],
)
def test_a_tls_step_sends_flag_and_mode_together(
    before: str, after: TlsMode, arguments: dict[str, object]
) -> None:
    """At once, and without a mode when encryption is turned off."""
    mutation, there = SetTls(after), state(tls_mode=before)
    assert only(mutation, there) == ApiCall(
        "ModifyReplicationGroup",
        {"ReplicationGroupId": "rg", "ApplyImmediately": True} | arguments,
    )
    assert not mutation.is_reached(there)
    reached = state(tls_mode=after)
    assert mutation.is_reached(reached)
    assert mutation.plan(reached) == ()


@pytest.mark.parametrize(
    ("before", "after"), [("none", "required"), ("required", "none")]
)
def test_a_tls_step_goes_to_a_neighbour(before: str, after: TlsMode) -> None:
    """There is no way around "preferred"."""
    text = refused(SetTls(after), state(tls_mode=before))
    assert f"rg is at {before!r}; go by way of 'preferred'" in text


@pytest.mark.parametrize(
    ("engine", "version", "is_new_enough"),
    [
        ("redis", "6.2.6", False),
        ("redis", "7.0", True),
        ("redis", "7.0.15", True),
        ("valkey", "7.2.6", True),
        ("memcached", "1.6.22", False),
    ],
)
def test_an_old_engine_keeps_its_tls_mode(
    engine: str, version: str, is_new_enough: bool
) -> None:
    """Redis OSS from 7.0 and Valkey from 7.2 on can change it while running."""
    there = state(engine=engine, version=version)
    if is_new_enough:
        assert len(SetTls("preferred").plan(there)) == 1
    else:
        text = refused(SetTls("preferred"), there)
        assert f"rg-0001-001 runs {engine} {version}" in text


def test_tls_is_not_changed_under_user_groups_or_a_token() -> None:
    """The provider refuses both; the text names what is in the way."""
    text = refused(SetTls("preferred"), state(user_groups=("admins",)))
    assert "controlled by user groups (admins)" in text
    text = refused(SetTls("none"), state(tls_mode="preferred", has_auth=True))
    assert "has an AUTH token, which needs TLS" in text


def test_a_mode_that_does_not_exist_is_refused() -> None:
    """The provider's client would send it."""
    odd: Any = "sometimes"
    assert "expected one of none, preferred, required" in refused(SetTls(odd))


# Shards and replicas


def test_scaling_out_leaves_the_zones_to_the_provider() -> None:
    """Only the number is sent, and that it is to be done now."""
    assert only(Scale(5)) == ApiCall(
        "ModifyReplicationGroupShardConfiguration",
        {"ReplicationGroupId": "rg", "NodeGroupCount": 5, "ApplyImmediately": True},
    )


def test_scaling_in_removes_the_highest_ids() -> None:
    """Which shards go is known before, and the same every time."""
    call = only(Scale(1))
    assert call.arguments["NodeGroupsToRemove"] == ["0002", "0003"]
    assert call.arguments["NodeGroupCount"] == 1


def test_the_same_number_of_shards_spreads_slots_if_need_be() -> None:
    """Even shards need nothing; uneven ones are one call."""
    assert Scale(3).plan(state()) == ()
    uneven = state(slots=(((0, 99),), ((100, 10922),), ((10923, 16383),)))
    assert only(Scale(3), uneven).arguments["NodeGroupCount"] == 3
    assert only(Scale(3), state(slots=((), (), ()))).arguments["NodeGroupCount"] == 3


def test_scaling_is_reached_with_that_many_shards_with_slots() -> None:
    """A shard without slots is not there yet."""
    assert Scale(3).is_reached(state())
    assert not Scale(4).is_reached(state())
    assert not Scale(3).is_reached(state(slots=(((0, 16383),), (), ())))


def test_scaling_agrees_with_the_cluster_slot_by_slot() -> None:
    """Shards are matched by slots, as their names may differ; ranges may be split."""
    split = (((0, 99), (100, 5460)), *THREE[1:])
    assert Scale(3).agrees(topology(*reversed(THREE)), state(slots=split))
    moved = (((0, 5459),), ((5460, 10922),), THREE[2])
    assert not Scale(3).agrees(topology(*moved), state())
    assert not Scale(3).agrees(topology(((0, 16383),)), state())
    assert not Scale(3).agrees(topology(*THREE[:2], ((10923, 16000),)), state())


def test_scaling_needs_cluster_mode_and_a_shard() -> None:
    """The text says what the group is."""
    assert "is without cluster mode" in refused(Scale(2), state(is_cluster=False))
    assert "at least one shard" in refused(Scale(0))


@pytest.mark.parametrize(
    ("present", "wanted", "operation"),
    [
        ((1, 1, 1), 2, "IncreaseReplicaCount"),
        ((1, 2, 1), 2, "IncreaseReplicaCount"),
        ((2, 2, 2), 1, "DecreaseReplicaCount"),
        ((1, 1, 1), 0, "DecreaseReplicaCount"),
    ],
)
def test_replicas_are_increased_or_decreased(
    present: tuple[int, ...], wanted: int, operation: str
) -> None:
    """One call sets all shards, at once."""
    mutation = SetReplicas(wanted)
    assert only(mutation, state(replicas=present)) == ApiCall(
        operation,
        {
            "ReplicationGroupId": "rg",
            "NewReplicaCount": wanted,
            "ApplyImmediately": True,
        },
    )
    assert not mutation.is_reached(state(replicas=present))
    reached = state(replicas=(wanted,) * 3)
    assert mutation.is_reached(reached)
    assert mutation.plan(reached) == ()
    assert mutation.agrees(topology(*THREE, replicas=wanted), reached)
    assert not mutation.agrees(topology(*THREE, replicas=wanted + 1), reached)


def test_numbers_of_replicas_that_cannot_be() -> None:
    """Too many, none where one is needed, and some up while others go down."""
    assert "0 to 5 replicas, got 6" in refused(SetReplicas(6))
    single = state(is_cluster=False, multi_az="enabled")
    assert "is Multi-AZ without cluster mode" in refused(SetReplicas(0), single)
    mixed = state(replicas=(1, 2, 3))
    assert "go to 3 or 1 first" in refused(SetReplicas(2), mixed)


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
    return UpdateAction(name, status, "available", "important", "0/6")


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


def absent() -> GroupState:
    """Return the state of a group that is not there."""
    return GroupState(absent_group("rg", CALL))


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
    assert only(DeleteGroup()) == ApiCall(
        "DeleteReplicationGroup",
        {"ReplicationGroupId": "rg", "RetainPrimaryCluster": False},
    )
    assert DeleteGroup().plan(absent()) == ()
    assert DeleteGroup().is_reached(absent())
    assert DeleteGroup().agrees(topology(), absent())


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


def test_only_a_migration_under_way_can_be_completed() -> None:
    """By force if need be."""
    assert only(CompleteMigration(force=True), state(status="migrating")) == ApiCall(
        "CompleteMigration", {"ReplicationGroupId": "rg", "Force": True}
    )
    text = refused(CompleteMigration())
    assert "rg is 'available', not 'migrating'" in text
    assert CompleteMigration().is_reached(state())
    assert CompleteMigration().agrees(topology(*THREE), state())


def test_a_failover_names_its_shard() -> None:
    """A bare number is enough."""
    assert FailOver("2").shards(state()) == ("0002",)
    assert only(FailOver("2")) == ApiCall(
        "TestFailover", {"ReplicationGroupId": "rg", "NodeGroupId": "0002"}
    )
    assert Scale(4).shards(state()) == ()


def test_every_mutation_says_what_it_is() -> None:
    """One line, with the value that was asked for."""
    lines = [mutation.describe() for mutation in MUTATIONS]
    assert lines[:4] == [
        "transit encryption to 'preferred'",
        "failover of shard 0001",
        "number of shards to 4",
        "replicas of each shard to 2",
    ]
    assert all("\n" not in line and line for line in lines)
    assert len({mutation.operation for mutation in MUTATIONS}) == len(MUTATIONS)
