"""What crosses the pipes between the supervisor and a probe process.

Frames: a 4-byte big-endian length, then msgpack of one of these structs. The plan with
its secret travels by standard input only: never an argument, never the environment.
"""

import struct
from collections.abc import Iterable

import msgspec

from loadprobe.config.keys import Lane, Probe, Target
from loadprobe.core.load.pace import Pace
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.topology.topology import Topology


class Share(msgspec.Struct, frozen=True):
    """One process's part of a lane.

    Args:
        lane: its configuration.
        slice_index: which part, from 0.
        slice_count: how many processes share the lane.
        workers: workers of this part.
        connections: connections of this part per shard, which the workers share.
        keys_before: parts of other lanes of the keyspace that come before this lane's.
        key_parts: parts of all lanes of the keyspace; None if it has no other lane.
    """

    lane: Lane
    slice_index: int
    slice_count: int
    workers: int
    connections: int
    keys_before: int = 0
    key_parts: int | None = None

    @property
    def is_shared(self) -> bool:
        """Tell whether other lanes write a part of the keys."""
        return self.key_parts is not None

    @property
    def key_slice(self) -> tuple[int, int]:
        """Return which part of the keys is written here, and of how many."""
        return self.keys_before + self.slice_index, self.key_parts or self.slice_count

    @property
    def outstanding(self) -> int:
        """Return how many arrivals a closed loop has outstanding."""
        return self.workers * self.lane.pipeline


class Plan(msgspec.Struct, frozen=True, tag="plan"):
    """Everything a probe process needs; the first frame it reads.

    Args:
        targets: where each lane goes; an endpoint is that of one transport.
        known: topology of each lane as last seen, for a restart in mid-run.
        cut_overs: number of each lane's last cut-over to another cluster, if any.
        version_base: first version this process may write; larger than any before.
        prefill: write the keyspace before the load (not after a restart).
        gently: others are probing: connect and prefill without disturbing them.
        ahead: the lanes' own transport is not served yet. Their keys are written by
            these detours, as far as there are any; then another plan is waited for.
        remembered: lane -> key -> version that an earlier process has written: see
            ``probe.remembering``.
    """

    process: int
    targets: dict[str, Target]
    password: str | None
    probe: Probe
    shares: tuple[Share, ...]
    version_base: int
    prefill: bool
    known: dict[str, Topology] = {}
    cut_overs: dict[str, int] = {}
    gently: bool = False
    ahead: "dict[str, Detour] | None" = None
    remembered: dict[str, dict[int, int]] = {}

    def __repr__(self) -> str:
        """Show nothing of the password."""
        return f"<Plan of process {self.process}>"


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Begin the load.

    Args:
        schedule_start_ns: due times count from here, monotonic.
        first_due_ns: arrivals due before are left out (a restart in mid-run).
        paces: how the rates of lanes go, where they have changed.
    """

    schedule_start_ns: int
    first_due_ns: int
    paces: dict[str, tuple[Pace, ...]] = {}


class Detour(msgspec.Struct, frozen=True):
    """Where the keys of a lane are read back whose own transport is not served.

    Args:
        tls: the other transport.
        target: where it is served.
    """

    tls: bool
    target: Target


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Send no arrival due at or after a time; drain, read back, report and exit.

    Args:
        at_ns: that time.
        detours: by the names of lanes that cannot read back by themselves.
    """

    at_ns: int
    detours: dict[str, Detour] = {}


class ChangeRate(msgspec.Struct, frozen=True, tag="rate"):
    """Let a lane have another rate; see ``OpenLoop.change_rate``.

    Args:
        lane: its name; a process without it has nothing to do.
        paces: how its rate goes, from the one that holds now on.
    """

    lane: str
    paces: tuple[Pace, ...]


class UseEndpoint(msgspec.Struct, frozen=True, tag="endpoint"):
    """Find the topology through another endpoint from now on.

    Args:
        tls: for lanes of this transport.
        host: the endpoint.
        port: its port.
        cut_over: None: it is the same cluster. A number: it is another one, to be
            connected to first and then switched to; higher than any before.
    """

    tls: bool
    host: str
    port: int
    cut_over: int | None


class UseLogin(msgspec.Struct, frozen=True, tag="login"):
    """Log in as somebody from now on.

    Args:
        username: None names nobody.
        password: None does not log in.
        renew_s: connections that are open log in anew, spread over so many seconds;
            None leaves them as they are.
    """

    username: str | None
    password: str | None
    renew_s: float | None = None

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "<UseLogin>"


class UseCertificates(msgspec.Struct, frozen=True, tag="certificates"):
    """Use what certificate files hold now for new connections; open ones stay.

    Args:
        target: names the files.
    """

    target: Target


Change = UseEndpoint | UseLogin | UseCertificates
"""What changes in mid-run; a process yet to come has it in its plan."""

ToProbe = Plan | Start | ChangeRate | Stop | Change


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


class ReadBack(msgspec.Struct, frozen=True, tag="read_back"):
    """Result of reading the written keys once more after the load.

    Args:
        checked: keys with an acknowledged write of this run that were read.
        lost: those whose acknowledged value, or a newer one, was not there.
        unread: those that could not be read.
        lost_by_shard: the lost ones, by the shard of their key.
        lost_keys: which they are, as a column of unsigned numbers of 8 bytes.
    """

    process: int
    lane: str
    checked: int
    lost: int
    unread: int
    lost_by_shard: dict[str, int] = {}
    lost_keys: bytes = b""


class Acknowledged(msgspec.Struct, frozen=True, tag="acknowledged"):
    """Writes that a process which comes later may look for.

    Args:
        keys: which, as a column of unsigned numbers of 8 bytes.
        versions: of each, likewise: it, or a newer one, is there from now on.
    """

    process: int
    lane: str
    keys: bytes
    versions: bytes


class LookedUp(msgspec.Struct, frozen=True, tag="looked_up"):
    """What was found of the writes of an earlier process, before the load.

    Args:
        checked: keys that were read.
        lost_keys: those that do not have what was remembered, as a column.
        unread: those that could not be read.
        lost_by_shard: the lost ones, by the shard of their key.
    """

    process: int
    lane: str
    checked: int
    lost_keys: bytes
    unread: int
    lost_by_shard: dict[str, int] = {}


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
    | Finished
    | ProbeFailed
)

_HEADER = struct.Struct(">I")
HEADER_BYTES = _HEADER.size
MAX_FRAME_BYTES = 256 * 1024 * 1024


def encode_frame(message: ToProbe | FromProbe) -> bytes:
    """Return header and payload of one message."""
    payload = msgspec.msgpack.encode(message)
    return _HEADER.pack(len(payload)) + payload


def frame_length(header: bytes) -> int:
    """Return the payload length in bytes that a header announces.

    Raises:
        ValueError: the length is impossible: the stream is not ours.
    """
    length = int(_HEADER.unpack(header)[0])
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes is announced; the pipe is corrupt")
    return length


decode_to_probe = msgspec.msgpack.Decoder(ToProbe).decode
decode_from_probe = msgspec.msgpack.Decoder(FromProbe).decode
