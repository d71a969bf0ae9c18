"""Dialling: who owns a descriptor, and when."""

import asyncio
import errno
import gc
import os
import socket
import ssl
import struct
from collections.abc import Callable

import pytest
import uvloop

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target, Tunnel
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.drivers import resp
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.greeting import Greeting
from loadprobe.drivers.wire.seed import Bystander
from loadprobe.local.cluster.ports import free_ports

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def make() -> Connection:
    """Make the protocol object of an attempt."""
    nobody = Bystander()
    return Connection(nobody, nobody, None)


LOOPS = pytest.mark.parametrize(
    "new_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uv", "plain"]
)


@LOOPS
@pytest.mark.parametrize("turns", [None, 0, 1, 2, 3])
def test_a_number_is_given_back_once(
    turns: int | None, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """A failed attempt never closes what has its descriptor's number by then.

    The peer is gone before the first bytes of the handshake, as after a kill (None), or
    the attempt is cancelled after so many turns of the loop.
    """
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(fail(turns))


async def fail(turns: int | None) -> None:
    """Make an attempt that fails, and use its descriptor's number again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target(host="127.0.0.1", port=server.getsockname()[1])
        context = ssl.create_default_context()
        context.check_hostname = False
        dialer = Dialer(target, context, None, timeout_ms=1_000)
        begun = socket.create_connection(server.getsockname())
        begun.setblocking(False)
        accepted, _ = server.accept()
        if turns is None:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            accepted.close()
        attempt = asyncio.create_task(
            dialer.dial(target.host, target.port, make, begun=begun)
        )
        if turns is None:
            assert isinstance(await attempt, DialFailure)
        else:
            for _ in range(turns + 1):
                await asyncio.sleep(0)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
        for _ in range(5):  # a transport is closed in a later turn
            await asyncio.sleep(0)
        accepted.close()
    del attempt
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    begun.close()
    del begun
    gc.collect()
    for other in others:
        os.close(other)  # raises if it was closed already


@LOOPS
@pytest.mark.parametrize("kind", [Connection, Greeting])
def test_any_loop_serves(
    kind: type[Connection | Greeting], new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """What is dialled without a poller works on uvloop and on plain asyncio."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask(kind))


async def ask(kind: type[Connection | Greeting]) -> None:
    """Ask a server once, which then finds the connection closed."""
    closed = asyncio.Event()

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readexactly(len(resp.PING))
        writer.write(b"+PONG\r\n")
        assert await reader.read() == b""
        writer.close()
        closed.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        target = Target(host="127.0.0.1", port=port)
        dialer = Dialer(target, None, None, timeout_ms=1_000)
        made: Connection | Greeting | DialFailure
        if kind is Connection:
            made = await dialer.dial(target.host, port, make)
        else:
            made = await dialer.dial(target.host, port, Greeting)
        assert isinstance(made, kind)
        assert await made.request(resp.PING) == b"PONG"
        made.close()
        await closed.wait()


async def test_a_refusal_is_as_old_as_the_knock() -> None:
    """An attempt that is seen to be refused later than it was begun is not dated later.

    On a busy machine the kernel hands over a refusal after the call that asked for it;
    by the time the loop looks, the port may have been open again for long.
    """
    (port,) = free_ports(1)  # nobody listens there
    target = Target(host="127.0.0.1", port=port)
    dialer = Dialer(target, None, None, timeout_ms=1_000)
    begun = socket.socket()
    begun.setblocking(False)
    knocked_ns = mono_now_ns()
    await asyncio.sleep(0.01)
    failure = await dialer.dial(
        target.host, port, make, begun=begun, since_ns=knocked_ns
    )
    assert isinstance(failure, DialFailure)
    assert failure.error is ErrorClass.CONNECT_REFUSED
    assert failure.start_ns == knocked_ns
    assert failure.end_ns > knocked_ns


async def test_a_connection_is_as_old_as_its_attempt() -> None:
    """Being open is no sign of life: it may have been cut before the loop looked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target(host="127.0.0.1", port=server.getsockname()[1])
        dialer = Dialer(target, None, None, timeout_ms=1_000)
        begun_ns = mono_now_ns()
        begun = socket.create_connection(server.getsockname())
        begun.setblocking(False)
        connection = await dialer.dial(
            target.host, target.port, make, begun=begun, since_ns=begun_ns
        )
        assert isinstance(connection, Connection)
        assert connection.alive_ns == begun_ns
        assert not connection.has_spoken
        connection.abort()
        for _ in range(3):  # a transport is closed in a later turn
            await asyncio.sleep(0)


async def test_addresses_in_brackets() -> None:
    """The address map leads to IPv6 addresses, which it writes in brackets."""
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as exc:
        pytest.skip(f"this machine has no IPv6 loopback: {exc}")
    with listening:
        there = f"[::1]:{listening.getsockname()[1]}"
        target = Target("db", address_map={"10.0.0.1:6379": there})
        dialer = Dialer(target, None, None, 5_000)
        way = dialer._way("10.0.0.1", 6379)
        with await dialer._connect(*way, None) as connected:
            assert connected.getpeername()[:2] == listening.getsockname()[:2]


@pytest.mark.parametrize(
    ("announced", "key"),
    [("10.0.0.1", "10.0.0.1:6379"), ("2001:db8::1", "[2001:db8::1]:6379")],
)
def test_the_way_to_a_node(announced: str, key: str) -> None:
    """An entry leads there, an IPv6 address in brackets; else the address does.

    With a tunnel nothing else leads there, not even what is reachable.
    """
    there = {key: "127.0.0.1:7001"}
    assert Target("db", address_map=there).way_to(announced, 6379) == (
        "127.0.0.1",
        7001,
    )
    assert Target("db").way_to(announced, 6379) == (announced, 6379)
    tunnel = Tunnel("bastion")
    assert Target("db", tunnel=tunnel).way_to(announced, 6379) is None
    way = Target("db", tunnel=tunnel, address_map=there).way_to(announced, 6379)
    assert way == ("127.0.0.1", 7001)


async def test_without_a_forward_nothing_is_tried() -> None:
    """A node that the tunnel does not lead to yet is unreachable, at once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        _, port = listening.getsockname()
        dialer = Dialer(Target("db", tunnel=Tunnel("bastion")), None, None, 5_000)
        found = [dialer.knock("127.0.0.1", port)]
        made = await dialer.dial("127.0.0.1", port, Greeting)
        assert not isinstance(made, Greeting)
        found.append(made)
    for failure in found:
        assert isinstance(failure, DialFailure)
        assert failure.error is ErrorClass.UNREACHABLE
        assert "no forward" in failure.detail


@pytest.mark.parametrize("has_protocol", [True, False])
async def test_an_address_that_means_nothing_here_is_unreachable(
    has_protocol: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster announces what it likes: a link without its interface, or IPv6."""
    dialer = Dialer(Target("cfg"), None, None, timeout_ms=1_000)
    if not has_protocol:

        class Without(socket.socket):
            def __init__(self, family: int = socket.AF_INET, *more: int) -> None:
                if family == socket.AF_INET6:
                    raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
                super().__init__(family, *more)

        monkeypatch.setattr("socket.socket", Without)
    for failure in (
        dialer.knock("fe80::1", 6379),
        await dialer.dial("fe80::1", 6379, make),
    ):
        assert isinstance(failure, DialFailure)
        assert failure.error is ErrorClass.UNREACHABLE
