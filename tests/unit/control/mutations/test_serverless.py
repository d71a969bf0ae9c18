"""What is sent to change a serverless cache, what is not, and what is then true."""

from dataclasses import replace
from typing import Any

import pytest

from loadprobe.control.mutations.lifecycle import DeleteGroup
from loadprobe.control.mutations.marks import MARK_TAG
from loadprobe.control.mutations.migrations import CompleteMigration
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.serverless import (
    CreateCache,
    SetLimits,
    SetUserGroup,
    UpgradeCache,
)
from loadprobe.control.mutations.serverless_migrations import (
    PrepareMigration,
    StartSync,
    StopMigration,
)
from loadprobe.control.provider.kinds import SERVERLESS_CACHE
from loadprobe.control.provider.replies import Endpoint, Group
from loadprobe.control.provider.serverless import Limits, Migration, Serverless
from loadprobe.control.provider.serverless_replies import read_serverless_cache
from loadprobe.control.provider.state import ApiCall, GroupState, absent_group
from loadprobe.errors import ControlError
from tests.support.control_states import CALL, THREE, only, refused, topology

LIMITS = Limits(max_storage_gb=10, min_ecpu_per_s=1000)
NAMED = {"ServerlessCacheName": "sc"}
PREPARED, SYNCING = Migration("prepared"), Migration("In-Sync")


def cache(
    migration: Migration | None = None,
    *,
    engine: str = "valkey",
    major: str = "7",
    full: str = "valkey 7.2",
    **group: Any,
) -> GroupState:
    """Return an available cache, other than said."""
    plain: dict[str, Any] = {
        "id": "sc",
        "status": "available",
        "pending": {},
        "shards": {},
        "endpoint": Endpoint("here", 6379),
        "tls_mode": "required",
        "call": CALL,
        "kind": SERVERLESS_CACHE,
        "serverless": Serverless(engine, major, full, LIMITS, migration=migration),
    }
    return GroupState(Group(**(plain | group)))


ABSENT = GroupState(absent_group("sc", CALL, SERVERLESS_CACHE))


def test_creation_carries_our_mark() -> None:
    """What is not said is left to the provider, and nothing is made twice."""
    made = CreateCache(limits=LIMITS, mark="7f3a", user_group="ug", version="8")
    call = only(made, ABSENT)
    tags = call.arguments["Tags"]
    assert call.operation == "CreateServerlessCache"
    assert tags == [
        {"Key": "loadprobe:created-by", "Value": "loadprobe"},
        {"Key": MARK_TAG, "Value": "7f3a"},
    ]
    assert {key: v for key, v in call.arguments.items() if key != "Tags"} == {
        **NAMED,
        "Description": "made by loadprobe",
        "Engine": "valkey",
        "MajorEngineVersion": "8",
        "UserGroupId": "ug",
        "CacheUsageLimits": {
            "DataStorage": {"Maximum": 10, "Unit": "GB"},
            "ECPUPerSecond": {"Minimum": 1000},
        },
    }
    assert "a serverless cache of that name exists" in refused(made, cache())
    narrow = CreateCache(limits=Limits(max_storage_gb=1, min_storage_gb=2))
    assert "at least 2 and at most 1 GB exclude" in refused(narrow, ABSENT)
    after = made.after(ABSENT)
    assert after.is_there
    assert after.engine == "valkey"
    assert not made.is_reached(ABSENT)
    assert made.is_reached(cache())


def test_only_a_cache_with_our_mark_is_deleted() -> None:
    """The same rule as for groups, and a call of its own."""
    ours = replace(cache(), tags={MARK_TAG: "7f3a"})
    assert only(DeleteGroup("7f3a"), ours) == ApiCall("DeleteServerlessCache", NAMED)
    text = refused(DeleteGroup("7f3a"), replace(cache(), tags={}))
    assert "which the serverless cache that was created has" in text
    assert "is not that of the serverless cache" in refused(DeleteGroup("other"), ours)


