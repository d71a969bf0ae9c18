"""Finds out when TLS is first served, so that lanes that wait for it begin then.

The provider describes the TLS endpoint when the change has settled, which is seconds
after clients can use it. It is at the host of the plaintext one, with the same port, as
on AWS, or with the one that a server tells by ``CONFIG GET tls-port`` (a server that
refuses the question has none of its own to tell). Those of AWS are not asked: CONFIG is
restricted there. Served is what takes a handshake and a login.
"""

import asyncio
from collections.abc import Awaitable, Callable

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.control.provider.replies import Endpoint
from loadprobe.drivers import resp
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.seed import Bystander

_PERIOD_S = 0.03
_TIMEOUT_MS = 1000
_MOST_TRIES = 40
_TLS_PORT = resp.encode(b"CONFIG", b"GET", b"tls-port")


async def _direct(_host: str, _port: int) -> None:
    """Do nothing: the way to an endpoint is its address."""


class TlsScout:
    """Tries again and again to connect by TLS.

    Args:
        target: where plaintext is served, and how to log in.
        asks_port: the servers are not those of AWS, and may tell another port.
        ask_way: has a way to an endpoint made, before it is tried.

    Raises:
        ConfigError, PreflightError: the login cannot be used.
    """

    def __init__(
        self,
        target: Target,
        *,
        asks_port: bool = True,
        ask_way: Callable[[str, int], Awaitable[None]] = _direct,
    ) -> None:
        password = target.read_password()
        self._target = target
        self._asks_port = asks_port
        self._ask_way = ask_way
        self._asked_port: int | None = None
        self._plain = Dialer(target, None, password, _TIMEOUT_MS)
        self._tls = Dialer(target, make_context(target), password, _TIMEOUT_MS)
        self._asking: Connection | None = None

    async def first_served(self) -> tuple[Endpoint, int]:
        """Return the first endpoint that was served, and when, monotonic ns.

        A port that speaks plaintext may leave a handshake without an answer, so tries
        do not wait for each other.
        """
        tries: set[asyncio.Task[Endpoint | None]] = set()
        try:
            while True:
                port = await self._find_port()
                if port is not None and len(tries) < _MOST_TRIES:
                    endpoint = Endpoint(self._target.host, port)
                    if port != self._asked_port:
                        await self._ask_way(endpoint.host, port)
                        self._asked_port = port
                    tries.add(asyncio.create_task(self._try(endpoint)))
                await asyncio.sleep(_PERIOD_S)
                ended = {each for each in tries if each.done()}
                tries -= ended
                for served in (each.result() for each in ended):
                    if served is not None:
                        return served, mono_now_ns()
        finally:
            self._hang_up()
            for each in tries:
                each.cancel()

    async def _find_port(self) -> int | None:
        """Return the port that TLS is served at, or will be; None if there is none yet.

        A server that tells its ports has TLS at none other.
        """
        if not self._asks_port:
            return self._target.port_of(tls=True)
        try:
            async with asyncio.timeout(_TIMEOUT_MS / 1000):
                if self._asking is None:
                    self._asking = await _dial(
                        self._plain, self._target.host, self._target.port
                    )
                if self._asking is not None:
                    reply = await self._asking.request(_TLS_PORT)
                    match reply:
                        case [_, bytes(told)] if told.isdigit() and len(told) <= 5:
                            return int(told) or None
        except (OSError, TimeoutError):
            self._hang_up()
        return self._target.port_of(tls=True)

    async def _try(self, endpoint: Endpoint) -> Endpoint | None:
        made = await _dial(self._tls, endpoint.host, endpoint.port)
        if made is None:
            return None
        made.abort()
        return endpoint

    def _hang_up(self) -> None:
        if self._asking is not None:
            self._asking.abort()
            self._asking = None


async def _dial(dialer: Dialer, host: str, port: int) -> Connection | None:
    owner = Bystander()
    made = await dialer.dial(host, port, lambda: Connection(owner, owner, None))
    return None if isinstance(made, DialFailure) else made
