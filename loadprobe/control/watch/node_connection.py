"""A connection of redis-py to one node: our TLS and resolver, and replies with an end.

redis-py reads whatever a server sends, however much it is, and its parser makes room
for as many elements as a server announces.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, cast

from redis.asyncio.connection import Connection
from redis.exceptions import InvalidResponse

from loadprobe.drivers.resolver import Resolver
from loadprobe.drivers.resp import (
    LINE_END,
    MOST_MAP_BYTES,
    announces_too_much,
    edge_of,
)


class _BoundedReader:
    """What is read of a connection, up to what a right reply can have.

    Args:
        stream: what is read.
    """

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._edge = LINE_END
        self._left_bytes = MOST_MAP_BYTES

    def __getattr__(self, name: str) -> Any:
        """Return what else redis-py asks of a stream."""
        return getattr(self._stream, name)

    def expect(self) -> None:
        """Take note that something is asked: another reply begins."""
        self._edge, self._left_bytes = LINE_END, MOST_MAP_BYTES

    async def read(self, size: int) -> bytes:
        """Return what there is.

        Raises:
            InvalidResponse: it is more than a right reply, or announces so.
        """
        data = await self._stream.read(size)
        self._left_bytes -= len(data)
        if self._left_bytes < 0 or announces_too_much(data, self._edge):
            raise InvalidResponse("the reply is longer than any right one")
        self._edge = edge_of(data, self._edge)
        return data


class NodeConnection(Connection):
    """A connection of redis-py with our own TLS context, server name and resolver.

    redis-py's SSLConnection builds a context per connection (30 ms) and cannot verify
    a name other than the host it connects to.
    """

    def __init__(
        self,
        *,
        tls_context: ssl.SSLContext | None,
        tls_name: str,
        resolver: Resolver,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._tls_context = tls_context
        self._tls_name = tls_name
        self._resolver = resolver
        self._found = ""
        self._bounded: _BoundedReader | None = None

    async def _connect(self) -> None:
        self._found = (await self._resolver.resolve(self.host))[0]
        await super()._connect()  # type: ignore[no-untyped-call]
        assert self._reader is not None, "it is connected"
        self._bounded = _BoundedReader(self._reader)
        self._reader = cast("asyncio.StreamReader", self._bounded)

    async def send_packed_command(self, *args: Any, **more: Any) -> None:
        """Send a command, whose reply is bounded."""
        if self._bounded is not None:
            self._bounded.expect()
        await super().send_packed_command(*args, **more)

    async def read_response(self, *args: Any, **more: Any) -> Any:
        """Return a reply.

        Raises:
            InvalidResponse: also of a map whose keys cannot be keys.
        """
        try:
            return await super().read_response(*args, **more)
        except TypeError as exc:
            raise InvalidResponse(str(exc)) from exc

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = dict(super()._connection_arguments())
        arguments["host"] = self._found
        if self._tls_context is not None:
            arguments["ssl"] = self._tls_context
            arguments["server_hostname"] = self._tls_name
        return arguments
