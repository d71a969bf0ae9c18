"""The connections of redis-py and valkey-py, counted: what is opened, asked and told.

They are given to the library by its own ``connection_class``, and do what their base
class does.
"""

from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from loadprobe.clock import mono_now_ns
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.drivers.clients.library.base import CURRENT, Operation, Tally
from loadprobe.drivers.clients.redis_py.errors import ErrorTable
from loadprobe.drivers.clients.redis_py.forks import Fork
from loadprobe.drivers.resolver import Resolver

if TYPE_CHECKING:
    from redis.asyncio.connection import Connection
else:
    Connection = object

_OPERATIONS = (b"*2\r\n$3\r\nGET\r\n", b"*3\r\n$3\r\nSET\r\n")
_REFRESH = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"


class _Counted(Connection):
    """A connection that tells a ``Tally``."""

    tally: Tally
    table: ErrorTable
    base_error: type[Exception]
    existing: "WeakSet[_Counted]"
    resolver: Resolver | None = None
    _carries: Operation | None = None
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
        await super().send_packed_command(command, check_health)
        self._carries = operation  # now, for a health check may have gone before it

    async def read_response(self, *args: Any, **more: Any) -> Any:
        try:
            response = await super().read_response(*args, **more)
        except self.table.replies as exc:
            self._answered()
            if isinstance(exc, self.table.ask):
                is_moved = isinstance(exc, self.table.moved)
                kind = ErrorClass.MOVED if is_moved else ErrorClass.ASK
                self.tally.count_redirect(kind)
            raise
        self._answered()
        return response

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
        tls: connect by TLS.
    """

    def __init__(
        self, fork: Fork, table: ErrorTable, tally: Tally, *, tls: bool
    ) -> None:
        self.existing: WeakSet[Any] = WeakSet()
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
            },
        )

    def resolve_by(self, name_server: str | None) -> None:
        """Let connections ask a name server; None leaves names to the library."""
        self._class.resolver = Resolver(name_server) if name_server else None

    def drop(self) -> None:
        """Let go of all sockets at once."""
        for connection in tuple(self.existing):
            connection.drop()

    def count(self, client: Any) -> None:
        """Let a client that has no connections yet open counted ones."""
        if not isinstance(client, self._cluster):
            client.connection_pool.connection_class = self._class
            return
        nodes = client.nodes_manager
        nodes.connection_kwargs["connection_class"] = self._class
        for node in nodes.startup_nodes.values():
            node.connection_class = self._class
