"""valkey-glide as the library of a lane.

Its core is written in Rust, with threads of its own that are never ended. What it does
to serve an operation cannot be seen from here: an attempt is one call, a connect is one
client object made; refreshes, redirects and open connections are not known.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import glide

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Client, Target
from loadprobe.core.judging.outcome import Outcome
from loadprobe.drivers import resp
from loadprobe.drivers.clients.glide.errors import classify
from loadprobe.drivers.clients.library.address import make_remap
from loadprobe.drivers.clients.library.base import CURRENT, End, Login, Tally
from loadprobe.drivers.renewal import Renewal

_READS = {
    "primary": glide.ReadFrom.PRIMARY,
    "prefer-replica": glide.ReadFrom.PREFER_REPLICA,
}


class Glide:
    """Makes clients of valkey-glide.

    Args:
        name: ``valkey-glide``.
        client: how the application sets it up.
        tally: is told of calls.
        login: how to log in; told to every client.
        tls: connect by TLS.
    """

    def __init__(
        self, name: str, client: Client, tally: Tally, login: Login, *, tls: bool
    ) -> None:
        self.name = name
        self._settings = client
        self.tally = tally
        self.login = login
        self._tls = tls
        self._handles: WeakSet[_Handle] = WeakSet()
        glide.Logger.init(glide.LogLevel.OFF)  # it writes a line for every failure

    def make(self, target: Target, *, users: int) -> "_Handle":  # noqa: ARG002
        """Return a client object that is not connected yet."""
        kind = glide.GlideClusterClient if target.cluster else glide.GlideClient

        async def create() -> Any:
            return await kind.create(
                make_configuration(target, self._settings, self.login, tls=self._tls)
            )

        handle = _Handle(create, self.tally, self.login)
        self._handles.add(handle)
        return handle

    def classify(self, exc: Exception) -> End:
        """Return (outcome, class) of an exception that an operation ended with.

        Raises:
            Exception: the exception itself when no row of the table fits.
        """
        return classify(exc)

    def connected_to(self) -> Iterable[tuple[str, int]]:
        """Return nothing: the core does not tell."""
        return ()

    async def renew_login(self, spread_s: float) -> Renewal:  # noqa: ARG002
        """Log in anew on open connections; the core does it for all of a client."""
        found = Renewal()
        for handle in tuple(self._handles):
            found += await handle.renew_login()
        return found

    def read_certificates(self) -> bool:
        """Return False: a client reads its files when it is made."""
        return False

    def drop(self) -> None:
        """Do nothing: connections are the core's."""


class _Handle:
    """A client object, made when it is needed first."""

    def __init__(
        self, create: Callable[[], Awaitable[Any]], tally: Tally, login: Login
    ) -> None:
        self._create = create
        self._tally = tally
        self._login = login
        self._client: Any = None
        self._making = asyncio.Lock()
        self._telling: set[asyncio.Task[Any]] = set()

    async def connect(self) -> None:
        """Make the client, unless that was done."""
        async with self._making:
            if self._client is not None:
                return
            start_ns = mono_now_ns()
            try:
                self._client = await self._create()
            except Exception as exc:
                self._tally.count_connect(classify(exc)[1].label)
                raise
            self._tally.count_connected(start_ns)

    async def get(self, key: bytes) -> object:
        """Return the value of a key, or None."""
        return await self._call("get", key)

    async def set(self, key: bytes, value: bytes, ttl_s: int) -> object:
        """Write a key, with a TTL if it is not 0, and return ``resp.OK``."""
        done = await self._call("set", key, value, **_expiry(ttl_s))
        return resp.OK if done == "OK" else done

    async def _call(self, name: str, *arguments: bytes, **more: Any) -> object:
        if self._client is None:
            await self.connect()
        operation = CURRENT.get()
        assert operation is not None, "only workers use clients"
        self._tally.count_try(operation)
        try:
            reply: object = await getattr(self._client, name)(*arguments, **more)
        except Exception as exc:
            operation.answers += classify(exc)[0] is not Outcome.UNKNOWN
            raise
        operation.answers += 1
        return reply

    def use_login(self) -> None:
        """Tell the client the new password, for connections opened from now on."""
        if self._client is None:
            return
        task = asyncio.create_task(
            self._client.update_connection_password(
                self._login.password, immediate_auth=False
            )
        )
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def renew_login(self) -> Renewal:
        """Log in anew; connections are not counted, a client counts as one."""
        if self._client is None or self._login.password is None:
            return Renewal()
        try:
            await self._client.update_connection_password(
                self._login.password, immediate_auth=True
            )
        except glide.RequestError as exc:
            return Renewal(refused=1, reason=str(exc))
        return Renewal(1)

    async def close(self) -> None:
        """Close it; its core ends the connections."""
        if self._telling:
            await asyncio.wait(self._telling)
        if self._client is not None:
            await self._client.close()


@lru_cache
def _expiry(ttl_s: int) -> dict[str, Any]:
    """Return what ``set`` is told of a TTL."""
    if not ttl_s:
        return {}
    return {"expiry": glide.ExpirySet(glide.ExpiryType.SEC, ttl_s)}


def make_configuration(
    target: Target, client: Client, login: Login, *, tls: bool
) -> Any:
    """Return the configuration of a client.

    Args:
        target: where to.
        client: what the application sets; what it does not set is not passed on.
        login: the user and password of the moment.
        tls: connect by TLS.
    """
    remap = make_remap(target)
    host, port = remap((target.host, target.port_of(tls=tls)))
    given: dict[str, Any] = {
        "request_timeout": client.request_timeout_ms,
        "inflight_requests_limit": client.inflight_requests_limit,
    }
    if client.read_from is not None:
        given["read_from"] = _READS[client.read_from]
    if login.password is not None:
        given["credentials"] = glide.ServerCredentials(login.password, login.username)
    if target.cluster and target.address_map:
        given["address_resolver"] = lambda host, port: remap((host, port))
    advanced: dict[str, Any] = {}
    if client.socket_connect_timeout_ms is not None:
        advanced["connection_timeout"] = client.socket_connect_timeout_ms
    if tls:
        advanced["tls_config"] = glide.TlsAdvancedConfiguration(
            root_pem_cacerts=_read(target.ca_file),
            client_cert_pem=_read(target.cert_file),
            client_key_pem=_read(target.key_file),
        )
    if target.cluster and client.dynamic_startup_nodes is not None:
        advanced[
            "refresh_topology_from_initial_nodes"
        ] = not client.dynamic_startup_nodes
    if target.cluster:
        whole = glide.GlideClusterClientConfiguration
        detail = glide.AdvancedGlideClusterClientConfiguration
    else:
        whole = glide.GlideClientConfiguration
        detail = glide.AdvancedGlideClientConfiguration
    return whole(
        [glide.NodeAddress(host, port)],
        use_tls=tls,
        advanced_config=detail(**advanced),
        **{key: value for key, value in given.items() if value is not None},
    )


def _read(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
