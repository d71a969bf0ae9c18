"""Asks one cluster node for its view of the cluster, on a connection of its own.

Rule: everything that the network, TLS or the server can do is a NodeSilent with a short
reason; any other exception is a bug of ours and passes. A reply that is no answer to
what was asked, or has no end, is what a server can do.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.control.watch.node_connection import NodeConnection
from loadprobe.core.topology.roles import Address, RoleView, parse_replication
from loadprobe.core.topology.server_side import PRIMARY, REPLICA, ServerAnswer
from loadprobe.core.topology.topology import (
    NodesView,
    SlotsView,
    parse_nodes,
    parse_slots,
)
from loadprobe.drivers.clients.library.address import NOWHERE
from loadprobe.drivers.resolver import Resolver
from loadprobe.drivers.tls import make_context, server_name

_DEFAULT_USER = "default"
_MOST_REASON = 300
_MOST_STATE = 20
_MOST_VERSION = 40
_REPLICA = re.compile(r"slave\d+")


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

    def read(self, asked_host: str) -> "ReadView":
        """Return what it tells.

        Args:
            asked_host: where it was asked, for nodes that are told without a host.

        Raises:
            NodeSilent: it is no view.
        """
        try:
            state = self.info.get("cluster_state", "fail")[:_MOST_STATE]
            epoch = int(self.info.get("cluster_current_epoch", "0"))
            slots = parse_slots(self.slots, asked_host=asked_host)
            return ReadView(state, epoch, (slots, parse_nodes(self.nodes)))
        except ValueError as exc:
            raise NodeSilent(_reason(exc)) from exc


class ReadView(NamedTuple):
    """What a view tells: the state of the cluster, its epoch, and its nodes."""

    state: str
    epoch: int
    nodes: tuple[SlotsView, NodesView]


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
        self._settings: dict[str, Any] = {
            "username": target.username,
            "password": target.read_password(),
            # Timeouts are ours (see NodeClient): redis-py 8.1 sends through
            # asyncio.wait_for, which on Python 3.11 can swallow a cancellation.
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "decode_responses": False,
        }
        if password is not None:
            self._settings["password"] = password

    def use_login(self, username: str | None, password: str | None) -> None:
        """Let clients that are opened from now on log in as somebody."""
        self._settings["username"], self._settings["password"] = username, password

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
        password: str | None = self._settings["password"]
        return password

    def open_node(self, host: str, port: int) -> "NodeClient":
        """Return a client, not yet connected, of a node announced as host and port."""
        way = self._target.way_to(host, port)
        connect_host, connect_port = way or NOWHERE
        pool = ConnectionPool(
            connection_class=NodeConnection,
            max_connections=1,
            host=connect_host,
            port=connect_port,
            tls_context=self._context,
            tls_name=server_name(self._target, host),
            resolver=self._resolver,
            **self._settings,
        )
        return NodeClient(
            Redis.from_pool(pool),
            (host, port),
            self._way_in(host, port),
            timeout_s=self._timeout_s,
        )

    def is_as_now(self, client: "NodeClient") -> bool:
        """Tell whether a client goes and logs in as one would that is opened now."""
        return client.way_in == self._way_in(*client.address)

    def _way_in(self, host: str, port: int) -> "WayIn":
        return self._target.way_to(host, port), self.password


WayIn = tuple[Address | None, str | None]
"""Where a client connects to (None: nothing leads there), and its password."""


class NodeClient:
    """One node, asked one thing at a time.

    Attributes:
        address: as announced.
        host: of it.
        way_in: where it connects to, and the password that it logs in with.
    """

    def __init__(
        self, client: Redis, address: Address, way_in: "WayIn", *, timeout_s: float
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self.address = address
        self.host = address[0]
        self.way_in = way_in

    async def view(self) -> NodeView:
        """Return the node's view of the cluster.

        Raises:
            NodeSilent: no connection, no reply in time, or an error reply.
        """
        slots = await self.slots()
        nodes = await self._text(b"CLUSTER", b"NODES")
        return NodeView(slots, nodes, await self._info(b"CLUSTER", b"INFO"))

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
            raise NodeSilent(_reason(exc)) from exc

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
        reply = await self._ask(b"CLUSTER", b"SLOTS")
        if not isinstance(reply, list):
            raise NodeSilent("its answer to CLUSTER SLOTS is no list")
        return reply

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
        await self._client.aclose()

    async def _info(self, *command: bytes) -> dict[str, str]:
        return read_info(await self._text(*command))

    async def _text(self, *command: bytes) -> bytes:
        reply = await self._ask(*command)
        if not isinstance(reply, bytes):
            asked = b" ".join(command).decode()
            raise NodeSilent(f"its answer to {asked} is no text")
        return reply

    async def _ask(self, *command: bytes) -> Any:
        # Words in bytes: redis-py finds no callback for them and leaves replies raw.
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._client.execute_command(  # type: ignore[no-untyped-call]
                    *command
                )
        except TimeoutError as exc:
            raise NodeSilent(f"no reply in {self._timeout_s:g} s") from exc
        except NoPermissionError as exc:
            raise NodeDenied(_reason(exc)) from exc
        except (RedisError, OSError) as exc:
            raise NodeSilent(_reason(exc)) from exc
        except RuntimeError as exc:
            # uvloop 0.22 raises it, without a class of its own, for a write to a
            # connection that was lost since the last reply.
            if "handler is closed" not in str(exc):
                raise
            raise NodeSilent(f"connection lost: {exc}") from exc


def _reason(exc: Exception) -> str:
    """Return what a server or the system says, as short as it has to be."""
    text = str(exc)
    rest = "..." if len(text) > _MOST_REASON else ""
    return f"{type(exc).__name__}: {text[:_MOST_REASON]}{rest}"


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
    lines = text.decode(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}
