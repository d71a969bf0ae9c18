"""Asks one cluster node for its view of the cluster, on a connection of its own.

Rule: everything that the network, TLS or the server can do is a NodeSilent with a short
reason; any other exception is a bug of ours and passes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hiredis import ReplyError

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.core.topology.roles import Address, RoleView, parse_replication
from loadprobe.core.topology.server_side import PRIMARY, REPLICA, ServerAnswer
from loadprobe.drivers import resp
from loadprobe.drivers.resolver import Resolver
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.seed import Bystander

_DEFAULT_USER = "default"
_CLUSTER_INFO = resp.encode(b"CLUSTER", b"INFO")
_INFO = resp.encode(b"INFO")
_INFO_SERVER = resp.encode(b"INFO", b"server")


class NodeSilent(Exception):
    """A node gave no answer that can be used; the text is the reason."""


class NodeDenied(NodeSilent):
    """A node answered, and it is no use to ask it again soon."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node's answers, raw.

    Args:
        slots: reply of CLUSTER SLOTS, undecoded.
        nodes: reply of CLUSTER NODES.
        info: members of CLUSTER INFO, such as cluster_state.
    """

    slots: list[Any]
    nodes: bytes
    info: Mapping[str, str]


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
            resp.CLUSTER_SLOTS, resp.CLUSTER_NODES, _CLUSTER_INFO
        )
        return NodeView(slots, nodes, read_info(info))

    async def role(self, address: Address) -> RoleView:
        """Return the node's role, without cluster mode.

        Args:
            address: where it was asked; it stands for the node itself.

        Raises:
            NodeSilent: as above, or it tells no role.
        """
        try:
            return parse_replication(await self._ask(resp.REPLICATION), address)
        except ValueError as exc:
            raise NodeSilent(str(exc)) from exc

    async def engine(self) -> str:
        """Return engine and version, for example "valkey 8.1.1".

        Raises:
            NodeSilent: as above.
        """
        info = read_info(await self._ask(_INFO_SERVER))
        if "valkey_version" in info:
            return f"valkey {info['valkey_version']}"
        return f"redis {info.get('redis_version', '')}".rstrip()

    async def linked_replicas(self) -> int:
        """Return how many replicas this node, a primary, serves in state online.

        Raises:
            NodeSilent: as above.
        """
        info = read_info(await self._ask(resp.REPLICATION))
        count = int(info.get("connected_slaves", "0"))
        states = [info.get(f"slave{index}", "") for index in range(count)]
        return sum("state=online" in state.split(",") for state in states)

    async def follows_source(self) -> bool:
        """Tell whether this node is a replica whose link is up and in step.

        Raises:
            NodeSilent: as above.
        """
        info = read_info(await self._ask(resp.REPLICATION))
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
        text = await self._ask(_INFO)
        return parse_server_side(text, mono_now_ns())

    async def slots(self) -> list[Any]:
        """Return the reply of CLUSTER SLOTS, undecoded.

        Raises:
            NodeSilent: as above.
        """
        return list(await self._ask(resp.CLUSTER_SLOTS))

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
        words = b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % count
        following, keys = await self._ask(resp.encode(*words))
        return following, keys

    async def unlink(self, keys: Sequence[bytes]) -> None:
        """Delete keys of one slot; their memory is freed beside other commands.

        Raises:
            NodeSilent: as above.
        """
        await self._ask(resp.encode(b"UNLINK", *keys))

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def _ask(self, command: bytes) -> Any:
        (reply,) = await self._ask_all(command)
        return reply

    async def _ask_all(self, *commands: bytes) -> list[Any]:
        """Return the replies to commands that are sent together.

        Raises:
            NodeSilent: no connection, not all replies in time, or an error reply.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connected()
                replies = [await each for each in connection.request_all(commands)]
        except TimeoutError as exc:
            await self.close()  # what is asked next would have to wait for it
            raise NodeSilent(f"no reply in {self._timeout_s:g} s") from exc
        except OSError as exc:
            await self.close()
            raise NodeSilent(f"{type(exc).__name__}: {exc}") from exc
        except RuntimeError as exc:
            # uvloop 0.22 raises it, without a class of its own, for a write to a
            # connection that was lost since the last reply.
            if "handler is closed" not in str(exc):
                raise
            await self.close()
            raise NodeSilent(f"connection lost: {exc}") from exc
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise _refusal(str(reply))
        return replies

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
            raise _refusal(made.detail)
        self._connection = made
        return made


def _refusal(text: str) -> NodeSilent:
    """Return what a failure means, by what the system or the server said."""
    return NodeDenied(text) if text.startswith("NOPERM") else NodeSilent(text)


def parse_server_side(text: bytes, at_ns: int) -> ServerAnswer:
    """Return what a reply to INFO tells.

    Old servers do not tell ``maxclients``.

    Args:
        text: the reply.
        at_ns: when it came, monotonic.

    Raises:
        NodeDenied: the rest is not told, or is no number.
    """
    info = read_info(text)
    try:
        is_primary = info["role"] == "master"
        offset = info["master_repl_offset" if is_primary else "slave_repl_offset"]
        cpu_s = float(info["used_cpu_sys"]) + float(info["used_cpu_user"])
        return ServerAnswer(
            at_ns=at_ns,
            role=PRIMARY if is_primary else REPLICA,
            ops=int(info["total_commands_processed"]),
            cpu_ms=round(cpu_s * 1000),
            clients=int(info["connected_clients"]),
            max_clients=int(info["maxclients"]) if "maxclients" in info else None,
            ops_per_s=int(info["instantaneous_ops_per_sec"]),
            memory_bytes=int(info["used_memory"]),
            offset=int(offset),
            is_linked=None if is_primary else info.get("master_link_status") == "up",
        )
    except (KeyError, ValueError, OverflowError) as exc:
        raise NodeDenied(f"INFO does not tell {exc}") from exc


def read_info(text: bytes) -> dict[str, str]:
    """Parse the "name:value" lines of CLUSTER INFO and INFO."""
    lines = text.decode().splitlines()
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}
