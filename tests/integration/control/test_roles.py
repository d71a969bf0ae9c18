"""The topology watch without cluster mode: roles by their nodes' word, and the name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.events import Event
from loadprobe.core.events.lines import plain
from loadprobe.core.topology.topology import Topology
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from tests.support.running import named_target, target_of, until

KNOBS = Knobs(endpoint_delay_s=0.5, endpoint_ttl_s=0)


@asynccontextmanager
async def watched(
    *, by_name: bool
) -> AsyncIterator[tuple[LocalCluster, TopologyWatch, list[Event]]]:
    """Watch a group of a primary and two replicas."""
    journal: list[Event] = []
    group = LocalCluster(
        shards=1, replicas_per_shard=2, cluster_mode=False, tls=False, name="rg"
    )
    async with group as cluster, ControlPlane(knobs=KNOBS) as plane:
        plane.add_group("rg", cluster)
        target = named_target(plane, "rg") if by_name else target_of(cluster)
        watch = TopologyWatch(target, journal.append, tls=False, poll_s=0.05)
        task = asyncio.create_task(watch.run())
        try:
            assert await watch.wait_for(is_whole, 20)
            yield cluster, watch, journal
        finally:
            task.cancel()
            await asyncio.wait({task})


def is_whole(topology: Topology) -> bool:
    """Tell whether a primary shows two replicas."""
    (shard,) = topology.shards
    return len(shard.replicas) == 2


def kinds(journal: list[Event]) -> list[str]:
    """Return the kinds of events, in their order."""
    return [plain(event).kind for event in journal]


async def promoted(cluster: LocalCluster) -> LocalNode:
    """Kill the primary and promote a replica; return the new primary."""
    primary = await cluster.primary_of("0001")
    first, second = (node for node in cluster.nodes if node is not primary)
    await primary.kill()
    await first.command("REPLICAOF", "NO", "ONE")
    await cluster.follow(second, first)
    return first


async def test_a_promotion_is_seen_before_the_name_moves() -> None:
    """The role comes first; the endpoint is behind until it points there, too."""
    async with watched(by_name=True) as (cluster, watch, journal):
        assert not watch.is_endpoint_behind
        assert watch.endpoint_move is None
        assert await watch.linked_replicas("0001") == 2
        new = await promoted(cluster)
        assert await watch.wait_for(lambda t: t.shards[0].primary.host == new.host, 10)
        assert watch.is_endpoint_behind
        await until(lambda: not watch.is_endpoint_behind, what="a name that moved")
        move = watch.endpoint_move
        assert move is not None
        assert move.after == (new.host,)
        assert move.gap_ms < 500
    roles = kinds(journal)
    assert roles.index("role_change") < roles.index("endpoint_moved")
    assert roles.count("role_change") == 1


async def test_an_address_does_not_move() -> None:
    """With an address instead of a name roles are followed all the same."""
    async with watched(by_name=False) as (cluster, watch, journal):
        new = await promoted(cluster)
        assert await watch.wait_for(lambda t: t.shards[0].primary.host == new.host, 10)
        assert not watch.is_endpoint_behind
    assert "endpoint_moved" not in kinds(journal)


async def test_nobody_answers_nothing_is_known() -> None:
    """A port that nobody listens on gives no topology."""
    async with watched(by_name=False) as (cluster, _, _):
        dead = target_of(cluster, port=1)
        journal: list[Event] = []
        watch = TopologyWatch(dead, journal.append, tls=False, poll_s=0.05)
        task = asyncio.create_task(watch.run())
        await until(lambda: "cluster_state" in kinds(journal), what="a silent node")
        assert watch.current is None
        task.cancel()
        await asyncio.wait({task})
