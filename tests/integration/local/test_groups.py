"""Groups of the control plane: made, migrated into, failing, and ended with it."""

import asyncio
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
)

from loadprobe.errors import PreflightError
from loadprobe.local.api.control_plane import FAULTS_PATH
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.processes import start_ticks
from loadprobe.local.cluster.servers import find_engine
from tests.support.api_rig import (
    DEADLINE_S,
    QUICK,
    Rig,
    creation,
    read_all,
    rig,
    write,
)

TINY = {"NumNodeGroups": 1, "ReplicasPerNodeGroup": 0}
WITH_ZONES = {
    "NumCacheClusters": 2,
    "AutomaticFailoverEnabled": True,
    "MultiAZEnabled": True,
}


def newest_valkey() -> str | None:
    """Return the version of the newest valkey server found here."""
    try:
        return find_engine("valkey", None).version
    except PreflightError:
        return None


async def made(one: Rig, group_id: str, **more: Any) -> LocalCluster:
    """Create a group and return its servers once it is available."""
    await one.client.create_replication_group(**creation(group_id, **more))
    await one.watch(group_id)
    return one.plane.cluster(group_id)


async def test_a_cluster_that_ended_while_its_group_is_listed() -> None:
    """Groups to come take their certificates from one whose servers are there."""
    async with rig() as one:
        async with LocalCluster(shards=1, replicas_per_shard=0) as gone:
            one.plane.add_group("gone", gone)
        first = await made(one, "first", **TINY)
        second = await made(one, "second", **TINY)
        assert first.ca_file is not None
        assert second.ca_file is not None
        assert first.ca_file.read_bytes() == second.ca_file.read_bytes()


async def test_without_cluster_mode_nodes_are_replaced_one_by_one() -> None:
    """Node type and engine change; data and names survive, roles are shown."""
    async with rig() as one:
        cluster = await made(
            one, "single", CacheParameterGroupName="default.redis7", **WITH_ZONES
        )
        group = await one.group("single")
        (shard,) = group["NodeGroups"]
        assert "ConfigurationEndpoint" not in group
        roles = [each["CurrentRole"] for each in shard["NodeGroupMembers"]]
        assert roles == ["primary", "replica"]
        assert shard["PrimaryEndpoint"]["Port"] == cluster.nodes[0].ports.plain
        assert shard["ReaderEndpoint"]["Port"] == cluster.nodes[1].ports.plain
        written = await write(cluster, 50)
        allowed = await one.client.list_allowed_node_type_modifications(
            CacheClusterId="single-0001-001"
        )
        assert "cache.m6g.large" in allowed["ScaleUpModifications"]

        wanted = {"CacheNodeType": "cache.m6g.large"}
        seen = await one.modify("single", **wanted)
        assert seen.last["CacheNodeType"] == "cache.m6g.large"
        assert wanted in seen.node_pending["single-0001-001"]
        assert all(values[-1] == {} for values in seen.node_pending.values())
        assert await read_all(cluster) == written

        version = newest_valkey()
        if version is None:
            return
        seen = await one.modify("single", Engine="valkey", EngineVersion=version)
        assert seen.last["Engine"] == "valkey"
        assert {"EngineVersion": version} in seen.node_pending["single-0001-002"]
        nodes = (await one.client.describe_cache_clusters())["CacheClusters"]
        assert {node["EngineVersion"] for node in nodes} == {version}
        assert await read_all(cluster) == written
        code = await one.refused(
            "modify_replication_group", ReplicationGroupId="single", Engine="redis"
        )
        assert code == "InvalidParameterCombination"


