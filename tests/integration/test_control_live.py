"""The controller against a real local cluster and its control plane."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec
import pytest
from aiohttp import web

from loadprobe.clock import wall_now_ns
from loadprobe.config import Control, Target
from loadprobe.control.api import ElastiCacheApi, open_api
from loadprobe.control.failover import fail_over
from loadprobe.control.provider_events import ProviderEvents
from loadprobe.control.topology_watch import TopologyWatch
from loadprobe.core.events import Event
from loadprobe.errors import ControlError
from loadprobe.local.cluster import LocalCluster
from loadprobe.local.control_plane import ControlPlane

DEADLINE_S = 40.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A running cluster with everything that watches it."""

    cluster: LocalCluster
    api: ElastiCacheApi
    watch: TopologyWatch
    journal: list[Event]

    def of(self, source: str) -> list[Event]:
        """Return the journal's events of one source."""
        return [event for event in self.journal if event.source == source]

    def phases(self) -> list[object]:
        """Return the names of the controller's phases."""
        return [event.fields["phase"] for event in self.of("controller")]


async def until(is_true: Callable[[], bool]) -> None:
    """Wait until something holds, at most ten seconds."""
    async with asyncio.timeout(10):
        while not is_true():
            await asyncio.sleep(0.02)


def target(cluster: LocalCluster) -> Target:
    """Return the target of a local cluster."""
    return Target(
        host=cluster.host,
        port=cluster.port,
        tls_port=cluster.tls_port,
        ca_file=str(cluster.ca_file) if cluster.ca_file else None,
    )


@asynccontextmanager
async def losing_replies(endpoint_url: str, *, also: str) -> AsyncIterator[str]:
    """Forward API calls, but hang up instead of answering a TestFailover.

    Args:
        endpoint_url: where to forward to.
        also: "lose request": a TestFailover is not even forwarded.
    """

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        is_failover = b"Action=TestFailover" in body
        if not (is_failover and also == "lose request"):
            async with session.post(
                endpoint_url, data=body, headers={"Content-Type": request.content_type}
            ) as reply:
                text, status = await reply.text(), reply.status
        if is_failover:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(text=text, status=status, content_type="text/xml")

    application = web.Application()
    application.router.add_post("/", forward)
    runner = web.AppRunner(application, access_log=None)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def scene(
    cluster: LocalCluster, endpoint_url: str, *, tls: bool
) -> AsyncIterator[Scene]:
    """Open the API and start both watchers."""
    journal: list[Event] = []
    control = Control(replication_group="rg", endpoint_url=endpoint_url)
    watch = TopologyWatch(target(cluster), journal.append, tls=tls, poll_s=0.2)
    async with open_api(control) as api, asyncio.TaskGroup() as group:
        poller = ProviderEvents(
            api, journal.append, since_unix_ns=wall_now_ns(), poll_s=0.2
        )
        tasks = [group.create_task(watch.run()), group.create_task(poller.run())]
        try:
            yield Scene(cluster, api, watch, journal)
        finally:
            for task in tasks:
                task.cancel()


@pytest.fixture
async def plane() -> AsyncIterator[tuple[LocalCluster, str]]:
    """Start a cluster of three shards with one replica each, and its API."""
    async with LocalCluster(shards=3, name="rg") as cluster, ControlPlane() as api:
        api.add_group("rg", cluster)
        yield cluster, api.endpoint_url


def in_order(found: Iterable[object], expected: list[object]) -> bool:
    """Tell whether the expected values occur in this order, others between them."""
    rest = iter(found)
    return all(value in rest for value in expected)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_a_failover_end_to_end(
    plane: tuple[LocalCluster, str], tls: bool
) -> None:
    """Phases, provider events and topology changes tell the same failover, in order."""
    cluster, url = plane
    async with scene(cluster, url, tls=tls) as stage:
        old = await cluster.primary_of("0002")
        result = await fail_over(
            stage.api,
            "2",
            emit=stage.journal.append,
            topology=stage.watch,
            deadline_s=DEADLINE_S,
            poll_s=0.1,
        )
        new = await cluster.primary_of("0002")
        await until(lambda: len(stage.of("provider")) >= 5)

    old_port = old.ports.tls if tls else old.ports.plain
    new_port = new.ports.tls if tls else new.ports.plain
    assert result.from_node == f"127.0.0.1:{old_port}"
    assert result.to_node == f"127.0.0.1:{new_port}"
    assert result.request_id
    phases = stage.phases()
    assert phases[:2] == ["api_call", "accepted"]
    assert sorted(map(str, phases[2:4])) == ["promoted", "provider_completed"]
    assert phases[4:] == ["settled"]

    provider = [event.fields for event in stage.of("provider")]
    assert in_order(
        [fields["kind"] for fields in provider],
        [
            "test_failover_called",
            "failover_completed",
            "failover_completed",
            "recovery_started",
            "recovery_finished",
        ],
    )
    assert {fields["failover_id"] for fields in provider} == {"0002#1"}
    completed = next(f for f in provider if f["kind"] == "failover_completed")
    assert (completed["from_node"], completed["to_node"]) == (old.name, new.name)

    topology = [event.kind for event in stage.of("topology")]
    assert "role_change" in topology
    assert "epoch" in topology
    role_change = next(e for e in stage.of("topology") if e.kind == "role_change")
    assert role_change.fields["shard"] == "0002"
    promoted = result.phases_mono_ns["promoted"]
    assert role_change.mono_ns <= promoted


