"""One group with cluster mode through every operation, as an SDK's poller sees it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from loadprobe.errors import UsageError
from loadprobe.local.cluster.processes import start_ticks
from tests.support.api_rig import (
    Rig,
    creation,
    logs_in,
    note,
    read_all,
    rig,
    write,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOKEN = "first-token-of-16"
SECOND = "second-token-of-16"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Rig]:
    """Create "rg", two shards with a replica each and no encryption, on AWS's terms."""
    async with rig() as running:
        reply = await running.client.create_replication_group(
            **creation("rg", NumNodeGroups=2, ReplicasPerNodeGroup=1, Port=7000)
        )
        assert reply["ReplicationGroup"]["Status"] == "creating"
        assert "ConfigurationEndpoint" not in reply["ReplicationGroup"]
        code = await running.refused(
            "delete_replication_group", ReplicationGroupId="rg"
        )
        assert code == "InvalidReplicationGroupState"
        seen = await running.watch("rg")
        assert seen.busy() == ["creating"]
        yield running


async def test_a_created_group_is_a_running_cluster(shared: Rig) -> None:
    """The group shows what was asked for, and its servers hold data."""
    group = await shared.group("rg")
    assert group["Description"] == "made by a test"
    assert group["Engine"] == "redis"
    assert group["ClusterEnabled"] is True
    assert group["AutomaticFailover"] == "enabled"
    assert group["TransitEncryptionEnabled"] is False
    assert group["MemberClusters"] == [
        "rg-0001-001",
        "rg-0001-002",
        "rg-0002-001",
        "rg-0002-002",
    ]
    cluster = shared.plane.cluster("rg")
    assert group["ConfigurationEndpoint"]["Port"] == cluster.port
    written = await write(cluster, 200)
    assert await read_all(cluster) == written
    assert await shared.until_event("Replication group rg created")


async def test_tags_are_kept_by_arn(shared: Rig) -> None:
    """They are listed, replaced and removed as the SDK does it."""
    client, arn = shared.client, (await shared.group("rg"))["ARN"]

    async def listed() -> dict[str, str]:
        reply = await client.list_tags_for_resource(ResourceName=arn)
        return {tag["Key"]: tag["Value"] for tag in reply["TagList"]}

    assert await listed() == {}
    added = [{"Key": "team", "Value": "load"}, {"Key": "use", "Value": "<tests>"}]
    await client.add_tags_to_resource(ResourceName=arn, Tags=added)
    await client.add_tags_to_resource(ResourceName=arn, Tags=added[:1])
    assert await listed() == {"team": "load", "use": "<tests>"}
    await client.remove_tags_from_resource(ResourceName=arn, TagKeys=["use"])
    assert await listed() == {"team": "load"}
    for code, operation, arguments in (
        ("TagNotFound", "remove_tags_from_resource", {"TagKeys": ["use"]}),
        (
            "TagQuotaPerResourceExceeded",
            "add_tags_to_resource",
            {"Tags": [{"Key": f"tag-{n}"} for n in range(50)]},
        ),
    ):
        assert await shared.refused(operation, ResourceName=arn, **arguments) == code
    code = await shared.refused("list_tags_for_resource", ResourceName=f"{arn}x")
    assert code == "InvalidARN"


async def test_one_change_of_a_group_at_a_time(shared: Rig) -> None:
    """From acceptance to the end, before and while it shows, others are refused."""
    await shared.client.increase_replica_count(
        ReplicationGroupId="rg",
        ApplyImmediately=True,
        ReplicaConfiguration=[{"NodeGroupId": "0002", "NewReplicaCount": 2}],
    )
    for operation, arguments in (
        ("test_failover", {"NodeGroupId": "0001"}),
        ("modify_replication_group", {"CacheNodeType": "cache.m6g.large"}),
        ("decrease_replica_count", {"NewReplicaCount": 0, "ApplyImmediately": True}),
        ("delete_replication_group", {}),
    ):
        code = await shared.refused(operation, ReplicationGroupId="rg", **arguments)
        assert code == "InvalidReplicationGroupState"
    seen = await shared.watch("rg")
    assert seen.busy() == ["modifying"]
    assert seen.shards["0001"] == ["available"]
    assert "modifying" in seen.shards["0002"]
    assert seen.nodes["rg-0002-003"] == ["creating", "available"]
    replica = shared.plane.cluster("rg").shards[1].nodes[2]
    assert (await replica.info("replication"))["master_link_status"] == "up"