async def test_a_migration_brings_the_data_of_a_source() -> None:
    """The group is migrating until it is completed, and then serves on its own."""
    source = LocalCluster(
        shards=1, replicas_per_shard=0, tls=False, cluster_mode=False, name="source"
    )
    async with source, rig() as one:
        written = await write(source, 50)
        cluster = await made(one, "target", **WITH_ZONES)
        where = {
            "ReplicationGroupId": "target",
            "CustomerNodeEndpointList": [{"Address": source.host, "Port": source.port}],
        }
        code = await one.refused("complete_migration", ReplicationGroupId="target")
        assert code == "ReplicationGroupNotUnderMigrationFault"
        await one.client.test_migration(**where)
        await one.until_event("Test Migration successful for target")
        await one.client.start_migration(**where)
        seen = await one.watch("target", final="migrating")
        assert seen.busy("migrating") == ["modifying"]
        assert await one.refused("start_migration", **where) == (
            "ReplicationGroupAlreadyUnderMigrationFault"
        )
        code = await one.refused(
            "delete_replication_group", ReplicationGroupId="target"
        )
        assert code == "InvalidReplicationGroupState"
        await one.client.complete_migration(ReplicationGroupId="target")
        async with asyncio.timeout(DEADLINE_S):
            while (await one.group("target"))["Status"] == "migrating":
                await asyncio.sleep(0.03)
        assert (await one.group("target"))["Status"] == "available"
        await one.until_event("Complete Migration successful for target")
        assert await read_all(cluster) == written


async def test_a_migration_that_cannot_start_leaves_the_group_available() -> None:
    """A source that is not there is told by event, and the group is as it was."""
    async with rig() as one:
        await made(one, "target", **WITH_ZONES)
        where = {
            "ReplicationGroupId": "target",
            "CustomerNodeEndpointList": [{"Address": "127.0.0.1", "Port": 1}],
        }
        await one.client.test_migration(**where)
        await one.until_event("Test Migration failed for target: ")
        await one.client.start_migration(**where)
        seen = await one.watch("target")
        assert seen.busy() == ["modifying"]
        await one.until_event("Start Migration failed for target")
        both = where["CustomerNodeEndpointList"] * 2  # type: ignore[operator]
        code = await one.refused(
            "start_migration",
            ReplicationGroupId="target",
            CustomerNodeEndpointList=both,
        )
        assert code == "InvalidParameterValue"


async def test_a_reboot_restarts_one_node() -> None:
    """Without cluster mode the node shows its reboot, and comes back empty."""
    async with rig() as one:
        cluster = await made(one, "single")
        await write(cluster, 5)
        (node,) = cluster.nodes
        pid = node.pid
        reply = await one.client.reboot_cache_cluster(
            CacheClusterId=node.name, CacheNodeIdsToReboot=["0001"]
        )
        assert reply["CacheCluster"]["CacheClusterId"] == node.name
        seen = await one.watch("single")
        assert "rebooting cluster nodes" in seen.nodes[node.name]
        assert node.pid != pid
        assert await node.command("DBSIZE") == 0
        texts = await one.texts()
        assert texts[-2:] == [
            f"{node.name}: Cache node 0001 shutdown",
            f"{node.name}: Cache node 0001 restarted",
        ]


async def test_groups_that_cannot_be_made_are_refused() -> None:
    """Names, numbers, engines, encryption and members are checked before a start."""
    small = Knobs(modifying_delay_s=0, settle_delay_s=0, node_quota=3)
    async with rig(small) as one:
        await one.client.create_replication_group(**creation("rg", **TINY))
        for changes, expected in (
            ({"ReplicationGroupId": "RG"}, "ReplicationGroupAlreadyExists"),
            ({"ReplicationGroupId": "two--hyphens"}, "InvalidParameterValue"),
            ({"NumNodeGroups": 91}, "NodeGroupsPerReplicationGroupQuotaExceeded"),
            ({"NumNodeGroups": 3}, "NodeQuotaForCustomerExceeded"),
            ({"ReplicasPerNodeGroup": 6}, "InvalidParameterValue"),
            ({"NumCacheClusters": 2, **TINY}, "InvalidParameterCombination"),
            ({"EngineVersion": "6.2"}, "InvalidParameterCombination"),
            ({"CacheNodeType": "cache.enormous"}, "InvalidParameterValue"),
            ({"TransitEncryptionMode": "preferred"}, "InvalidParameterCombination"),
            (
                {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "maybe"},
                "InvalidParameterValue",
            ),
            ({"AuthToken": "long-enough-token"}, "InvalidParameterCombination"),
            ({"CacheParameterGroupName": "mine"}, "CacheParameterGroupNotFound"),
            (
                {"ClusterMode": "disabled", "NumNodeGroups": 2},
                "InvalidParameterCombination",
            ),
            ({"ClusterMode": "compatible"}, "InvalidParameterValue"),
            ({"MultiAZEnabled": True}, "InvalidParameterCombination"),
            ({"AutomaticFailoverEnabled": True}, "InvalidParameterCombination"),
            (
                {"ClusterMode": "enabled", "AutomaticFailoverEnabled": False},
                "InvalidParameterCombination",
            ),
            ({"UserGroupIds": ["admins"]}, "UserGroupNotFound"),
            ({"SnapshotName": "old"}, "InvalidParameterCombination"),
            (
                {"NodeGroupConfiguration": [{"Slots": "0-5"}]},
                "InvalidParameterValue",
            ),
        ):
            arguments = creation("other") | changes
            code = await one.refused("create_replication_group", **arguments)
            assert code == expected, changes
        groups = await one.client.describe_replication_groups()
        assert len(groups["ReplicationGroups"]) == 1


