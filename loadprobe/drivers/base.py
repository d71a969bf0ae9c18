"""What a driver is: it sends one arrival and reports once how it ended.

A driver never retries, never hides a failure and never raises for one. What the
target did is reported to a ``Sink``; what is our own fault propagates and ends the run.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from loadprobe.core.ledger import History
from loadprobe.core.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.topology import Topology


class Recorder(Protocol):
    """Where a scope's served arrivals go; the three are always called together."""

    due_append: Callable[[int], None]
    sent_append: Callable[[int], None]
    done_append: Callable[[int], None]
    acknowledged: int


@dataclass(slots=True)
class KeyRecord:
    """What is needed to use a key; made once, when it is used first (about 0.5 KB).

    Args:
        index: of the key in the lane's keyspace.
        slot: its hash slot.
        get: the encoded GET command.
        set_head: the encoded SET command up to the value.
        history: what was written and acknowledged.
    """

    index: int
    slot: int
    get: bytes
    set_head: bytes
    history: History


@dataclass(slots=True, eq=False)
class Arrival:
    """One operation on its way; created per arrival, so it is kept small.

    In a closed loop an arrival that was served is used again for the next one: nobody
    may keep it beyond its reply.

    Args:
        due: when the schedule wanted it sent, monotonic ns.
        scope: recorder of its scope.
        worker: index of the worker it belongs to.
        op: read or write.
        key: the lane's record of the key; None for an absent key.
        slot: hash slot of the key.
        command: the encoded command.
        expect: the reply that is certainly right, compared first; a different reply
            is judged in full.
        version: version written by a write; the acknowledged version at the time of
            sending for a read.
        value: what a write writes; for a read, what the key was known to hold.
        sent: when its bytes were handed to the socket, monotonic ns; 0 before.
        redirects: redirects followed so far.
        settled: its outcome is recorded; anything later is ignored.
    """

    due: int
    scope: Recorder
    worker: int
    op: OpKind
    key: KeyRecord | None
    slot: int
    command: bytes
    expect: bytes | None
    version: int
    value: bytes | None
    sent: int = 0
    redirects: int = 0
    settled: bool = False


class Sink(Protocol):
    """Receives the end of every arrival, exactly once unless a late reply follows."""

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Take a reply that is not an error: bytes, None, integer or list."""

    def failed(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        *,
        done_ns: int,
        evidence: tuple[int, int],
    ) -> None:
        """Take a failure.

        Args:
            arrival: what failed.
            outcome: REFUSED, UNKNOWN or UNSENT.
            error: its class.
            done_ns: when an error reply was parsed, else -1.
            evidence: interval that holds an instant at which the target did not serve.
        """


@dataclass(slots=True)
class DriverStats:
    """What a driver counted since the last snapshot; all of it can be summed."""

    redirects: dict[str, int] = field(default_factory=dict)
    refreshes: int = 0
    borrowed: int = 0
    too_late: int = 0
    connects: dict[str, int] = field(default_factory=dict)
    connect_ns: list[int] = field(default_factory=list)


class Driver(Protocol):
    """One client with its connections, for one lane in one probe process."""

    stats: DriverStats
    waiting_error: ErrorClass
    """Why an arrival that was given up had not been sent."""

    @property
    def topology(self) -> Topology | None:
        """Return the newest topology known."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Connect, call ``ready`` once every shard is reachable, and stay connected.

        Returns only by cancellation. Raises what is not the target's doing.
        """

    def submit(self, arrival: Arrival) -> None:
        """Send an arrival now; its end is reported to the sink."""

    def use_endpoint(self, host: str, port: int, *, cut_over: int | None) -> None:
        """Find the topology through another endpoint (a number: of another cluster)."""

    def use_password(self, password: str) -> None:
        """Log in with another password from now on; open connections stay."""

    def suspect(self, slot: int) -> None:
        """Take note that an arrival for a slot got no answer."""

    def resumed_ns(self, slot: int) -> int:
        """Return when the server of a slot last spoke after a silence; 0 if never."""

    def request(self, slot: int, command: bytes) -> "asyncio.Future[object]":
        """Send a command beside the load (prefill, read-back)."""

    def live_connections(self) -> dict[str, int]:
        """Return the number of usable connections per shard name."""


OnTopology = Callable[[Topology, int], None]
"""Takes a new topology, and the number of the cut-over that led to it (0: none)."""
