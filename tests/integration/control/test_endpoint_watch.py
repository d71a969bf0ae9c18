"""An endpoint that ends is seen to end: by the open connection, and by new ones."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.control.provider.replies import Endpoint
from loadprobe.control.watch.endpoint import EndpointWatch, WatchedEndpoint, watching
from loadprobe.core.events import EndpointSeen, Event
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.transport import set_tls_mode
from tests.support.running import until

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Seen:
    """A watch, and the states it told."""

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None = None,
        *,
        mapped: dict[str, str] | None = None,
        was_blocked: Callable[[int], bool] | None = None,
    ) -> None:
        self.events: list[EndpointSeen] = []
        target = Target(host, port, address_map=mapped or {})
        watched = WatchedEndpoint(Endpoint(host, port), target, context, was_blocked)
        self.watch = EndpointWatch(watched, self._take, timeout_s=0.5)

    def _take(self, event: Event) -> None:
        assert isinstance(event, EndpointSeen)
        self.events.append(event)

    @property
    def states(self) -> list[str]:
        """Return the states in the order they were told."""
        return [event.state for event in self.events]

    async def until(self, *states: str) -> EndpointSeen:
        """Wait until these were told, in any order; return the last event."""
        await until(
            lambda: sorted(self.states) == sorted(states),
            what=f"{states} (told: {self.events})",
        )
        return self.events[-1]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """Serve on a port of this process."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_tls_migration_is_seen_on_both_endpoints() -> None:
    """Each transport is cut and refused when its mode ends it, and not before."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            LocalCluster(shards=1, replicas_per_shard=0, password="secret-1")
        )
        assert cluster.tls_port is not None
        context = ssl.create_default_context(cafile=str(cluster.ca_file))
        plain = Seen(cluster.host, cluster.port)
        tls = Seen(cluster.host, cluster.tls_port, context)
        for seen in (plain, tls):
            await stack.enter_async_context(watching(seen.watch))
        await plain.until("accepting")
        await tls.until("accepting")
        await asyncio.sleep(0.2)  # both observers have looked

        before_ns = mono_now_ns()
        await set_tls_mode(cluster, "required")
        assert await plain.watch.wait_refused(10.0)
        await plain.until("accepting", "refused", "cut")
        for at_ns in (plain.watch.refused_ns, plain.watch.cut_ns):
            assert at_ns is not None
            assert before_ns < at_ns < mono_now_ns()
        for event in plain.events[1:]:
            assert event.gap_ms is not None
            assert 0 < event.gap_ms <= (mono_now_ns() - before_ns) / NS_PER_MS + 1000
        assert plain.events[0].tls is False

        await set_tls_mode(cluster, "preferred")
        await plain.until("accepting", "refused", "cut", "accepting")
        assert plain.watch.refused_ns is None
        assert tls.states == ["accepting"]
        assert tls.events[0].tls is True

        await set_tls_mode(cluster, "none")
        assert await tls.watch.wait_refused(10.0)
        await tls.until("accepting", "refused", "cut")
        assert plain.states.count("refused") == 1


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, and close when asked."""
    await reader.read(100)
    writer.close()


async def stay_silent(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Accept, and answer nothing."""
    await reader.read()
    writer.close()


async def speak_otherwise(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer as a TLS server answers plaintext, or a web server answers anything."""
    await reader.readline()
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (hang_up, "the connection was closed"),
        (stay_silent, "no answer within 0.5 s"),
        (speak_otherwise, "the reply is of another protocol"),
    ],
)
async def test_a_port_that_accepts_serves_nobody_yet(serve: Serve, reason: str) -> None:
    """Only an answer counts; what came instead is told."""
    async with serving(serve) as port:
        seen = Seen("127.0.0.1", port)
        async with watching(seen.watch):
            event = await seen.until("refused")
            assert event.reason == reason
            assert event.gap_ms is None
            assert seen.watch.refused_ns == event.mono_ns
    assert seen.states == ["refused"]


async def test_an_open_connection_that_is_reset_is_cut() -> None:
    """A reset between two questions ends neither the watch nor its other observer."""
    accepted: list[asyncio.StreamWriter] = []

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        accepted.append(writer)
        with contextlib.suppress(ConnectionError):
            while await reader.read(100):
                writer.write(b"+PONG\r\n")
        writer.close()

    async with serving(answer) as port:
        seen = Seen("127.0.0.1", port)
        async with watching(seen.watch):
            await until(lambda: len(accepted) > 3, what="both observers")
            linger = struct.pack("ii", 1, 0)
            for writer in accepted:
                if not writer.is_closing():
                    connection = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
            await until(lambda: seen.watch.cut_ns is not None, what="the cut")
            count = len(accepted)
            await until(lambda: len(accepted) > count + 2, what="further looks")


async def test_a_refusal_of_the_login_is_an_answer() -> None:
    """NOAUTH and its like prove that the endpoint serves."""

    async def refuse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while await reader.readline():
            for _ in range(2):
                await reader.readline()
            writer.write(b"-NOAUTH Authentication required.\r\n")
        writer.close()

    async with serving(refuse) as port:
        seen = Seen("127.0.0.1", port)
        async with watching(seen.watch):
            await seen.until("accepting")
            assert not await seen.watch.wait_refused(0.3)
            assert seen.watch.name == f"127.0.0.1:{port}"
    assert seen.states == ["accepting"]


async def test_a_name_that_is_gone() -> None:
    """The endpoint of a mode that ended has no address any more."""
    seen = Seen("loadprobe-test.invalid", 6379)
    async with watching(seen.watch):
        assert await seen.watch.wait_refused(20.0)
    assert seen.watch.cut_ns is None


async def answer_all(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer every question."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(100):
            writer.write(b"+PONG\r\n")
    writer.close()


async def test_an_endpoint_is_reached_by_the_address_map() -> None:
    """Nobody outside resolves its name: it is asked where the map leads."""
    async with serving(answer_all) as port:
        mapped = {"loadprobe-test.invalid:6379": f"127.0.0.1:{port}"}
        seen = Seen("loadprobe-test.invalid", 6379, mapped=mapped)
        async with watching(seen.watch):
            event = await seen.until("accepting")
    assert (event.host, event.port) == ("loadprobe-test.invalid", 6379)


async def test_what_a_blocked_way_does_is_not_the_endpoints() -> None:
    """Neither a cut nor a refusal is told while the way is blocked; both are after."""
    blocked = [False]
    async with serving(answer_all) as port:
        seen = Seen("127.0.0.1", port, was_blocked=lambda _: blocked[0])
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(watching(seen.watch))
            await seen.until("accepting")
            mapped = seen.watch._watched.target.address_map
            blocked[0] = True
            mapped[f"127.0.0.1:{port}"] = "127.0.0.1:1"
            assert not await seen.watch.wait_refused(1.0)
            assert seen.states == ["accepting"]
            blocked[0] = False
            assert await seen.watch.wait_refused(10.0)