@pytest.mark.parametrize(
    ("mutation", "arguments"),
    [
        (UpgradeCache("valkey", "8"), {"MajorEngineVersion": "8"}),
        (
            SetLimits(Limits(max_ecpu_per_s=5000)),
            {
                "CacheUsageLimits": {
                    "DataStorage": {"Maximum": 10, "Unit": "GB"},
                    "ECPUPerSecond": {"Maximum": 5000, "Minimum": 1000},
                }
            },
        ),
        (SetUserGroup("mine"), {"UserGroupId": "mine"}),
    ],
)
def test_what_is_modified(mutation: Mutation, arguments: dict[str, object]) -> None:
    """One call, which is not made again, and only for a cache that is available."""
    assert only(mutation, cache()) == ApiCall(
        "ModifyServerlessCache", {**NAMED, **arguments}
    )
    after = mutation.after(cache())
    assert mutation.is_reached(after)
    assert mutation.plan(after) == ()
    text = refused(mutation, cache(status="modifying"))
    assert "the serverless cache sc is 'modifying', not 'available'" in text
    assert "check control.serverless_cache" in refused(mutation, ABSENT)


def test_a_change_of_engine() -> None:
    """From Redis OSS to Valkey with both members; never back, never down."""
    redis = cache(engine="redis", major="7", full="7.1")
    assert only(UpgradeCache("valkey", "8"), redis).arguments == {
        **NAMED,
        "MajorEngineVersion": "8",
        "Engine": "valkey",
    }
    assert UpgradeCache("redis", "7").plan(redis) == ()
    assert "cannot be downgraded" in refused(UpgradeCache("redis", "8"), cache())
    assert "cannot be downgraded" in refused(UpgradeCache("valkey", "6"), cache())
    assert "a major version such as '8'" in refused(
        UpgradeCache("valkey", "x"), cache()
    )


def test_limits_and_user_groups_at_their_edges() -> None:
    """Nothing to set is a mistake; a user group can be taken away."""
    assert "no limit is given" in refused(SetLimits(Limits()), cache())
    assert SetLimits(LIMITS).plan(cache()) == ()
    narrow = SetLimits(Limits(min_storage_gb=11))
    assert "at least 11 and at most 10 GB" in refused(narrow, cache())
    assert SetUserGroup("none").plan(cache()) == ()
    assert only(SetUserGroup("none"), cache(user_groups=("ug",))).arguments == {
        **NAMED,
        "RemoveUserGroup": True,
    }


def test_the_cluster_has_to_serve_all_slots() -> None:
    """How many shards show is the provider's own business."""
    change = SetUserGroup("mine")
    assert change.agrees(topology(*THREE), cache())
    assert not change.agrees(topology(THREE[0]), cache())


def test_a_migration_is_prepared() -> None:
    """With the secret and the certificates that are named; once only."""
    plain = PrepareMigration("10.0.0.5", 6379)
    source = {"CustomerNodeEndpointList": [{"Address": "10.0.0.5", "Port": 6379}]}
    assert only(plain, cache()) == ApiCall("PrepareMigration", {**NAMED, **source})
    secured = PrepareMigration("10.0.0.5", 6379, secret_arn="arn:s", certificate="PEM")
    assert only(secured, cache()).arguments == {
        **NAMED,
        **source,
        "SourceAuthenticationConfiguration": {
            "SecretManagerConfig": {"SecretArn": "arn:s"}
        },
        "SourceTlsConfiguration": {
            "SourceTlsMode": "verify-ca",
            "SourceTlsCertificate": "PEM",
        },
    }
    assert "is open already ('prepared')" in refused(plain, cache(PREPARED))
    assert not plain.is_reached(cache())
    assert not plain.is_reached(cache(Migration("preparing")))
    assert not plain.is_reached(cache(Migration("prepare-failed")))
    assert not plain.is_reached(cache(Migration("completed")))
    assert plain.is_reached(plain.after(cache()))
    assert plain.is_reached(cache(Migration("READY")))


@pytest.mark.parametrize(
    ("there", "problem"),
    [
        (
            Serverless("valkey", "8", network_type="dual_stack"),
            "migration needs 'ipv4'",
        ),
        (Serverless("valkey", "8", connection_type="public"), "needs one in a VPC"),
    ],
)
def test_a_network_that_no_migration_leads_to(there: Serverless, problem: str) -> None:
    """It is told before the call, where the provider tells of it."""
    text = refused(PrepareMigration("10.0.0.5", 6379), cache(serverless=there))
    assert problem in text
    fine = Serverless("valkey", "8", network_type="ipv4", connection_type="vpc")
    assert PrepareMigration("10.0.0.5", 6379).plan(cache(serverless=fine))


