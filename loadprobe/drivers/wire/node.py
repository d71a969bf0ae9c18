"""One server of the cluster: its connections, and the scout that brings them back.

While a node has no connection, a single scout tries it on a fixed schedule; once it is
through, the others follow one at a time. Hundreds of connections opened at once would
stall the very loop that measures.
"""

import asyncio
import socket
from collections import deque
from typing import Protocol

import hiredis

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival, DriverStats
from loadprobe.drivers.errors import classify_lost_connection
from loadprobe.drivers.wire.connection import Connection, Pulse, Replies
from loadprobe.drivers.wire.dial import Dialer, DialFailure

_SCOUT_NS = NS_PER_MS
_SCOUT_STANDBY_NS = 100 * NS_PER_MS
_SCOUT_TIRED_NS = 10 * NS_PER_MS
# After five seconds a node is tried the rarer the longer it is away: the end of an
# outage is found to a thousandth of its length, and one that is to last (a port closed
# for good) is cheap to wait for.
_EAGER_NS = 5 * NS_PER_S
_TIRED_PARTS = 1_000
# A refusal comes at once; an attempt that hangs (packets dropped) must not hold up
# the next one, which may get through.
_SCOUT_OVERLAP_S = 0.025
_MAX_SCOUTS = 16
_RETRY_S = 0.1
# Until a node that is back has answered, one connection to it is enough: a port that
# closed for plaintext may go on to accept.
_UNSPOKEN_S = 0.005