async def test_a_group_with_encryption_uneven_shards_and_a_token() -> None:
    """What is asked for at creation is so when the group is available."""
    async with rig() as one:
        cluster = await made(
            one,
            "secure",
            NodeGroupConfiguration=[{"ReplicaCount": 0}, {"ReplicaCount": 1}],
            TransitEncryptionEnabled=True,
            AuthToken="a-token-of-some-length",
        )
        group = await one.group("secure")
        assert group["TransitEncryptionMode"] == "required"
        assert group["AuthTokenEnabled"] is True
        assert [len(each["NodeGroupMembers"]) for each in group["NodeGroups"]] == [1, 2]
        tls_ports = {node.ports.tls for node in cluster.nodes}
        assert group["ConfigurationEndpoint"]["Port"] in tls_ports
        with pytest.raises(OSError, match="Connection refused"):
            await asyncio.open_connection(cluster.host, cluster.port)


async def test_a_creation_that_fails_is_shown_and_can_be_deleted() -> None:
    """The group ends as create-failed, with an event and no server."""
    async with rig() as one:
        one.plane.faults.break_work("CreateReplicationGroup", reason="no capacity")
        await one.client.create_replication_group(**creation("rg", **TINY))
        seen = await one.watch("rg", final="create-failed")
        assert seen.busy("create-failed") == ["creating"]
        assert seen.last["NodeGroups"] == []
        texts = await one.until_event("no capacity")
        assert texts == [
            "rg: CreateReplicationGroup of replication group rg failed: no capacity"
        ]
        code = await one.refused(
            "increase_replica_count",
            ReplicationGroupId="rg",
            NewReplicaCount=1,
            ApplyImmediately=True,
        )
        assert code == "InvalidReplicationGroupState"
        await one.client.delete_replication_group(ReplicationGroupId="rg")
        with pytest.raises(ClientError, match="ReplicationGroupNotFoundFault"):
            await one.watch("rg")


async def test_a_change_that_fails_ends_visibly() -> None:
    """The group is available again with nothing pending, and an event tells why."""
    async with rig() as one:
        await made(one, "rg", **TINY)
        one.plane.faults.break_work("ModifyReplicationGroup", times=2)
        seen = await one.modify(
            "rg", TransitEncryptionEnabled=True, TransitEncryptionMode="preferred"
        )
        assert seen.busy() == ["modifying"]
        assert seen.last["PendingModifiedValues"] == {}
        assert seen.last["TransitEncryptionEnabled"] is False
        seen = await one.modify("rg", CacheNodeType="cache.m6g.large")
        assert seen.last["CacheNodeType"] == "cache.t4g.micro"
        texts = await one.texts()
        assert texts[-2:] == [
            "rg: ModifyReplicationGroup of replication group rg failed: made to fail",
            "rg: Failed applying modification to cache node type to cache.m6g.large.",
        ]


