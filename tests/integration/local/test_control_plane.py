"""The control plane through a real SDK client: failovers, faults, pages and quota."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import aiohttp
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from loadprobe.errors import PreflightError, UsageError
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE_S = 30.0
GROUP = "local"


@dataclass(frozen=True, slots=True)
class Rig:
    """A cluster, its API and an SDK client of it."""

    cluster: LocalCluster
    plane: ControlPlane
    client: Any


@contextlib.asynccontextmanager
async def rig(cluster: LocalCluster, knobs: Knobs | None = None) -> AsyncIterator[Rig]:
    """Serve a running cluster and connect an SDK client."""
    async with ControlPlane(knobs=knobs) as plane:
        plane.add_group(GROUP, cluster)
        async with aioboto3.Session().client(
            "elasticache",
            region_name="us-east-1",
            endpoint_url=plane.endpoint_url,
            aws_access_key_id="none",
            aws_secret_access_key="none",
        ) as client:
            yield Rig(cluster, plane, client)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def three() -> AsyncIterator[Rig]:
    """Run three shards with a replica each, that have all the time for elections."""
    knobs = Knobs(detect_s=DEADLINE_S)
    async with LocalCluster() as cluster, rig(cluster, knobs) as running:
        yield running


async def events_of(client: Any, *, count: int) -> list[dict[str, Any]]:
    """Return all events once there are at least so many."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            events: list[dict[str, Any]] = (await client.describe_events())["Events"]
            if len(events) >= count:
                return events
            await asyncio.sleep(0.05)


async def fail_over(rig: Rig, node_group_id: str) -> list[dict[str, Any]]:
    """Fail a node group over, check that nothing shows in the status; return events."""
    before = len((await rig.client.describe_events())["Events"])
    accepted = await rig.client.test_failover(
        ReplicationGroupId=GROUP, NodeGroupId=node_group_id
    )
    assert accepted["ReplicationGroup"]["Status"] == "available"
    group = (await rig.client.describe_replication_groups())["ReplicationGroups"][0]
    assert group["Status"] == "available"
    return (await events_of(rig.client, count=before + 5))[before:]


def expected_events(node_group_id: str, old: str, new: str) -> list[tuple[str, ...]]:
    """Return source type, source and text of one failover's events, in order."""
    done = f"Failover from primary node {old} to replica node {new} completed"
    called = f"Test Failover API called for node group {node_group_id}"
    return [
        ("replication-group", GROUP, called),
        ("cache-cluster", old, done),
        ("replication-group", GROUP, done),
        ("cache-cluster", old, "Recovering cache nodes 0001"),
        ("cache-cluster", old, "Finished recovery for cache nodes 0001"),
    ]


