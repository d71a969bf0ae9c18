"""What a probe process says to the supervisor.

See ``frames`` for how messages are sent.
"""

from collections.abc import Iterable

import msgspec

from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.topology.topology import Topology
from loadprobe.probe.moves import FoundThere, GoneOver, WritesHeld


class PrefillProgress(msgspec.Struct, frozen=True, tag="progress"):
    """How far the prefill is."""

    process: int
    lane: str
    done: int
    written: int
    total: int


class TopologySeen(msgspec.Struct, frozen=True, tag="topology"):
    """A lane's topology, whenever it changed, before any block that uses its names.

    Args:
        cut_over: number of the cut-over that led to this cluster, 0 if there was none.
    """

    process: int
    lane: str
    topology: Topology
    cut_over: int = 0


class LoginRenewed(msgspec.Struct, frozen=True, tag="renewed"):
    """What became of the open connections of a lane that were to log in anew.

    Args:
        renewed: were let in.
        refused: were not, and stay as they were.
        reason: what the server said against them.
    """

    process: int
    lane: str
    renewed: int
    refused: int
    reason: str


class CertificatesRefused(msgspec.Struct, frozen=True, tag="certificates_refused"):
    """New certificates cannot be used by a process; the old ones stay.

    Args:
        reason: why.
    """

    process: int
    reason: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Connected and prefilled; waiting for Start."""

    process: int
    pid: int
    shards: dict[str, tuple[str, ...]]


class ScopeBlock(msgspec.Struct, frozen=True, array_like=True):
    """Decided arrivals of one scope: columns of native 64-bit integers.

    The columns are those of ``core.judging.columns.Block``.
    """

    lane: str
    shard: str
    op: int
    due: bytes
    sent: bytes
    done: bytes
    failures: bytes

    @classmethod
    def take(cls, recorders: Iterable[ScopeRecorder]) -> "list[ScopeBlock]":
        """Take what recorders hold, one block for each that holds anything."""
        taken = ((recorder.scope, recorder.take()) for recorder in recorders)
        return [
            cls(
                scope.lane,
                scope.shard,
                int(scope.op),
                block.due.tobytes(),
                block.sent.tobytes(),
                block.done.tobytes(),
                block.failures.tobytes(),
            )
            for scope, block in taken
            if block is not None
        ]


class LaneHealth(msgspec.Struct, frozen=True):
    """What a lane counted since the snapshot before; connections are a level.

    ``attempts`` and ``raised`` are of client lanes; see ``drivers.base.DriverStats``.
    """

    lane: str
    connections: dict[str, int]
    redirects: dict[str, int]
    connects: dict[str, int]
    connect_ns: list[int]
    refreshes: int
    borrowed: int
    too_late: int
    attempts: int
    raised: int
    skipped: int
    acknowledged: dict[str, int]
    stale: dict[str, int]
    wrong: dict[str, int]
    replica_stale: dict[str, int] = {}
    absent: dict[str, int] = {}
    expired: dict[str, int] = {}
    renewed: int = 0
    redirects_by_shard: dict[tuple[str, str], int] = {}
    connects_by_shard: dict[tuple[str, str], int] = {}


class ProbeSnapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """Everything that decided since the snapshot before.

    Args:
        watermark_ns: every arrival due before is in this or an earlier snapshot.
        blocks: the arrivals.
        stalls: (start, end) of times in which this process was blind.
        lag_ns: how late each wake-up was, native 64-bit integers.
        gc_ns: length of each garbage collection.
        cpu_ns: CPU time of the process since its start.
        rss_bytes: resident memory.
        tasks: of the event loop, that have not ended.
    """

    process: int
    seq: int
    taken_ns: int
    watermark_ns: int
    blocks: list[ScopeBlock]
    lanes: list[LaneHealth]
    stalls: list[tuple[int, int]]
    lag_ns: bytes
    gc_ns: list[int]
    cpu_ns: int
    rss_bytes: int
    tasks: int = 0


class ReadBack(msgspec.Struct, frozen=True, tag="read_back"):
    """Result of reading the written keys once more after the load.

    Args:
        checked: keys with an acknowledged write of this run that were read.
        lost: those whose acknowledged value, or a newer one, was not there.
        unread: those that could not be read.
        lost_by_shard: the lost ones, by the shard of their key.
        lost_keys: which they are, as a column of unsigned numbers of 8 bytes.
        expired: keys that were not there, and whose TTL may have passed.
    """

    process: int
    lane: str
    checked: int
    lost: int
    unread: int
    lost_by_shard: dict[str, int] = {}
    lost_keys: bytes = b""
    expired: int = 0


class Acknowledged(msgspec.Struct, frozen=True, tag="acknowledged"):
    """Writes that a process which comes later may look for.

    Args:
        keys: which, as a column of unsigned numbers of 8 bytes.
        versions: of each, likewise: it, or a newer one, is there from now on.
        set_ns: when its TTL began, or later, as signed numbers (``clock.boot_now_ns``).
    """

    process: int
    lane: str
    keys: bytes
    versions: bytes
    set_ns: bytes


class LookedUp(msgspec.Struct, frozen=True, tag="looked_up"):
    """What was found of the writes of an earlier process, before the load.

    Args:
        checked: keys that were read.
        lost_keys: those that do not have what was remembered, as a column.
        unread: those that could not be read.
        lost_by_shard: the lost ones, by the shard of their key.
        expired: keys that were not there, and whose TTL may have passed.
    """

    process: int
    lane: str
    checked: int
    lost_keys: bytes
    unread: int
    lost_by_shard: dict[str, int] = {}
    expired: int = 0


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The last frame of an orderly end."""

    process: int


class ProbeFailed(msgspec.Struct, frozen=True, tag="failed"):
    """The last frame of any other end.

    Args:
        preflight: the target or configuration is to blame, not the program.
        text: one line for a preflight failure, a traceback otherwise.
    """

    process: int
    preflight: bool
    text: str


FromProbe = (
    PrefillProgress
    | TopologySeen
    | LoginRenewed
    | CertificatesRefused
    | Ready
    | ProbeSnapshot
    | ReadBack
    | Acknowledged
    | LookedUp
    | WritesHeld
    | GoneOver
    | FoundThere
    | Finished
    | ProbeFailed
)
