"""The connections of redis-py and valkey-py, counted: what is opened, asked and told.

They are given to the library by its own ``connection_class``, and do what their base
class does.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from loadprobe.clock import mono_now_ns
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.drivers.clients.library.base import CURRENT, Login, Operation, Tally
from loadprobe.drivers.clients.redis_py.errors import ErrorTable
from loadprobe.drivers.clients.redis_py.forks import Fork
from loadprobe.drivers.renewal import Renewal, spread_over
from loadprobe.drivers.resolver import Resolver

if TYPE_CHECKING:
    from redis.asyncio.connection import Connection
else:
    Connection = object

_OPERATIONS = (
    b"*2\r\n$3\r\nGET\r\n",
    b"*3\r\n$3\r\nSET\r\n",
    b"*5\r\n$3\r\nSET\r\n",  # with a TTL
)
_USED_S = 2.0
"""A pool hands its connections out in turn: by then all have been used, or are idle.
Those are not counted, and log in with their next operation."""

_LOOK_S = 0.05
_REFRESH = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"


class _Counted(Connection):
    """A connection that tells a ``Tally``."""

    tally: Tally
    table: ErrorTable
    base_error: type[Exception]
    existing: "WeakSet[_Counted]"
    resolver: Resolver | None = None
    _carries: Operation | None = None
    is_login_due = False
    _logins_asked = 0
    renewals: Counter[str]
    login: Login
    _address: str | None = None

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.existing.add(self)

    async def _count(self, connecting: Awaitable[None]) -> None:
        start_ns = mono_now_ns()
        try:
            await connecting
        except (self.base_error, OSError) as exc:
            self.tally.count_connect(self.table.classify(exc)[1].label)
            raise
        self.tally.count_connected(start_ns)

    async def _open(self) -> None:
        await self.connect()  # type: ignore[no-untyped-call]

    async def _connect(self) -> None:
        """Connect; names are resolved anew each time, as the library does."""
        self.is_login_due, self._logins_asked = False, 0
        if self.resolver is not None:
            (self._address, *_) = await self.resolver.resolve(self.host)
        await super()._connect()  # type: ignore[no-untyped-call]

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = dict(super()._connection_arguments())
        if self._address is not None:
            arguments["host"] = self._address
            if "ssl" in arguments:
                arguments["server_hostname"] = self.host
        return arguments

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        self._carries = None
        first = command[0] if isinstance(command, list) else command
        if not isinstance(first, bytes):
            await super().send_packed_command(command, check_health)
            return
        if not self.is_connected:
            await self._open()
        operation = CURRENT.get() if first.startswith(_OPERATIONS) else None
        if operation is not None:
            self.tally.count_try(operation)
        elif first.startswith(_REFRESH):
            self.tally.count_refresh()
        logins = 0
        if self.is_login_due and operation is not None:
            # AUTH goes out with the operation, and its reply is read before the other.
            login = self._encode_login()
            command = [*login, *([command] if command is first else command)]
            self.is_login_due, logins = False, bool(login)
        await super().send_packed_command(command, check_health)
        self._logins_asked += logins
        self._carries = operation  # now, for a health check may have gone before it

    def _encode_login(self) -> list[bytes]:
        credentials = self.login.get_credentials()
        if not credentials:
            return []
        packed: list[bytes] = self.pack_command("AUTH", *credentials)
        return packed

    async def read_response(self, *args: Any, **more: Any) -> Any:
        while self._logins_asked:
            self._logins_asked -= 1
            await self._read_login_reply()
        try:
            response = await super().read_response(*args, **more)
        except self.table.replies as exc:
            self._answered()
            if isinstance(exc, self.table.ask):
                is_moved = isinstance(exc, self.table.moved)
                kind = ErrorClass.MOVED if is_moved else ErrorClass.ASK
                self.tally.count_redirect(kind)
            # Its traceback has a frame of the library that has it as a variable: the
            # two would keep this connection until a collection.
            exc.__traceback__ = None
            raise
        self._answered()
        return response

    async def _read_login_reply(self) -> None:
        """Read the reply to AUTH; a refusal, too, leaves the connection as it was."""
        try:
            await super().read_response(disconnect_on_error=False)
        except self.table.replies as exc:
            self.renewals[str(exc) or type(exc).__name__] += 1
        except BaseException:
            await self.disconnect(nowait=True)
            raise
        else:
            self.renewals[""] += 1

    def drop(self) -> None:
        """Let go of the socket at once; by TLS closing would wait for the server."""
        if self._writer is not None:
            self._writer.transport.abort()

    def _answered(self) -> None:
        operation, self._carries = self._carries, None
        if operation is not None:
            operation.answers += 1


class _CountedRedis(_Counted):
    """redis-py connects, whoever asks for it, in one method."""

    async def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        if not self.is_connected:
            await self._count(
                super().connect_check_health(check_health, retry_socket_connect)
            )

    async def _open(self) -> None:
        await self.connect_check_health(check_health=False)


class _CountedValkey(_Counted):
    """valkey-py connects as redis-py 5 did."""

    async def connect(self) -> None:
        if not self.is_connected:
            await self._count(super().connect())  # type: ignore[no-untyped-call]


class Connections:
    """Makes the connections of a lane and knows those that exist.

    Args:
        fork: the library.
        table: what its exceptions mean.
        tally: is told what happens.
        login: how to log in.
        tls: connect by TLS.
    """

    def __init__(
        self, fork: Fork, table: ErrorTable, tally: Tally, login: Login, *, tls: bool
    ) -> None:
        self.existing: WeakSet[Any] = WeakSet()
        self.renewals: Counter[str] = Counter()
        base = fork.secure if tls else fork.plain
        has_one = hasattr(base, "connect_check_health")
        self._cluster = fork.cluster
        self._class: Any = type(
            "CountedConnection",
            (_CountedRedis if has_one else _CountedValkey, base),
            {
                "tally": tally,
                "table": table,
                "base_error": fork.base_error,
                "existing": self.existing,
                "renewals": self.renewals,
                "login": login,
            },
        )

    def resolve_by(self, name_server: str | None) -> None:
        """Let connections ask a name server; None leaves names to the library."""
        self._class.resolver = Resolver(name_server) if name_server else None

    def drop(self) -> None:
        """Let go of all sockets at once."""
        for connection in tuple(self.existing):
            connection.drop()

    async def renew_login(self, spread_s: float) -> Renewal:
        """Have connections log in anew, each with its next operation.

        redis-py's own way (a ``StreamingCredentialProvider``) leaves out connections of
        a cluster that are in use, and takes all others out of the pool meanwhile; in
        valkey-py there is none.
        """
        due: list[Any] = []

        def begin(connection: Any) -> None:
            if connection.is_connected:
                connection.is_login_due = True
                due.append(connection)

        self.renewals.clear()
        await spread_over(tuple(self.existing), spread_s, begin)
        with suppress(TimeoutError):
            async with asyncio.timeout(_USED_S):
                while any(c.is_login_due and c.is_connected for c in due):
                    await asyncio.sleep(_LOOK_S)
        told = Counter(self.renewals)
        renewed = told.pop("", 0)
        return Renewal(renewed, told.total(), next(iter(told), ""))

    def read_certificates(self) -> None:
        """Let each connection read its files anew when it connects next."""
        for connection in self.existing:
            if (own := getattr(connection, "ssl_context", None)) is not None:
                own.context = None

    def count(self, client: Any) -> None:
        """Let a client that has no connections yet open counted ones."""
        if not isinstance(client, self._cluster):
            client.connection_pool.connection_class = self._class
            return
        nodes = client.nodes_manager
        nodes.connection_kwargs["connection_class"] = self._class
        for node in nodes.startup_nodes.values():
            node.connection_class = self._class