async def test_replicas_are_removed_but_no_primary(shared: Rig) -> None:
    """A replica goes from "deleting" to gone; a primary is refused."""
    arguments = {"ReplicationGroupId": "rg", "ApplyImmediately": True}
    cluster = shared.plane.cluster("rg")
    primary = await cluster.primary_of("0002")
    code = await shared.refused(
        "decrease_replica_count", ReplicasToRemove=[primary.name], **arguments
    )
    assert code == "InvalidParameterValue"
    code = await shared.refused(
        "decrease_replica_count", ReplicasToRemove=["rg-0002-009"], **arguments
    )
    assert code == "CacheClusterNotFound"
    leaving = cluster.shards[1].nodes[2]
    pid, ticks = leaving.pid, start_ticks(leaving.pid or 0)
    await shared.client.decrease_replica_count(NewReplicaCount=1, **arguments)
    seen = await shared.watch("rg")
    assert seen.nodes["rg-0002-003"][-1] == "deleting"
    assert len(seen.last["NodeGroups"][1]["NodeGroupMembers"]) == 2
    assert pid is not None
    assert start_ticks(pid) != ticks
    for operation in ("increase_replica_count", "decrease_replica_count"):
        code = await shared.refused(operation, NewReplicaCount=1, **arguments)
        assert code == "NoOperationFault"
    code = await shared.refused(
        "decrease_replica_count", NewReplicaCount=2, **arguments
    )
    assert code == "InvalidParameterValue"


async def test_scaling_out_and_in_keeps_every_key(shared: Rig) -> None:
    """Slots move to new shards and back, with progress, and no key is lost."""
    arguments = {"ReplicationGroupId": "rg", "ApplyImmediately": True}
    cluster = shared.plane.cluster("rg")
    written = await read_all(cluster)
    await shared.client.modify_replication_group_shard_configuration(
        NodeGroupCount=3, **arguments
    )
    seen = await shared.watch("rg")
    assert seen.busy() == ["modifying"]
    assert seen.shards["0003"][0] == "creating"
    assert seen.shards["0003"][-1] == "available"
    progress = [
        pending["Resharding"]["SlotMigration"]["ProgressPercentage"]
        for pending in seen.pending
        if pending
    ]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1] > 50.0) == (0.0, True)
    assert seen.pending[-1] == {}
    assert [bool(shard["Slots"]) for shard in seen.last["NodeGroups"]] == [True] * 3
    assert len(seen.last["MemberClusters"]) == 6
    assert await read_all(cluster) == written

    code = await shared.refused(
        "modify_replication_group_shard_configuration", NodeGroupCount=2, **arguments
    )
    assert code == "InvalidParameterCombination"
    await shared.client.modify_replication_group_shard_configuration(
        NodeGroupCount=2, NodeGroupsToRemove=["0003"], **arguments
    )
    seen = await shared.watch("rg")
    assert "deleting" in seen.shards["0003"]
    assert [shard["NodeGroupId"] for shard in seen.last["NodeGroups"]] == [
        "0001",
        "0002",
    ]
    assert await read_all(cluster) == written
    await shared.client.modify_replication_group_shard_configuration(
        NodeGroupCount=2, **arguments
    )
    assert (await shared.watch("rg")).last["Status"] == "available"


async def test_a_service_update_replaces_every_node(shared: Rig) -> None:
    """The action counts nodes up, dates them, and its events have AWS's order."""
    shared.plane.add_service_update("update-1", severity="critical")
    updates = await shared.client.describe_service_updates(ServiceUpdateName="update-1")
    assert updates["ServiceUpdates"][0]["ServiceUpdateSeverity"] == "critical"
    cluster = shared.plane.cluster("rg")
    pids = {node.pid for node in cluster.nodes}
    written = await read_all(cluster)
    before = len(await shared.texts())
    reply = await shared.client.batch_apply_update_action(
        ServiceUpdateName="update-1",
        ReplicationGroupIds=["rg", "nowhere"],
        CacheClusterIds=["alone"],
    )
    (processed,) = reply["ProcessedUpdateActions"]
    assert processed["UpdateActionStatus"] == "waiting-to-start"
    errors = [each["ErrorType"] for each in reply["UnprocessedUpdateActions"]]
    assert errors == ["ReplicationGroupNotFoundFault", "CacheClusterNotFound"]
    watching = asyncio.create_task(shared.watch("rg"))
    progress: list[tuple[str, str]] = []
    is_over = False
    while not is_over:
        is_over = watching.done()
        reply = await shared.client.describe_update_actions(
            ServiceUpdateName="update-1",
            ReplicationGroupIds=["rg"],
            ShowNodeLevelUpdateStatus=True,
        )
        (action,) = reply["UpdateActions"]
        note(progress, (action["UpdateActionStatus"], action["NodesUpdated"]))
        await asyncio.sleep(0.03)
    assert (await watching).busy() == ["modifying"]
    assert progress[0] == ("waiting-to-start", "0/4")
    assert progress[-1] == ("complete", "4/4")
    assert ("in-progress", "0/4") in progress
    nodes = [
        node
        for shard in action["NodeGroupUpdateStatus"]
        for node in shard["NodeGroupMemberUpdateStatus"]
    ]
    assert len(nodes) == 4
    assert all(n["NodeUpdateStartDate"] <= n["NodeUpdateEndDate"] for n in nodes)
    assert not pids & {node.pid for node in cluster.nodes}
    assert await read_all(cluster) == written
    texts = (await shared.texts())[before:]
    for name in (node.name for node in cluster.nodes):
        own = [text for text in texts if text.startswith(f"{name}: Cache")]
        assert own == [
            f"{name}: Cache node 0001 shutdown",
            f"{name}: Cache node 0001 restarted",
            f"{name}: Cache cluster patched",
        ]
    assert sum("rg: Failover to replica node" in text for text in texts) == 2
    again = await shared.client.batch_apply_update_action(
        ServiceUpdateName="update-1", ReplicationGroupIds=["rg"]
    )
    assert len(again["UnprocessedUpdateActions"]) == 1


