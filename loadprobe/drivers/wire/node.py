"""One server of the cluster, as far as we are connected to it.

Its state (``node_state``) says what that is worth; its connections are opened by a
keeper (``keeper``). Nobody else changes its attributes.
"""

import asyncio
from collections import deque
from typing import Protocol

import hiredis

from loadprobe.clock import mono_now_ns
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.drivers.errors import classify_lost_connection
from loadprobe.drivers.wire.connection import Connection, Pulse, Replies
from loadprobe.drivers.wire.dial import DialFailure
from loadprobe.drivers.wire.node_state import (
    RETIRED_STATES,
    NodeEvent,
    NodeState,
    after,
)


class NodeDriver(Protocol):
    """What a node needs of the driver."""

    def fail(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        evidence: tuple[int, int],
    ) -> None:
        """Report a failed arrival."""

    def error_reply(
        self,
        node: "WireNode",
        arrival: Arrival,
        error: hiredis.ReplyError,
        done_ns: int,
    ) -> None:
        """Take an error reply to an arrival."""

    def reroute(self, arrival: Arrival) -> None:
        """Send an arrival that waited for a node that is no longer one of us."""

    def forward(
        self, arrival: Arrival, node: "WireNode", *, asking: bool = False
    ) -> None:
        """Send an arrival that had to wait for the first connection."""

    def hurry(self) -> None:
        """Look at the topology soon."""


