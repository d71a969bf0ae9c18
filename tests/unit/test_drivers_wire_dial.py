"""Dialling: who owns a descriptor, and when."""

import asyncio
import gc
import os
import socket
import ssl
import struct

import pytest

from loadprobe.config import Target
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class NoNode:
    """What a connection needs to know of its node, which here is nothing."""

    def lost(self, connection: Connection, exc: Exception | None) -> None:
        """Take no note of it."""


def make() -> Connection:
    """Make the protocol object of an attempt."""
    return Connection(NoNode(), lambda *_: None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("turns", [None, 0, 1, 2, 3])
async def test_a_number_is_given_back_once(turns: int | None) -> None:
    """A failed attempt never closes what has its descriptor's number by then.

    The peer is gone before the first bytes of the handshake, as after a kill (None), or
    the attempt is cancelled after so many turns of the loop.
    """
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