async def test_encryption_goes_step_by_step(shared: Rig) -> None:
    """None, preferred, required and back: modes, endpoint and pending values agree."""
    cluster = shared.plane.cluster("rg")
    code = await shared.refused(
        "modify_replication_group",
        ReplicationGroupId="rg",
        TransitEncryptionEnabled=True,
        TransitEncryptionMode="required",
        ApplyImmediately=True,
    )
    assert code == "InvalidParameterCombination"
    for mode, uses_tls in (
        ("preferred", True),
        ("required", True),
        ("preferred", True),
        (None, False),
    ):
        wanted: dict[str, Any] = {"TransitEncryptionEnabled": uses_tls}
        if mode is not None:
            wanted["TransitEncryptionMode"] = mode
        before = await shared.group("rg")
        seen = await shared.modify("rg", **wanted)
        assert seen.busy() == ["modifying"]
        assert seen.was_pending == [wanted]
        assert seen.last["PendingModifiedValues"] == {}
        assert wanted in seen.node_pending["rg-0001-001"]
        assert seen.node_pending["rg-0001-001"][-1] == {}
        assert seen.last.get("TransitEncryptionMode") == mode
        assert seen.last["TransitEncryptionEnabled"] is uses_tls
        assert cluster.tls_mode == (mode or "none")
        ports = {
            node.ports.tls if uses_tls else node.ports.plain for node in cluster.nodes
        }
        assert seen.last["ConfigurationEndpoint"]["Port"] in ports
        assert before.get("TransitEncryptionMode") != mode


async def test_auth_tokens_rotate_and_set(shared: Rig) -> None:
    """Tokens need encryption; two are valid after ROTATE, one after SET."""
    arguments = {"ReplicationGroupId": "rg", "ApplyImmediately": True}
    code = await shared.refused(
        "modify_replication_group", AuthToken=TOKEN, **arguments
    )
    assert code == "InvalidParameterCombination"
    await shared.modify(
        "rg", TransitEncryptionEnabled=True, TransitEncryptionMode="preferred"
    )
    for wrong, expected in (
        ({"AuthToken": "short"}, "InvalidParameterValue"),
        (
            {"AuthToken": TOKEN, "AuthTokenUpdateStrategy": "SET"},
            "InvalidParameterCombination",
        ),
        ({"AuthTokenUpdateStrategy": "ROTATE"}, "InvalidParameterCombination"),
        (
            {"AuthToken": TOKEN, "AuthTokenUpdateStrategy": "DELETE"},
            "InvalidParameterCombination",
        ),
    ):
        assert (
            await shared.refused("modify_replication_group", **wrong, **arguments)
            == expected
        )
    seen = await shared.modify("rg", AuthToken=TOKEN)
    assert seen.was_pending == [{"AuthTokenStatus": "ROTATING"}]
    assert seen.last["AuthTokenEnabled"] is True
    await shared.modify("rg", AuthToken=TOKEN, AuthTokenUpdateStrategy="SET")
    await shared.modify("rg", AuthToken=SECOND, AuthTokenUpdateStrategy="ROTATE")
    cluster = shared.plane.cluster("rg")
    node = cluster.nodes[0]
    assert [await logs_in(node, each) for each in (TOKEN, SECOND)] == [True, True]
    code = await shared.refused(
        "modify_replication_group",
        AuthToken=TOKEN,
        AuthTokenUpdateStrategy="SET",
        **arguments,
    )
    assert code == "InvalidParameterValue"
    seen = await shared.modify("rg", AuthToken=SECOND, AuthTokenUpdateStrategy="SET")
    assert seen.was_pending == [{"AuthTokenStatus": "SETTING"}]
    assert [await logs_in(node, each) for each in (TOKEN, SECOND)] == [False, True]
    assert not any(TOKEN in text or SECOND in text for text in await shared.texts())
    # Without encryption there can be no token: the way down is closed.
    code = await shared.refused(
        "modify_replication_group", TransitEncryptionEnabled=False, **arguments
    )
    assert code == "InvalidParameterCombination"