class WireNode:
    """A server and the connections to it.

    Args:
        driver: the driver it belongs to.
        host: address as announced by the cluster.
        port: port as announced by the cluster.
        replies: takes every reply that is not an error.
        width: connections it may have.
        closed_loop: keep a stack of idle connections for the closed loop.

    Attributes:
        state: what it is to us.
        changed: set when its keeper should look at it again.
        wanted: how many connections it should have; their indexes are below.
        by_worker: its connections by index; always the same list.
        live: those that are open; always the same list.
        free: those of a closed loop that are idle, which join by themselves and are
            taken by those who send; None in an open loop.
        down_since_ns: when it went down last, monotonic; 0 if it never did.
        turned_away_ns: when it last ended a connection on which it had said nothing,
            and kept others.
        failure: why it is not connected, as far as it is known.
        shard: name of the shard it belongs to, "" if that is not known.
        takes_reads: whether reads are sent to it though it is no primary.
    """

    def __init__(
        self,
        driver: NodeDriver,
        host: str,
        port: int,
        *,
        replies: Replies,
        width: int,
        closed_loop: bool,
    ) -> None:
        self._driver = driver
        self._replies = replies
        self._turn = 0
        self._waiting: deque[tuple[Arrival, bool]] = deque()
        self.host = host
        self.port = port
        self.state = NodeState.UNTRIED
        self.changed = asyncio.Event()
        self.wanted = 0
        self.by_worker: list[Connection | None] = [None] * width
        self.live: list[Connection] = []
        self.free: list[Connection] | None = [] if closed_loop else None
        self.made_ns = mono_now_ns()
        self.down_since_ns = 0
        self.turned_away_ns = 0
        self.failure: DialFailure | None = None
        self.is_primary = False
        self.shard = ""
        self.takes_reads = False
        self.pulse = Pulse()

    def __repr__(self) -> str:
        live = f"{len(self.live)}/{self.wanted} live"
        return f"<Node {self.host}:{self.port} {self.state.name} {live}>"

    def _go(self, event: NodeEvent) -> None:
        self.state = after(self.state, event)

    # --- what it is wanted for -----------------------------------------------------

    @property
    def retired(self) -> bool:
        """Tell whether it is not wanted any more."""
        return self.state in RETIRED_STATES

    def want(
        self, connections: int, *, is_primary: bool, shard: str | None = None
    ) -> None:
        """Set how many connections the node should have, and for what.

        Those beyond the number are closed when nothing is outstanding on them.

        Args:
            connections: at least one.
            is_primary: it serves slots, or will after a cut-over.
            shard: the shard it belongs to; None leaves that as it is.
        """
        if self.retired:
            if self.state is NodeState.GONE:
                self.failure, self.down_since_ns = None, 0
            self._go(NodeEvent.WANTED)
        self.is_primary = is_primary
        if shard is not None:
            self.shard = shard
        self.wanted = min(connections, len(self.by_worker))
        self.changed.set()

    def take_reads(self) -> None:
        """Be eager to have a connection, though it is no primary."""
        self.takes_reads = True

    def retire(self) -> None:
        """Open nothing new; ``trim`` closes what is left once it is idle."""
        self._go(NodeEvent.RETIRED)
        self.wanted = 0
        self.changed.set()
        waiting, self._waiting = self._waiting, deque()
        for arrival, _ in waiting:
            if not arrival.decided:
                self._driver.reroute(arrival)

    def trim(self) -> None:
        """Close idle connections that are not wanted any more."""
        for connection in list(self.live):
            if len(self.live) <= self.wanted:
                return
            if connection.index >= self.wanted and not connection.pending:
                self._remove(connection)
                connection.close()

    # --- arrivals --------------------------------------------------------------------

    def borrow(self) -> Connection | None:
        """Return a live connection: an idle one if idle ones are kept, else in turn."""
        if self.free:
            return self.free.pop()
        if not self.live:
            return None
        self._turn = (self._turn + 1) % len(self.live)
        return self.live[self._turn]

    def hold(self, arrival: Arrival, *, asking: bool) -> bool:
        """Keep an arrival until the first attempt to connect has ended.

        Returns:
            Whether it is kept: not if an attempt has ended, or there will be none.
        """
        if self.state is not NodeState.UNTRIED:
            return False
        self._waiting.append((arrival, asking))
        return True

    def evidence(self) -> tuple[int, int]:
        """Return an interval in which the node certainly failed to serve at some time.

        That is the last attempt to connect that failed, or the loss of the last
        connection if none was made since.
        """
        if self.failure is not None:
            return self.failure.start_ns, self.failure.end_ns
        return self.silence()

    def silence(self) -> tuple[int, int]:
        """Return the time since the node last spoke, on whichever connection."""
        now = mono_now_ns()
        heard_ns = self.pulse.last_reply_ns or now
        return self._replies.unread_since(heard_ns), now

    def error_reply(
        self, arrival: Arrival, error: hiredis.ReplyError, done_ns: int
    ) -> None:
        """Take an error reply to an arrival (called by a connection)."""
        self._driver.error_reply(self, arrival, error, done_ns)

    # --- the life of connections -------------------------------------------------

    @property
    def is_complete(self) -> bool:
        """Tell whether all wanted connections are open."""
        return len(self.live) >= self.wanted

    def missing(self) -> int | None:
        """Return the index of a connection that is wanted and not open, if any."""
        for index in range(self.wanted):
            if self.by_worker[index] is None:
                return index
        return None

    def make_connection(self) -> Connection:
        """Return a connection to it that is not open yet."""
        return Connection(self, self._replies, self.free)

    def welcome(self, connection: Connection, index: int) -> None:
        """Take a connection that is open; it is the index-th."""
        if connection.is_closing:
            return
        if self.by_worker[index] is not None:  # a slower scout was first after all
            connection.close()
            return
        connection.index = index
        connection.live = True
        self.by_worker[index] = connection
        self.live.append(connection)
        if self.free is not None:
            self.free.append(connection)
        self.failure = None
        self._go(NodeEvent.CONNECTED)
        if self.state is NodeState.SILENT:
            connection.request(resp.PING)
        while self._waiting:
            arrival, asking = self._waiting.popleft()
            if not arrival.decided:
                self._driver.forward(arrival, self, asking=asking)

    def listen(self) -> bool:
        """Look whether it has said anything since it is back; tell whether it has."""
        if self.state is NodeState.SILENT and any(c.has_spoken for c in self.live):
            self._go(NodeEvent.SPOKE)
        return self.state is not NodeState.SILENT

    def note_failure(self, failure: DialFailure) -> None:
        """Take note of an attempt that gave no connection."""
        if self.live:
            return
        if self.state is NodeState.UNTRIED:
            self.down_since_ns = failure.end_ns
        self._go(NodeEvent.FAILED)
        if self.failure is None or failure.start_ns > self.failure.start_ns:
            self.failure = failure
        evidence = failure.start_ns, failure.end_ns
        while self._waiting:
            arrival, _ = self._waiting.popleft()
            self._driver.fail(arrival, Outcome.UNSENT, failure.error, evidence)

    def lost(self, connection: Connection, exc: Exception | None) -> None:
        """Decide what was outstanding on a connection that ended."""
        now = mono_now_ns()
        # Lost at some time since its last sign of life: what was sent on it afterwards
        # says nothing about the target at that moment. Had it been lost long before, it
        # would have been noticed before.
        evidence = max(connection.alive_ns, self._replies.looked_since(now)), now
        was_live = connection.live
        # A peer that accepts and hangs up at once has not been up in between.
        was_up = self.listen()
        self._remove(connection)
        if was_live and self.live and not connection.has_spoken:
            self.turned_away_ns = now
        if was_live and not self.live:
            if was_up:
                self.down_since_ns = now
            self.failure = DialFailure(
                ErrorClass.RESET, str(exc or "closed by peer"), *evidence
            )
        self.changed.set()
        if connection.pending or (was_live and not self.retired):
            self._fail_pending(connection, exc, evidence)
            self._driver.hurry()

    def _fail_pending(
        self,
        connection: Connection,
        exc: Exception | None,
        evidence: tuple[int, int],
    ) -> None:
        outcome, error = classify_lost_connection(exc)
        pending = connection.pending
        while pending:
            entry = pending.popleft()
            if isinstance(entry, Arrival):
                self._driver.fail(entry, outcome, error, evidence)
            elif not entry.done():
                entry.set_exception(exc or ConnectionResetError("closed by peer"))
                # Not everybody waits for the reply (ASKING): to the event loop a
                # failure that nobody looked at is a defect, and ends the run.
                entry.exception()

    def _remove(self, connection: Connection) -> None:
        if not connection.live:
            return
        connection.live = False
        self.live.remove(connection)
        self.by_worker[connection.index] = None
        if self.free is not None and connection in self.free:
            self.free.remove(connection)
        if not self.live:
            self._go(NodeEvent.LOST)


class Nobody(WireNode):
    """Where reads go if their shard has no replica: it is never connected."""

    def __init__(
        self, driver: NodeDriver, *, replies: Replies, width: int, closed_loop: bool
    ) -> None:
        super().__init__(
            driver, "", 0, replies=replies, width=width, closed_loop=closed_loop
        )
        self.retire()
        self.failure = DialFailure(
            ErrorClass.UNREACHABLE, "the shard has no replica", 0, 0
        )

    def evidence(self) -> tuple[int, int]:
        """Return the present: there is no replica now."""
        now = mono_now_ns()
        return now, now
