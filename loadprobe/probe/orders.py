"""What the supervisor says to a probe process.

The plan with its secret travels by standard input only: never an argument, never the
environment. See ``frames`` for how orders are sent.
"""

import msgspec

from loadprobe.config.keys import Lane, Probe, Target
from loadprobe.core.load.pace import Pace
from loadprobe.core.load.remembered import Remembered
from loadprobe.core.topology.topology import Topology
from loadprobe.probe.moves import GoOver, HoldWrites


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
        remembered: lane -> key -> what an earlier process has written: see
            ``probe.remembering``.
        holds_writes: nothing is written for now: see ``HoldWrites``.
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
    remembered: dict[str, dict[int, Remembered]] = {}
    holds_writes: bool = False

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


class UseDeadline(msgspec.Struct, frozen=True, tag="deadline"):
    """Let arrivals of a lane have another deadline from a due time on.

    Args:
        lane: its name; a process without it has nothing to do.
        from_ns: the due time, monotonic.
        deadline_ns: after an arrival was due.
    """

    lane: str
    from_ns: int
    deadline_ns: int


class UseForwards(msgspec.Struct, frozen=True, tag="forwards"):
    """Reach nodes by these forwards of the tunnel from now on, beside those known.

    Args:
        forwards: announced address -> address on loopback.
    """

    forwards: dict[str, str]


Change = (
    UseEndpoint
    | UseLogin
    | UseCertificates
    | UseDeadline
    | UseForwards
    | GoOver
    | HoldWrites
)
"""What changes in mid-run; a process yet to come has it in its plan."""

ToProbe = Plan | Start | ChangeRate | Stop | Change