async def test_calls_can_be_made_to_go_wrong() -> None:
    """Faults, lost requests, lost replies, slow replies and expired credentials."""
    async with rig() as one:
        faults = one.plane.faults
        faults.fail("DescribeReplicationGroups", "Throttling", times=2)
        for _ in range(2):
            assert await one.refused("describe_replication_groups") == "Throttling"
        assert (await one.client.describe_replication_groups())[
            "ReplicationGroups"
        ] == []
        faults.lose_request("CreateReplicationGroup")
        faults.lose_reply("CreateReplicationGroup")
        with pytest.raises(ConnectionClosedError):
            await one.client.create_replication_group(**creation("lost", **TINY))
        assert "lost" not in await names(one)
        with pytest.raises(ConnectionClosedError):
            await one.client.create_replication_group(**creation("done", **TINY))
        assert "done" in await names(one)
        faults.delay("DescribeReplicationGroups", 60.0)
        with pytest.raises(ReadTimeoutError):
            await one.client.describe_replication_groups()
        faults.expire_credentials()
        with pytest.raises(ClientError) as caught:
            await one.client.describe_events()
        assert caught.value.response["Error"]["Code"] == "ExpiredToken"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        faults.clear()
        assert await names(one) == {"done"}


async def statuses(one: Rig) -> dict[str, str]:
    """Return the statuses of all groups at one moment, by their ids."""
    reply = await one.client.describe_replication_groups()
    groups = reply["ReplicationGroups"]
    return {group["ReplicationGroupId"]: group["Status"] for group in groups}


async def names(one: Rig) -> set[str]:
    """Return the ids of all groups."""
    return set(await statuses(one))


async def test_faults_can_be_planned_over_http() -> None:
    """Another process plans and clears them as JSON; nonsense is refused."""
    async with rig() as one, aiohttp.ClientSession() as session:
        url = one.plane.endpoint_url + FAULTS_PATH
        body = {"kind": "fail", "code": "ServiceUnavailable", "times": None}
        async with session.post(url, json=body) as response:
            assert response.status == 200
        with pytest.raises(ClientError) as caught:
            await one.client.describe_events()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        async with session.delete(url) as response:
            assert response.status == 200
        assert (await one.client.describe_events())["Events"] == []
        async with session.post(url, json={"kind": "explode"}) as response:
            assert response.status == 400
            assert "explode" in await response.text()


async def test_a_maintenance_window_applies_what_waited() -> None:
    """After the delay the deferred change is performed like any other."""
    knobs = Knobs(modifying_delay_s=0.1, settle_delay_s=0.15, maintenance_delay_s=0.3)
    async with rig(knobs) as one:
        await made(one, "rg", **TINY)
        reply = await one.client.modify_replication_group(
            ReplicationGroupId="rg", CacheNodeType="cache.m6g.large"
        )
        assert reply["ReplicationGroup"]["Status"] == "available"
        nodes = (await one.client.describe_cache_clusters())["CacheClusters"]
        pending = nodes[0]["PendingModifiedValues"]
        assert pending == {"CacheNodeType": "cache.m6g.large"}
        seen = await one.watch("rg")
        assert seen.last["CacheNodeType"] == "cache.m6g.large"


async def test_groups_are_changed_at_the_same_time_and_end_with_the_plane() -> None:
    """Two groups are created at once; leaving the block ends their servers."""
    async with rig(Knobs(settle_delay_s=1.0)) as one:
        for group_id in ("one", "two"):
            await one.client.create_replication_group(**creation(group_id, **TINY))
        both = await statuses(one)
        assert both == {"one": "creating", "two": "creating"}
        async with asyncio.timeout(DEADLINE_S):
            while set(both.values()) != {"available"}:
                await asyncio.sleep(0.02)
                both = await statuses(one)
        clusters = [one.plane.cluster(group_id) for group_id in ("one", "two")]
        folders = [cluster.folder for cluster in clusters]
        servers = [
            (node.pid or 0, start_ticks(node.pid or 0))
            for cluster in clusters
            for node in cluster.nodes
        ]
        # One more is still being created when the plane ends.
        await one.client.create_replication_group(**creation("three", **TINY))
    assert all(start_ticks(pid) != ticks for pid, ticks in servers)
    assert not any(folder.exists() for folder in folders)


async def test_a_group_of_the_callers_cluster_can_be_deleted() -> None:
    """Its servers end, and leaving the cluster's own block is harmless."""
    cluster = LocalCluster(shards=1, replicas_per_shard=0, tls=False)
    async with cluster, rig(QUICK) as one:
        one.plane.add_group("mine", cluster)
        await one.client.delete_replication_group(ReplicationGroupId="mine")
        with pytest.raises(ClientError, match="ReplicationGroupNotFoundFault"):
            await one.watch("mine")
        assert cluster.nodes == []
