"""A raw connection to a scripted cluster, and keys of its shards."""

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter

import hiredis

from loadprobe.core.topology.slots import tag_for_slot
from tests.scripted import resp

PATIENCE_S = 10.0
_MOMENT_S = 0.05
# Keys of the three shards' first slots.
KEYS = [b"{%b}k" % tag_for_slot(slot) for slot in (0, 5462, 10923)]


class Client:
    """One raw connection; replies come back as hiredis parses them."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader(encoding="utf-8")

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None) -> "Client":
        """Connect to a port of the loopback address."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    def send(self, *words: str | bytes) -> None:
        """Send one command."""
        self._writer.write(resp.encode(words))

    async def reply(self) -> object:
        """Return the next reply.

        Raises:
            ConnectionError: the connection was reset or ended.
            TimeoutError: there is none.
        """
        async with asyncio.timeout(PATIENCE_S):
            while (reply := self._parser.gets()) is False:
                data = await self._reader.read(1 << 16)
                if not data:
                    raise ConnectionError("ended")
                self._parser.feed(data)
        return str(reply) if isinstance(reply, hiredis.ReplyError) else reply

    async def ask(self, *words: str | bytes) -> object:
        """Send a command and return its reply."""
        self.send(*words)
        return await self.reply()

    async def is_silent(self) -> bool:
        """Tell whether nothing comes for a moment."""
        try:
            async with asyncio.timeout(_MOMENT_S):
                return not await self._reader.read(1)
        except TimeoutError:
            return True

    async def is_reset(self) -> bool:
        """Tell whether the peer sent RST, not FIN."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._reader.read()
        except ConnectionResetError:
            return True
        return False

    def close(self) -> None:
        """Close."""
        self._writer.close()
