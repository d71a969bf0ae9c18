"""Every mutation changes real servers through the API, and both sides say so."""

from collections.abc import AsyncIterator

import pytest

from loadprobe.config.keys import Target
from loadprobe.control.mutations.changes import (
    ApplyUpdate,
    FailOver,
    RotateAuth,
    SetNodeType,
    SetTls,
    UpgradeEngine,
)
from loadprobe.control.mutations.lifecycle import CreateGroup, DeleteGroup
from loadprobe.control.mutations.migrations import CompleteMigration, StartMigration
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.sizes import Scale, SetReplicas
from loadprobe.control.provider.secret import Secret
from loadprobe.core.events import ProviderTold, StatusChanging
from loadprobe.core.steps import StepState
from loadprobe.errors import ControlError, PreflightError
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.servers import find_engine
from tests.support.running import target_of
from tests.support.stage import Stage, stage

FIRST, SECOND = Secret("first-token-of-many"), Secret("second-token-of-many")


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    """Serve the API, with statuses that change a little after the fact."""
    knobs = Knobs(modifying_delay_s=0.3, settle_delay_s=0.1, detect_s=1.0)
    async with ControlPlane(knobs=knobs) as opened:
        yield opened


async def settled(on: Stage, mutation: Mutation, step: str) -> None:
    """Carry a mutation out and check what is the same for all."""
    record = await on.carry_out(mutation, step=step)
    assert record.state is StepState.SETTLED
    assert on.phases(step)[:2] == ["api_call", "accepted"]
    assert on.phases(step)[-2:] == ["settled", "replicas_recovered"]
    state = await on.api.describe_state()
    assert mutation.is_reached(state)
    assert on.watch.current is not None
    assert mutation.agrees(on.watch.current, state)


async def test_a_group_is_changed_in_many_ways(plane: ControlPlane) -> None:
    """Transit encryption there and back, replicas, shards, nodes and the engine."""
    steps: dict[str, Mutation] = {
        "required": SetTls("required"),
        "failover": FailOver("0001"),
        "preferred": SetTls("preferred"),
        "none": SetTls("none"),
        "more replicas": SetReplicas(2),
        "fewer replicas": SetReplicas(1),
        "more shards": Scale(3),
        "fewer shards": Scale(2),
        "node type": SetNodeType("cache.r7g.large"),
        "update": ApplyUpdate(),
    }
    async with LocalCluster(shards=2, name="many") as cluster:
        plane.add_group("many", cluster)
        target = target_of(cluster)
        async with stage(target, plane.endpoint_url, group_id="many") as on:
            for step, mutation in steps.items():
                await settled(on, mutation, step)
            assert (await on.carry_out(Scale(2), step="even")).state is (
                StepState.UNNEEDED
            )
        assert len(cluster.nodes) == 4
    assert on.details("required", StatusChanging).status == "modifying"
    kinds = {event.meaning for event in on.of(ProviderTold)}
    assert "other" not in kinds
    assert {"tls_changed", "replicas_changed", "resharded", "modified"} <= kinds


async def test_an_engine_is_replaced_by_valkey(plane: ControlPlane) -> None:
    """Every node runs it afterwards, and nothing leads back."""
    try:
        valkey = find_engine("valkey", None)
    except PreflightError as exc:
        pytest.skip(str(exc))
    newest = ".".join(valkey.version.split(".")[:2])
    async with LocalCluster(shards=1, tls=False, name="old") as cluster:
        if cluster.server.engine != "redis":
            pytest.skip("the server found first is no Redis OSS")
        plane.add_group("old", cluster)
        target = target_of(cluster)
        async with stage(target, plane.endpoint_url, group_id="old") as on:
            await settled(on, UpgradeEngine("valkey", newest), "there")
            with pytest.raises(ControlError, match="an engine cannot be downgraded"):
                await on.carry_out(UpgradeEngine("redis", "7.0"), step="back")
        assert {node.server.engine for node in cluster.nodes} == {"valkey"}


async def test_a_group_is_created_given_tokens_and_deleted(plane: ControlPlane) -> None:
    """The watch logs in with each new token, and a lost group is gone."""
    nowhere = Target(host="127.0.0.1", port=1)
    small = CreateGroup(
        shard_count=1,
        replicas=1,
        node_type="cache.t4g.micro",
        engine="redis",
        tls_mode="required",
        mark="7f3a",
    )
    async with stage(
        nowhere, plane.endpoint_url, group_id="made", must_exist=False
    ) as on:
        record = await on.carry_out(small)
        assert list(record.phases_ns) == [
            "api_call",
            "accepted",
            "modifying",
            "settled",
        ]
    cluster = plane.cluster("made")
    async with stage(
        target_of(cluster), plane.endpoint_url, group_id="made", tls=True
    ) as on:
        await settled(on, RotateAuth(FIRST), "first")
        await settled(on, RotateAuth(FIRST, "set"), "only the first")
        await settled(on, RotateAuth(SECOND), "second")
        assert cluster.password == SECOND.reveal()
        with pytest.raises(ControlError, match="has an AUTH token, which needs TLS"):
            await on.carry_out(SetTls("preferred"), step="preferred")
            await on.carry_out(SetTls("none"), step="none")
        await on.carry_out(DeleteGroup("7f3a"))
        assert not (await on.api.describe_state(missing_ok=True)).is_there
    assert on.phases("delete")[-1] == "settled"
    shown = repr(on.journal)
    assert FIRST.reveal() not in shown
    assert SECOND.reveal() not in shown


async def test_a_group_takes_over_from_a_server_of_ours(plane: ControlPlane) -> None:
    """It follows, is in step, and takes writes in the end."""
    nowhere = Target(
        host="127.0.0.1", port=1, cluster=False, name_server=plane.name_server
    )
    single = CreateGroup(
        shard_count=1,
        replicas=1,
        node_type="cache.t4g.micro",
        engine="redis",
        is_cluster=False,
        mark="7f3a",
    )
    async with (
        LocalCluster(
            shards=1, replicas_per_shard=0, tls=False, cluster_mode=False, name="old"
        ) as source,
        stage(nowhere, plane.endpoint_url, group_id="new", must_exist=False) as on,
    ):
        await source.nodes[0].command("SET", "kept", "yes")
        await on.carry_out(single)
        await on.carry_out(StartMigration(source.host, source.port))
        target = await plane.cluster("new").primary_of("0001")
        assert await target.command("GET", "kept") == "yes"
        await on.carry_out(CompleteMigration())
        assert await target.command("SET", "new", "yes") == "OK"
        await on.carry_out(DeleteGroup("7f3a"))
    assert on.phases("start_migration")[-2:] == ["settled", "replicas_recovered"]
