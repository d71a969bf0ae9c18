"""redis-py's connections, counted: what it opens, asks and is told.

They are given to the library by its own ``connection_class``, and do what their base
class does. What is known of the operation of a task is kept in a context variable: it
is the only thing that reaches from an operation to the connections that it uses.
"""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import Connection, SSLConnection

from loadprobe.clock import mono_now_ns
from loadprobe.core.outcome import ErrorClass
from loadprobe.drivers.base import DriverStats
from loadprobe.drivers.redis_py.errors import REPLIES, classify

_OPERATIONS = (b"*2\r\n$3\r\nGET\r\n", b"*3\r\n$3\r\nSET\r\n")
_REFRESH = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"


@dataclass(slots=True)
class Operation:
    """What became of the tries of one operation."""

    tries: int = 0
    answers: int = 0


CURRENT: ContextVar[Operation | None] = ContextVar("operation", default=None)


@dataclass(slots=True)
class Tally:
    """What the connections of a lane did; ``stats`` is taken by the lane now and then.

    Args:
        stats: counted since it was taken last.
        connections: those that exist.
        moved: redirects by MOVED since the start.
    """

    stats: DriverStats = field(default_factory=DriverStats)
    connections: "WeakSet[Connection]" = field(default_factory=WeakSet)
    moved: int = 0

    def count_connect(self, label: str) -> None:
        """Count an attempt to connect, by how it ended."""
        self.stats.connects[label] = self.stats.connects.get(label, 0) + 1

    def count_redirect(self, error: ErrorClass) -> None:
        """Count a redirect that the client was sent."""
        label = error.label
        self.stats.redirects[label] = self.stats.redirects.get(label, 0) + 1
        self.moved += error is ErrorClass.MOVED


class _Counted(Connection):
    """A connection that tells a ``Tally``."""

    tally: Tally
    _carries: Operation | None = None

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.tally.connections.add(self)

    async def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        if self.is_connected:
            return
        start_ns = mono_now_ns()
        try:
            await super().connect_check_health(check_health, retry_socket_connect)
        except (exceptions.RedisError, OSError) as exc:
            self.tally.count_connect(classify(exc)[1].label)
            raise
        self.tally.count_connect("ok")
        self.tally.stats.connect_ns.append(mono_now_ns() - start_ns)

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        self._carries = None
        first = command[0] if isinstance(command, list) else command
        if not isinstance(first, bytes):
            await super().send_packed_command(command, check_health)
            return
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        operation = CURRENT.get() if first.startswith(_OPERATIONS) else None
        if operation is not None:
            operation.tries += 1
        elif first.startswith(_REFRESH):
            self.tally.stats.refreshes += 1
        await super().send_packed_command(command, check_health)
        self._carries = operation  # now, for a health check may have gone before it

    async def read_response(self, *args: Any, **more: Any) -> Any:
        try:
            response = await super().read_response(*args, **more)
        except REPLIES as exc:
            self._answered()
            if isinstance(exc, exceptions.AskError):
                is_moved = isinstance(exc, exceptions.MovedError)
                kind = ErrorClass.MOVED if is_moved else ErrorClass.ASK
                self.tally.count_redirect(kind)
            raise
        self._answered()
        return response

    def _answered(self) -> None:
        operation, self._carries = self._carries, None
        if operation is not None:
            operation.answers += 1


def count_connections(client: RedisCluster | Redis, tally: Tally, *, tls: bool) -> None:
    """Let a client that has no connections yet open counted ones."""
    bases = (_Counted, SSLConnection) if tls else (_Counted,)
    counted = type("CountedConnection", bases, {"tally": tally})
    if isinstance(client, Redis):
        client.connection_pool.connection_class = counted
        return
    nodes = client.nodes_manager
    nodes.connection_kwargs["connection_class"] = counted
    for node in nodes.startup_nodes.values():
        node.connection_class = counted
