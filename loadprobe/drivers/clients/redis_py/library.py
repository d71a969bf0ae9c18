"""redis-py and valkey-py as libraries of a lane."""

from collections.abc import Awaitable, Iterable
from typing import Any

from loadprobe.config.keys import Client, Target
from loadprobe.drivers import resp
from loadprobe.drivers.clients.library.base import End, Login, Tally
from loadprobe.drivers.clients.redis_py.connections import Connections
from loadprobe.drivers.clients.redis_py.errors import ErrorTable
from loadprobe.drivers.clients.redis_py.forks import load_fork
from loadprobe.drivers.clients.redis_py.settings import make_arguments
from loadprobe.drivers.renewal import Renewal


class RedisLike:
    """Makes clients of redis-py or valkey-py, with counted connections.

    Args:
        name: ``redis-py`` or ``valkey-py``.
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
        self._fork = load_fork(name)
        self._table = ErrorTable(self._fork)
        self._connections = Connections(self._fork, self._table, tally, login, tls=tls)

    def make(self, target: Target, *, users: int) -> "_Handle":
        """Return a client object that is not connected yet."""
        fork = self._fork
        arguments = make_arguments(
            fork, target, self._settings, self.login, tls=self._tls, users=users
        )
        client = (fork.cluster if target.cluster else fork.single)(**arguments)
        self._connections.resolve_by(target.name_server)
        self._connections.count(client)
        return _Handle(client, is_cluster=target.cluster)

    def classify(self, exc: Exception) -> End:
        """Return (outcome, class) of an exception that an operation ended with.

        Raises:
            Exception: the exception itself when no row of the table fits.
        """
        return self._table.classify(exc)

    def connected_to(self) -> Iterable[tuple[str, int]]:
        """Yield the address of every open connection."""
        for connection in self._connections.existing:
            if connection.is_connected:
                yield connection.host, connection.port

    async def renew_login(self, spread_s: float) -> Renewal:
        """Log in anew on open connections, with the operations that use them."""
        return await self._connections.renew_login(spread_s)

    def read_certificates(self) -> bool:
        """Read certificates anew for connections to come."""
        self._connections.read_certificates()
        return True

    def drop(self) -> None:
        """Drop all connections."""
        self._connections.drop()


class _Handle:
    """A client object."""

    def __init__(self, client: Any, *, is_cluster: bool) -> None:
        self._client = client
        self._is_cluster = is_cluster

    async def connect(self) -> None:
        """Learn the cluster, or connect to the one server."""
        if self._is_cluster:
            await self._client.initialize()
        else:
            await self._client.ping()

    def get(self, key: bytes) -> Awaitable[object]:
        """Return the value of a key, or None."""
        found: Awaitable[object] = self._client.get(key)
        return found

    async def set(self, key: bytes, value: bytes, ttl_s: int) -> object:
        """Write a key, with a TTL if it is not 0, and return ``resp.OK``."""
        done = await self._client.set(key, value, ex=ttl_s or None)
        return resp.OK if done is True else done

    def use_login(self) -> None:
        """Do nothing: connections ask for the login."""

    async def close(self) -> None:
        """Close it; one that is about to learn the cluster anew closes nothing."""
        await self._client.aclose()
        if self._is_cluster:
            await self._client.nodes_manager.aclose()
            await self._client.nodes_manager.aclose("startup_nodes")
