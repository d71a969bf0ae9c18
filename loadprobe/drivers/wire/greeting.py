"""A connection made for its own sake: opened as all others are, asked once, closed.

It carries no arrivals and belongs to no node, so what becomes of it disturbs nothing.
"""

import asyncio
from collections import deque
from typing import cast

from hiredis import ProtocolError, Reader, ReplyError

from loadprobe.drivers import resp
from loadprobe.drivers.settings import MOST_VALUE_BYTES


class Greeting(asyncio.Protocol):
    """A connection for a few requests."""

    def __init__(self) -> None:
        self._reader = Reader(replyError=ReplyError)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[object]] = deque()
        self._kept_bytes = 0
        self._edge = resp.LINE_END

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio callback)."""
        # uvloop's have no common base with asyncio's
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Give the replies to those who wait for them (asyncio callback)."""
        if resp.announces_too_much(data, self._edge):
            self.abort()
            return
        self._reader.feed(data)
        self._kept_bytes += len(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._kept_bytes = len(data)
                if not self._waiting:  # said unasked ("max number of clients reached")
                    self.abort()
                    return
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except (ProtocolError, TypeError):  # they speak something else
            self.abort()
            return
        is_amidst = self._reader.has_data()
        if not is_amidst:
            self._kept_bytes, self._edge = 0, resp.LINE_END
            return
        self._edge = resp.edge_of(data, self._edge)
        if self._kept_bytes > MOST_VALUE_BYTES + resp.SLACK_BYTES:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let nobody wait for what will not come (asyncio callback)."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(exc or ConnectionResetError("closed by peer"))

    def request(self, command: bytes) -> "asyncio.Future[object]":
        """Send a command whose reply is awaited; an error reply is a result, too.

        Raises:
            OSError: (from the future) the connection ended before.
        """
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        if self._transport.is_closing():
            future.set_exception(ConnectionResetError("closed by peer"))
            return future
        self._waiting.append(future)
        self._transport.write(command)
        return future

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close after what was written is sent."""
        if self._transport is not None:
            self._transport.close()
