"""Health of a run while it lasts: feeds the live view and the metrics from snapshots.

It only sums up: arrivals come from the aggregate, counters from the health part of the
snapshots. It lives in the supervisor and reads no clock.
"""

from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.events import Event
from loadprobe.core.intervals import Interval
from loadprobe.core.judging.activity import Activity, Work
from loadprobe.core.judging.aggregate import Aggregate, Sealed
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.latency import P99Log
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.judging.scope_state import ScopeTotals
from loadprobe.core.topology.topology import Topology
from loadprobe.core.verdict.controller_log import ControllerLog, SlotMove
from loadprobe.outputs.live.terminal import LaneState, LiveState, ObserverState
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.probe.messages import LaneHealth, Snapshot

_WINDOW_S = 3
_KEPT_EVENTS = 1000


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


@dataclass(slots=True)
class LaneMark:
    """Totals of a lane at one moment."""

    offered: int = 0
    served: int = 0
    classes: Counter[ErrorClass] = field(default_factory=Counter)

    def add(self, totals: ScopeTotals) -> None:
        """Add the totals of one of its scopes."""
        self.offered += totals.arrivals
        self.served += totals.served
        self.classes.update(totals.classes)


class Telemetry:
    """Sums up a run (see the module).

    Args:
        aggregate: the judged arrivals.
        live: the state of the live view, brought up to date by ``refresh``.
        metrics: the metrics, brought up to date with every snapshot.
    """

    def __init__(
        self, aggregate: Aggregate, live: LiveState, metrics: RunMetrics
    ) -> None:
        self._aggregate = aggregate
        self._live = live
        self._metrics = metrics
        self._marks: deque[tuple[int, dict[str, LaneMark]]] = deque()
        self._latencies: dict[str, deque[tuple[int, Histogram]]] = defaultdict(deque)
        self._connections: dict[str, dict[int, dict[str, int]]] = {
            lane.name: {} for lane in aggregate.lanes
        }
        self._cpu_mark: tuple[int, int] | None = None
        self.processes: dict[int, ProcessHealth] = defaultdict(ProcessHealth)
        self.skipped = 0
        self.stale_reads = 0
        self.replica_stale_reads = 0
        self.p99 = P99Log()
        self.activity = Activity()
        self.provider_events: deque[Event] = deque(maxlen=_KEPT_EVENTS)
        self.absent_reads: Counter[str] = Counter()
        self._away: deque[Interval] = deque(maxlen=_KEPT_EVENTS)
        self._slot_moves: deque[SlotMove] = deque(maxlen=_KEPT_EVENTS)

    # --- taking ------------------------------------------------------------------

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Take the health part of a snapshot."""
        health = self.processes[snapshot.process]
        if snapshot.seq == 1:
            health.cpu_before_ns += health.cpu_ns
        health.cpu_ns = snapshot.cpu_ns
        health.rss_bytes = snapshot.rss_bytes
        lags: array[int] = array("q")
        lags.frombytes(snapshot.lag_ns)
        health.max_lag_ns = max(health.max_lag_ns, max(lags, default=0))
        health.max_gc_ns = max(health.max_gc_ns, max(snapshot.gc_ns, default=0))
        process = str(snapshot.process)
        self._metrics.observe("loop_lag_seconds", process, values_ns=lags)
        self._metrics.observe("gc_pause_seconds", process, values_ns=snapshot.gc_ns)
        for lane in snapshot.lanes:
            self._add_lane(snapshot.process, lane, snapshot.taken_ns)

    def _add_lane(self, process: int, lane: LaneHealth, taken_ns: int) -> None:
        metrics, name = self._metrics, lane.lane
        self.activity.add_work(name, taken_ns, work_of(lane))
        self.activity.add_redirects(name, taken_ns, lane.redirects)
        self.absent_reads[name] += sum(lane.absent.values())
        self.skipped += lane.skipped
        self.stale_reads += sum(lane.stale.values())
        self.replica_stale_reads += sum(lane.replica_stale.values())
        self._connections[name][process] = lane.connections
        metrics.observe("connect_seconds", name, values_ns=lane.connect_ns)
        metrics.add("topology_refreshes_total", name, by=lane.refreshes)
        for metric, counts in (
            ("acknowledged_writes_total", lane.acknowledged),
            ("stale_reads_total", lane.stale),
            ("replica_stale_reads_total", lane.replica_stale),
            ("wrong_values_total", lane.wrong),
            ("absent_reads_total", lane.absent),
        ):
            for label, count in counts.items():
                metrics.add(metric, name, label, by=count)
        for metric, counts, by_shard in (
            ("redirects_total", lane.redirects, lane.redirects_by_shard),
            ("reconnects_total", lane.connects, lane.connects_by_shard),
        ):
            for (shard, label), count in _placed(counts, by_shard).items():
                metrics.add(metric, name, shard, label, by=count)

    def add_sealed(self, sealed: Sealed) -> None:
        """Take what was judged: the last seconds make the live view's quantiles."""
        self.p99.add(sealed.p99)
        load = [row for row in sealed.histograms if not row.op.is_apart]
        self.activity.add_seconds(sealed.seconds)
        self.activity.add_histograms(load)
        for row in load:
            latencies = self._latencies[row.lane]
            latencies.append((row.second, row.response))
            while latencies[0][0] < row.second - _WINDOW_S:
                latencies.popleft()

    def take_event(self, event: Event) -> None:
        """Keep what the provider told and what we saw of ourselves, for the verdict."""
        if event.source == "provider" and event.kind == "provider_event":
            self.provider_events.append(event)
        elif event.source == "run" and event.kind == "stall":
            duration_ms = event.fields["duration_ms"]
            assert isinstance(duration_ms, float)
            end_ns = event.mono_ns + round(duration_ms * NS_PER_MS)
            self._away.append((event.mono_ns, end_ns))
        elif event.source == "topology" and "gained" in event.fields:
            gained = event.fields["gained"]
            assert isinstance(gained, int)
            self._slot_moves.append(SlotMove(event.mono_ns, gained))

    @property
    def controller(self) -> ControllerLog:
        """Return what was seen of ourselves and of slots so far."""
        return ControllerLog(tuple(self._away), tuple(self._slot_moves))

    def show_topology(self, topology: Topology | None) -> None:
        """Take the topology that is known now."""
        if topology is None:
            return
        shards = topology.shards
        roles: dict[tuple[str, ...], float] = {}
        for shard in shards:
            roles["primary", shard.name, shard.primary.address] = 1
            for replica in shard.replicas:
                roles["replica", shard.name, replica.address] = 1
        self._metrics.replace("node_role", roles)
        self._metrics.show_shards(
            {
                shard.name: sum(last + 1 - first for first, last in shard.ranges)
                for shard in shards
            }
        )
        self._metrics.set("cluster_shards", value=len(shards))
        self._metrics.set("cluster_nodes", value=len(roles))

    # --- showing -----------------------------------------------------------------

    def refresh(self, now_ns: int) -> None:
        """Bring the live view and the gauges up to date."""
        self._mark()
        current = self._aggregate.current()
        self._live.lanes = [
            self._lane_state(lane.name, current) for lane in self._aggregate.lanes
        ]
        connections: dict[tuple[str, ...], float] = {}
        for lane in self._connections:
            for shard, count in self._connected(lane).items():
                connections[lane, shard] = count
        self._metrics.replace("connections", connections)
        self._live.observer = self._observer_state(now_ns)

    def _mark(self) -> None:
        """Remember the totals, so that rates are differences over the last seconds."""
        sealed_ns = self._aggregate.sealed_until_ns or 0
        totals = {lane.name: LaneMark() for lane in self._aggregate.lanes}
        for scope, counted in self._aggregate.scope_totals.items():
            if not scope.op.is_apart:
                totals[scope.lane].add(counted)
        marks = self._marks
        marks.append((sealed_ns, totals))
        while len(marks) > 2 and sealed_ns - marks[1][0] >= _WINDOW_S * NS_PER_S:
            marks.popleft()

    def _lane_state(self, name: str, current: dict[Scope, Outage]) -> LaneState:
        (then_ns, then), (now_ns, now) = self._marks[0], self._marks[-1]
        seconds = max(now_ns - then_ns, 1) / NS_PER_S
        before, after = then[name], now[name]
        response = _merged(histogram for _, histogram in self._latencies[name])
        dark: dict[str, int] = {}
        for scope, outage in current.items():
            if scope.lane == name and not scope.op.is_apart:
                since_ns = dark.get(scope.shard, outage.start_ns)
                dark[scope.shard] = min(since_ns, outage.start_ns)
        return LaneState(
            name,
            offered_per_s=(after.offered - before.offered) / seconds,
            served_per_s=(after.served - before.served) / seconds,
            errors_per_s={
                error.label: (count - before.classes[error]) / seconds
                for error, count in after.classes.items()
                if count > before.classes[error]
            },
            p50_ms=_quantile_ms(response, 0.5),
            p99_ms=_quantile_ms(response, 0.99),
            connections=sum(self._connected(name).values()),
            dark_since_ns=dark,
        )

    def _observer_state(self, now_ns: int) -> ObserverState:
        lane_totals = self._aggregate.lane_totals.values()
        cpu_ratio = self._live.observer.cpu_ratio
        cpu_ns = self.cpu_ns()
        if self._cpu_mark is None:
            self._cpu_mark = (now_ns, cpu_ns)
        elif now_ns - self._cpu_mark[0] >= NS_PER_S:
            cpu_ratio = (cpu_ns - self._cpu_mark[1]) / (now_ns - self._cpu_mark[0])
            self._cpu_mark = (now_ns, cpu_ns)
        return ObserverState(
            max_lag_ms=self.max_lag_ns() / NS_PER_MS,
            lateness_p99_ms=_quantile_ms(
                _merged(t.lateness for t in lane_totals), 0.99
            ),
            blind_ms=max((t.blind_ns for t in lane_totals), default=0) / NS_PER_MS,
            cpu_ratio=cpu_ratio,
        )

    def _connected(self, lane: str) -> Counter[str]:
        total: Counter[str] = Counter()
        for connections in self._connections[lane].values():
            total.update(connections)
        return total

    def max_lag_ns(self) -> int:
        """Return the worst loop lag of all probe processes."""
        return max((h.max_lag_ns for h in self.processes.values()), default=0)

    def cpu_ns(self) -> int:
        """Return the CPU time of all probe processes, over all restarts."""
        return sum(h.cpu_before_ns + h.cpu_ns for h in self.processes.values())


def work_of(lane: LaneHealth) -> Work:
    """Return what a lane did since the snapshot before."""
    return Work(
        attempts=lane.attempts,
        connects=sum(lane.connects.values()),
        refreshes=lane.refreshes,
        raised=lane.raised,
    )


def _placed(
    counts: Mapping[str, int], by_shard: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], int]:
    """Return counts by shard and label; of those without a shard it is "unknown"."""
    placed: Counter[tuple[str, str]] = Counter()
    rest = Counter(counts)
    for (shard, label), count in by_shard.items():
        if shard:
            placed[shard, label] += count
            rest[label] -= count
    for label, count in rest.items():
        if count:
            placed["unknown", label] += count
    return dict(placed)


def _merged(histograms: Iterable[Histogram]) -> Histogram:
    merged = Histogram()
    for histogram in histograms:
        merged.merge(histogram)
    return merged


def _quantile_ms(histogram: Histogram, q: float) -> float | None:
    value_ns = histogram.quantile(q)
    return None if value_ns is None else value_ns / NS_PER_MS
