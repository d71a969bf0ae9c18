"""A name server for the endpoints of local groups, on loopback (UDP).

It answers for the zone ``loadprobe.test`` (RFC 6761 keeps ``.test`` for such), and
knows no other name. Whoever uses the endpoints has to ask it: see docs/local.md.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, cast

from loadprobe.core.dns_message import (
    ADDRESS,
    NO_ERROR,
    NO_SUCH_NAME,
    encode_answer,
    parse_query,
)
from loadprobe.local.cluster.ports import free_ports

_HOST = "127.0.0.1"


class NameServer:
    """Serve names on entering, end it on leaving.

    Args:
        addresses: returns the addresses of a name now, None if there is no such name.
        ttl_s: how long an answer may be kept, in seconds.
    """

    def __init__(
        self, addresses: Callable[[str], Sequence[str] | None], *, ttl_s: int
    ) -> None:
        self._addresses = addresses
        self._ttl_s = ttl_s
        self._transport: asyncio.DatagramTransport | None = None
        self.address = ""

    async def __aenter__(self) -> Self:
        (port,) = free_ports(1)
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Answering(self._addresses, self._ttl_s), local_addr=(_HOST, port)
        )
        self.address = f"{_HOST}:{port}"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._transport is not None
        self._transport.close()


class _Answering(asyncio.DatagramProtocol):
    """Answers every question that can be read."""

    def __init__(
        self, addresses: Callable[[str], Sequence[str] | None], ttl_s: int
    ) -> None:
        self._addresses = addresses
        self._ttl_s = ttl_s
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are sent by."""
        # No loop's own kind of it inherits from DatagramTransport.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """Answer a question."""
        try:
            query = parse_query(data)
        except ValueError:
            return
        found = self._addresses(query.name)
        code = NO_SUCH_NAME if found is None else NO_ERROR
        shown = found if found is not None and query.kind == ADDRESS else ()
        assert self._transport is not None
        self._transport.sendto(
            encode_answer(query, shown, ttl_s=self._ttl_s, code=code), addr
        )
