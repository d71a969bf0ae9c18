"""The wire driver finds and enters servers: logins, lost nodes, other endpoints."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadprobe.config.keys import Target
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.core.topology.topology import Node as TopologyNode
from loadprobe.core.topology.topology import Shard, Topology
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.node import WireNode
from loadprobe.drivers.wire.seed import Bystander
from loadprobe.errors import PreflightError
from loadprobe.local.cluster.certificates import write_certificates
from tests.scripted import ScriptedCluster
from tests.support.wire_client import SLOT_OF, connected, target_of, until


@pytest.fixture
async def cluster() -> AsyncIterator[ScriptedCluster]:
    """Start three scripted shards."""
    async with ScriptedCluster(shards=3) as started:
        yield started


async def test_tls_and_a_password(tmp_path: Path) -> None:
    """A TLS lane logs in on every connection; wrong secrets and CAs are explained."""
    certificates = write_certificates(tmp_path)
    async with ScriptedCluster(shards=2, tls=certificates, password="right") as cluster:
        target = Target(
            host=cluster.host,
            port=cluster.port,
            tls_port=cluster.tls_port,
            ca_file=str(certificates.ca),
        )
        async with connected(target, tls=True, password="right") as client:
            assert await client.ask(SLOT_OF[0]) is None
        for options, advice in [
            ({"tls": True, "password": "wrong"}, "check username, password_file"),
            ({"tls": True}, "the server wants a password"),
        ]:
            with pytest.raises(PreflightError, match=advice):
                async with connected(target, **options):  # type: ignore[arg-type]
                    pass
        plain = Target(host=target.host, port=target.port, ca_file=target.ca_file)
        with pytest.raises(PreflightError, match="by TLS failed"):
            async with connected(plain, tls=True, password="right"):
                pass


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[int, asyncio.Event, asyncio.Event]]:
    """Serve a port that takes logins and never answers.

    Yields the port, and what tells that a login came and that its connection ended.
    """
    asked, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"AUTH")
            asked.set()
            while await reader.read(100):
                pass
        writer.close()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked, closed
    finally:
        server.close()
        await server.wait_closed()


class _Quiet:
    """What a node needs of a driver that is not there."""

    def hurry(self) -> None:
        """Take no note."""


async def log_in(port: int, *, timeout_ms: int) -> Connection | DialFailure:
    """Open one connection with a password."""
    dialer = Dialer(Target(host="127.0.0.1", port=port), None, "secret", timeout_ms)
    node = WireNode(
        _Quiet(),  # type: ignore[arg-type]
        "127.0.0.1",
        port,
        replies=Bystander(),
        width=1,
        closed_loop=False,
    )
    return await dialer.dial(
        "127.0.0.1", port, lambda: Connection(node, Bystander(), None)
    )


async def test_an_attempt_that_is_not_needed_any_more() -> None:
    """A connection whose login is cancelled is closed: the server keeps none."""
    async with silent_server() as (port, asked, closed), asyncio.timeout(20):
        attempt = asyncio.create_task(log_in(port, timeout_ms=15_000))
        await asked.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await closed.wait()


async def test_an_unanswered_login() -> None:
    """An attempt ends after its time, with a failure that says what was waited for."""
    async with silent_server() as (port, _, closed), asyncio.timeout(20):
        made = await log_in(port, timeout_ms=50)
        assert isinstance(made, DialFailure)
        assert made.error is ErrorClass.UNREACHABLE
        assert made.detail == "no answer to AUTH within 50 ms"
        assert made.end_ns - made.start_ns >= 49_000_000
        await closed.wait()


def gone() -> Topology:
    """Return a topology of nodes that are all gone."""
    shards = tuple(
        Shard(
            name=f"{i + 1:04d}",
            ranges=((slot, slot + 5000),),
            primary=TopologyNode(f"x{i}", "127.0.0.1", 1),
            replicas=(),
            epoch=9,
        )
        for i, slot in enumerate(SLOT_OF)
    )
    return Topology(shards, len(shards))


async def test_the_endpoint_is_asked_when_all_nodes_are_gone(
    cluster: ScriptedCluster,
) -> None:
    """A driver that knows nobody who lives finds the others through its endpoint."""
    async with connected(target_of(cluster), known=gone()) as client:
        assert (await client.ask(SLOT_OF[0]))[0] is Outcome.UNSENT  # type: ignore[index]
        await until(lambda: len(client.driver.live_connections()) == 3)
        await until(lambda: all(client.driver.live_connections().values()))
        for slot in SLOT_OF:
            assert await client.ask(slot, value=b"v") == b"OK"


async def test_another_endpoint_of_the_same_cluster(cluster: ScriptedCluster) -> None:
    """It is asked at once, and again when all nodes are gone."""
    dead = Target(host=cluster.host, port=1)
    async with connected(dead, known=gone()) as client:
        client.driver.use_endpoint("localhost", cluster.port, cut_over=None)
        await until(lambda: all(client.driver.live_connections().values()))
        assert await client.ask(SLOT_OF[1], value=b"v") == b"OK"


async def test_a_cut_over_loses_nothing(cluster: ScriptedCluster) -> None:
    """Arrivals go to the old cluster until the new one is connected to; none fails.

    What nodes of the old one say afterwards does not lead back.
    """
    async with (
        ScriptedCluster(shards=2) as other,
        connected(target_of(cluster)) as client,
    ):
        driver = client.driver
        driver.use_endpoint(cluster.host, 1, cut_over=1)  # nobody is there
        for slot in SLOT_OF:
            assert await client.ask(slot, value=b"v") == b"OK"
        driver.use_endpoint(other.host, other.port, cut_over=2)
        old = {node for node in driver._members.nodes.values() if node.is_primary}
        while client.topologies[-1].shards[0].primary.port not in other.ports:
            client.submit(SLOT_OF[len(client.made) % 3], value=b"w")
            await asyncio.sleep(0.001)
        await client.ended()
        assert client.sink.failures == {}
        await until(lambda: not any(node.live for node in old))
        for slot in SLOT_OF:
            assert await client.ask(slot, value=b"x") == b"OK"
        assert client.sink.failures == {}
        driver.hurry()
        await asyncio.sleep(0.3)
        assert {s.primary.port for s in client.topologies[-1].shards} <= {*other.ports}
        assert await other.ops("SET") >= 3