def test_a_migration_is_started_and_stopped() -> None:
    """Only one that was prepared or stopped starts; only one that follows stops."""
    start = StartSync()
    assert only(start, cache(PREPARED)) == ApiCall("StartMigration", NAMED)
    all_of_it = StartSync(auto_cutover=True, clear_target=True)
    assert only(all_of_it, cache(Migration("stopped"))).arguments == {
        **NAMED,
        "AutoCutover": True,
        "ClearTargetCacheData": True,
    }
    for wrong in (None, SYNCING, Migration("completed")):
        assert "prepare one first (migrate_prepare)" in refused(start, cache(wrong))
    assert start.is_reached(start.after(cache(PREPARED)))
    assert not start.is_reached(cache(PREPARED))
    assert not start.is_reached(cache(Migration("sync-failed")))
    assert all_of_it.is_reached(all_of_it.after(cache(PREPARED)))
    assert not all_of_it.is_reached(cache(SYNCING))

    stop = StopMigration()
    assert only(stop, cache(SYNCING)) == ApiCall("StopMigration", NAMED)
    assert "follows no source" in refused(stop, cache(PREPARED))
    assert not stop.is_reached(cache(Migration("stopping")))
    assert stop.is_reached(stop.after(cache(SYNCING)))


def test_a_migration_is_completed() -> None:
    """The call that groups have, with the name of the cache."""
    assert only(CompleteMigration(force=True), cache(SYNCING)) == ApiCall(
        "CompleteMigration", {**NAMED, "Force": True}
    )
    text = refused(CompleteMigration(), cache(PREPARED))
    assert "the serverless cache sc is 'available' and follows no source" in text
    assert not CompleteMigration().is_reached(cache(Migration("cutover-in-progress")))
    assert CompleteMigration().is_reached(cache(Migration("COMPLETED")))
    assert CompleteMigration().is_reached(
        CompleteMigration().after(cache(SYNCING, status="modifying"))
    )


@pytest.mark.parametrize(
    ("word", "is_midway", "is_syncing", "has_failed"),
    [
        ("Preparing", True, False, False),
        ("PREPARED", False, False, False),
        ("pending", True, False, False),
        ("syncing", False, True, False),
        ("replicating", False, True, False),
        ("fully-synced", False, True, False),
        ("cutover in progress", True, False, False),
        ("sync failed", False, False, True),
    ],
)
def test_words_of_a_migration(
    word: str, *, is_midway: bool, is_syncing: bool, has_failed: bool
) -> None:
    """They are told apart by stems and endings, in whatever letters."""
    migration = Migration(word)
    assert migration.is_midway == is_midway
    assert migration.is_syncing == is_syncing
    assert migration.has_failed == has_failed


def test_an_answer_is_read() -> None:
    """Whatever it leaves out; its status in small letters."""
    bare = read_serverless_cache({"ServerlessCacheName": "sc"}, CALL)
    assert bare.endpoint is None
    assert bare.serverless == Serverless("", "")
    full = read_serverless_cache(
        {
            "ServerlessCacheName": "sc",
            "Status": "CREATE-FAILED",
            "Engine": "valkey",
            "MajorEngineVersion": "8",
            "FullEngineVersion": "valkey-8.1",
            "UserGroupId": "ug",
            "CacheUsageLimits": {"ECPUPerSecond": {"Maximum": 5000}},
            "Migration": {"Status": "syncing", "CutoverMode": "auto"},
        },
        CALL,
    )
    assert full.status == "create-failed"
    assert full.user_groups == ("ug",)
    assert full.tls_mode == "required"
    assert full.serverless is not None
    assert full.serverless.version == "8.1"
    assert str(full.serverless.limits) == "at most 5000 ECPU/s"
    assert full.serverless.migration == Migration("syncing", "auto")


def test_nothing_of_a_group_is_asked_of_a_cache() -> None:
    """A cache without a migration has none to complete."""
    with pytest.raises(ControlError, match="start a migration first"):
        CompleteMigration().plan(cache())
