"""Asks one cluster node for its view of the cluster, on a connection of its own.

Rule: everything that the network, TLS or the server can do is a NodeSilent with a short
reason; any other exception is a bug of ours and passes. A reply that is no answer to
what was asked, or has no end, is what a server can do.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from hiredis import ReplyError

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.control.watch.node_answers import (
    NodeSilent,
    NodeView,
    as_slots,
    as_text,
    parse_server_side,
    read_info,
    reason,
    refusal,
)
from loadprobe.core.topology.roles import Address, RoleView, parse_replication
from loadprobe.core.topology.server_side import ServerAnswer
from loadprobe.drivers import resp
from loadprobe.drivers.resolver import Resolver
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.seed import Bystander

_DEFAULT_USER = "default"
_MOST_VERSION = 40
_REPLICA = re.compile(r"slave\d+")


def named_user(username: str | None) -> str:
    """Return who logs in with a password that is given in mid-run, by name.

    Until all clients log in, servers stay open beside a new password, and then refuse
    one without a name (redis-server 7.0.15, observed).
    """
    return username or _DEFAULT_USER


class NodeLogin:
    """How to connect to the nodes of a target: TLS, user and password, read once.

    Args:
        target: the target.
        tls: connect by TLS.
        timeout_s: bound of a command, with the connection attempt it may need.
        password: instead of the target's.

    Raises:
        ConfigError: the password's reference cannot be read.
        PreflightError: a certificate file cannot be used.
    """

    def __init__(
        self,
        target: Target,
        *,
        tls: bool,
        timeout_s: float,
        password: str | None = None,
    ) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._context = make_context(target) if tls else None
        self._resolver = Resolver(target.name_server)
        self._password = target.read_password() if password is None else password

    def use_login(self, username: str | None, password: str | None) -> None:
        """Let clients that are opened from now on log in as somebody."""
        self._target = msgspec.structs.replace(self._target, username=username)
        self._password = password

    def use_certificates(self, target: Target) -> None:
        """Let clients that are opened from now on use what certificate files hold now.

        Raises:
            PreflightError: a certificate file cannot be used.
        """
        self._target = self._target.with_certificates_of(target)
        if self._context is not None:
            self._context = make_context(self._target)

    @property
    def password(self) -> str | None:
        """Return the password of clients that are opened now."""
        return self._password

    def open_node(self, host: str, port: int) -> "NodeClient":
        """Return a client, not yet connected, of a node announced as host and port."""
        dialer = Dialer(
            self._target, self._context, self._password, round(self._timeout_s * 1000)
        )
        dialer.resolver = self._resolver
        dialer.takes_unsynced = True
        return NodeClient(
            dialer, (host, port), self._way_in(host, port), timeout_s=self._timeout_s
        )

    def is_as_now(self, client: "NodeClient") -> bool:
        """Tell whether a client goes and logs in as one would that is opened now."""
        return client.way_in == self._way_in(*client.address)

    def _way_in(self, host: str, port: int) -> "WayIn":
        return self._target.way_to(host, port), self._password


WayIn = tuple[Address | None, str | None]
"""Where a client connects to (None: nothing leads there), and its password."""


class NodeClient:
    """One node, asked one thing at a time, on one connection that is kept.

    Args:
        dialer: opens the connection.
        address: as announced.
        way_in: see ``WayIn``.
        timeout_s: bound of each question, with the connection attempt it may need.

    Attributes:
        address: as announced.
        host: of it.
        way_in: where it connects to, and the password that it logs in with.
    """

    def __init__(
        self, dialer: Dialer, address: Address, way_in: "WayIn", *, timeout_s: float
    ) -> None:
        self._dialer = dialer
        self._connection: Connection | None = None
        self._timeout_s = timeout_s
        self.address = address
        self.host = address[0]
        self.way_in = way_in

    async def view(self) -> NodeView:
        """Return the node's view of the cluster.

        Raises:
            NodeSilent: no connection, no reply in time, or an error reply.
        """
        slots, nodes, info = await self._ask_all(
            (b"CLUSTER", b"SLOTS"), (b"CLUSTER", b"NODES"), (b"CLUSTER", b"INFO")
        )
        told = as_text(info, b"CLUSTER", b"INFO")
        return NodeView(
            as_slots(slots), as_text(nodes, b"CLUSTER", b"NODES"), read_info(told)
        )

    async def role(self, address: Address) -> RoleView:
        """Return the node's role, without cluster mode.

        Args:
            address: where it was asked; it stands for the node itself.

        Raises:
            NodeSilent: as above, or it tells no role.
        """
        try:
            text = await self._text(b"INFO", b"replication")
            return parse_replication(text, address)
        except ValueError as exc:
            raise NodeSilent(reason(exc)) from exc

    async def engine(self) -> str:
        """Return engine and version, for example "valkey 8.1.1".

        Raises:
            NodeSilent: as above.
        """
        info = await self._info(b"INFO", b"server")
        name = "valkey" if "valkey_version" in info else "redis"
        version = info.get(f"{name}_version", "")[:_MOST_VERSION]
        return f"{name} {version}".rstrip()

    async def linked_replicas(self) -> int:
        """Return how many replicas this node, a primary, serves in state online.

        Raises:
            NodeSilent: as above.
        """
        info = await self._info(b"INFO", b"replication")
        told = (text for name, text in info.items() if _REPLICA.fullmatch(name))
        return sum("state=online" in text.split(",") for text in told)

    async def follows_source(self) -> bool:
        """Tell whether this node is a replica whose link is up and in step.

        Raises:
            NodeSilent: as above.
        """
        info = await self._info(b"INFO", b"replication")
        return (
            info.get("role") == "slave"
            and info.get("master_link_status") == "up"
            and info.get("master_sync_in_progress") == "0"
        )

    async def server_side(self) -> ServerAnswer:
        """Return what this node tells of itself, by one ``INFO``.

        Raises:
            NodeSilent: as above, or it does not tell.
        """
        text = await self._text(b"INFO")
        return parse_server_side(text, mono_now_ns())

    async def slots(self) -> list[Any]:
        """Return the reply of CLUSTER SLOTS, undecoded.

        Raises:
            NodeSilent: as above.
        """
        return as_slots(await self._ask(b"CLUSTER", b"SLOTS"))

    async def scan(
        self, cursor: bytes, pattern: bytes, *, count: int
    ) -> tuple[bytes, list[bytes]]:
        """Return the next cursor, and keys that match a pattern.

        Args:
            cursor: ``b"0"`` first, then the one that was returned.
            pattern: of names.
            count: how many keys are looked at.

        Raises:
            NodeSilent: as above.
        """
        reply = await self._ask(
            *(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % count)
        )
        match reply:
            case [bytes(following), [*keys]] if all(type(k) is bytes for k in keys):
                return following, keys
        raise NodeSilent("its answer to SCAN is no cursor with keys")

    async def unlink(self, keys: Sequence[bytes]) -> None:
        """Delete keys of one slot; their memory is freed beside other commands.

        Raises:
            NodeSilent: as above.
        """
        await self._ask(b"UNLINK", *keys)

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def _info(self, *words: bytes) -> dict[str, str]:
        return read_info(await self._text(*words))

    async def _text(self, *words: bytes) -> bytes:
        return as_text(await self._ask(*words), *words)

    async def _ask(self, *words: bytes) -> Any:
        (reply,) = await self._ask_all(words)
        return reply

    async def _ask_all(self, *commands: Sequence[bytes]) -> list[Any]:
        """Return the replies to commands that are sent together.

        Raises:
            NodeSilent: no connection, not all replies in time, or an error reply.
        """
        encoded = [resp.encode(*words) for words in commands]
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connected()
                return [await _answer(a) for a in connection.request_all(encoded)]
        except TimeoutError as exc:
            await self.close()  # what is asked next would have to wait for it
            raise NodeSilent(f"no reply in {self._timeout_s:g} s") from exc
        except OSError as exc:
            await self.close()
            raise NodeSilent(reason(exc)) from exc
        except RuntimeError as exc:
            # uvloop 0.22 raises it, without a class of its own, for a write to a
            # connection that was lost since the last reply.
            if "handler is closed" not in str(exc):
                raise
            await self.close()
            raise NodeSilent(f"connection lost: {exc}") from exc

    async def _connected(self) -> Connection:
        """Return the connection; open another one if it has ended.

        Raises:
            NodeSilent: there is none.
        """
        connection = self._connection
        if connection is not None and not connection.is_closing:
            return connection
        owner = Bystander()
        made = await self._dialer.dial(
            *self.address, lambda: Connection(owner, owner, None)
        )
        if isinstance(made, DialFailure):
            raise refusal(made.detail)
        self._connection = made
        return made


async def _answer(asked: "asyncio.Future[object]") -> object:
    """Return a reply.

    Raises:
        NodeSilent: it is an error.
        OSError: the connection ended before.
    """
    reply = await asked
    if isinstance(reply, ReplyError):
        raise refusal(str(reply))
    return reply
