"""coredis as the library of a lane.

Its clients are context managers whose tasks belong to the task that entered, so a task
of each handle's own enters and leaves.
"""

import asyncio
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

import coredis
from anyio import TASK_STATUS_IGNORED, connect_tcp, fail_after
from anyio.abc import ByteStream, TaskStatus
from coredis.connection import ClusterConnection, TCPConnection
from coredis.credentials import AbstractCredentialProvider, UserPass
from coredis.exceptions import AskError, MovedError, RedisError
from coredis.retry import ConstantRetryPolicy, RetryPolicy

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Client, Target
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers import resp
from loadprobe.drivers.clients.coredis.errors import classify
from loadprobe.drivers.clients.library.address import make_remap
from loadprobe.drivers.clients.library.base import CURRENT, End, Login, Tally, seconds
from loadprobe.drivers.renewal import Renewal, spread_over
from loadprobe.drivers.resolver import Resolver

_OPERATIONS = (b"GET", b"SET")


class _Credentials(AbstractCredentialProvider):
    """Gives the login of the moment to a connection."""

    def __init__(self, login: Login) -> None:
        self._login = login

    async def get_credentials(self) -> UserPass:
        return UserPass(self._login.username or "default", self._login.password or "")


class _Started:
    """Hears that a connection is up.

    A class of its own for each would never be freed but by the collector of garbage.
    """

    def __init__(self, connection: "_Counted", task_status: TaskStatus[None]) -> None:
        self._connection = connection
        self._task_status = task_status
        self._start_ns = mono_now_ns()

    def started(self, value: None = None) -> None:
        connection = self._connection
        connection.existing.add(connection)
        connection.tally.count_connected(self._start_ns)
        self._task_status.started(value)


class _Counted(TCPConnection):
    """A connection that tells a ``Tally``."""

    tally: Tally
    existing: "WeakSet[_Counted]"
    resolver: Resolver | None

    async def _connect(self) -> ByteStream:
        """Connect; with a name server of our own as the library does otherwise."""
        if self.resolver is None:
            return await super()._connect()
        host, port = self.location.host, self.location.port
        with fail_after(self._connect_timeout):
            (address, *_) = await self.resolver.resolve(host)
            if not self._ssl_context:
                return await connect_tcp(address, port)
            return await connect_tcp(
                address,
                port,
                tls=True,
                tls_hostname=host,
                ssl_context=self._ssl_context,
                tls_standard_compatible=False,
            )

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        try:
            await super().run(task_status=_Started(self, task_status))
        except RedisError as exc:
            self.tally.count_connect(classify(exc)[1].label)
            raise

    def create_request(self, command: bytes, *args: Any, **more: Any) -> Any:
        request = super().create_request(command, *args, **more)
        operation = CURRENT.get() if command in _OPERATIONS else None
        if operation is None:
            return request
        self.tally.count_try(operation)
        consume = request.consume

        def answered(response: Any) -> None:
            del vars(request)["consume"]  # it refers to the request
            operation.answers += 1
            if isinstance(response, AskError):
                is_moved = isinstance(response, MovedError)
                kind = ErrorClass.MOVED if is_moved else ErrorClass.ASK
                self.tally.count_redirect(kind)
            consume(response)

        vars(request)["consume"] = answered
        return request


