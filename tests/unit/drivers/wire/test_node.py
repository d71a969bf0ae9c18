"""How a node gets its connections back."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.core.topology.topology import single
from loadprobe.drivers.settings import DriverSettings
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.driver import WireDriver
from loadprobe.drivers.wire.keeper import scout_interval_ns
from loadprobe.drivers.wire.members import Members
from loadprobe.drivers.wire.node import WireNode
from loadprobe.drivers.wire.node_state import NodeState
from loadprobe.drivers.wire.redirect import parse_redirect
from tests.support.arrivals import Sink, make_arrival
from tests.support.nodes import NodeBench


class Server:
    """Answers whatever it is asked; told to, it hangs up at once, or says why."""

    def __init__(self) -> None:
        self.is_closing = False
        self.is_full = False
        self.is_mute = False
        self.accepted = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.serving: set[asyncio.Task[None] | None] = set()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one client."""
        self.accepted += 1
        self.serving.add(asyncio.current_task())
        if self.is_full:
            await asyncio.sleep(0.002)  # it is some way off
            writer.write(b"-ERR max number of clients reached\r\n")
        with suppress(ConnectionError):
            if not self.is_closing and not self.is_full:
                self.writers.append(writer)
                while await reader.read(1000):
                    if not self.is_mute:
                        writer.write(b"+PONG\r\n")
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.serving.discard(asyncio.current_task())


@asynccontextmanager
async def driving(
    server: Server, workers: int, *, is_cluster: bool = False
) -> AsyncIterator[WireDriver]:
    """Connect a driver to a server."""
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        target = Target(host="127.0.0.1", port=port, cluster=is_cluster)
        driver = WireDriver(
            DriverSettings(
                target=target,
                workers=workers,
                max_in_flight=16,
                known=single("127.0.0.1", port) if is_cluster else None,
            ),
            Dialer(target, None, None, 1000),
            Sink(),
            on_topology=lambda *_: None,
        )
        ready = asyncio.Event()
        running = asyncio.create_task(driver.run(ready.set))
        try:
            async with asyncio.timeout(10):
                await ready.wait()
            yield driver
        finally:
            running.cancel()
            await asyncio.wait({running})
            listening.close()
            await reached(lambda: not server.serving, "the end of all connections")


async def reached(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    try:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)
    except TimeoutError:
        pytest.fail(f"{what} did not happen within 10 s")


def only_node(driver: WireDriver) -> WireNode:
    """Return the node of a driver that has one."""
    (node,) = driver._members.nodes.values()
    return node