def told(events: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return source type, source and text of events."""
    return [
        (event["SourceType"], event["SourceIdentifier"], event["Message"])
        for event in events
    ]


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    """Return a fault's code and HTTP status."""
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


async def test_describes_the_group(three: Rig) -> None:
    """The group shows its shards, members and an endpoint that a server listens on."""
    groups = (await three.client.describe_replication_groups())["ReplicationGroups"]
    (group,) = groups
    assert (group["ReplicationGroupId"], group["Status"]) == (GROUP, "available")
    assert group["ClusterEnabled"] is True
    assert group["TransitEncryptionMode"] == "preferred"
    assert [(each["NodeGroupId"], each["Slots"]) for each in group["NodeGroups"]] == [
        ("0001", "0-5461"),
        ("0002", "5462-10922"),
        ("0003", "10923-16383"),
    ]
    members = group["NodeGroups"][1]["NodeGroupMembers"]
    assert [each["CacheClusterId"] for each in members] == [
        "local-0002-001",
        "local-0002-002",
    ]
    assert not any("CurrentRole" in each for each in members)
    tls_ports = {node.ports.tls for node in three.cluster.nodes}
    assert group["ConfigurationEndpoint"]["Address"] == "127.0.0.1"
    assert group["ConfigurationEndpoint"]["Port"] in tls_ports


async def test_describes_the_nodes(three: Rig) -> None:
    """Every node is a cache cluster; its endpoint is shown when asked for."""
    plain = (await three.client.describe_cache_clusters())["CacheClusters"]
    assert len(plain) == 6
    assert not any("CacheNodes" in node for node in plain)
    shown = await three.client.describe_cache_clusters(
        CacheClusterId="local-0003-002", ShowCacheNodeInfo=True
    )
    (node,) = shown["CacheClusters"]
    assert node["EngineVersion"] == three.cluster.server.version
    endpoint = node["CacheNodes"][0]["Endpoint"]
    assert endpoint["Port"] == three.cluster.shards[2].nodes[1].ports.tls
    outside = await three.client.describe_cache_clusters(
        ShowCacheClustersNotInReplicationGroups=True
    )
    assert outside["CacheClusters"] == []


async def test_failover_with_a_majority(three: Rig) -> None:
    """Three shards elect the replica; the old primary returns as its replica."""
    shard = three.cluster.shards[0]
    old, new = shard.nodes
    old_pid = old.pid
    started = datetime.now(UTC) - timedelta(milliseconds=1)
    events = await fail_over(three, "0001")
    assert told(events) == expected_events("0001", old.name, new.name)
    dates = [event["Date"] for event in events]
    assert dates == sorted(dates)
    assert started <= dates[0] <= dates[-1] <= datetime.now(UTC)
    assert await three.cluster.primary_of("0001") is new
    assert old.pid != old_pid
    assert (await old.info("replication"))["master_link_status"] == "up"
    # An election, not a promotion by force: that one asks for nobody's vote.
    log = (new.folder / "log").read_text()
    assert "Failover election won" in log
    assert "TAKEOVER" not in log.upper()


async def test_failover_without_a_majority() -> None:
    """Two shards elect nobody; the replica is promoted by force and serves."""
    knobs = Knobs(detect_s=1.5)
    async with LocalCluster(shards=2) as cluster, rig(cluster, knobs) as two:
        old, new = cluster.shards[1].nodes
        events = await fail_over(two, "0002")
        assert told(events) == expected_events("0002", old.name, new.name)
        assert events[1]["Date"] - events[0]["Date"] >= timedelta(seconds=1.5)
        assert await cluster.primary_of("0002") is new
        assert (await old.info("replication"))["role"] == "slave"
        assert "Failover election won" not in (new.folder / "log").read_text()
        # It is over when the new primary serves; the others may learn of it later.
        async with asyncio.timeout(DEADLINE_S):
            for node in cluster.nodes:
                while (await node.cluster_info())["cluster_state"] != "ok":
                    await asyncio.sleep(0.03)


async def test_failover_without_cluster_mode() -> None:
    """With cluster mode off the API shows the roles before and after."""
    group = LocalCluster(shards=1, replicas_per_shard=2, cluster_mode=False)
    async with group as cluster, rig(cluster, Knobs(detect_s=0.1)) as one:
        old, new, other = cluster.nodes
        # Keep the third node behind: the one that received most is promoted.
        other.pause()
        await old.command("SET", "key", "value")
        async with asyncio.timeout(DEADLINE_S):
            while await new.command("GET", "key") != "value":
                await asyncio.sleep(0.01)
        events = told(await fail_over(one, "0001"))
        other.resume()
        assert events == expected_events("0001", old.name, new.name)
        shown = (await one.client.describe_replication_groups())["ReplicationGroups"]
        (node_group,) = shown[0]["NodeGroups"]
        roles = {
            member["CacheClusterId"]: member["CurrentRole"]
            for member in node_group["NodeGroupMembers"]
        }
        assert roles[new.name] == "primary"
        assert roles[old.name] == "replica"
        assert node_group["PrimaryEndpoint"]["Port"] == new.ports.tls
        assert "ConfigurationEndpoint" not in shown[0]


async def test_a_primary_that_nobody_can_follow_comes_back() -> None:
    """Without a live replica the primary is started again, and can fail over later."""
    pair = LocalCluster(shards=1, tls=False, cluster_mode=False)
    async with pair as cluster, rig(cluster, Knobs(detect_s=0.1)) as one:
        primary, replica = cluster.nodes
        old_pid = primary.pid
        await replica.kill()
        wanted = {"ReplicationGroupId": GROUP, "NodeGroupId": "0001"}
        await one.client.test_failover(**wanted)
        async with asyncio.timeout(DEADLINE_S):
            while primary.pid in (None, old_pid) or not primary.is_responsive:
                await asyncio.sleep(0.01)
            while await cluster.find_primary(cluster.shards[0]) is not primary:
                await asyncio.sleep(0.01)
        called, failed = told(await events_of(one.client, count=2))
        assert called[2] == "Test Failover API called for node group 0001"
        assert failed[2].startswith("Test Failover of node group 0001 failed: ")


async def test_faults_have_the_codes_of_the_api(three: Rig) -> None:
    """Unknown groups, node groups, nodes and actions are the API's own faults."""
    client = three.client
    with pytest.raises(ClientError) as caught:
        await client.describe_replication_groups(ReplicationGroupId="other")
    assert code_of(caught) == ("ReplicationGroupNotFoundFault", 404)
    with pytest.raises(ClientError) as caught:
        await client.test_failover(ReplicationGroupId="other", NodeGroupId="0001")
    assert code_of(caught) == ("ReplicationGroupNotFoundFault", 404)
    with pytest.raises(ClientError) as caught:
        await client.test_failover(ReplicationGroupId=GROUP, NodeGroupId="0009")
    assert code_of(caught) == ("NodeGroupNotFoundFault", 404)
    with pytest.raises(ClientError) as caught:
        await client.describe_cache_clusters(CacheClusterId="other")
    assert code_of(caught) == ("CacheClusterNotFound", 404)
    with pytest.raises(ClientError) as caught:
        await client.describe_users()
    assert code_of(caught) == ("InvalidAction", 400)
    for arguments in ({"MaxRecords": 19}, {"MaxRecords": 101}, {"Marker": "x"}):
        with pytest.raises(ClientError) as caught:
            await client.describe_events(**arguments)
        assert code_of(caught) == ("InvalidParameterValue", 400)


async def test_an_unknown_action_is_a_fault(three: Rig) -> None:
    """An action outside the API is refused in XML, with status 400."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            three.plane.endpoint_url, data={"Action": "MakeCoffee"}
        ) as response,
    ):
        assert response.status == 400
        assert "<Code>InvalidAction</Code>" in await response.text()


async def test_pages_have_markers() -> None:
    """Long lists come in pages that the SDK's paginators put together."""
    cluster = LocalCluster(
        shards=1, replicas_per_shard=0, tls=False, cluster_mode=False
    )
    async with cluster, rig(cluster) as one:
        for number in range(44):
            one.plane.add_group(f"extra-{number}", cluster)
        for operation, member in (
            ("describe_replication_groups", "ReplicationGroups"),
            ("describe_cache_clusters", "CacheClusters"),
        ):
            paginator = one.client.get_paginator(operation)
            pages = [
                len(page[member])
                async for page in paginator.paginate(PaginationConfig={"PageSize": 20})
            ]
            assert pages == [20, 20, 5]


async def test_events_are_found_by_source_and_by_page(three: Rig) -> None:
    """Events are filtered by source, and paged without loss or repetition."""
    plane = three.plane
    for number in range(45):
        plane.add_event("cache-cluster", "paged", f"event {number}")
    paginator = three.client.get_paginator("describe_events")
    pages = [
        [event["Message"] for event in page["Events"]]
        async for page in paginator.paginate(
            SourceIdentifier="paged",
            SourceType="cache-cluster",
            PaginationConfig={"PageSize": 20},
        )
    ]
    assert [len(page) for page in pages] == [20, 20, 5]
    assert list(itertools.chain(*pages)) == [f"event {number}" for number in range(45)]


async def test_failovers_that_cannot_be_are_refused() -> None:
    """No replica, a replacement under way and a used up quota each have their fault."""
    bare = LocalCluster(shards=1, replicas_per_shard=0, tls=False, cluster_mode=False)
    async with bare, rig(bare) as one:
        with pytest.raises(ClientError) as caught:
            await one.client.test_failover(ReplicationGroupId=GROUP, NodeGroupId="0001")
        assert code_of(caught) == ("TestFailoverNotAvailableFault", 400)
    pair = LocalCluster(shards=1, tls=False, cluster_mode=False)
    async with pair, rig(pair, Knobs(detect_s=0.2, failovers_per_day=2)) as one:
        wanted = {"ReplicationGroupId": GROUP, "NodeGroupId": "0001"}
        await one.client.test_failover(**wanted)
        with pytest.raises(ClientError) as caught:
            await one.client.test_failover(**wanted)
        assert code_of(caught) == ("TestFailoverNotAvailableFault", 400)
        await events_of(one.client, count=5)
        await fail_over(one, "0001")
        with pytest.raises(ClientError) as caught:
            await one.client.test_failover(**wanted)
        assert code_of(caught) == ("APICallRateForCustomerExceeded", 400)


async def test_listening_twice_is_refused(three: Rig) -> None:
    """A taken port is a preflight error; an API that is not started has no address."""
    port = int(three.plane.endpoint_url.rpartition(":")[2])
    with pytest.raises(PreflightError, match="choose another port"):
        async with ControlPlane(port=port):
            pass
    with pytest.raises(UsageError, match="not started"):
        _ = ControlPlane().endpoint_url
