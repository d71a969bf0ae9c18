"""A node without a network: its connections end in nothing, and nobody is behind it."""

import hiredis

from loadprobe.clock import mono_now_ns
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers.base import Arrival
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import DialFailure
from loadprobe.drivers.wire.node import WireNode


class Wire:
    """What a connection writes to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        """Keep what is written."""
        self.written.append(data)

    def abort(self) -> None:
        """Take note of the end."""
        self.is_closed = True

    close = abort

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self.is_closed


class NodeBench:
    """A node, and the driver and sink that it tells.

    Args:
        width: connections that it may have.

    Attributes:
        ends: what became of arrivals: "failed", "forwarded" or "rerouted", in order.
    """

    def __init__(self, width: int = 3) -> None:
        self.matched: list[Arrival] = []
        self.most_bytes = 65_536
        self.ends: list[tuple[Arrival, str]] = []
        self.wires: dict[Connection, Wire] = {}
        self.node = WireNode(self, "h", 1, replies=self, width=width, closed_loop=False)
        self.node.want(width, is_primary=True)

    # --- what a test does ------------------------------------------------------------

    def open(self, index: int) -> Connection:
        """Open a connection, and let the node have it."""
        connection = self.node.make_connection()
        wire = self.wires[connection] = Wire()
        connection.connection_made(wire)
        self.node.welcome(connection, index)
        return connection

    def speak(self, connection: Connection) -> None:
        """Let the node answer a PING on a connection."""
        if not connection.pending:
            connection.request(b"PING")
        connection.data_received(b"+PONG\r\n" * len(connection.pending))

    def refuse(self) -> int:
        """Let an attempt to connect fail; return when it had."""
        now_ns = mono_now_ns()
        self.node.note_failure(
            DialFailure(ErrorClass.CONNECT_REFUSED, "refused", now_ns, now_ns)
        )
        return now_ns

    # --- what a node does ------------------------------------------------------------

    def fail(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        evidence: tuple[int, int],
    ) -> None:
        """Note a failure."""
        assert evidence[0] <= evidence[1]
        self.ends.append((arrival, "failed"))

    def error_reply(
        self,
        node: WireNode,
        arrival: Arrival,
        error: hiredis.ReplyError,
        done_ns: int,
    ) -> None:
        """Never called: nothing is sent."""
        raise NotImplementedError

    def reroute(self, arrival: Arrival) -> None:
        """Note an arrival that goes elsewhere."""
        self.ends.append((arrival, "rerouted"))

    def forward(
        self, arrival: Arrival, node: WireNode, *, asking: bool = False
    ) -> None:
        """Note an arrival that need not wait any more."""
        self.ends.append((arrival, "forwarded"))

    def hurry(self) -> None:
        """Take no note."""

    def wake(self) -> None:
        """Take no note."""

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Never called: nothing is sent."""
        raise NotImplementedError

    def unread_since(self, at_ns: int) -> int:
        """Return the time: this loop is never late."""
        return at_ns

    def looked_since(self, at_ns: int) -> int:
        """Return the time of nothing: this loop does not tell when it looked."""
        return min(0, at_ns)
