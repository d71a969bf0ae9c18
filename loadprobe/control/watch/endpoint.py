"""Watches one endpoint closely: when exactly it stops, or begins, to be served.

Two observers, both on connections of their own: one connection is kept open and asked
over and over (is it cut?), and a new one is opened each time (is it refused?). Asking
is speaking: a PING that is answered, be it with NOAUTH, is an endpoint that serves; a
port that accepts and then hangs up, or speaks something else, is none.

It is reached by the way that all else takes (``Target.way_to``). What fails while that
way is blocked says nothing of the endpoint, and is not told.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.control.provider.replies import Endpoint
from loadprobe.core.events import Emit, EndpointSeen
from loadprobe.drivers.resolver import Resolver
from loadprobe.drivers.tls import server_name

_PERIOD_S = 0.05
_TIMEOUT_S = 1.0
_GRACE_S = 0.2
"""A way that breaks is known to be broken so much later at the latest."""
_PING = b"*1\r\n$4\r\nPING\r\n"

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class WatchedEndpoint:
    """An endpoint to watch.

    Args:
        endpoint: host and port.
        target: says how it is reached.
        context: for TLS; None for plaintext.
        was_blocked: tells whether the way there was blocked at some time since a given
            one, monotonic ns; None: what is known of the way never is.
    """

    endpoint: Endpoint
    target: Target
    context: ssl.SSLContext | None = None
    was_blocked: Callable[[int], bool] | None = None


class EndpointWatch:
    """Asks an endpoint 20 times a second, and tells what changes.

    Emits ``EndpointSeen``. Its state is "accepting" or "refused" for new connections,
    at first and whenever it changes, and "cut" when the connection that was kept open
    ends. ``gap_ms`` is the time from the last time it was otherwise: the change lies
    within it.

    Args:
        watched: the endpoint.
        emit: where events go.
        period_s: pause between two looks.
        timeout_s: bound of each look.

    Attributes:
        refused_ns: when new connections were refused first since they were last
            accepted; None while they are accepted.
        cut_ns: when the open connection was last cut; None if it never was.
    """

    def __init__(
        self,
        watched: WatchedEndpoint,
        emit: Emit,
        *,
        period_s: float = _PERIOD_S,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self.refused_ns: int | None = None
        self.cut_ns: int | None = None
        self._watched = watched
        self._resolver = Resolver(watched.target.name_server)
        self._emit = emit
        self._period_s = period_s
        self._timeout_s = timeout_s
        self._state = ""
        self._since_ns: dict[str, int] = {}
        self._changed = asyncio.Event()

    @property
    def name(self) -> str:
        """Return "host:port"."""
        return f"{self._watched.endpoint.host}:{self._watched.endpoint.port}"

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._open_anew())
            group.create_task(self._keep_open())

    async def wait_refused(self, deadline_s: float) -> bool:
        """Wait until new connections are refused; False at the deadline."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while self.refused_ns is None:
                    self._changed.clear()
                    await self._changed.wait()
        return self.refused_ns is not None

    async def _open_anew(self) -> None:
        """Open a connection, ask, close it, over and over."""
        while True:
            begun_ns = mono_now_ns()
            try:
                connection = await self._open()
                try:
                    await self._ask(connection)
                finally:
                    _close(connection)
            except _Unserved as unserved:
                at_ns = mono_now_ns()
                if not await self._was_blocked(begun_ns):
                    self._note_new("refused", at_ns, reason=str(unserved))
            else:
                self._note_new("accepting", begun_ns)
            await asyncio.sleep(self._period_s)

    async def _keep_open(self) -> None:
        """Keep a connection open and ask it over and over; open another when cut."""
        while True:
            try:
                connection = await self._open()
            except _Unserved:
                await asyncio.sleep(self._period_s)
                continue
            is_served = False
            try:
                while True:
                    begun_ns = mono_now_ns()
                    await self._ask(connection)
                    is_served = True
                    self._since_ns["open"] = begun_ns
                    await asyncio.sleep(self._period_s)
            except _Unserved as unserved:
                at_ns = mono_now_ns()
                if is_served and not await self._was_blocked(begun_ns):
                    self.cut_ns = at_ns
                    self._tell("cut", at_ns, "open", reason=str(unserved))
                await asyncio.sleep(self._period_s)
            finally:
                _close(connection)

    async def _was_blocked(self, since_ns: int) -> bool:
        """Tell whether it is the way that failed, and not the endpoint."""
        if self._watched.was_blocked is None:
            return False
        await asyncio.sleep(_GRACE_S)
        return self._watched.was_blocked(since_ns)

    async def _open(self) -> _Connection:
        endpoint, target = self._watched.endpoint, self._watched.target
        way = target.way_to(endpoint.host, endpoint.port)
        if way is None:
            raise _Unserved("the tunnel has no forward to it yet")
        host, port = way
        context = self._watched.context
        async with _bounded(self._timeout_s):
            (host, *_) = await self._resolver.resolve(host)
            return await asyncio.open_connection(
                host,
                port,
                ssl=context,
                server_hostname=(
                    server_name(target, endpoint.host) if context else None
                ),
            )

    async def _ask(self, connection: _Connection) -> None:
        reader, writer = connection
        if writer.is_closing():  # uvloop would raise RuntimeError
            raise _Unserved("the connection was reset")
        async with _bounded(self._timeout_s):
            writer.write(_PING)
            reply = await reader.readline()
        if not reply:
            raise _Unserved("the connection was closed")
        if reply[:1] not in b"+-":
            raise _Unserved("the reply is of another protocol")

    def _note_new(
        self, state: Literal["accepting", "refused"], at_ns: int, *, reason: str = ""
    ) -> None:
        if state != self._state:
            self._state = state
            self.refused_ns = at_ns if state == "refused" else None
            self._tell(state, at_ns, "new", reason=reason)
            self._changed.set()
        self._since_ns["new"] = at_ns

    def _tell(
        self,
        state: Literal["accepting", "refused", "cut"],
        at_ns: int,
        observer: str,
        *,
        reason: str,
    ) -> None:
        since_ns = self._since_ns.get(observer)
        self._emit(
            EndpointSeen(
                at_ns,
                host=self._watched.endpoint.host,
                port=self._watched.endpoint.port,
                tls=self._watched.context is not None,
                state=state,
                reason=reason,
                gap_ms=None if since_ns is None else (at_ns - since_ns) / NS_PER_MS,
            )
        )


@asynccontextmanager
async def watching(watch: EndpointWatch) -> AsyncIterator[EndpointWatch]:
    """Run a watch for the life of the block."""
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()


class _Unserved(Exception):
    """The endpoint did not serve; the text says how that showed."""


@asynccontextmanager
async def _bounded(timeout_s: float) -> AsyncIterator[None]:
    """Turn whatever a connection fails with into ``_Unserved``."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise _Unserved(f"no answer within {timeout_s:g} s") from None
    except (OSError, ValueError) as exc:  # ValueError: an endless line
        raise _Unserved(str(exc) or type(exc).__name__) from exc


def _close(connection: _Connection) -> None:
    connection[1].transport.abort()
