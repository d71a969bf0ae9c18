"""Nodes that are visited answer what they like: it is told, and ends no check."""

import asyncio
from contextlib import suppress

import pytest

from loadprobe.config.keys import Target
from loadprobe.drivers import resp
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.run.examining.visits import Visit, visit_all

_SLOTS = b"*1\r\n*3\r\n:%d\r\n:%d\r\n*3\r\n$1\r\nh\r\n:%d\r\n$1\r\na\r\n"
_OK = resp.encode_bulk(b"cluster_state:ok\r\n")


async def visited(slots: bytes, info: bytes) -> Visit:
    """Visit a node that gives such answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, RuntimeError):
            while asked := await reader.read(1000):
                if b"SLOTS" in asked:
                    writer.write(slots)
                elif b"INFO" in asked:
                    writer.write(info)
                else:
                    writer.write(b"+PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = "127.0.0.1", server.sockets[0].getsockname()[1]
    dialer = Dialer(Target("127.0.0.1"), None, None, 2_000)
    try:
        (found,) = await visit_all(dialer, [address], is_cluster=True)
    finally:
        server.close()
    return found


async def test_what_a_node_tells() -> None:
    """Its state and its view."""
    found = await visited(_SLOTS % (0, 16383, 6379), _OK)
    assert (found.failure, found.state) == ("", "ok")
    assert found.slots is not None


@pytest.mark.parametrize(
    ("slots", "info"),
    [
        (b"+OK\r\n", _OK),
        (_SLOTS % (0, 10**9, 6379), _OK),
        (_SLOTS % (0, 5, 10**9), _OK),
        (b"*1\r\n*1\r\n:1\r\n", _OK),
    ],
)
async def test_what_is_no_view(slots: bytes, info: bytes) -> None:
    """The node is told that tells it."""
    found = await visited(slots, info)
    assert "tells no view of the cluster" in found.failure


async def test_a_state_in_no_letters() -> None:
    """It is shown as far as it can be, and not at any length."""
    info = resp.encode_bulk(b"cluster_state:\xff" + b"x" * 100_000)
    found = await visited(_SLOTS % (0, 16383, 6379), info)
    assert found.state is not None
    assert len(found.state) <= 200
