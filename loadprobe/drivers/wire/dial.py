"""Opening of connections: address map, DNS, TCP, TLS and AUTH, each attempt timed.

A name is resolved anew for a new attempt, but not before the last answer is too old
(see ``drivers.resolver``): after a node is replaced its name points elsewhere. An
attempt tries one address. Of a name with several, the next attempt tries the one after
that which failed last: they take turns, so that one that is dead does not hide others.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

import hiredis
import msgspec

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.topology.roles import parse_replication
from loadprobe.drivers import resp, tls
from loadprobe.drivers.errors import classify_connect_error, classify_reply
from loadprobe.drivers.resolver import Resolver
from loadprobe.drivers.wire.bulk import BulkConnection
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.greeting import Greeting
from loadprobe.drivers.wire.sockets import SocketPoller
from loadprobe.drivers.wire.tls_sockets import open_tls

# A peer that vanished without a word (power loss, dropped packets) is noticed by the
# kernel after this time; a peer that is merely slow still acknowledges and is kept.
_USER_TIMEOUT_MS = 5_000
_KEEPALIVE_IDLE_S = 5

_NO_WAY = "the tunnel has no forward to it yet"
_SENSELESS = (errno.EINVAL, errno.EAFNOSUPPORT)
"""Of an address that a cluster announces and nothing on this machine leads to: one of a
link without its interface, or of a protocol that the machine does not have."""

_Made = TypeVar("_Made", Connection, Greeting, BulkConnection)


@dataclass(frozen=True, slots=True)
class DialFailure:
    """An attempt that gave no usable connection.

    Args:
        error: its class.
        detail: what the system or the server said, for messages.
        start_ns: when the attempt began, monotonic; if it failed by what was known of
            the name, when the name was asked for.
        end_ns: when it was known to have failed.
    """

    error: ErrorClass
    detail: str
    start_ns: int
    end_ns: int


@dataclass(slots=True)
class Dialer:
    """Opens connections of one lane.

    Args:
        target: where to, and how to log in.
        context: the shared SSLContext of a TLS lane, or None.
        password: the password, read once.
        timeout_ms: an attempt is given up after this time.
        poller: serves the sockets; None leaves them to the loop.
        reads_replicas: let replicas answer reads, which they refuse otherwise.

    Attributes:
        resolver: resolves names.
        takes_unsynced: a replica without cluster mode that has not been in step since
            its start will do: it is not asked for data.
    """

    target: Target
    context: ssl.SSLContext | None
    password: str | None = field(repr=False)
    timeout_ms: int
    poller: SocketPoller | None = None
    reads_replicas: bool = False
    resolver: Resolver = field(init=False)
    takes_unsynced: bool = field(init=False, default=False)
    _failed: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Resolve names as the target says."""
        self.resolver = Resolver(self.target.name_server)

    def use_endpoint(self, host: str, port: int) -> None:
        """Take note of another endpoint: nodes may be verified under its name."""
        by_tls = self.context is not None
        self.target = self.target.at(tls=by_tls, host=host, port=port)
        self.resolver.forget()
        self._failed.clear()

    def use_login(self, username: str | None, password: str | None) -> None:
        """Log in as somebody from now on; None names nobody, or does not log in."""
        self.password = password
        self.target = msgspec.structs.replace(self.target, username=username)

    def use_certificates(self, target: Target, context: ssl.SSLContext) -> None:
        """Encrypt new connections by other certificates, of files that a target names.

        Args:
            target: names the files.
            context: made of what they hold.
        """
        self.target = self.target.with_certificates_of(target)
        if self.context is not None:
            self.context = context

    def login_command(self) -> bytes | None:
        """Return the command that logs in now, None if none is needed."""
        if self.password is None:
            return None
        return resp.encode_auth(self.target.username, self.password)

    def knock(self, host: str, port: int) -> "socket.socket | DialFailure | None":
        """Begin to connect, without waiting for anything.

        A closed port of this host refuses within the call: a scout that knocks every
        millisecond needs no task for that.

        Returns:
            A socket for ``dial``, a failure, or None if a name has to be resolved.
        """
        start_ns = mono_now_ns()
        way = self.target.way_to(host, port)
        if way is None:
            return DialFailure(ErrorClass.UNREACHABLE, _NO_WAY, start_ns, start_ns)
        address, address_port = way
        if not tls.is_ip(address):
            return None
        begun = _begin(address, address_port)
        if isinstance(begun, socket.socket):
            return begun
        error = classify_connect_error(begun)
        return DialFailure(error, str(begun), start_ns, mono_now_ns())

    async def dial(
        self,
        host: str,
        port: int,
        make: Callable[[], _Made],
        *,
        begun: socket.socket | None = None,
        since_ns: int | None = None,
    ) -> _Made | DialFailure:
        """Open one connection and log in.

        Args:
            host: as announced by the cluster.
            port: as announced by the cluster.
            make: makes the protocol object.
            begun: what ``knock`` returned.
            since_ns: when that was. A refusal may have come then and be seen only now.

        Raises:
            Exception: what no table knows; it is not the target's doing.
        """
        start_ns = mono_now_ns() if since_ns is None else since_ns
        connection: _Made | None = None
        awaited = "no answer"
        name = address = host
        try:
            async with asyncio.timeout(self.timeout_ms / 1000):
                name, way_port = self._way(host, port)
                address = name if begun is not None else await self._resolve(name)
                sock = await self._connect(address, way_port, begun)
                if self.context is not None:
                    awaited = tls.HANDSHAKE_UNANSWERED
                connection = await self._wrap(sock, host, make, start_ns)
                awaited = "no answer to AUTH"
                problem = await self._log_in(connection)
        except BaseException as exc:
            if connection is not None:
                connection.abort()
            if not isinstance(exc, Exception):  # cancelled: another scout was first
                raise
            error = classify_connect_error(exc)
            detail = str(exc) or type(exc).__name__
            if isinstance(exc, TimeoutError):
                detail = f"{awaited} within {self.timeout_ms} ms"
            if error is ErrorClass.DNS:
                start_ns = self.resolver.failed_since(name, start_ns)
            self._note_failed(name, address)
            return DialFailure(error, detail, start_ns, mono_now_ns())
        if problem is not None:
            connection.abort()
            self._note_failed(name, address)
            return DialFailure(
                classify_reply(problem), problem, start_ns, mono_now_ns()
            )
        return connection

    def _way(self, host: str, port: int) -> tuple[str, int]:
        """Return where to connect to for an announced address.

        Raises:
            OSError: nothing leads there (yet).
        """
        way = self.target.way_to(host, port)
        if way is None:
            raise OSError(errno.ENETUNREACH, _NO_WAY)
        return way

    async def _connect(
        self, address: str, port: int, begun: socket.socket | None
    ) -> socket.socket:
        sock = begun
        try:
            if sock is None:
                sock = _make_socket(address)
            # A closed port of this host refuses at once: no need to wait for that.
            code = sock.connect_ex((address, port))
            if code in (errno.EINPROGRESS, errno.EALREADY):
                loop = asyncio.get_running_loop()
                await loop.sock_connect(sock, (address, port))
            elif code not in (0, errno.EISCONN):
                raise _refusal(code)
            _tune(sock)
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        return sock

    async def _wrap(
        self,
        sock: socket.socket,
        host: str,
        make: Callable[[], _Made],
        since_ns: int,
    ) -> _Made:
        connection = make()
        if isinstance(connection, Connection):
            connection.date(since_ns)
        context = self.context
        name = None if context is None else tls.server_name(self.target, host)
        if self.poller is not None and isinstance(connection, Connection):
            try:
                if context is None:
                    self.poller.open(sock, connection)
                else:
                    await open_tls(self.poller, sock, connection, context, name)
            except BaseException:
                sock.close()
                raise
            return connection
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(
                lambda: cast("asyncio.Protocol", connection),
                sock=sock,
                ssl=context,
                server_hostname=name,
                ssl_handshake_timeout=self.timeout_ms / 1000 if context else None,
            )
        finally:
            # uvloop closes the descriptor. If the connection ends while it is being
            # made, uvloop 0.22 leaves its number in the socket object, which on its own
            # end would close whatever has that number by then. The transports of
            # asyncio itself use the socket object, and close it.
            if _is_uvloop(loop):
                sock.detach()
        return connection

    async def _resolve(self, name: str) -> str:
        """Return whose turn it is of the addresses of a name."""
        # A configuration endpoint answers with several addresses in changing order.
        found = await self.resolver.resolve(name)
        failed = self._failed.get(name)
        turn = found.index(failed) + 1 if failed in found else 0
        return found[turn % len(found)]

    def _note_failed(self, name: str, address: str) -> None:
        """Have the next attempt at a name try another of its addresses.

        It is by address and not counted: many attempts fail at once at a dead one.
        """
        if address != name:
            self._failed[name] = address

    async def _log_in(
        self, connection: Connection | Greeting | BulkConnection
    ) -> str | None:
        """Return what the server said against it, or None."""
        commands: list[bytes] = []
        login = self.login_command()
        if login is not None:
            commands.append(login)
        if self.reads_replicas:
            commands.append(resp.READONLY)
        for command in commands:
            reply = await connection.request(command)
            if isinstance(reply, hiredis.ReplyError):
                return str(reply)
        if self.target.tunnel is not None:
            # Our end of a forward takes every connection, whatever becomes of it at
            # the other one: it is there once the server itself has answered.
            await connection.request(resp.PING)
        if self.target.cluster or self.takes_unsynced:
            return None
        if isinstance(connection, Connection):
            return await self._find_lag(connection)
        return None

    async def _find_lag(self, connection: Connection) -> str | None:
        """Return what stands against a server without cluster mode, or None.

        One that was just started as a replica answers reads before it has the data: as
        if no key existed, or by an old file (redis-server 7.0.15, observed).
        """
        reply = await connection.request(resp.REPLICATION)
        if not isinstance(reply, bytes):
            return None  # it may not be ours to ask
        try:
            view = parse_replication(reply, ("", 0))
        except ValueError:
            return None
        if view.is_unsynced:
            return "LOADING it is a replica that has not been in step since its start"
        return None


def _is_uvloop(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether a loop is uvloop's, or made from it; it need not be installed."""
    return any(base.__module__.startswith("uvloop") for base in type(loop).__mro__)


def _begin(address: str, port: int) -> socket.socket | OSError:
    """Begin to connect to an address; return what stands against it."""
    try:
        sock = _make_socket(address)
    except OSError as exc:
        return exc
    code = sock.connect_ex((address, port))
    if code in (0, errno.EINPROGRESS):
        return sock
    sock.close()
    return _refusal(code)


def _refusal(code: int) -> OSError:
    """Return the error of an attempt to connect that the system refuses."""
    known = errno.ENETUNREACH if code in _SENSELESS else code
    return OSError(known, os.strerror(code))


def _make_socket(address: str) -> socket.socket:
    """Return a socket that waits for nothing.

    Raises:
        OSError: the machine has no such protocol, or no descriptor is left.
    """
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError as exc:
        raise _refusal(exc.errno or 0) from exc
    sock.setblocking(False)
    return sock


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
