"""Mutations send what the API wants, and refuse ahead what it would refuse."""

from typing import Any

import pytest

from loadprobe.control.mutations.changes import (
    ApplyUpdate,
    FailOver,
    RotateAuth,
    SetNodeType,
    SetTls,
    TlsMode,
    UpgradeEngine,
)
from loadprobe.control.mutations.migrations import StartMigration
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.sizes import Scale, SetReplicas
from loadprobe.control.provider.state import ApiCall, GroupState, absent_group
from tests.support.control_states import (
    CALL,
    THREE,
    TOKEN,
    only,
    refused,
    state,
    topology,
)

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
