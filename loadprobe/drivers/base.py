"""What a driver is: it sends one arrival and reports once how it ended.

A driver never retries, never hides a failure and never raises for one. What the
target did is reported to a ``Sink``; what is our own fault propagates and ends the run.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from loadprobe.config.keys import Target
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.load.key_record import KeyRecord
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.renewal import Renewal


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation in plain values, for a driver that encodes commands by itself.

    Args:
        key: its name.
        value: what to write; None reads.
        ttl_s: of the key that is written; 0 is none.
    """

    key: bytes
    value: bytes | None = None
    ttl_s: int = 0


@dataclass(slots=True, eq=False)
class Arrival:
    """One operation on its way; created per arrival, so it is kept small.

    In a closed loop an arrival that was served is used again for the next one: nobody
    may keep it beyond its reply.

    Args:
        due: when the schedule wanted it sent, monotonic ns.
        recorder: where it is recorded.
        worker: index of the worker it belongs to.
        op: read or write.
        key: the lane's record of the key; None for an absent key.
        slot: by what it is routed: hash slot of the key, or its ``read_slot``.
        command: the encoded command.
        expect: the reply that is certainly right, encoded, and compared first; a
            different reply is judged in full.
        version: version written by a write; the acknowledged version at the time of
            sending for a read.
        value: what a write writes; for a read, what the key was known to hold (see
            ``History.value``).
        sent: when its bytes were handed to the socket, monotonic ns; 0 before.
        redirects: redirects followed so far.
        decided: its outcome is recorded; anything later is ignored.
        done: when the reply was parsed, if it was the expected one.
        asked: the operation in plain values, for a client library. The maker gives an
            arrival either this or ``command`` and ``expect``.
    """

    due: int
    recorder: ScopeRecorder
    worker: int
    op: OpKind
    key: KeyRecord | None
    slot: int
    command: bytes
    expect: bytes
    version: int
    value: bytes
    sent: int = 0
    redirects: int = 0
    decided: bool = False
    done: int = 0
    asked: Asked | None = None


class Sink(Protocol):
    """Receives the end of every arrival, exactly once unless a late reply follows."""

    def expected(self, arrivals: "list[Arrival]") -> None:
        """Take arrivals whose reply is literally the expected one, ``done`` set."""

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Take any other reply that is not an error: bytes, None, integer or list."""

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

    def too_late(self) -> None:
        """Take note of an answer to an arrival that had ended before."""

    def unread_since(self, at_ns: int) -> int:
        """Return since when what is read now may have waited to be read; at most now.

        Args:
            at_ns: now, monotonic ns.
        """

    def looked_since(self, at_ns: int) -> int:
        """Return a time before which what is noticed now had not come yet.

        Args:
            at_ns: now, monotonic ns.
        """


@dataclass(slots=True)
class DriverStats:
    """What a driver counted since the last snapshot; all of it can be summed.

    A client library's lane also counts ``attempts``, the commands sent for arrivals
    with those that were tried again, and ``raised``, operations that ended with an
    error of the client.
    """

    redirects: dict[str, int] = field(default_factory=dict)
    refreshes: int = 0
    borrowed: int = 0
    connects: dict[str, int] = field(default_factory=dict)
    connect_ns: list[int] = field(default_factory=list)
    redirects_by_shard: dict[tuple[str, str], int] = field(default_factory=dict)
    connects_by_shard: dict[tuple[str, str], int] = field(default_factory=dict)
    attempts: int = 0
    raised: int = 0

    def count_redirect(self, kind: str, shard: str) -> None:
        """Count a redirect by its kind and by the shard that was asked."""
        self.redirects[kind] = self.redirects.get(kind, 0) + 1
        place = shard, kind
        self.redirects_by_shard[place] = self.redirects_by_shard.get(place, 0) + 1

    def count_connect(self, result: str, shard: str) -> None:
        """Count an attempt to connect to a node of a shard, by how it ended."""
        self.connects[result] = self.connects.get(result, 0) + 1
        place = shard, result
        self.connects_by_shard[place] = self.connects_by_shard.get(place, 0) + 1


class Driver(Protocol):
    """One client with its connections, for one lane in one probe process."""

    waiting_error: ErrorClass
    """Why an arrival that was given up had not been sent."""

    def take_stats(self) -> DriverStats:
        """Return what was counted since the last call."""

    @property
    def topology(self) -> Topology | None:
        """Return the newest topology known."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Connect, call ``ready`` once every shard is reachable, and stay connected.

        Returns only by cancellation. Raises what is not the target's doing.
        """

    def submit(self, arrivals: Sequence[Arrival]) -> None:
        """Send arrivals now; their ends are reported to the sink."""

    def deliver(self) -> None:
        """Report every reply that has been read so far."""

    def use_endpoint(self, host: str, port: int, *, cut_over: int | None) -> None:
        """Find the topology through another endpoint (a number: of another cluster)."""

    def use_login(self, username: str | None, password: str | None) -> None:
        """Log in as somebody from now on; open connections stay."""

    async def renew_login(self, spread_s: float) -> Renewal:
        """Log in anew on open connections, spread over a time; none is closed."""

    async def use_certificates(self, target: Target, context: ssl.SSLContext) -> None:
        """Use other certificates for new connections; open ones stay.

        Args:
            target: names the files.
            context: made of what they hold.
        """

    def suspect(self, slot: int) -> None:
        """Take note that an arrival for a slot got no answer."""

    def resumed_ns(self, slot: int) -> int:
        """Return when the server of a slot can have spoken after a silence; 0 if never.

        It is the earliest time that is possible: we may have been late to read it.
        """

    def request(self, slot: int, command: bytes) -> "asyncio.Future[object]":
        """Send a command beside the load (prefill, read-back)."""

    def live_connections(self) -> dict[str, int]:
        """Return the number of usable connections per shard name."""


OnTopology = Callable[[Topology, int], None]
"""Takes a new topology, and the number of the cut-over that led to it (0: none)."""
