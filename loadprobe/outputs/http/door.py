"""Who gets a connection to the HTTP server, and for how long without asking anything.

The run needs its file descriptors more than any client does: connections are accepted
here, one by one, so that those are counted too that are still shaking hands.
"""

import asyncio
import logging
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Coroutine, Sequence
from ipaddress import ip_address

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

MOST_CONNECTIONS = 512
"""More of them are closed as they come."""

MOST_OF_ONE_ADDRESS = 128
"""Of another machine; behind loopback may be anybody."""

PATIENCE_S = 30.0
"""A client that takes nothing of its reply for so long is let go, and the reply too."""

HEAD_S = 10.0
"""A request has to be there so long after its first byte, or after the connection."""

_IDLE_S = 75.0
"""A connection without a request is closed after this; scrapes come every minute."""

_HANDSHAKE_S = 10.0
_PAUSE_S = 0.1
_BACKLOG = 128
_RESERVE = 128
"""Descriptors that no client gets, or a quarter of all if that is less."""

_EXPECTATION_FAILED = 417
_OURS = 500
"""Statuses from here on are a defect of ours."""


class Admission:
    """How many connections there are, and from where. Pure.

    Args:
        descriptors: how many files the process may have open.
    """

    def __init__(self, descriptors: int) -> None:
        self._highest = descriptors - min(_RESERVE, descriptors // 4)
        self._by_address: Counter[str] = Counter()

    def take(self, address: str, descriptor: int) -> bool:
        """Take room for a connection, if there is any.

        Args:
            address: of the client.
            descriptor: of the connection: the lowest number that was free.
        """
        present = self._by_address.total()
        if present >= MOST_CONNECTIONS or descriptor >= self._highest:
            return False
        is_near = ip_address(address.partition("%")[0]).is_loopback
        if not is_near and self._by_address[address] >= MOST_OF_ONE_ADDRESS:
            return False
        self._by_address[address] += 1
        return True

    def free(self, address: str) -> None:
        """Give the room of a connection back."""
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class Door:
    """Accepts connections, as many as there is room for.

    Args:
        server: answers their requests.
        tls: for all of them, or None.
        logger: of aiohttp.
    """

    def __init__(
        self, server: web.Server, tls: ssl.SSLContext | None, logger: logging.Logger
    ) -> None:
        self._server = server
        self._tls = tls
        self._logger = logger
        self._room = Admission(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._listening: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return where.

        Raises:
            OSError: it cannot be listened there.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        try:
            for family, *_, address in dict.fromkeys(found):
                listening = socket.create_server(
                    address[:2],
                    family=family,
                    backlog=_BACKLOG,
                )
                listening.setblocking(False)
                self._listening.append(listening)
        except OSError:
            self.close()
            raise
        for listening in self._listening:
            self._start(self._accept(listening))
        bound: Sequence[object] = self._listening[0].getsockname()
        return str(bound[0]), int(str(bound[1]))

    def close(self) -> None:
        """Listen no more, and let nobody in who is shaking hands."""
        for task in self._tasks:
            task.cancel()
        for listening in self._listening:
            listening.close()

    def _start(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, (host, *_) = await loop.sock_accept(listening)
            except OSError:  # no descriptor is left; those who wait go on waiting
                await asyncio.sleep(_PAUSE_S)
                continue
            if self._room.take(host, sock.fileno()):
                self._start(self._welcome(sock, host))
            else:
                sock.close()

    async def _welcome(self, sock: socket.socket, address: str) -> None:
        connection = self._make()
        connection.room = self._room
        connection.address = address
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else _HANDSHAKE_S,
            )
        except (OSError, TimeoutError):  # the handshake failed
            pass
        finally:
            if not connection.is_made:
                self._room.free(address)

    def _make(self) -> "HttpConnection":
        return HttpConnection(
            self._server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_IDLE_S,
            logger=self._logger,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # as AppRunner takes it
        )


class HttpConnection(web.RequestHandler):
    """A connection that is cut if it asks for nothing, or does not take its replies.

    It does not tell a malformed request back to its sender: there may be a password in
    what could not be read, and a log on the way.

    Attributes:
        room: where it has room.
        address: whose.
        is_made: it began to be served, and gives its room back at its end.
    """

    room: Admission
    address: str
    is_made = False
    _untaken: asyncio.TimerHandle | None = None
    _unasked: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        self.is_made = True
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; the rest has to come soon."""
        super().data_received(data)
        if self._messages or self._current_request is not None:
            self._stop_asking()
        elif self._unasked is None:
            self._expect()

    def _expect(self) -> None:
        if self.transport is not None:
            loop = asyncio.get_running_loop()
            self._unasked = loop.call_later(HEAD_S, self.transport.abort)

    def pause_writing(self) -> None:
        """Give the client some time to take what it asked for."""
        super().pause_writing()
        if self.transport is not None:
            loop = asyncio.get_running_loop()
            self._untaken = loop.call_later(PATIENCE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with a client that has taken enough."""
        super().resume_writing()
        self._stop_pushing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget about it."""
        self._stop_pushing()
        self._stop_asking()
        self.room.free(self.address)
        super().connection_lost(exc)

    def _stop_asking(self) -> None:
        if self._unasked is not None:
            self._unasked.cancel()
            self._unasked = None

    def _stop_pushing(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read or carried out."""
        if isinstance(exc, UnicodeEncodeError) and "Expect" in request.headers:
            # aiohttp has refused it, and repeated what it says, which is no text.
            status, message = _EXPECTATION_FAILED, "Expect"
            exc = HttpProcessingError(code=status, message=message)
        told = "the request cannot be read as HTTP/1.1" if status < _OURS else None
        return super().handle_error(request, status, exc, told if message else None)