async def test_a_peer_that_hangs_up_at_once_is_not_flooded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attempts are a millisecond apart, also where each of them gets through."""
    server = Server()
    async with driving(server, workers=2) as driver:
        server.is_closing = True
        starts: list[int] = []
        keeper = driver._members._keepers[only_node(driver)]
        knock = Dialer.knock

        def counted(
            self: Dialer, host: str, port: int
        ) -> socket.socket | DialFailure | None:
            starts.append(keeper._tried_ns)
            return knock(self, host, port)

        monkeypatch.setattr(Dialer, "knock", counted)
        for writer in server.writers:
            writer.close()
        await reached(lambda: len(starts) > 50, "fifty attempts")
    assert all(later - earlier >= 900_000 for earlier, later in pairwise(starts))


async def test_an_attempt_that_hangs_does_not_hold_up_the_scout() -> None:
    """When the last connection is lost, a hanging refill is given up at once."""
    server = Server()
    async with driving(server, workers=2) as driver:
        node = only_node(driver)
        dial = driver.dialer.dial
        hung = asyncio.Event()

        async def hang(
            host: str, port: int, make: Callable[[], Connection]
        ) -> Connection | DialFailure:
            if hung.is_set():
                return await dial(host, port, make)
            hung.set()
            await asyncio.Event().wait()
            raise AssertionError("never woken")

        driver.dialer = HangingDialer(driver.dialer, hang)
        node.live[0].abort()
        await hung.wait()
        node.live[0].abort()
        # The hanging attempt would hang for ever: only a new one can succeed.
        await reached(lambda: len(node.live) == 2, "reconnecting")


class HangingDialer(Dialer):
    """A dialer whose ``dial`` is another function."""

    def __init__(
        self,
        like: Dialer,
        dial: Callable[[str, int, Callable[[], Connection]], object],
    ) -> None:
        super().__init__(like.target, like.context, like.password, like.timeout_ms)
        self._other = dial

    async def dial(
        self,
        host: str,
        port: int,
        make: Callable[[], Any],
        *,
        begun: socket.socket | None = None,
        since_ns: int | None = None,
    ) -> Any:
        """Call the other function."""
        if begun is not None:
            begun.close()
        return await self._other(host, port, make)  # type: ignore[misc]


async def test_a_restart_in_mid_run_waits_for_nobody() -> None:
    """With a known topology a driver is ready although nothing can be reached."""
    target = Target(host="127.0.0.1", port=1)
    driver = WireDriver(
        DriverSettings(
            target=target, workers=1, max_in_flight=16, known=single("127.0.0.1", 1)
        ),
        Dialer(target, None, None, 1000),
        Sink(),
        on_topology=lambda *_: None,
    )
    ready = asyncio.Event()
    running = asyncio.create_task(driver.run(ready.set))
    async with asyncio.timeout(5):
        await ready.wait()
    running.cancel()
    await asyncio.wait({running})


async def test_who_only_accepts_is_not_back() -> None:
    """One connection is enough until it is answered; then the others follow."""
    server = Server()
    async with driving(server, workers=3, is_cluster=True) as driver:
        node = only_node(driver)
        server.is_closing = True
        for writer in server.writers:
            writer.close()
        await reached(lambda: server.accepted > 6, "coming back in vain")
        server.is_closing, server.is_mute = False, True
        known = server.accepted
        await reached(lambda: server.accepted > known, "a connection that stays")
        await asyncio.sleep(0.1)
        assert len(node.live) == 1
        server.is_mute = False
        node.live[0].abort()
        await reached(lambda: len(node.live) == 3, "reconnecting")


async def test_who_turns_everybody_away_is_not_back() -> None:
    """A server without room for us is tried less often, the longer that lasts."""
    server = Server()
    async with driving(server, workers=2, is_cluster=True) as driver:
        node = only_node(driver)
        server.is_full = True
        for writer in server.writers:
            writer.close()
        await reached(lambda: server.accepted > 10, "the first attempts")
        down_ns = node.down_since_ns
        await reached(lambda: server.accepted > 60, "fifty attempts")
        assert node.down_since_ns == down_ns


async def test_a_server_that_is_full_is_not_flooded_for_one_more_connection() -> None:
    """A connection that is missing is tried ten times a second; others carry on."""
    server = Server()
    async with driving(server, workers=3, is_cluster=True) as driver:
        node = only_node(driver)
        await reached(lambda: len(node.live) == 3, "all connections")
        server.is_full = True
        known = server.accepted
        node.live[0].abort()
        await reached(lambda: server.accepted > known, "an attempt")
        await asyncio.sleep(0.5)
        assert server.accepted - known < 10
        assert len(node.live) == 2
        server.is_full = False
        await reached(lambda: len(node.live) == 3, "the missing connection")


async def test_a_port_that_is_closed_for_good_is_tried_rarely() -> None:
    """Every millisecond for five seconds, then less often, in the end every ten."""
    bench = NodeBench()
    down_ns = bench.refuse()
    assert [
        round(
            scout_interval_ns(bench.node, down_ns + int(away_s * NS_PER_S)) / NS_PER_MS
        )
        for away_s in (0.5, 4.9, 8, 60, 3600)
    ] == [1, 1, 4, 10, 10]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MOVED 866 127.0.0.1:7302", (866, "127.0.0.1", 7302)),
        ("ASK 1 [::1]:7302", (1, "::1", 7302)),
        ("MOVED 1 ::1:7302", (1, "::1", 7302)),
        ("MOVED 1 :7302", (1, "asked", 7302)),
        ("MOVED 1 ?:7302", (1, "asked", 7302)),
        ("MOVED 1", None),
        ("MOVED", None),
        ("MOVED x h:1", None),
        ("ASK 1 h:port", None),
    ],
)
def test_redirects(text: str, expected: tuple[int, str, int] | None) -> None:
    """A redirect names slot, host and port; anything else is a mere refusal."""
    assert parse_redirect(text, "asked") == expected


async def test_a_loss_happened_since_the_loop_last_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that was idle for long was not lost long before that is noticed."""
    async with driving(Server(), workers=1) as driver:
        node = only_node(driver)
        (connection,) = node.live
        looked_ns = mono_now_ns()
        assert connection.alive_ns < looked_ns
        monkeypatch.setattr(node._replies, "looked_since", lambda _: looked_ns)
        connection.close()
        node.lost(connection, None)
        start_ns, end_ns = node.evidence()
    assert start_ns == looked_ns
    assert end_ns >= looked_ns


