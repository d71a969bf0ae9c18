"""How a run is doing now: rates, quantiles and dark shards of the last seconds."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.judging.results import Sealed
from loadprobe.outputs.live.terminal import LaneState, ObserverState
from loadprobe.run.health import Health
from loadprobe.run.health_metrics import HealthMetrics

_WINDOW_S = 3


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


class LiveFigures:
    """Works out what the live view and the API show.

    Args:
        aggregate: the judged arrivals.
        health: how the probes are doing.
        connections: who knows how many there are.
    """

    def __init__(
        self, aggregate: Aggregate, health: Health, connections: HealthMetrics
    ) -> None:
        self._aggregate = aggregate
        self._health = health
        self._connections = connections
        self._marks: deque[tuple[int, dict[str, LaneMark]]] = deque()
        self._latencies: dict[str, deque[tuple[int, Histogram]]] = defaultdict(deque)
        self._cpu_mark: tuple[int, int] | None = None
        self._cpu_ratio = 0.0

    def take_sealed(self, sealed: Sealed) -> None:
        """Take what was judged: the last seconds make the quantiles."""
        for row in sealed.histograms:
            if row.op.is_apart:
                continue
            latencies = self._latencies[row.lane]
            latencies.append((row.second, row.response))
            while latencies[0][0] < row.second - _WINDOW_S:
                latencies.popleft()

    def lanes(self) -> list[LaneState]:
        """Return how the lanes are doing, in the order of the configuration."""
        self._mark()
        current = self._aggregate.current()
        lanes = [lane for lane in self._aggregate.lanes if lane.processes]
        return [self._lane_state(lane.name, current) for lane in lanes]

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
            connections=self._connections.connected(name).total(),
            dark_since_ns=dark,
        )

    def observer(self, now_ns: int) -> ObserverState:
        """Return how the probes are doing."""
        lane_totals = self._aggregate.lane_totals.values()
        cpu_ns = self._health.cpu_ns()
        if self._cpu_mark is None:
            self._cpu_mark = (now_ns, cpu_ns)
        elif now_ns - self._cpu_mark[0] >= NS_PER_S:
            then_ns, before_ns = self._cpu_mark
            self._cpu_ratio = (cpu_ns - before_ns) / (now_ns - then_ns)
            self._cpu_mark = (now_ns, cpu_ns)
        return ObserverState(
            max_lag_ms=self._health.max_lag_ns() / NS_PER_MS,
            lateness_p99_ms=_quantile_ms(
                _merged(t.lateness for t in lane_totals), 0.99
            ),
            blind_ms=max((t.blind_ns for t in lane_totals), default=0) / NS_PER_MS,
            cpu_ratio=self._cpu_ratio,
        )


def _merged(histograms: Iterable[Histogram]) -> Histogram:
    merged = Histogram()
    for histogram in histograms:
        merged.merge(histogram)
    return merged


def _quantile_ms(histogram: Histogram, q: float) -> float | None:
    value_ns = histogram.quantile(q)
    return None if value_ns is None else value_ns / NS_PER_MS
