"""Serverless caches of the local control plane, by an SDK: real servers behind each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.operations import serverless
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.layout import SlotRange
from loadprobe.local.cluster.seeding import slot_of
from loadprobe.local.cluster.servers import ServerBinary
from tests.support.api_rig import DEADLINE_S, QUICK, Rig, read_all, rig, write
from tests.support.newer_botocore import newer_botocore

NAME = {"ServerlessCacheName": "cache"}
GB = {"Maximum": 10, "Unit": "GB"}


@pytest.fixture
async def caches(tmp_path: Path) -> AsyncIterator[Rig]:
    """Run a control plane with a client that knows migrations into caches."""
    with newer_botocore(tmp_path):
        async with rig(QUICK) as running:
            yield running


async def cache(of: Rig) -> dict[str, Any]:
    """Describe the cache."""
    (found,) = (await of.client.describe_serverless_caches(**NAME))["ServerlessCaches"]
    return dict(found)


async def until(of: Rig, status: str, migration: str | None = None) -> dict[str, Any]:
    """Wait for a status of the cache, and of the migration into it."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = await cache(of)
            there = found.get("Migration", {}).get("Status")
            if (found["Status"], there) == (status, migration):
                return found
            await asyncio.sleep(0.03)


async def create(of: Rig, **more: Any) -> dict[str, Any]:
    """Create the cache, and wait for it."""
    made = await of.client.create_serverless_cache(**NAME, Engine="redis", **more)
    assert made["ServerlessCache"]["Status"] == "creating"
    assert "Endpoint" not in made["ServerlessCache"]
    return await until(of, "available")


async def test_a_cache_from_its_creation_to_its_end(caches: Rig) -> None:
    """It has one endpoint with TLS, is changed while it serves, and is then gone."""
    tags = [{"Key": "who", "Value": "a test"}]
    async with source_of(cluster_mode=False) as source:
        written = await write(source, 20)
        await source.nodes[0].command("SAVE")
        file = str(source.nodes[0].folder / "dump.rdb")
        made = await create(
            caches,
            CacheUsageLimits={"DataStorage": GB},
            SnapshotArnsToRestore=[file],
            Tags=tags,
        )
    assert await read_all(caches.plane.cluster("cache")) == written
    servers = caches.plane.cluster("cache")
    assert servers.tls_mode == "required"
    assert made["Endpoint"]["Port"] == servers.tls_port
    assert made["ReaderEndpoint"]["Address"] == servers.host
    assert made["CacheUsageLimits"]["DataStorage"] == GB
    told = await caches.client.list_tags_for_resource(ResourceName=made["ARN"])
    assert told["TagList"] == tags
    groups = await caches.client.describe_replication_groups()
    assert groups["ReplicationGroups"] == []
    assert (await caches.client.describe_cache_clusters())["CacheClusters"] == []

    rate = {"ECPUPerSecond": {"Maximum": 5000}}
    await caches.client.modify_serverless_cache(**NAME, CacheUsageLimits=rate)
    assert (await until(caches, "modifying"))["CacheUsageLimits"] == {"DataStorage": GB}
    changed = await until(caches, "available")
    assert changed["CacheUsageLimits"] == {"DataStorage": GB, **rate}

    assert await refused_codes(caches) == REFUSALS
    await caches.client.prepare_migration(**NAME, **SOURCE)
    failed = "PrepareMigration of serverless cache cache failed"
    assert "did not answer" in (await caches.until_event(failed))[-1]
    await until(caches, "available")  # and no migration is left open

    await caches.client.delete_serverless_cache(**NAME)
    gone = "Serverless cache cache deleted"
    texts = [text for text in await caches.until_event(gone) if failed not in text]
    assert texts == [
        "cache: Serverless cache cache created",
        "cache: Serverless cache cache updated",
        f"cache: {gone}",
    ]
    assert (await caches.client.describe_serverless_caches())["ServerlessCaches"] == []
    (event, *_) = (await caches.client.describe_events())["Events"]
    assert event["SourceType"] == "serverless-cache"


SOURCE = {"CustomerNodeEndpointList": [{"Address": "127.0.0.1", "Port": 1}]}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "ServerlessCacheAlreadyExistsFault": (
        "create_serverless_cache",
        {**NAME, "Engine": "redis"},
    ),
    "InvalidParameterValue": (
        "create_serverless_cache",
        {"ServerlessCacheName": "no--name", "Engine": "redis"},
    ),
    "UserGroupNotFound": ("modify_serverless_cache", {**NAME, "UserGroupId": "mine"}),
    "ServerlessCacheNotFoundFault": (
        "delete_serverless_cache",
        {"ServerlessCacheName": "other"},
    ),
    "ServerlessCacheNotUnderMigrationFault": ("stop_migration", NAME),
    "InvalidParameterCombination": (
        "complete_migration",
        {**NAME, "ReplicationGroupId": "rg"},
    ),
}
REFUSALS = list(CALLS)