async def test_as_many_connections_stay_as_are_wanted() -> None:
    """A node that shall have one keeps one, whichever of its connections are open."""
    bench = NodeBench()
    bench.open(1)
    bench.open(2)
    bench.node.want(1, is_primary=False)
    bench.node.trim()
    assert len(bench.node.live) == 1
    bench.open(0)
    bench.node.trim()
    assert [c.index for c in bench.node.live] == [0]


async def test_a_retired_node_closes_all_that_are_idle() -> None:
    """It is gone when the last connection has ended, and as new if wanted again."""
    bench = NodeBench()
    busy, idle = bench.open(0), bench.open(1)
    asked = busy.request(b"PING")
    bench.node.retire()
    bench.node.trim()
    assert bench.node.live == [busy]
    assert bench.wires[idle].is_closed
    assert bench.node.state.name == "LEAVING"
    busy.data_received(b"+PONG\r\n")
    assert await asked == b"PONG"
    bench.node.trim()
    assert bench.node.state.name == "GONE"
    bench.node.want(2, is_primary=True)
    assert bench.node.state.name == "UNTRIED"


@pytest.mark.parametrize(
    ("end", "becomes"),
    [("refuse", "failed"), ("open", "forwarded"), ("retire", "rerouted")],
)
async def test_an_arrival_waits_for_the_first_attempt(end: str, becomes: str) -> None:
    """Before it nobody knows whether the node serves; after it nothing waits."""
    bench = NodeBench()
    first, second = (make_arrival(n, 0, worker=0) for n in (1, 2))
    assert bench.node.hold(first, asking=False)
    match end:
        case "refuse":
            bench.refuse()
        case "open":
            bench.open(0)
        case _:
            bench.node.retire()
    assert bench.ends == [(first, becomes)]
    assert not bench.node.hold(second, asking=False)


async def test_who_hangs_up_at_once_has_not_been_up() -> None:
    """It is away since it went down, and not since it accepted last."""
    bench = NodeBench()
    down_ns = bench.refuse()
    connection = bench.open(0)
    assert bench.node.state.name == "SILENT"
    assert bench.wires[connection].written == [b"*1\r\n$4\r\nPING\r\n"]
    connection.connection_lost(None)
    assert bench.node.down_since_ns == down_ns
    connection = bench.open(0)
    bench.speak(connection)
    connection.connection_lost(None)
    assert bench.node.state.name == "DOWN"
    assert bench.node.down_since_ns > down_ns


@pytest.mark.parametrize("read_from", ["replica", "any"])
async def test_reads_of_a_shard_without_a_replica(read_from: Any) -> None:
    """They have a node of their own to go to, which is never connected."""
    bench: Any = NodeBench()
    members = Members(
        bench, bench, replies=bench, workers=2, closed_loop=False, read_from=read_from
    )
    assert members.reads is not None
    nobody = members.reads._nobody
    assert nobody.state is NodeState.GONE
    assert nobody.by_worker == [None, None]
    assert not nobody.hold(make_arrival(1, 0, worker=0), asking=False)
    start_ns, end_ns = nobody.evidence()
    assert start_ns == end_ns > 0