async def test_a_second_failover_returns_the_shard(
    plane: tuple[LocalCluster, str],
) -> None:
    """Two failovers of a shard are two, and the second leads back."""
    cluster, url = plane
    async with scene(cluster, url, tls=False) as stage:
        results = [
            await fail_over(
                stage.api,
                "0001",
                emit=stage.journal.append,
                topology=stage.watch,
                deadline_s=DEADLINE_S,
                poll_s=0.1,
            )
            for _ in range(2)
        ]
        await until(lambda: len(stage.of("provider")) >= 10)
    assert results[1].to_node == results[0].from_node
    ids = [event.fields["failover_id"] for event in stage.of("provider")]
    assert ids == ["0001#1"] * 5 + ["0001#2"] * 5


async def test_a_lost_reply_is_looked_up(plane: tuple[LocalCluster, str]) -> None:
    """The failover happened once, is recognised by its event, and is followed."""
    cluster, url = plane
    async with (
        losing_replies(url, also="") as lossy_url,
        scene(cluster, lossy_url, tls=False) as stage,
    ):
        result = await fail_over(
            stage.api,
            "0003",
            emit=stage.journal.append,
            topology=stage.watch,
            deadline_s=DEADLINE_S,
            poll_s=0.1,
        )
        await until(lambda: len(stage.of("provider")) >= 5)
    assert result.request_id == ""
    accepted = next(
        e for e in stage.of("controller") if e.fields["phase"] == "accepted"
    )
    assert accepted.fields["evidence"] == "event"
    kinds = [event.fields["kind"] for event in stage.of("provider")]
    assert kinds.count("test_failover_called") == 1


async def test_a_lost_request_fails_and_leaves_the_cluster_alone(
    plane: tuple[LocalCluster, str],
) -> None:
    """Without a sign of the failover it is not repeated, and the primary stays."""
    cluster, url = plane
    old = await cluster.primary_of("0001")
    async with (
        losing_replies(url, also="lose request") as lossy_url,
        scene(cluster, lossy_url, tls=False) as stage,
    ):
        with pytest.raises(ControlError, match="was not repeated"):
            await fail_over(
                stage.api,
                "0001",
                emit=stage.journal.append,
                topology=stage.watch,
                deadline_s=DEADLINE_S,
                poll_s=0.1,
                evidence_s=1.0,
            )
    assert stage.phases() == ["api_call", "failed"]
    assert (await cluster.primary_of("0001")) is old
    assert stage.of("provider") == []


def silent_nodes(stage: Scene) -> set[object]:
    """Return the nodes that were told to be silent."""
    return {
        event.fields["node"]
        for event in stage.of("topology")
        if event.kind == "cluster_state" and event.fields["state"] == "silent"
    }


async def test_the_watch_survives_dead_and_hung_nodes(
    plane: tuple[LocalCluster, str],
) -> None:
    """A killed node and a hung one are told, and the others are still watched."""
    cluster, url = plane
    async with scene(cluster, url, tls=False) as stage:
        assert await stage.watch.wait_for(lambda t: len(t.shards) == 3, 10)
        first = await cluster.primary_of("0001")
        second = await cluster.primary_of("0002")
        hung = next(n for n in cluster.shards[1].nodes if n is not second)
        hung.pause()
        try:
            await first.kill()
            port = first.ports.plain
            assert await stage.watch.wait_for(
                lambda t: all(s.primary.port != port for s in t.shards), 20
            )
            gone = {f"127.0.0.1:{port}", f"127.0.0.1:{hung.ports.plain}"}
            await until(lambda: gone <= silent_nodes(stage))
        finally:
            hung.resume()


async def test_waiting_ends_at_its_deadline(plane: tuple[LocalCluster, str]) -> None:
    """A predicate that never holds gives False, and the watch goes on."""
    cluster, url = plane
    async with scene(cluster, url, tls=False) as stage:
        assert await stage.watch.wait_for(lambda _: False, 0.05) is False
        assert await stage.watch.wait_for(lambda t: len(t.shards) == 3, 10)
        assert await stage.watch.linked_replicas("0001") == 1
        assert await stage.watch.linked_replicas("no such shard") == 0


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
                msgspec.structs.replace(target(cluster), password_env=name),
                journal.append,
                tls=False,
                poll_s=0.05,
            )
            for name in ("RIGHT", "WRONG")
        ]
        tasks = [group.create_task(watch.run()) for watch in watches]
        assert await watches[0].wait_for(lambda t: len(t.shards) == 1, 10)
        await until(lambda: bool(journal))
        assert watches[1].current is None
        for task in tasks:
            task.cancel()
    assert journal[0].fields["state"] == "silent"
    assert "invalid username-password pair" in str(journal[0].fields["reason"])


async def test_a_single_endpoint_is_one_shard() -> None:
    """Without cluster mode there is nothing to poll, and one shard with all slots."""
    journal: list[Event] = []
    single = Target(host="localhost", port=1, cluster=False)
    watch = TopologyWatch(single, journal.append, tls=False)
    task = asyncio.create_task(watch.run())
    assert await watch.wait_for(lambda t: t.shards[0].ranges == ((0, 16383),), 10)
    task.cancel()
    assert journal == []
