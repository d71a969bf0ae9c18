"""What can go wrong on demand, the record of it, and the control messages.

Pure values. All times are CLOCK_MONOTONIC ns, which both processes share.
"""

from typing import Literal

import msgspec

FaultKind = Literal[
    "error",
    "reset",
    "closed",
    "freeze",
    "blackhole",
    "slow",
    "limited",
    "drop_reply",
    "wrong_value",
    "stale_value",
    "nil",
]
Transport = Literal["tcp", "tls"]

WRITES = frozenset({b"SET", b"DEL", b"EXPIRE", b"PERSIST"})
_REFUSES_WRITES_ONLY = frozenset({"READONLY", "OOM", "MISCONF", "NOREPLICAS"})


class Fault(msgspec.Struct, frozen=True):
    """One fault of the nodes that are primaries of some shards when it begins.

    It stays with those nodes: a replica promoted meanwhile is healthy.

    Args:
        kind: ``error`` answers keyed commands with ``reply``; ``reset`` closes all
            connections with RST and refuses new ones; ``closed`` refuses new ones and
            serves those that are open; ``freeze`` neither accepts nor answers, and
            answers the queue in order at the end; ``blackhole`` loses what arrives,
            and resets the connections that lost something at the end;
            ``slow`` holds every reply for ``delay_ms``; ``limited`` answers one command
            after the other, ``limit_per_s`` at each port; ``drop_reply`` applies writes
            and never answers them, and resets those connections at the end;
            ``wrong_value`` flips a bit in values read; ``stale_value`` reads the
            value before the last SET; ``nil`` reads nothing.
        shards: indexes of the shards; empty means all.
        start_offset_ns: begin, counted from the moment the script is received.
        duration_ns: length; only scripts use it.
        reply: text of the error. READONLY, OOM, MISCONF and NOREPLICAS refuse writes
            only, as servers do; every other text refuses reads too.
        delay_ms: least delay of ``slow``.
        limit_per_s: commands that ``limited`` answers per second.
        transport: hit only the TCP or only the TLS port; None hits both.
    """

    kind: FaultKind
    shards: tuple[int, ...] = ()
    start_offset_ns: int = 0
    duration_ns: int = 0
    reply: str = "CLUSTERDOWN The cluster is down"
    delay_ms: float = 0.0
    limit_per_s: float = 0.0
    transport: Transport | None = None

    def refuses(self, command: bytes) -> bool:
        """Tell whether a keyed command is answered with the error."""
        if self.kind != "error":
            return False
        writes_only = self.reply.partition(" ")[0] in _REFUSES_WRITES_ONLY
        return command in WRITES or not writes_only


class TruthInterval(msgspec.Struct, frozen=True):
    """A fault as it happened: nothing was healthy in [start_ns, end_ns).

    Args:
        kind: of the fault.
        shards: indexes of the shards it hit.
        heard_ns: whatever had come by then was answered before the fault began.
        start_ns: read just before it took effect.
        end_ns: read just after it ended, before anything held back was answered.
        answered_ns: read after everything held back was answered.
        transport: as in the fault.
    """

    kind: FaultKind
    shards: tuple[int, ...]
    heard_ns: int
    start_ns: int
    end_ns: int
    answered_ns: int
    transport: Transport | None = None


class Span(msgspec.Struct, frozen=True):
    """A time in which the server process itself did not get to run, or not to an end.

    Args:
        start_ns: when its loop was last known to turn.
        end_ns: when it turned again.
    """

    start_ns: int
    end_ns: int


class NodeCounts(msgspec.Struct, frozen=True):
    """What one node has received since it was started.

    Args:
        shard: index of its shard.
        port: its plaintext port.
        is_primary: whether it is the primary now.
        connects: accepted connections.
        faulted: commands refused, lost, held, unanswered or answered falsely.
        ops: received commands by upper-case name, faulted ones that were read included.
    """

    shard: int
    port: int
    is_primary: bool
    connects: int
    faulted: int
    ops: dict[str, int]


class Setup(msgspec.Struct, frozen=True):
    """The first message to the server process."""

    shards: int
    replicas_per_shard: int
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None
    password: str | None = None


class NodePorts(msgspec.Struct, frozen=True):
    """Where a node listens; ``tls`` is None without TLS."""

    plain: int
    tls: int | None


class Ready(msgspec.Struct, frozen=True):
    """The first message from the server process: nodes by shard, primary first."""

    nodes: tuple[tuple[NodePorts, ...], ...]


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """Begin a fault now, until its End."""

    fault: Fault


class End(msgspec.Struct, frozen=True, tag="end"):
    """End the fault that request ``begun`` began."""

    begun: int


class Script(msgspec.Struct, frozen=True, tag="script"):
    """Run faults on schedule; answered after the last one."""

    faults: tuple[Fault, ...]


class MoveSlots(msgspec.Struct, frozen=True, tag="move_slots"):
    """Give the slots first..last to a shard."""

    first: int
    last: int
    to_shard: int


class Promote(msgspec.Struct, frozen=True, tag="promote"):
    """Make the first replica of a shard its primary, and the primary its replica."""

    shard: int


class Count(msgspec.Struct, frozen=True, tag="count"):
    """Ask for the counters."""


class Stalls(msgspec.Struct, frozen=True, tag="stalls"):
    """Ask when the server process itself was held up."""


Order = Begin | End | Script | MoveSlots | Promote | Count | Stalls


class Request(msgspec.Struct, frozen=True):
    """One numbered order."""

    number: int
    order: Order


class Response(msgspec.Struct, frozen=True):
    """The answer to one order.

    Args:
        number: of the request.
        at_ns: when it took effect.
        error: why it was refused.
        truth: of End and Script.
        counts: of Count.
        stalls: of Stalls.
    """

    number: int
    at_ns: int = 0
    error: str | None = None
    truth: tuple[TruthInterval, ...] = ()
    counts: tuple[NodeCounts, ...] = ()
    stalls: tuple[Span, ...] = ()
