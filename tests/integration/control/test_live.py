"""The controller against a real local cluster and its control plane."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import msgspec
import pytest

from loadprobe.control.mutations.changes import FailOver
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.events import (
    CallAccepted,
    EpochRaised,
    Event,
    NodeStateSeen,
    PhaseEntered,
    PrimaryPromoted,
    ProviderTold,
    RoleChanged,
)
from loadprobe.errors import ControlError
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.running import target_of, until
from tests.support.stage import Stage, stage


@dataclass(frozen=True, slots=True)
class Rig:
    """A cluster and its API."""

    cluster: LocalCluster
    plane: ControlPlane


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """Start a cluster of three shards with one replica each, and its API."""
    async with LocalCluster(shards=3, name="rg") as cluster, ControlPlane() as plane:
        plane.add_group("rg", cluster)
        yield Rig(cluster, plane)


def in_order(found: Iterable[object], expected: list[object]) -> bool:
    """Tell whether the expected values occur in this order, others between them."""
    rest = iter(found)
    return all(value in rest for value in expected)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_a_failover_end_to_end(rig: Rig, tls: bool) -> None:
    """Phases, provider events and topology changes tell the same failover, in order."""
    cluster = rig.cluster
    async with stage(target_of(cluster), rig.plane.endpoint_url, tls=tls) as on:
        old = await cluster.primary_of("0002")
        record = await on.carry_out(FailOver("2"))
        new = await cluster.primary_of("0002")
        await until(lambda: len(on.of(ProviderTold)) >= 5, what="all events")

    old_port = old.ports.tls if tls else old.ports.plain
    new_port = new.ports.tls if tls else new.ports.plain
    assert on.details("failover", PrimaryPromoted).from_node == f"127.0.0.1:{old_port}"
    assert on.details("failover", PrimaryPromoted).to_node == f"127.0.0.1:{new_port}"
    assert on.details("failover", CallAccepted).request_id
    phases = on.phases("failover")
    assert phases[:2] == ["api_call", "accepted"]
    assert sorted(map(str, phases[2:4])) == ["promoted", "provider_completed"]
    assert phases[4:] == ["settled", "replicas_recovered"]

    provider = on.of(ProviderTold)
    assert in_order(
        [event.meaning for event in provider],
        [
            "test_failover_called",
            "failover_completed",
            "failover_completed",
            "recovery_started",
            "recovery_finished",
        ],
    )
    assert {event.failover_id for event in provider} == {"0002#1"}
    completed = next(e for e in provider if e.meaning == "failover_completed")
    assert (completed.from_node, completed.to_node) == (old.name, new.name)

    assert on.of(EpochRaised)
    role_change = on.of(RoleChanged)[0]
    assert role_change.shard == "0002"
    promoted = record.phases_ns["promoted"]
    assert role_change.mono_ns <= promoted


async def test_a_second_failover_returns_the_shard(rig: Rig) -> None:
    """Two failovers of a shard are two, and the second leads back."""
    cluster = rig.cluster
    async with stage(target_of(cluster), rig.plane.endpoint_url, tls=False) as on:
        for _ in range(2):
            await on.carry_out(FailOver("0001"))
        await until(lambda: len(on.of(ProviderTold)) >= 10, what="all events")
    phases = [event.details for event in on.of(PhaseEntered)]
    first, second = [p for p in phases if isinstance(p, PrimaryPromoted)]
    assert second.to_node == first.from_node
    ids = [event.failover_id for event in on.of(ProviderTold)]
    assert ids == ["0001#1"] * 5 + ["0001#2"] * 5


async def test_a_lost_request_fails_and_leaves_the_cluster_alone(rig: Rig) -> None:
    """Without a sign of the failover it is not repeated, and the primary stays."""
    cluster = rig.cluster
    old = await cluster.primary_of("0001")
    rig.plane.faults.lose_request("TestFailover")
    async with stage(target_of(cluster), rig.plane.endpoint_url) as on:
        with pytest.raises(ControlError, match="was not repeated"):
            await on.carry_out(FailOver("0001"), evidence_s=1.0)
    assert on.phases("failover") == ["api_call", "failed"]
    assert (await cluster.primary_of("0001")) is old
    assert on.of(ProviderTold) == []


def silent_nodes(on: Stage) -> set[str]:
    """Return the nodes that were told to be silent."""
    return {event.node for event in on.of(NodeStateSeen) if event.state == "silent"}


async def test_the_watch_survives_dead_and_hung_nodes(rig: Rig) -> None:
    """A killed node and a hung one are told, and the others are still watched."""
    cluster = rig.cluster
    async with stage(target_of(cluster), rig.plane.endpoint_url, tls=False) as on:
        assert await on.watch.wait_for(lambda t: len(t.shards) == 3, 10)
        first = await cluster.primary_of("0001")
        second = await cluster.primary_of("0002")
        hung = next(n for n in cluster.shards[1].nodes if n is not second)
        hung.pause()
        try:
            await first.kill()
            port = first.ports.plain
            assert await on.watch.wait_for(
                lambda t: all(s.primary.port != port for s in t.shards), 20
            )
            gone = {f"127.0.0.1:{port}", f"127.0.0.1:{hung.ports.plain}"}
            await until(lambda: gone <= silent_nodes(on), what="both are silent")
        finally:
            hung.resume()


async def test_waiting_ends_at_its_deadline(rig: Rig) -> None:
    """A predicate that never holds gives False, and the watch goes on."""
    cluster = rig.cluster
    async with stage(target_of(cluster), rig.plane.endpoint_url, tls=False) as on:
        assert await on.watch.wait_for(lambda _: False, 0.05) is False
        assert await on.watch.wait_for(lambda t: len(t.shards) == 3, 10)
        assert await on.watch.linked_replicas("0001") == 1
        assert await on.watch.linked_replicas("no such shard") == 0


async def test_the_watch_logs_in_and_tells_a_wrong_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A right password gives a topology; a wrong one gives the reason, not a crash."""
    journal: list[Event] = []
    monkeypatch.setenv("RIGHT", "correct-horse")
    monkeypatch.setenv("WRONG", "battery-staple")
    async with (
        LocalCluster(
            shards=1, replicas_per_shard=0, tls=False, password="correct-horse"
        ) as cluster,
        asyncio.TaskGroup() as group,
    ):
        watches = [
            TopologyWatch(
                msgspec.structs.replace(target_of(cluster), password_env=name),
                journal.append,
                tls=False,
                poll_s=0.05,
            )
            for name in ("RIGHT", "WRONG")
        ]
        tasks = [group.create_task(watch.run()) for watch in watches]
        assert await watches[0].wait_for(lambda t: len(t.shards) == 1, 10)
        await until(lambda: bool(journal), what="a refusal")
        assert watches[1].current is None
        for task in tasks:
            task.cancel()
    silent = journal[0]
    assert isinstance(silent, NodeStateSeen)
    assert silent.state == "silent"
    assert "invalid username-password pair" in silent.reason