class NodeDriver(Protocol):
    """What a node needs of the driver."""

    dialer: Dialer
    stats: DriverStats
    pace_s: float

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
        closed_loop: keep a stack of idle connections for the closed loop.
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
        self._wake = asyncio.Event()
        self._wanted = 0
        self._turn = 0
        self._tried_ns = 0
        self._down_since_ns = 0
        self.host = host
        self.port = port
        self.by_worker: list[Connection | None] = [None] * width
        self.live: list[Connection] = []
        self.free: list[Connection] | None = [] if closed_loop else None
        self.waiting: deque[tuple[Arrival, bool]] = deque()
        self.made_ns = mono_now_ns()
        self.was_live = False
        self.retired = False
        self.is_primary = False
        self.shard = ""
        self.takes_reads = False
        self.pulse = Pulse()
        self.failure: DialFailure | None = None
        self.slots_reply: object = None
        self.asked: asyncio.Future[object] | None = None
        self.keeper: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Node {self.host}:{self.port} {len(self.live)}/{self._wanted} live>"

    def want(self, connections: int, *, is_primary: bool) -> None:
        """Set how many connections the node should have.

        Those beyond the number are closed when nothing is outstanding on them.
        """
        self.is_primary = is_primary
        self._wanted = min(connections, len(self.by_worker))
        self._wake.set()

    @property
    def is_complete(self) -> bool:
        """Tell whether all wanted connections are open."""
        return len(self.live) >= self._wanted

    def borrow(self) -> Connection | None:
        """Return a live connection: an idle one if idle ones are kept, else in turn."""
        if self.free:
            return self.free.pop()
        if not self.live:
            return None
        self._turn = (self._turn + 1) % len(self.live)
        return self.live[self._turn]

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

    def trim(self) -> None:
        """Close idle connections that are not wanted any more."""
        if len(self.live) <= self._wanted:
            return
        for connection in list(self.live):
            if connection.index >= self._wanted and not connection.pending:
                self._remove(connection)
                connection.close()

    def retire(self) -> None:
        """Open nothing new; ``trim`` closes what is left once it is idle."""
        self.retired = True
        self._wanted = 0
        self._wake.set()
        waiting, self.waiting = self.waiting, deque()
        for arrival, _ in waiting:
            if not arrival.settled:
                self._driver.reroute(arrival)

    # --- the life of connections -------------------------------------------------

    def error_reply(
        self, arrival: Arrival, error: hiredis.ReplyError, done_ns: int
    ) -> None:
        """Take an error reply to an arrival (called by a connection)."""
        self._driver.error_reply(self, arrival, error, done_ns)

    def lost(self, connection: Connection, exc: Exception | None) -> None:
        """Settle what was outstanding on a connection that ended."""
        now = mono_now_ns()
        # Lost at some time since its last sign of life: what was sent on it afterwards
        # says nothing about the target at that moment. Had it been lost long before, it
        # would have been noticed before.
        evidence = max(connection.alive_ns, self._replies.looked_since(now)), now
        was_live = connection.live
        self._remove(connection)
        pending = connection.pending
        if was_live and not self.live:
            # A peer that accepts and hangs up at once has not been up in between.
            if connection.has_spoken or not self._down_since_ns:
                self._down_since_ns = now
            self.failure = DialFailure(
                ErrorClass.RESET,
                str(exc or "closed by peer"),
                *evidence,
            )
        self._wake.set()
        if pending or (was_live and not self.retired):
            outcome, error = classify_lost_connection(exc)
            while pending:
                entry = pending.popleft()
                if isinstance(entry, Arrival):
                    self._driver.fail(entry, outcome, error, evidence)
                elif not entry.done():
                    entry.set_exception(exc or ConnectionResetError("closed by peer"))
                    # Not everybody waits for the reply (ASKING): to the event loop a
                    # failure that nobody looked at is a defect, and ends the run.
                    entry.exception()
            self._driver.hurry()

    def _remove(self, connection: Connection) -> None:
        if not connection.live:
            return
        connection.live = False
        self.live.remove(connection)
        self.by_worker[connection.index] = None
        if self.free is not None and connection in self.free:
            self.free.remove(connection)

    def _missing(self) -> int | None:
        for index in range(self._wanted):
            if self.by_worker[index] is None:
                return index
        return None

    async def keep(self) -> None:
        """Keep the wanted number of connections open until retired and idle."""
        while not (self.retired and not self.live):
            index = self._missing()
            if index is None:
                self._wake.clear()
                await self._wake.wait()
            elif not self.live:
                await self._scout(index)
            elif self._down_since_ns and not any(c.has_spoken for c in self.live):
                self._wake.clear()
                await self._pause(_UNSPOKEN_S)
            else:
                await self._refill(index)

    async def _refill(self, index: int) -> None:
        """Open one more connection, unless the last one is lost meanwhile.

        Then every millisecond counts, and an attempt that hangs must not be waited for.
        """
        attempt = asyncio.create_task(self._attempt(index))
        try:
            while self.live and not attempt.done():
                self._wake.clear()
                woken = asyncio.create_task(self._wake.wait())
                try:
                    await asyncio.wait(
                        {attempt, woken}, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    woken.cancel()
        finally:
            attempt.cancel()
        if attempt.done():
            done = attempt.result()
            await self._pause(self._driver.pace_s if done else _RETRY_S)

    async def _pause(self, seconds: float) -> None:
        """Wait, or until something about the node changed."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _scout(self, index: int) -> None:
        """Try until one attempt is through, starting attempts on a fixed schedule."""
        attempts: set[asyncio.Task[bool]] = set()
        # Attempts that hang must not use up their number before the first one ends.
        overlap_s = max(
            _SCOUT_OVERLAP_S, self._driver.dialer.timeout_ms / 1000 / _MAX_SCOUTS
        )
        try:
            while not self.live and not self.retired and self._wanted:
                next_ns = self._tried_ns + self._scout_interval_ns()
                while (wait_ns := next_ns - mono_now_ns()) > 0:
                    # The loop rounds to milliseconds, and may round to none at all.
                    await asyncio.sleep(max(wait_ns, NS_PER_MS) / NS_PER_S)
                if len(attempts) < _MAX_SCOUTS:
                    self._tried_ns = mono_now_ns()
                    begun = self._driver.dialer.knock(self.host, self.port)
                    if not isinstance(begun, DialFailure):
                        attempts.add(self._start_attempt(index, begun))
                    else:
                        self._note_failure(begun)
                        if not attempts:
                            continue
                done, attempts = await asyncio.wait(
                    attempts,
                    timeout=overlap_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for attempt in done:
                    attempt.result()
        finally:
            for attempt in attempts:
                attempt.cancel()

    def _scout_interval_ns(self) -> int:
        if not (self.is_primary or self.takes_reads):
            return _SCOUT_STANDBY_NS
        away_ns = mono_now_ns() - self._down_since_ns if self._down_since_ns else 0
        slower_ns = max(0, away_ns - _EAGER_NS) // _TIRED_PARTS
        return min(_SCOUT_NS + slower_ns, _SCOUT_TIRED_NS)

    def _start_attempt(
        self, index: int, begun: socket.socket | None
    ) -> "asyncio.Task[bool]":
        attempt = asyncio.create_task(self._attempt(index, begun))
        if begun is not None:  # it may be cancelled before it runs

            def close(done: "asyncio.Task[bool]") -> None:
                if done.cancelled():
                    begun.close()

            attempt.add_done_callback(close)
        return attempt

    async def _attempt(self, index: int, begun: socket.socket | None = None) -> bool:
        """Open a connection; it is the index-th. Tell whether it is open now."""
        start_ns = mono_now_ns() if begun is None else self._tried_ns
        result = await self._driver.dialer.dial(
            self.host, self.port, self._make, begun=begun, since_ns=start_ns
        )
        stats = self._driver.stats
        if isinstance(result, DialFailure):
            self._note_failure(result)
            return False
        stats.count_connect("ok", self.shard)
        stats.connect_ns.append(mono_now_ns() - start_ns)
        self._welcome(result, index)
        return True

    def _note_failure(self, failure: DialFailure) -> None:
        self._driver.stats.count_connect(failure.error.label, self.shard)
        if self.live:
            return
        if not self._down_since_ns:
            self._down_since_ns = failure.end_ns
        if self.failure is None or failure.start_ns > self.failure.start_ns:
            self.failure = failure
        self._refuse_waiting(failure)

    def _make(self) -> Connection:
        return Connection(self, self._replies, self.free)

    def _welcome(self, connection: Connection, index: int) -> None:
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
        self.was_live = True
        self.failure = None
        if self._down_since_ns:  # who only accepts is not back
            connection.request(resp.PING)
        while self.waiting:
            arrival, asking = self.waiting.popleft()
            if not arrival.settled:
                self._driver.forward(arrival, self, asking=asking)

    def _refuse_waiting(self, failure: DialFailure) -> None:
        evidence = (failure.start_ns, failure.end_ns)
        while self.waiting:
            arrival, _ = self.waiting.popleft()
            self._driver.fail(arrival, Outcome.UNSENT, failure.error, evidence)
