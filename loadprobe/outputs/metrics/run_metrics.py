"""The metrics of one run: what the judgement knows, and what else was counted.

Judged arrivals are read from the ``Aggregate`` at every scrape and kept nowhere else.
Everything beside them (health, topology, phases) is counted here as it is reported.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from loadprobe import __version__
from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.core.events import (
    Event,
    MarkMade,
    NodeAdded,
    NodeReached,
    NodeRemoved,
    NodeUnreached,
    PhaseEntered,
    ProviderTold,
    RoleChanged,
    TunnelBroken,
    TunnelOpened,
    TunnelStalled,
)
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.ms_log import MsWindow
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.plan_edges import parts_by_plan, planned_certain_ns
from loadprobe.outputs.metrics.snapshot import Labels, MetricsSnapshot

_MS_PER_S = 1000
_OUTCOMES = tuple(outcome.label for outcome in Outcome)
_CLASSES = {error: error.label for error in ErrorClass}
_ROLE_CHANGES = {
    RoleChanged: "promoted",
    NodeAdded: "joined",
    NodeRemoved: "left",
}
_PER_SHARD = (
    "acknowledged_writes_total",
    "lost_writes_total",
    "stale_reads_total",
    "wrong_values_total",
    "absent_reads_total",
)


class Value(NamedTuple):
    """One counter or gauge series: its metric (no prefix), label values and value."""

    metric: str
    labels: Labels
    value: float


class Distribution(NamedTuple):
    """One histogram series: its metric (no prefix), label values and histogram."""

    metric: str
    labels: Labels
    histogram: Histogram


class RunMetrics:
    """A ``MetricsSource`` (see ``outputs.metrics.snapshot``) for one run.

    Args:
        cluster: name of the target, the label of every series; another may follow.
        aggregate: the judgement, read at every scrape.
        clock: to give outages and phases their UNIX time.
        window: what the page of single milliseconds shows.
        planned: returns the darkness that was planned so far.

    Attributes:
        before_scrape: called before values are read: what is shown to others must not
            be lost with the process, or a counter would go back.
    """

    def __init__(
        self,
        cluster: str,
        *,
        aggregate: Aggregate,
        clock: ClockPair,
        window: MsWindow | None = None,
        planned: Callable[[], Sequence[Planned]] = tuple,
    ) -> None:
        self.cluster = cluster
        self._aggregate = aggregate
        self._clock = clock
        self._window = window
        self._planned = planned
        self._unreached: set[str] = set()
        self._planned_ns: Counter[Scope] = Counter()
        self._last_unplanned: dict[Scope, Outage] = {}
        self._dark_ms: dict[Scope, int] = {}
        self._planned_ms: dict[Scope, int] = {}
        self._unseen_ms: dict[Scope, int] = {}
        self._lateness_before: dict[str, Histogram] = {}
        self.before_scrape: Callable[[], None] = lambda: None
        self._values: dict[str, dict[Labels, float]] = {}
        self._counted: dict[tuple[str, ...], tuple[float, float]] = {}
        self._histograms: dict[str, dict[Labels, Histogram]] = {}
        self.set("build_info", __version__, value=1)

    # what the supervisor reports; labels are in the order of the catalogue

    def add(self, metric: str, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        series = self._values.setdefault(metric, {})
        series[labels] = series.get(labels, 0) + by

    def set(self, metric: str, *labels: str, value: float) -> None:
        """Set one series of a gauge, or of what is counted elsewhere.

        Who counts may begin anew, as a process or a receiver does: a counter goes on.
        """
        if metric.endswith("_total"):
            before, latest = self._counted.get((metric, *labels), (0.0, 0.0))
            if value < latest:
                before += latest
            self._counted[metric, *labels] = before, value
            value += before
        self._values.setdefault(metric, {})[labels] = value

    def replace(self, metric: str, series: Mapping[Labels, float]) -> None:
        """Set all series of a gauge; those that are not given disappear."""
        self._values[metric] = dict(series)

    @property
    def series_count(self) -> int:
        """Return how many series are counted here."""
        histograms = sum(len(series) for series in self._histograms.values())
        return histograms + sum(len(series) for series in self._values.values())

    def observe(self, metric: str, *labels: str, values_ns: Iterable[int]) -> None:
        """Add lengths of time to a histogram."""
        series = self._histograms.setdefault(metric, {})
        if labels not in series:
            series[labels] = Histogram()
        series[labels].record_many(values_ns)

    @property
    def counters(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """Yield the counters that are kept here alone: (metric, *labels), value."""
        for metric, series in self._values.items():
            if metric.endswith("_total"):
                for labels, value in series.items():
                    yield (metric, *labels), value

    def go_on(
        self,
        counters: Mapping[tuple[str, ...], float],
        dark_ns: Mapping[Scope, tuple[int, int]],
    ) -> None:
        """Go on counting where the process before ended.

        What the judgement counts goes on with it. Lateness shown is that of this
        process, as all lengths of time that are kept here.

        Args:
            counters: see ``counters``.
            dark_ns: by scope, how long outages were, and how long nobody saw them.
        """
        for (metric, *labels), value in counters.items():
            self._values.setdefault(metric, {})[tuple(labels)] = value
            self._counted[metric, *labels] = value, 0.0
        for scope, (outage_ns, unseen_ns) in dark_ns.items():
            self._dark_ms[scope] = outage_ns // NS_PER_MS
            self._unseen_ms[scope] = unseen_ns // NS_PER_MS
        self._lateness_before = {
            lane: totals.lateness.copy()
            for lane, totals in self._aggregate.lane_totals.items()
        }
        self.take_ended(self._aggregate.outages)

    def take_ended(self, ended: Iterable[Outage]) -> None:
        """Take outages that ended as soon as they did: what of them was by plan."""
        planned = self._planned()
        for outage in ended:
            by_plan, others = parts_by_plan(outage, planned)
            self._planned_ns[outage.scope] += sum(part.seen_ns for part in by_plan)
            if others:
                self._last_unplanned[outage.scope] = others[-1]

    def count_outage(
        self, outage: Outage, *, cause: str, counted: Outage | None = None
    ) -> None:
        """Count an outage that ended, with what it was attributed to.

        Args:
            outage: as it is known now.
            cause: its cause.
            counted: as it was counted before, when only the load ended.
        """
        labels = (*_labels(outage.scope), cause)
        before_ns = 0 if counted is None else counted.seen_ns
        more_ns = max(0, outage.seen_ns - before_ns)
        self.add("outages_total", *labels, by=int(counted is None))
        self.add("outage_seconds_total", *labels, by=more_ns / NS_PER_S)
        self.observe(
            "outage_duration_seconds",
            *(outage.scope.lane, outage.scope.op.label),
            values_ns=[outage.duration_ns],
        )

    def show_shards(self, slots: Mapping[str, int]) -> None:
        """Show how many slots each shard has; what is counted begins at zero."""
        self.replace("cluster_slots", {(s,): n for s, n in slots.items()})
        for shard in slots:
            for lane in self._aggregate.lanes:
                for metric in _PER_SHARD:
                    self.add(metric, lane.name, shard, by=0)
                for kind in ("moved", "ask"):
                    self.add("redirects_total", lane.name, shard, kind, by=0)
            for kind in _ROLE_CHANGES.values():
                self.add("role_changes_total", shard, kind, by=0)

    def begin_reach(self, *, by_tunnel: bool) -> None:
        """Show the way to the nodes, which is well so far."""
        self.set("unreached_nodes", value=0)
        if by_tunnel:
            self.set("tunnel_up", value=1)
            self.add("tunnel_breaks_total", by=0)
            self.add("tunnel_stalls_total", by=0)

    def take_event(self, event: Event) -> None:
        """Show a phase, an event of the provider, a change of roles or a mark."""
        match event:
            case RoleChanged() | NodeAdded() | NodeRemoved():
                change = _ROLE_CHANGES[type(event)]
                self.add("role_changes_total", event.shard, change)
            case PhaseEntered():
                self._enter_phase(event)
            case NodeUnreached():
                self._unreached.add(event.node)
                self.set("unreached_nodes", value=len(self._unreached))
            case NodeReached():
                self._unreached.discard(event.node)
                self.set("unreached_nodes", value=len(self._unreached))
            case TunnelOpened():
                self.set("tunnel_up", value=1)
            case TunnelBroken():
                self.set("tunnel_up", value=0)
                self.add("tunnel_breaks_total")
            case TunnelStalled():
                self.add("tunnel_stalls_total")
            case ProviderTold():
                self.set(
                    "provider_event_timestamp_seconds",
                    event.meaning,
                    value=event.date_unix_ns / NS_PER_S,
                )
            case MarkMade():
                self.set("mark_timestamp_seconds", value=self._unix_s(event.mono_ns))

    def _enter_phase(self, event: PhaseEntered) -> None:
        operation, phase = event.operation, event.details.phase
        phases = self._values.setdefault("controller_phase", {})
        for labels in phases:
            if labels[0] == operation:
                phases[labels] = 0
        phases[operation, phase] = 1
        self.set(
            "controller_phase_start_timestamp_seconds",
            operation,
            phase,
            value=self._unix_s(event.mono_ns),
        )

    # what a scrape reads

    def snapshot(self) -> MetricsSnapshot:
        """Return all series of this moment."""
        if self._window is not None:
            self.set("cells_dropped_total", value=self._window.dropped)
        self.before_scrape()
        values = {metric: series.copy() for metric, series in self._values.items()}
        for metric, labels, value in self._judged_values():
            values.setdefault(metric, {})[labels] = value
        histograms: dict[str, dict[Labels, Histogram]] = {}
        for metric, labels, histogram in self._distributions():
            histograms.setdefault(metric, {})[labels] = histogram.copy()
        return MetricsSnapshot(self.cluster, values, histograms)

    def _judged_values(self) -> Iterator[Value]:
        """Yield the counters and gauges that are kept nowhere else."""
        current = self._aggregate.current()
        planned = self._planned()
        classes: dict[tuple[str, str, str], int] = {}
        for scope, totals in self._aggregate.scope_totals.items():
            blind_ns = self._aggregate.lane_totals[scope.lane].blind_ns
            yield from _scope_values(scope, totals, blind_ns)
            outage = current.get(scope)
            yield from self._dark_values(scope, totals, outage, planned)
            yield from self._outage_values(scope, outage, planned)
            if scope.op.is_apart:
                continue
            for error, count in totals.classes.items():
                place = (scope.lane, scope.shard, _CLASSES[error])
                classes[place] = classes.get(place, 0) + count
        for place, count in classes.items():
            yield Value("operation_errors_total", place, count)

    def _distributions(self) -> Iterator[Distribution]:
        """Yield all histograms, which go on changing."""
        for metric, series in self._histograms.items():
            for labels, histogram in series.items():
                yield Distribution(metric, labels, histogram)
        for lane, totals in self._aggregate.lane_totals.items():
            for op, histogram in totals.response.items():
                yield Distribution("response_seconds", (lane, op.label), histogram)
            for op, histogram in totals.service.items():
                yield Distribution("service_seconds", (lane, op.label), histogram)
            lateness = totals.lateness
            if (before := self._lateness_before.get(lane)) is not None:
                lateness = lateness.since(before)
            yield Distribution("schedule_lateness_seconds", (lane,), lateness)
        for (shard, op), histogram in self._aggregate.shard_response.items():
            labels = shard, op.label
            yield Distribution("shard_response_seconds", labels, histogram)
        errors: dict[str, Histogram] = {}
        for scope, scope_totals in self._aggregate.scope_totals.items():
            if not scope.op.is_apart:
                merged = errors.setdefault(scope.shard, Histogram())
                merged.merge(scope_totals.errors_per_ms)
        for shard, histogram in errors.items():
            yield Distribution("millisecond_errors", (shard,), histogram)

    def _dark_values(
        self,
        scope: Scope,
        totals: ScopeTotals,
        current: Outage | None,
        planned: Sequence[Planned],
    ) -> Iterator[Value]:
        """Yield the dark time, its planned part and what was not seen, in whole ms.

        The estimate of an open outage may shrink when its end is known, what is certain
        of it hardly ever; a counter never does. All three are read from the same
        outages, so that the planned part is never ahead of the whole.
        """
        dark_ns, unseen_ns = totals.outage_ns, totals.outage_unseen_ns
        planned_ns = self._planned_ns[scope]
        if current is not None:
            dark_ns += current.lower_ns
            unseen_ns += current.unseen_ns
            planned_ns += planned_certain_ns(current, planned)
        dark_ms = dark_ns // NS_PER_MS
        # What is left of the whole must not change by a rounded millisecond while only
        # the planned part grows: it would be shown as darkness.
        planned_ms = dark_ms - (dark_ns - planned_ns) // NS_PER_MS
        for metric, known_ms, time_ms in (
            ("dark_time_seconds_total", self._dark_ms, dark_ms),
            ("planned_dark_seconds_total", self._planned_ms, planned_ms),
            ("unseen_time_seconds_total", self._unseen_ms, unseen_ns // NS_PER_MS),
        ):
            yield Value(metric, _labels(scope), _grown(known_ms, scope, time_ms))

    def _outage_values(
        self, scope: Scope, current: Outage | None, planned: Sequence[Planned]
    ) -> Iterator[Value]:
        labels = _labels(scope)
        length_ns = planned_ns = 0
        ended = latest = self._last_unplanned.get(scope)
        if current is not None:
            length_ns = current.duration_ns
            by_plan, others = parts_by_plan(current, planned)
            planned_ns = sum(part.duration_ns for part in by_plan)
            latest = others[-1] if others else ended
        yield Value("outage_active", labels, 0 if current is None else 1)
        yield Value("outage_current_seconds", labels, length_ns / NS_PER_S)
        yield Value("outage_current_planned_seconds", labels, planned_ns / NS_PER_S)
        if latest is not None:
            start_s = self._unix_s(latest.start_ns)
            yield Value("outage_last_start_timestamp_seconds", labels, start_s)
        if ended is not None:
            end_s = self._unix_s(ended.end_ns)
            yield Value("outage_last_end_timestamp_seconds", labels, end_s)

    def _unix_s(self, mono_ns: int) -> float:
        return self._clock.to_wall(mono_ns) / NS_PER_S


def _grown(known_ms: dict[Scope, int], scope: Scope, now_ms: int) -> float:
    """Return a time in s that is not less than it was, and remember it."""
    time_ms = known_ms[scope] = max(now_ms, known_ms.get(scope, 0))
    return time_ms / _MS_PER_S


def _labels(scope: Scope) -> tuple[str, str, str]:
    return scope.lane, scope.shard, scope.op.label


def _scope_values(scope: Scope, totals: ScopeTotals, blind_ns: int) -> Iterator[Value]:
    labels = _labels(scope)
    for outcome, count in zip(_OUTCOMES, totals.counts, strict=True):
        yield Value("operations_total", (*labels, outcome), count)
    observed_ms = totals.observed_ns // NS_PER_MS
    yield Value("observed_time_seconds_total", labels, observed_ms / _MS_PER_S)
    yield Value("grey_time_seconds_total", labels, totals.grey_ms / _MS_PER_S)
    blind_ms = blind_ns // NS_PER_MS
    yield Value("blind_time_seconds_total", labels, blind_ms / _MS_PER_S)
