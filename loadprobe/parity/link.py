"""One node that is read from: connected to when it is asked, and known by its life.

Rule: what the network, TLS or the server can do is a LinkLost with a short reason;
whoever asks tries again, for as long as it has patience.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from loadprobe.core.topology.roles import Address, RoleView, parse_replication
from loadprobe.drivers import resp
from loadprobe.drivers.errors import classify_lost_connection
from loadprobe.drivers.wire.bulk import BulkConnection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.explain import explain_dial_failure

BATCH_S = 20.0
"""A batch that takes longer costs the connection."""

_GREETING = b"".join(
    (
        resp.encode(b"INFO", b"server"),
        resp.REPLICATION,
        # Reads would make keys look recently used (Redis 7.2, Valkey); older servers
        # refuse the word, and nothing depends on it.
        resp.encode(b"CLIENT", b"NO-TOUCH", b"ON"),
    )
)

Renew = Callable[[], Awaitable[None]]


class LinkLost(Exception):
    """A node gave no answer; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What a node told of itself when it was connected to.

    Args:
        life: run_id of its process; if it does not tell, what no other connection has.
        role: its role, None if it does not tell.
    """

    life: str
    role: RoleView | None


class NodeLink:
    """A node and the connection to it.

    Args:
        dialer: opens connections.
        address: as announced.
        renew: called before each connection: has the dialer log in by what is valid.
    """

    def __init__(self, dialer: Dialer, address: Address, renew: Renew) -> None:
        self.address = address
        self._dialer = dialer
        self._renew = renew
        self._connection: BulkConnection | None = None
        self._peer = Peer("unknown", None)
        self._lock = asyncio.Lock()

    async def batch(self, commands: bytes, count: int) -> list[object]:
        """Return the replies to encoded commands.

        Raises:
            LinkLost: there is no connection, or no answer.
        """
        connection, _ = await self._open()
        return await self._batch(connection, commands, count)

    async def peer(self) -> Peer:
        """Return what the node told of itself, of the connection that is open now.

        Raises:
            LinkLost: as above.
        """
        _, peer = await self._open()
        return peer

    async def batch_in_life(
        self, commands: bytes, count: int, life: str
    ) -> list[object] | None:
        """Return the replies of one process; None if it is another one by now.

        Raises:
            LinkLost: as above.
        """
        connection, peer = await self._open()
        if peer.life != life:
            return None
        return await self._batch(connection, commands, count)

    async def role(self) -> RoleView | None:
        """Ask the node for its role; None if it does not tell.

        Raises:
            LinkLost: as above.
        """
        (reply,) = await self.batch(resp.REPLICATION, 1)
        return _role(reply, self.address)

    def abort(self) -> None:
        """End the connection; the next question makes another one."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def _batch(
        self, connection: BulkConnection, commands: bytes, count: int
    ) -> list[object]:
        try:
            async with asyncio.timeout(BATCH_S):
                return await connection.batch(commands, count)
        except TimeoutError:
            connection.abort()
            raise LinkLost(f"{self._where} gave no answer in {BATCH_S:g} s") from None
        except (OSError, RuntimeError) as exc:
            connection.abort()
            classify_lost_connection(exc)
            raise LinkLost(f"{self._where}: {exc}") from exc

    @property
    def _where(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    async def _open(self) -> tuple[BulkConnection, Peer]:
        async with self._lock:
            if self._connection is not None and self._connection.is_open:
                return self._connection, self._peer
            await self._renew()
            host, port = self.address
            made = await self._dialer.dial(host, port, BulkConnection)
            if isinstance(made, DialFailure):
                raise LinkLost(explain_dial_failure(made, host, port, self._dialer))
            server, role, _ = await self._batch(made, _GREETING, 3)
            self._peer = Peer(_life(server), _role(role, self.address))
            self._connection = made
            return made, self._peer


def _life(info: object) -> str:
    if isinstance(info, bytes):
        for line in info.decode(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name == "run_id":
                return value
    return f"unknown {os.urandom(8).hex()}"


def _role(reply: object, asked: Address) -> RoleView | None:
    try:
        return parse_replication(reply, asked) if isinstance(reply, bytes) else None
    except ValueError:
        return None
