"""A network that fails on demand, between the meter and one port of a real server.

Bytes are passed on as they are, so TLS ends at the server. Packets are dropped by the
kernel, with a filter on the socket: they are not even acknowledged, as on a broken
path.
"""

import asyncio
import ctypes
import random
import socket
import struct
from collections import deque
from enum import Enum
from typing import Self, cast

from loadprobe.clock import NS_PER_S, mono_now_ns

_HOST = "127.0.0.1"
_BACKLOG = 512
# linux/filter.h: one instruction, "return 0", lets nothing through.
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
_ATTACH, _DETACH = 26, 27  # SO_ATTACH_FILTER, SO_DETACH_FILTER
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, no time
_LEAST_GARBAGE = 0x80
"""No reply begins with such a byte, and no TLS record."""


class Mode(Enum):
    """What becomes of what passes."""

    PASS = "pass"
    REFUSE = "refuse"
    RESET = "reset"
    DROP = "drop"
    SLOW = "slow"
    GARBAGE = "garbage"


class Proxy:
    """Listens for one port of a server; use it as a context manager.

    Args:
        host: where the server is.
        port: of the server.
        at: where to listen; port 0 takes a free one.
    """

    def __init__(
        self, host: str, port: int, *, at: tuple[str, int] = (_HOST, 0)
    ) -> None:
        self.upstream = (host, port)
        self._host, self.port = at
        self.mode = Mode.PASS
        self.delay_s = 0.0
        self.lifted_ns = 0
        self.links: set[_Link] = set()
        self._draw = random.Random(1)
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None

    @property
    def address(self) -> str:
        """Return where it listens."""
        return f"{self._host}:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen."""
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut everything, and listen no more."""
        self._close()
        self._cut()

    async def begin(self, mode: Mode, *, delay_s: float = 0.0) -> None:
        """Fail in some way from now on.

        Args:
            mode: how.
            delay_s: of every reply, if they are to be slow.
        """
        self.mode, self.delay_s = mode, delay_s
        if mode is Mode.REFUSE:
            self._close()
        if mode is Mode.DROP and self._socket is not None:
            _drop(self._socket)
            for link in self.links:
                link.drop()
        if mode in (Mode.REFUSE, Mode.RESET):
            self._cut()
        await asyncio.sleep(0)

    async def end(self) -> None:
        """Pass everything on again, also what was held back."""
        was, self.mode = self.mode, Mode.PASS
        if was is Mode.REFUSE:
            await self._open()
        if was is Mode.DROP and self._socket is not None:
            _let_through(self._socket)
        self.lifted_ns = mono_now_ns()
        for link in list(self.links):
            link.lift()

    @property
    def is_silent(self) -> bool:
        """Tell whether a connection from before the end was not heard of since."""
        return any(
            link.begun_ns < self.lifted_ns and link.heard_ns < self.lifted_ns
            for link in self.links
        )

    def garbage(self, count: int) -> bytes:
        """Return so many bytes that are no reply."""
        drawn = bytearray(self._draw.randbytes(count))
        drawn[0] |= _LEAST_GARBAGE
        return bytes(drawn)

    async def _open(self) -> None:
        self._socket = socket.create_server((self._host, self.port), backlog=_BACKLOG)
        self.port = self._socket.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Link(self), sock=self._socket, backlog=_BACKLOG
        )

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _cut(self) -> None:
        for link in list(self.links):
            link.reset()


class _Link(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._client: asyncio.Transport | None = None
        self._upstream: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._held: deque[bytes] = deque()
        self._dialing: asyncio.Task[None] | None = None
        self.begun_ns = self.heard_ns = mono_now_ns()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the server, too."""
        self._client = cast("asyncio.Transport", transport)  # no loop inherits it
        self._proxy.links.add(self)
        if self._proxy.mode is Mode.DROP:
            self.drop()
        self._dialing = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_connection(
                lambda: _Back(self), *self._proxy.upstream
            )
        except OSError:
            self.reset()
            return
        self._upstream = transport
        for early in self._early:
            transport.write(early)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        """Pass a request on."""
        self.heard_ns = mono_now_ns()
        if self._proxy.mode is Mode.RESET:
            self.reset()
        elif self._upstream is None:
            self._early.append(data)
        else:
            self._upstream.write(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Go away."""
        self._proxy.links.discard(self)
        self._client = None
        if self._dialing is not None:
            self._dialing.cancel()
        if self._upstream is not None:
            self._upstream.abort()

    def answered(self, data: bytes) -> None:
        """Pass a reply on, or what becomes of it."""
        mode = self._proxy.mode
        if mode is Mode.GARBAGE:
            data = self._proxy.garbage(len(data))
        if mode is Mode.DROP or self._held or mode is Mode.SLOW:
            self._held.append(data)
            if mode is Mode.SLOW:
                loop = asyncio.get_running_loop()
                loop.call_later(self._proxy.delay_s, self._let_go_one)
        elif self._client is not None:
            self._client.write(data)

    def drop(self) -> None:
        """Let no packet of the client through from now on."""
        if self._client is not None:
            _drop(self._client.get_extra_info("socket"))

    def lift(self) -> None:
        """Pass on what was held back, and all that comes."""
        if self._client is None:
            return
        sock = self._client.get_extra_info("socket")
        _let_through(sock)
        while self._held:
            self._let_go_one()

    def _let_go_one(self) -> None:
        if self._held and self._client is not None and self._proxy.mode != Mode.DROP:
            self._client.write(self._held.popleft())

    def reset(self) -> None:
        """Cut it with RST."""
        if self._client is not None:
            sock = self._client.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            self._client.abort()


class _Back(asyncio.Protocol):
    """The other half of a connection: from the server."""

    def __init__(self, link: _Link) -> None:
        self._link = link

    def data_received(self, data: bytes) -> None:
        """Take a reply."""
        self._link.answered(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Cut the client off, too."""
        self._link.reset()


def _drop(sock: socket.socket) -> None:
    code = ctypes.create_string_buffer(_DROP_ALL)
    program = struct.pack("HL", 1, ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH, program)


def _let_through(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
    except FileNotFoundError:
        return  # there was no filter


async def until_heard(proxies: list[Proxy], *, within_s: float) -> int:
    """Wait until connections from before were heard of again; return when."""
    until_ns = mono_now_ns() + round(within_s * NS_PER_S)
    while mono_now_ns() < until_ns and any(proxy.is_silent for proxy in proxies):
        await asyncio.sleep(0.005)
    return mono_now_ns()