class Coredis:
    """Makes clients of coredis with counted connections.

    Args:
        name: ``coredis``.
        client: how the application sets it up.
        tally: is told what the connections do.
        login: how to log in; asked for every connection.
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
        self._existing: WeakSet[_Counted] = WeakSet()

    def make(self, target: Target, *, users: int) -> "_Handle":  # noqa: ARG002
        """Return a client object that is not connected yet."""
        kind = coredis.RedisCluster if target.cluster else coredis.Redis
        client = kind(
            **make_arguments(target, self._settings, self.login, tls=self._tls)
        )
        base = ClusterConnection if target.cluster else TCPConnection
        named = Resolver(target.name_server) if target.name_server else None
        counted = {
            "tally": self.tally,
            "existing": self._existing,
            "resolver": named,
        }
        pool: Any = client.connection_pool
        pool.connection_class = type("CountedConnection", (_Counted, base), counted)
        if target.cluster:
            self._count_refreshes(pool.cluster_layout)
        return _Handle(client)

    def _count_refreshes(self, layout: Any) -> None:
        service = layout._discovery_service  # noqa: SLF001 - it tells nobody
        discover = service.get_cluster_layout

        async def counted() -> Any:
            self.tally.count_refresh()
            return await discover()

        service.get_cluster_layout = counted

    def classify(self, exc: Exception) -> End:
        """Return (outcome, class) of an exception that an operation ended with.

        Raises:
            Exception: the exception itself when no row of the table fits.
        """
        return classify(exc)

    def connected_to(self) -> Iterable[tuple[str, int]]:
        """Yield the address of every open connection."""
        for connection in self._existing:
            if connection.usable:
                yield connection.host, connection.port

    async def renew_login(self, spread_s: float) -> Renewal:
        """Log in anew on open connections; AUTH stands in line with the operations."""
        asked: list[Any] = []

        def begin(connection: _Counted) -> None:
            password = self.login.password
            if connection.usable and password is not None:
                user = self.login.username or "default"
                asked.append(connection.create_request(b"AUTH", user, password))

        await spread_over(tuple(self._existing), spread_s, begin)
        return sum([await _answer(request) for request in asked], Renewal())

    def read_certificates(self) -> bool:
        """Return False: a client reads its files when it is made."""
        return False

    def drop(self) -> None:
        """Drop all connections."""
        for connection in tuple(self._existing):
            connection.invalidate()


async def _answer(request: Any) -> Renewal:
    """Return what a server says to a login."""
    try:
        await request
    except RedisError as exc:
        outcome, _ = classify(exc)
        if outcome is not Outcome.REFUSED:
            return Renewal()  # the connection is lost, or hangs
        return Renewal(refused=1, reason=str(exc) or type(exc).__name__)
    except TimeoutError:
        return Renewal()
    return Renewal(1)


class _Handle:
    """A client object, and the task in which it lives."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._leave = asyncio.Event()
        self._opening: asyncio.Future[None] | None = None
        self._life: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Enter the client, unless that was done."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_future()
            self._life = asyncio.create_task(self._live(self._opening))
        opening = self._opening
        try:
            await asyncio.shield(opening)
        except Exception:
            if self._opening is opening:
                self._opening = None  # the next operation tries again
            raise

    async def _live(self, opening: "asyncio.Future[None]") -> None:
        CURRENT.set(None)
        try:
            async with self._client:
                opening.set_result(None)
                await self._leave.wait()
        except Exception as exc:  # noqa: BLE001 - the table decides
            found = exc
            while isinstance(found, ExceptionGroup):
                found = found.exceptions[0]
            if opening.done():
                raise found from None
            opening.set_exception(found)

    async def get(self, key: bytes) -> object:
        """Return the value of a key, or None."""
        if self._opening is None or not self._opening.done():
            await self.connect()
        return await self._client.get(key)

    async def set(self, key: bytes, value: bytes, ttl_s: int) -> object:
        """Write a key, with a TTL if it is not 0, and return ``resp.OK``."""
        if self._opening is None or not self._opening.done():
            await self.connect()
        done = await self._client.set(key, value, ex=ttl_s or None)
        return resp.OK if done is True else done

    def use_login(self) -> None:
        """Do nothing: connections ask for the login."""

    async def close(self) -> None:
        """Leave the client."""
        self._leave.set()
        if self._life is not None:
            await self._life


def make_arguments(
    target: Target, client: Client, login: Login, *, tls: bool
) -> dict[str, Any]:
    """Return the arguments of ``RedisCluster``, or of ``Redis`` without cluster mode.

    Args:
        target: where to.
        client: what the application sets; what it does not set is not passed on.
        login: who is asked for credentials.
        tls: connect by TLS.
    """
    host, port = make_remap(target)((target.host, target.port_of(tls=tls)))
    given: dict[str, Any] = {
        "stream_timeout": seconds(client.socket_timeout_ms) or None,
        "connect_timeout": seconds(client.socket_connect_timeout_ms) or None,
        "pool_timeout": seconds(client.pool_timeout_ms),
        "max_connections": client.max_connections,
        "max_connections_per_node": client.max_connections_per_node,
        "reinitialize_steps": client.reinitialize_steps,
        "nodemanager_follow_cluster": client.dynamic_startup_nodes,
        "retry_policy": _make_policy(client),
    }
    if client.require_full_coverage is not None:
        given["skip_full_coverage_check"] = not client.require_full_coverage
    if client.read_from is not None and target.cluster:
        given["read_from_replicas"] = client.read_from != "primary"
    if login.password is not None:
        given["credential_provider"] = _Credentials(login)
    if tls:
        given |= {
            "ssl": True,
            "ssl_ca_certs": target.ca_file,
            "ssl_certfile": target.cert_file,
            "ssl_keyfile": target.key_file,
            "ssl_check_hostname": client.check_hostname,
        }
    chosen = {key: value for key, value in given.items() if value is not None}
    return {"host": host, "port": port, **chosen}


def _make_policy(client: Client) -> RetryPolicy | None:
    """Return the library's default with another number of tries and another pause."""
    if client.retries is None:
        return None
    raised = coredis.exceptions
    pause_s = 0.1 if client.retry_delay_ms is None else client.retry_delay_ms / 1000
    errors = (raised.ClusterDownError, raised.ConnectionError, TimeoutError)
    return ConstantRetryPolicy(errors, retries=client.retries, delay=pause_s)
