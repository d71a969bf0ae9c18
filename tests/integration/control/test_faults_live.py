"""Faults of the provider, with real servers behind it: applied once, or told why."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import pytest
import pytest_asyncio

from loadprobe.config.keys import Target
from loadprobe.control.mutations.changes import FailOver, SetTls
from loadprobe.control.mutations.lifecycle import CreateGroup, DeleteGroup
from loadprobe.core.events import CallAccepted, CallEvident, ProviderTold
from loadprobe.errors import ControlError
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.running import target_of
from tests.support.stage import POLL_S, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOWHERE = Target(host="127.0.0.1", port=1)
SMALL = CreateGroup(
    shard_count=1,
    replicas=0,
    node_type="cache.t4g.micro",
    engine="redis",
    mark="7f3a",
)


@dataclass(frozen=True, slots=True)
class Rig:
    """A cluster of three shards, the provider that goes wrong, and another client."""

    cluster: LocalCluster
    plane: ControlPlane
    client: Any


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_rig() -> AsyncIterator[Rig]:
    """Start the cluster once."""
    knobs = Knobs(modifying_delay_s=0.2, settle_delay_s=0.1, detect_s=1.0)
    async with (
        LocalCluster(shards=3, name="rg") as cluster,
        ControlPlane(knobs=knobs) as plane,
        aioboto3.Session().client(
            "elasticache",
            region_name="us-east-1",
            endpoint_url=plane.endpoint_url,
            aws_access_key_id="none",
            aws_secret_access_key="none",
        ) as client,
    ):
        plane.add_group("rg", cluster)
        yield Rig(cluster, plane, client)


@pytest.fixture
def rig(module_rig: Rig) -> Rig:
    """Forget what the test before planned."""
    module_rig.plane.faults.clear()
    return module_rig


async def test_throttled_and_then_lost_it_happens_once(rig: Rig) -> None:
    """Refusals are repeated, the lost reply is looked up: one failover in all."""
    rig.plane.faults.fail("TestFailover", "Throttling", times=2)
    rig.plane.faults.lose_reply("TestFailover")
    async with stage(target_of(rig.cluster), rig.plane.endpoint_url) as on:
        record = await on.carry_out(FailOver("0001"), evidence_s=10.0)
    assert on.details("failover", CallEvident).evidence == "event"
    assert list(record.phases_ns)[-2:] == ["settled", "replicas_recovered"]
    provider = on.of(ProviderTold)
    called = [event for event in provider if event.meaning == "test_failover_called"]
    assert len(called) == 1
    assert {event.failover_id for event in provider} == {"0001#1"}


async def test_credentials_expire_and_are_renewed(rig: Rig) -> None:
    """Neither the mutation nor the event poller ends."""
    async with stage(target_of(rig.cluster), rig.plane.endpoint_url) as on:
        rig.plane.faults.fail("TestFailover", "ExpiredToken")
        for action in ("DescribeReplicationGroups", "DescribeEvents"):
            rig.plane.faults.fail(action, "ExpiredToken", times=5)
        await on.carry_out(FailOver("0002"), evidence_s=10.0)
    assert on.phases("failover")[-1] == "replicas_recovered"
    assert on.details("failover", CallAccepted).attempts == 2
    assert on.of(ProviderTold)


async def test_credentials_that_stay_expired_are_told(rig: Rig) -> None:
    """Nothing was sent, and the error says what to do."""
    async with stage(target_of(rig.cluster), rig.plane.endpoint_url) as on:
        rig.plane.faults.expire_credentials()
        with pytest.raises(ControlError, match="renew the credentials"):
            await on.carry_out(FailOver("0003"), evidence_s=0.3)
        rig.plane.faults.clear()
    assert on.phases("failover") == ["failed"]


async def test_a_change_whose_work_fails_is_given_up(rig: Rig) -> None:
    """The provider's event ends the wait, long before the deadline."""
    rig.plane.faults.break_work("ModifyReplicationGroup", reason="out of luck")
    async with stage(target_of(rig.cluster), rig.plane.endpoint_url) as on:
        with pytest.raises(ControlError, match="gave it up: .*out of luck"):
            await on.carry_out(SetTls("required"))
        assert (await on.api.describe_group()).tls_mode == "preferred"
    assert on.phases("tls")[-1] == "failed"


async def test_a_lost_reply_of_a_change_is_found_by_its_status(rig: Rig) -> None:
    """It was applied; a second request would have been refused.

    On a busy machine the change may be over before anybody looks: then by its target.
    """
    rig.plane.faults.lose_reply("ModifyReplicationGroup")
    async with stage(target_of(rig.cluster), rig.plane.endpoint_url, tls=True) as on:
        await on.carry_out(SetTls("required"), evidence_s=10.0)
        await on.carry_out(SetTls("preferred"), step="back")
    evidence = on.details("tls", CallEvident).evidence
    assert evidence in {"status", "pending", "target"}


async def test_a_group_that_cannot_be_created_is_told_and_deleted(rig: Rig) -> None:
    """The status says so; the group is there, and can be deleted."""
    rig.plane.faults.break_work("CreateReplicationGroup")
    async with stage(
        NOWHERE, rig.plane.endpoint_url, group_id="new", must_exist=False
    ) as on:
        with pytest.raises(ControlError, match="status is 'create-failed'"):
            await on.carry_out(SMALL)
        await on.carry_out(DeleteGroup("7f3a"))
        assert not (await on.api.describe_state(missing_ok=True)).is_there


async def test_a_group_that_somebody_else_deletes_is_told(rig: Rig) -> None:
    """The wait for a cluster that nobody can see ends with its group."""

    async def delete() -> None:
        async with asyncio.timeout(10):
            while (await on.api.describe_group()).tls_mode != "preferred":
                await asyncio.sleep(POLL_S)
        await rig.client.delete_replication_group(ReplicationGroupId="short")

    async with stage(
        NOWHERE, rig.plane.endpoint_url, group_id="short", must_exist=False
    ) as on:
        await on.carry_out(SMALL)
        async with asyncio.TaskGroup() as group:
            group.create_task(delete())
            with pytest.raises(ControlError, match="deleted by somebody else"):
                await on.carry_out(SetTls("preferred"))
    assert on.phases("tls")[-1] == "failed"