async def test_changes_that_make_no_sense_are_refused(shared: Rig) -> None:
    """Unknown types, versions, combinations and members each have their fault."""
    arguments = {"ReplicationGroupId": "rg", "ApplyImmediately": True}
    for changes, expected in (
        ({"CacheNodeType": "cache.enormous"}, "InvalidParameterValue"),
        ({"EngineVersion": "6.2"}, "InvalidParameterCombination"),
        ({"Engine": "memcached"}, "InvalidParameterValue"),
        (
            {"AuthToken": TOKEN, "CacheNodeType": "cache.m6g.large"},
            "InvalidParameterCombination",
        ),
        ({"AutomaticFailoverEnabled": False}, "InvalidParameterCombination"),
        ({"UserGroupIdsToAdd": ["admins"]}, "UserGroupNotFound"),
        ({"ClusterMode": "compatible"}, "InvalidParameterCombination"),
        ({"CacheParameterGroupName": "mine"}, "CacheParameterGroupNotFound"),
        ({"CacheParameterGroupName": "default.redis7"}, "InvalidParameterCombination"),
    ):
        code = await shared.refused("modify_replication_group", **changes, **arguments)
        assert code == expected, changes
    code = await shared.refused(
        "reboot_cache_cluster",
        CacheClusterId="rg-0001-001",
        CacheNodeIdsToReboot=["0001"],
    )
    assert code == "InvalidParameterCombination"
    for count, expected in (
        (0, "InvalidParameterValue"),
        (91, "NodeGroupsPerReplicationGroupQuotaExceeded"),
        (90, "NodeQuotaForCustomerExceeded"),
    ):
        code = await shared.refused(
            "modify_replication_group_shard_configuration",
            NodeGroupCount=count,
            **arguments,
        )
        assert code == expected
    group = await shared.group("rg")
    assert (group["Status"], group["PendingModifiedValues"]) == ("available", {})


async def test_labels_change_at_once(shared: Rig) -> None:
    """A description is a label: no state is passed through."""
    reply = await shared.client.modify_replication_group(
        ReplicationGroupId="rg",
        ReplicationGroupDescription="other words",
        PreferredMaintenanceWindow="sun:05:00-sun:06:00",
    )
    assert reply["ReplicationGroup"]["Description"] == "other words"
    assert reply["ReplicationGroup"]["Status"] == "available"
    nodes = (await shared.client.describe_cache_clusters())["CacheClusters"]
    assert {n["PreferredMaintenanceWindow"] for n in nodes} == {"sun:05:00-sun:06:00"}


async def test_what_is_not_immediate_waits_for_the_window(shared: Rig) -> None:
    """Without a window the change stays pending, and an immediate one replaces it."""
    reply = await shared.client.modify_replication_group(
        ReplicationGroupId="rg",
        TransitEncryptionEnabled=True,
        TransitEncryptionMode="required",
    )
    group = reply["ReplicationGroup"]
    assert group["Status"] == "available"
    assert group["PendingModifiedValues"]["TransitEncryptionMode"] == "required"
    seen = await shared.modify("rg", AuthToken=TOKEN)
    assert seen.last["PendingModifiedValues"] == {}
    assert seen.last["TransitEncryptionMode"] == "preferred"


async def test_a_deleted_group_is_gone(shared: Rig) -> None:
    """The group is shown as deleting, then unknown, and no server is left."""
    cluster = shared.plane.cluster("rg")
    servers = [(node.pid or 0, start_ticks(node.pid or 0)) for node in cluster.nodes]
    folder = cluster.folder
    reply = await shared.client.delete_replication_group(ReplicationGroupId="rg")
    assert reply["ReplicationGroup"]["Status"] == "deleting"
    with pytest.raises(ClientError, match="ReplicationGroupNotFoundFault"):
        await shared.watch("rg")
    assert all(start_ticks(pid) != ticks for pid, ticks in servers)
    assert not folder.exists()
    assert (await shared.texts())[-1] == "rg: Replication group rg deleted"
    assert (await shared.client.describe_cache_clusters())["CacheClusters"] == []
    with pytest.raises(UsageError, match="there are: none"):
        shared.plane.cluster("rg")
