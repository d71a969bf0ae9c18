"""One listening port, its connections, and what a fault does to both.

A fault takes effect by one assignment between two callbacks of the loop, so there is
an exact instant before which everything was answered and after which nothing was.
"""

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, cast

import hiredis

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from tests.scripted.commands import Counters, Engine, Session
from tests.scripted.faults import WRITES, Fault
from tests.scripted.topology import HOST, Member

_BACKLOG = 4096
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_NOT_LISTENING = frozenset({"reset", "closed"})
_HOLDING = frozenset({"slow", "limited"})
_NOT_ACCEPTING = _NOT_LISTENING | {"freeze", "blackhole"}
_numbers = count(1)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


def bind_port(port: int) -> socket.socket:
    """Return a socket bound to a port of the loopback address, not yet listening.

    Bound by number, not by 0: only then Linux keeps the port when the listening is
    shut down (SOCK_BINDPORT_LOCK in net/ipv4/af_inet.c).
    """
    bound = socket.socket()
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound


class Listener:
    """One port of a node.

    Args:
        bound: the socket, bound and not yet listening.
        engine: answers commands.
        member: the node.
        counters: of the node.
        context: makes this the TLS port.
        spawn: starts a task that something waits for.
    """

    def __init__(
        self,
        bound: socket.socket,
        engine: Engine,
        member: Member,
        counters: Counters,
        context: ssl.SSLContext | None,
        spawn: Spawn,
    ) -> None:
        self._socket = bound
        self._context = context
        self._spawn = spawn
        self.engine = engine
        self.member = member
        self.counters = counters
        self.fault: Fault | None = None
        self.connections: set[Connection] = set()
        self._busy_until_ns = 0

    @property
    def tls(self) -> bool:
        """Whether this is the TLS port."""
        return self._context is not None

    def open(self) -> None:
        """Listen and accept."""
        self._socket.listen(_BACKLOG)
        self._accept_readily()

    def answered_ns(self, commands: int, fault: Fault) -> int:
        """Return when a slow or limited port has answered some more commands."""
        if fault.kind == "slow":
            return mono_now_ns() + int(fault.delay_ms * NS_PER_MS)
        busy_ns = int(commands * NS_PER_S / fault.limit_per_s)
        self._busy_until_ns = max(self._busy_until_ns, mono_now_ns()) + busy_ns
        return self._busy_until_ns

    def begin(self, fault: Fault) -> None:
        """Let a fault take effect."""
        self.fault = fault
        if fault.kind in _NOT_ACCEPTING:
            asyncio.get_running_loop().remove_reader(self._socket)
        if fault.kind in _NOT_LISTENING:
            # Keeps the port bound, so that nobody else can take it meanwhile.
            self._socket.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Close the connections of a ``reset``, after ``begin``."""
        for connection in list(self.connections):
            connection.reset()

    def lift(self) -> None:
        """End the fault: whatever comes from now on is answered."""
        fault, self.fault = self.fault, None
        assert fault is not None
        match fault.kind:
            case "reset" | "closed":
                self.open()
            case "freeze":
                self._accept_readily()
            case "blackhole":
                self._reset_waiting()
                self._accept_readily()

    def answer(self, fault: Fault) -> None:
        """Pay what the fault left behind, after ``lift``.

        Queued commands are answered in order. A connection that lost a reply cannot
        be used again, because replies have no numbers: it is reset.
        """
        for connection in list(self.connections):
            if fault.kind == "freeze":
                connection.answer()
            elif connection.has_lost_reply:
                connection.reset()

    def _accept_readily(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        while (accepted := self._next_waiting()) is not None:
            self.counters.connects += 1
            self._spawn(self._serve(accepted))

    def _next_waiting(self) -> socket.socket | None:
        try:
            accepted, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        accepted.setblocking(False)
        return accepted

    def _reset_waiting(self) -> None:
        while (accepted := self._next_waiting()) is not None:
            _reset_on_close(accepted)
            accepted.close()

    async def _serve(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self, accepted), accepted, ssl=self._context
            )
        except (OSError, ssl.SSLError):
            accepted.close()  # the client left or failed during the TLS handshake


class Connection(asyncio.Protocol):
    """One client.

    Args:
        listener: where it came in.
        accepted: its socket; the transport owns it.
    """

    def __init__(self, listener: Listener, accepted: socket.socket) -> None:
        self._listener = listener
        self._socket = accepted
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._slowed: deque[tuple[int, bytes]] = deque()
        self._session = Session(
            listener.member,
            listener.counters,
            next(_numbers),
            listener.tls,
            is_trusted=not listener.engine.needs_password,
        )
        self.has_lost_reply = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the listener's connections."""
        self._transport = cast("asyncio.Transport", transport)
        self._listener.connections.add(self)
        fault = self._listener.fault
        if fault is not None and fault.kind == "reset":
            self.reset()  # accepted before the reset, its handshake done after it

    def connection_lost(self, _exc: Exception | None) -> None:
        """Leave the listener's connections."""
        self._listener.connections.discard(self)
        self._slowed.clear()

    def data_received(self, data: bytes) -> None:
        """Answer the commands that are complete, unless a fault holds or loses them."""
        fault = self._listener.fault
        if fault is not None:
            match fault.kind:
                case "reset":
                    return
                case "blackhole":
                    self._listener.counters.faulted += 1
                    self.has_lost_reply = True
                    return
                case "freeze":
                    self._listener.counters.faulted += 1
                    self._reader.feed(data)
                    return
        self._reader.feed(data)
        self.answer()

    def answer(self) -> None:
        """Execute all complete commands and send their replies."""
        fault = self._listener.fault
        engine, session = self._listener.engine, self._session
        replies: list[bytes] = []
        try:
            while (words := self._reader.gets()) is not False:
                reply = engine.execute(session, words, fault)
                if fault is not None:
                    self._suffer(fault, words[0])
                if not self.has_lost_reply:
                    replies.append(reply)
        except hiredis.ProtocolError:
            self.reset()
            return
        if replies:
            self._send(b"".join(replies), fault, len(replies))

    def reset(self) -> None:
        """Close with RST."""
        assert self._transport is not None
        if not self._transport.is_closing():
            _reset_on_close(self._socket)
            self._transport.abort()

    def _suffer(self, fault: Fault, name: bytes) -> None:
        if fault.kind == "slow":
            self._listener.counters.faulted += 1
        elif fault.kind == "drop_reply" and name.upper() in WRITES:
            self._listener.counters.faulted += 1
            self.has_lost_reply = True

    def _send(self, data: bytes, fault: Fault | None, commands: int) -> None:
        assert self._transport is not None
        at_ns = mono_now_ns()
        if fault is not None and fault.kind in _HOLDING:
            at_ns = self._listener.answered_ns(commands, fault)
        elif not self._slowed:
            self._transport.write(data)
            return
        self._slowed.append((at_ns, data))
        if len(self._slowed) == 1:
            self._send_slowed()

    def _send_slowed(self) -> None:
        """Send what has waited long enough; timers fire up to 1 ms early."""
        assert self._transport is not None
        while self._slowed:
            wait_ns = self._slowed[0][0] - mono_now_ns()
            if wait_ns > 0:
                asyncio.get_running_loop().call_later(
                    max(wait_ns, NS_PER_MS) / 1e9, self._send_slowed
                )
                return
            self._transport.write(self._slowed.popleft()[1])


def _reset_on_close(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