async def refused_codes(of: Rig) -> list[str]:
    """Make calls that must be refused; return the codes."""
    return [await of.refused(call, **args) for call, args in CALLS.values()]


@pytest.mark.alone
async def test_an_upgrade_of_a_cache(
    caches: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every server is replaced, nobody is told of nodes, and no key is lost."""

    async def same_again(servers: ReplicationGroup, _wanted: object) -> ServerBinary:
        return servers.cluster.server

    await create(caches)
    cluster = caches.plane.cluster("cache")
    primaries = [await cluster.primary_of(s.node_group_id) for s in cluster.shards]
    for primary in primaries:
        slots = cluster.shard(primary.name.split("-")[1]).slots
        key = next(f"k{n}" for n in count() if owns(slots, f"k{n}"))
        await primary.command("SET", key, "value")
    written = await read_all(cluster)
    former = {node.pid for node in cluster.nodes}
    monkeypatch.setattr(serverless, "wanted_server", same_again)
    await caches.client.modify_serverless_cache(**NAME, MajorEngineVersion="7")
    assert (await until(caches, "modifying"))["FullEngineVersion"]
    await until(caches, "available")
    assert former.isdisjoint(node.pid for node in cluster.nodes)
    assert await read_all(cluster) == written
    assert len(written) == len(primaries)
    assert await caches.texts() == [
        "cache: Serverless cache cache created",
        "cache: Serverless cache cache updated",
    ]


def owns(slots: Sequence[SlotRange], key: str) -> bool:
    """Tell whether the slot of a key is among some."""
    slot = slot_of(key.encode())
    return any(owned.first <= slot <= owned.last for owned in slots)


@pytest.mark.alone
async def test_migrations_into_a_cache(caches: Rig) -> None:
    """What the source holds is there after the cut-over, made or by itself."""
    await create(caches)
    async with source_of(cluster_mode=True) as source:
        early, late = await migrate_with_a_stop(caches, source)
        assert early < late == await read_all(caches.plane.cluster("cache"))
    async with source_of(cluster_mode=False) as source:
        written = await write(source, 30)
        await prepare(caches, source)
        await caches.client.start_migration(
            **NAME, AutoCutover=True, ClearTargetCacheData=True
        )
        await caches.until_event("Complete Migration successful for cache", times=2)
        done = await until(caches, "available")
    assert done["Endpoint"]["Port"] == caches.plane.cluster("cache").tls_port
    assert await read_all(caches.plane.cluster("cache")) == written


def source_of(*, cluster_mode: bool) -> LocalCluster:
    """Return servers to migrate from."""
    return LocalCluster(
        shards=2 if cluster_mode else 1,
        replicas_per_shard=0,
        tls=False,
        server="redis-server",
        cluster_mode=cluster_mode,
        name="source",
    )


async def prepare(of: Rig, source: LocalCluster) -> dict[str, Any]:
    """Prepare a migration, and wait for it; return what names the source."""
    where = {"Address": source.host, "Port": source.port}
    await of.client.prepare_migration(**NAME, CustomerNodeEndpointList=[where])
    await until(of, "available", "prepared")
    return {"CustomerNodeEndpointList": [where]}


async def migrate_with_a_stop(
    of: Rig, source: LocalCluster
) -> tuple[set[str], set[str]]:
    """Start, stop, start again and complete; return the keys before and after."""
    named = await prepare(of, source)
    bad_state = "InvalidServerlessCacheStateFault"
    assert await of.refused("stop_migration", **NAME) == bad_state
    assert (
        await of.refused("prepare_migration", **NAME, **named)
        == "ServerlessCacheAlreadyUnderMigrationFault"
    )
    early = await write(source, 50)
    await of.client.start_migration(**NAME)
    await until(of, "available", "syncing")
    assert await of.refused("delete_serverless_cache", **NAME) == bad_state
    await of.client.stop_migration(**NAME)
    await until(of, "available", "stopped")
    assert await of.refused("start_migration", **NAME) == "InvalidParameterCombination"
    await of.client.start_migration(**NAME, ClearTargetCacheData=True)
    await until(of, "available", "syncing")
    late = await write(source, 90)
    await of.client.complete_migration(**NAME)
    await until(of, "available")
    return early, late
