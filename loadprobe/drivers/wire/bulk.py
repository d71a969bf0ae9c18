"""A connection for many commands at a time, whose replies are awaited together.

It costs one future per batch, not one per command. Foreign data comes through it, of
any length: whoever asks bounds what one reply can hold, and what is longer than the
longest element that a server takes ends the connection.
"""

import asyncio
from collections import deque
from typing import cast

from hiredis import ProtocolError, Reader, ReplyError

from loadprobe.drivers import resp

_MOST_REPLY_BYTES = 1 << 30
"""Of one reply: an element has 512 MiB at most (``proto-max-bulk-len``, by default)."""


class _Batch:
    """Replies that are still to come, and those that are there."""

    __slots__ = ("future", "left", "replies")

    def __init__(self, count: int, future: "asyncio.Future[list[object]]") -> None:
        self.left = count
        self.replies: list[object] = []
        self.future = future


class BulkConnection(asyncio.Protocol):
    """A connection that batches of commands are sent on, one after the other."""

    def __init__(self) -> None:
        self._reader = Reader(replyError=ReplyError)
        self._kept_bytes = 0
        self._transport: asyncio.Transport | None = None
        self._batches: deque[_Batch] = deque()

    @property
    def is_open(self) -> bool:
        """Tell whether something can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio callback)."""
        self._transport = cast("asyncio.Transport", transport)  # as in Greeting

    def data_received(self, data: bytes) -> None:
        """Give the replies to those who wait for them (asyncio callback)."""
        self._kept_bytes += len(data)
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._kept_bytes = len(data)  # at most
                if not self._batches:  # said unasked
                    self.abort()
                    return
                batch = self._batches[0]
                batch.replies.append(reply)
                batch.left -= 1
                if not batch.left:
                    self._batches.popleft()
                    if not batch.future.done():
                        batch.future.set_result(batch.replies)
        # They speak something else, or announce more elements than there is room for.
        except (ProtocolError, TypeError, MemoryError):
            self.abort()
        if not self._reader.has_data():
            self._kept_bytes = 0
        elif self._kept_bytes > _MOST_REPLY_BYTES:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let nobody wait for what will not come (asyncio callback)."""
        while self._batches:
            future = self._batches.popleft().future
            if not future.done():
                future.set_exception(exc or ConnectionResetError("closed by peer"))
                # If nobody waits any more, that is no defect.
                future.exception()

    def batch(self, commands: bytes, count: int) -> "asyncio.Future[list[object]]":
        """Send commands whose replies are awaited; error replies are among them.

        Args:
            commands: encoded, one after the other.
            count: how many they are.

        Raises:
            OSError: (from the future) the connection ended before.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[object]] = loop.create_future()
        if not self.is_open:
            future.set_exception(ConnectionResetError("closed by peer"))
            return future
        assert self._transport is not None
        self._batches.append(_Batch(count, future))
        self._transport.write(commands)
        return future

    async def request(self, command: bytes) -> object:
        """Return the reply to one command."""
        (reply,) = await self.batch(command, 1)
        return reply

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()


class BulkCommand:
    """A command about one key, encoded for many keys at once.

    Args:
        before: its words before the key.
        after: its words after the key.
    """

    def __init__(self, before: tuple[bytes, ...], after: tuple[bytes, ...]) -> None:
        words = len(before) + 1 + len(after)
        self._head = b"*%d\r\n%b" % (words, b"".join(map(resp.encode_bulk, before)))
        self._tail = b"".join(map(resp.encode_bulk, after))

    def of(self, keys: list[bytes]) -> bytes:
        """Return the command for each of some keys, which are encoded as bulks."""
        between = self._tail + self._head
        return b"".join((self._head, between.join(keys), self._tail))
