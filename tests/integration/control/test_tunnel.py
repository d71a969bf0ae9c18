"""A tunnel as it is: a real ssh to a real sshd, and who listens at the other end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.control.reach.endpoints import EndpointForwards
from loadprobe.control.reach.members import ask_members
from loadprobe.control.reach.tunnel import SshTunnel
from loadprobe.core.events import (
    Event,
    ForwardRefused,
    TunnelBroken,
    TunnelOpened,
)
from loadprobe.local.api.name_server import NameServer
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.running import target_of, until
from tests.support.sshd import Bastion, bastion, needs_sshd

pytestmark = needs_sshd


@asynccontextmanager
async def greeting(
    text: bytes, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    """Listen on a port, and greet who connects."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    server = await asyncio.start_server(greet, host, port)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def greeted(tunnel: SshTunnel, port: int) -> bytes:
    """Return what is heard through the forward to a port."""
    return await greeted_at(tunnel.port_of(("127.0.0.1", port)))


async def greeted_at(local: int | None) -> bytes:
    """Return what is heard at a port of this host."""
    reader, writer = await asyncio.open_connection("127.0.0.1", local)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


@asynccontextmanager
async def opened(there: Bastion) -> AsyncIterator[tuple[SshTunnel, list[Event]]]:
    """Open a tunnel, and keep it open; it is gone after the block."""
    events: list[Event] = []
    tunnel = SshTunnel(there.tunnel(), {})
    tunnel.emit = events.append
    try:
        await tunnel.open()
        keeping = asyncio.create_task(tunnel.keep())
        try:
            yield tunnel, events
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
    finally:
        await tunnel.close()


async def test_forwards_that_break_come_back(tmp_path: Path) -> None:
    """They have the same ports again, but for one that somebody else has taken."""
    async with (
        bastion(tmp_path / "bastion") as there,
        greeting(b"one") as one,
        greeting(b"two") as two,
        opened(there) as (tunnel, events),
    ):
        moved: list[dict[str, str]] = []
        tunnel.on_moved = lambda: moved.append(dict(tunnel.forwards))
        assert await tunnel.forward([("127.0.0.1", one), ("127.0.0.1", two)]) == []
        assert await greeted(tunnel, one) == b"one"
        before = dict(tunnel.forwards)
        taken = tunnel.port_of(("127.0.0.1", two))
        there.cut()
        await until(lambda: not tunnel.is_open, what="a break")
        with socket.create_server(("127.0.0.1", taken or 0)):
            await until(lambda: tunnel.is_open, what="an open tunnel")
            assert await greeted(tunnel, one) == b"one"
            assert await greeted(tunnel, two) == b"two"
        kept = f"127.0.0.1:{one}"
        assert tunnel.forwards[kept] == before[kept]
        assert tunnel.port_of(("127.0.0.1", two)) != taken
        assert moved == [tunnel.forwards]
        await tunnel.drop([("127.0.0.1", two)])
        assert list(tunnel.forwards) == [kept]
        assert await greeted(tunnel, one) == b"one"
    assert [type(event) for event in events] == [TunnelBroken, TunnelOpened]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(before[kept].rpartition(":")[2])))


async def test_the_other_end_forbids_forwards(tmp_path: Path) -> None:
    """The node is not to blame: it is told once, and who forbids it."""
    async with (
        bastion(tmp_path / "bastion", "AllowTcpForwarding no") as there,
        greeting(b"one") as one,
        opened(there) as (tunnel, events),
    ):
        await tunnel.forward([("127.0.0.1", one)])
        for _ in range(3):
            assert await greeted(tunnel, one) == b""
        await until(lambda: bool(events), what="a refusal")
        assert tunnel.problem is not None
        assert "prohibited" in tunnel.problem
    assert [type(event) for event in events] == [ForwardRefused]


async def test_a_name_that_moves(tmp_path: Path) -> None:
    """Without cluster mode it leads where it points here, also after a break.

    The other end has never heard of it, and is not asked.
    """
    points = {"group.loadprobe.test": ["127.0.0.1"]}
    async with (
        bastion(tmp_path / "bastion") as there,
        greeting(b"one") as port,
        greeting(b"two", "127.0.0.2", port),
        NameServer(points.get, ttl_s=0) as names,
        opened(there) as (tunnel, events),
    ):
        (name,) = points
        target = Target(name, port, cluster=False, name_server=names.address)
        endpoints = EndpointForwards(tunnel, target, [False])

        async def heard() -> bytes:
            local = tunnel.forwards[f"{name}:{port}"]
            return await greeted_at(int(local.rpartition(":")[2]))

        await endpoints.ask_all()
        assert await heard() == b"one"
        assert not await endpoints.follow()
        points[name] = ["127.0.0.2"]
        assert await endpoints.follow()
        assert await heard() == b"two"
        there.cut()
        await until(lambda: not tunnel.is_open, what="a break")
        await until(lambda: tunnel.is_open, what="an open tunnel")
        assert await heard() == b"two"
        del points[name]  # it cannot be resolved: it leads where it led
        await endpoints.follow()
        assert await heard() == b"two"
    assert [type(event) for event in events] == [TunnelBroken, TunnelOpened]


async def test_the_other_end_runs_no_programs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Forwards are all that is needed: that there is no echo is noted, no more."""
    caplog.set_level("INFO")
    async with (
        bastion(tmp_path / "bastion", "ForceCommand echo hello") as there,
        greeting(b"one") as one,
        opened(there) as (tunnel, events),
    ):
        await tunnel.forward([("127.0.0.1", one)])
        await until(lambda: "tunnel_without_echo" in caplog.messages, what="a note")
        assert await greeted(tunnel, one) == b"one"
        assert not tunnel.was_blocked(mono_now_ns())
    assert events == []


async def test_all_members_are_asked_for_by_both_transports() -> None:
    """Each node is told once for each of its ports, with what it is."""
    async with LocalCluster(shards=1, replicas_per_shard=1) as cluster:
        primary, replica = cluster.nodes
        found = await ask_members(target_of(cluster), transports=[False, True])
        mapped = {f"127.0.0.1:{p}": f"127.0.0.1:{p}" for p in primary.served_ports}
        # The endpoint is away: a node that the map knows tells as much.
        away = Target("127.0.0.1", port=1, address_map=mapped)
        again = await ask_members(away, transports=[False])
        plain, tls = primary.served_ports
    assert {(node.address, what) for node, what in found} == {
        *((f"127.0.0.1:{port}", "0001 primary") for port in (plain, tls)),
        *((f"127.0.0.1:{port}", "0001 replica") for port in replica.served_ports),
    }
    assert {(node.address, what) for node, what in again} == {
        (f"127.0.0.1:{plain}", "0001 primary"),
        (f"127.0.0.1:{replica.ports.plain}", "0001 replica"),
    }
