"""Health of the probes over a whole run, and what else the verdict needs to know.

It only sums up what snapshots, seals and events say, and reads no clock.
"""

from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS
from loadprobe.core.events import (
    Event,
    ProviderTold,
    RunStalled,
    ShardAdded,
    SlotsMoved,
)
from loadprobe.core.intervals import Interval
from loadprobe.core.judging.activity import Activity, Work
from loadprobe.core.judging.lanes import LaneTotals
from loadprobe.core.judging.latency import P99Log
from loadprobe.core.judging.results import Sealed
from loadprobe.core.verdict.blocked_log import BlockedLog
from loadprobe.core.verdict.controller_log import ControllerLog, SlotMove
from loadprobe.core.verdict.measured import Course, DataFound, ObserverHealth
from loadprobe.outputs.folder.sealed_lines import Figures
from loadprobe.probe.messages import (
    LaneHealth,
    ProbeSnapshot,
)

_KEPT_EVENTS = 1000
_EARLIER = -1
"""Stands for all processes that are gone."""


@dataclass(slots=True)
class ProcessHealth:
    """How one probe process is doing.

    Args:
        cpu_before_ns: CPU time used before the last restart.
        cpu_ns: CPU time used since.
    """

    max_lag_ns: int = 0
    max_gc_ns: int = 0
    cpu_before_ns: int = 0
    cpu_ns: int = 0
    rss_bytes: int = 0


class Health:
    """Sums up a run (see the module).

    Attributes:
        processes: how each probe process is doing.
        skipped: arrivals that were left out.
        stale_reads: reads of primaries that found an older value.
        replica_stale_reads: the same of replicas.
        p99: the percentiles of the last hours.
        activity: what lanes did, second by second.
        provider_events: the latest ones.
        absent_reads: by lane, reads of keys that were not there, rightly.
        blocked: when the way to the cluster was blocked.
    """

    def __init__(self) -> None:
        self.processes: dict[int, ProcessHealth] = defaultdict(ProcessHealth)
        self.skipped = 0
        self.stale_reads = 0
        self.replica_stale_reads = 0
        self.p99 = P99Log()
        self.activity = Activity()
        self.provider_events: deque[ProviderTold] = deque(maxlen=_KEPT_EVENTS)
        self.absent_reads: Counter[str] = Counter()
        self.blocked = BlockedLog()
        self._away: deque[Interval] = deque(maxlen=_KEPT_EVENTS)
        self._slot_moves: deque[SlotMove] = deque(maxlen=_KEPT_EVENTS)

    def take_health(self, snapshot: ProbeSnapshot) -> None:
        """Take the health part of a snapshot."""
        health = self.processes[snapshot.process]
        if snapshot.seq == 1:
            health.cpu_before_ns += health.cpu_ns
        health.cpu_ns = snapshot.cpu_ns
        health.rss_bytes = snapshot.rss_bytes
        health.max_lag_ns = max(health.max_lag_ns, max(lags_ns(snapshot), default=0))
        health.max_gc_ns = max(health.max_gc_ns, max(snapshot.gc_ns, default=0))
        for lane in snapshot.lanes:
            name = lane.lane
            self.activity.add_work(name, snapshot.taken_ns, work_of(lane))
            self.activity.add_redirects(name, snapshot.taken_ns, lane.redirects)
            self.absent_reads[name] += sum(lane.absent.values())
            self.skipped += lane.skipped
            self.stale_reads += sum(lane.stale.values())
            self.replica_stale_reads += sum(lane.replica_stale.values())

    def take_sealed(self, sealed: Sealed) -> None:
        """Take what was judged, second by second."""
        self.p99.add(sealed.p99)
        self.activity.add_seconds(sealed.seconds)
        self.activity.add_histograms(
            row for row in sealed.histograms if not row.op.is_apart
        )

    def take_event(self, event: Event) -> None:
        """Keep what the provider told and what we saw of ourselves, for the verdict."""
        self.blocked.take_event(event)
        match event:
            case ProviderTold():
                self.provider_events.append(event)
            case RunStalled():
                end_ns = event.mono_ns + round(event.duration_ms * NS_PER_MS)
                self._away.append((event.mono_ns, end_ns))
            case ShardAdded() | SlotsMoved() if event.gained:
                self._slot_moves.append(SlotMove(event.mono_ns, event.gained))

    @property
    def course(self) -> Course:
        """Return how it went, second by second."""
        controller = ControllerLog(
            tuple(self._away), tuple(self._slot_moves), self.blocked.spans
        )
        return Course(self.p99, self.activity, controller)

    def data(self, lost_writes: int | None) -> DataFound:
        """Return what became of the data, given how many writes were lost."""
        return DataFound(
            lost_writes,
            self.stale_reads,
            self.replica_stale_reads,
            self.absent_reads,
        )

    def observer(self, lanes: Iterable[LaneTotals], *, late_ns: int) -> ObserverHealth:
        """Return how the probes did themselves.

        Args:
            lanes: what was seen of each lane.
            late_ns: what was sent later than this was late.
        """
        late = (t.lateness.count - t.lateness.cumulative([late_ns])[0] for t in lanes)
        figures = self.figures
        return ObserverHealth(
            max_loop_lag_ns=figures.max_lag_ns,
            max_gc_pause_ns=figures.max_gc_ns,
            late_sends=sum(late),
            skipped=figures.skipped,
            cpu_ns=figures.cpu_ns,
        )

    @property
    def figures(self) -> Figures:
        """Return the sums over all processes and lanes so far."""
        processes = self.processes.values()
        return Figures(
            max_lag_ns=self.max_lag_ns(),
            max_gc_ns=max((h.max_gc_ns for h in processes), default=0),
            cpu_ns=self.cpu_ns(),
            skipped=self.skipped,
            stale_reads=self.stale_reads,
            replica_stale_reads=self.replica_stale_reads,
            absent_reads=dict(self.absent_reads),
        )

    @classmethod
    def restored(cls, figures: Figures, *, p99: P99Log, activity: Activity) -> "Health":
        """Return what was summed up of a run that is over; its events are missing."""
        health = cls()
        health.go_on(figures, p99=p99, activity=activity)
        return health

    def go_on(self, figures: Figures, *, p99: P99Log, activity: Activity) -> None:
        """Go on with what was summed up before."""
        self.processes[_EARLIER] = ProcessHealth(
            figures.max_lag_ns, figures.max_gc_ns, cpu_ns=figures.cpu_ns
        )
        self.skipped = figures.skipped
        self.stale_reads = figures.stale_reads
        self.replica_stale_reads = figures.replica_stale_reads
        self.absent_reads = Counter(figures.absent_reads)
        self.p99, self.activity = p99, activity

    def max_lag_ns(self) -> int:
        """Return the worst loop lag of all probe processes."""
        return max((h.max_lag_ns for h in self.processes.values()), default=0)

    def cpu_ns(self) -> int:
        """Return the CPU time of all probe processes, over all restarts."""
        return sum(h.cpu_before_ns + h.cpu_ns for h in self.processes.values())


def lags_ns(snapshot: ProbeSnapshot) -> "array[int]":
    """Return the loop lags that a snapshot tells."""
    lags: array[int] = array("q")
    lags.frombytes(snapshot.lag_ns)
    return lags


def work_of(lane: LaneHealth) -> Work:
    """Return what a lane did since the snapshot before."""
    return Work(
        attempts=lane.attempts,
        connects=sum(lane.connects.values()),
        refreshes=lane.refreshes,
        raised=lane.raised,
    )
