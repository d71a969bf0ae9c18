"""Maintenance of the group while a run lasts: noticed, told, and shown.

Nothing is decided here: ``core.verdict.maintenance`` does.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair, wall_now_ns
from loadprobe.config.keys import Config
from loadprobe.control.provider.windows import next_start_unix_ns
from loadprobe.core.events import (
    Emit,
    Event,
    GroupStatusSeen,
    MaintenanceBegun,
    MaintenanceOver,
    UpdateSeen,
    WindowSeen,
)
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.results import Sealed
from loadprobe.core.verdict.beside import Planned, is_planned
from loadprobe.core.verdict.maintenance import MaintenanceTracker
from loadprobe.core.verdict.plan_edges import cut_at_plan
from loadprobe.outputs.http.api_documents import (
    MaintenanceNow,
    MaintenanceRow,
    UpdateRow,
)

_QUIET_POLLS = 10
"""It is over when no sign came in so many polls, and in the quiet time of incidents."""


class MaintenanceMetrics(Protocol):
    """Where it is shown; see ``outputs.metrics.run_metrics``."""

    def set(self, metric: str, *labels: str, value: float) -> None:
        """Set one series of a gauge."""
        ...

    def replace(self, metric: str, series: dict[tuple[str, ...], float]) -> None:
        """Set all series of a gauge."""
        ...

    def add(self, metric: str, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        ...


class Maintaining:
    """A sink that notices maintenance (see the module); idle without ``[control]``.

    Args:
        config: what is run.
        aggregate: the judged arrivals.
        clock: to show monotonic times as UNIX times.
        metrics: where it is shown.
        emit: puts its begin and end into the journal.
        planned: returns the darkness that was planned so far.
    """

    def __init__(
        self,
        config: Config,
        aggregate: Aggregate,
        clock: ClockPair,
        metrics: MaintenanceMetrics,
        *,
        emit: Emit,
        planned: Callable[[], Sequence[Planned]],
    ) -> None:
        self._aggregate = aggregate
        self._clock = clock
        self._metrics = metrics
        self._planned = planned
        self._emit = emit
        self._decided: list[Event] = []
        self._window = ""
        self._updates: dict[str, UpdateSeen] = {}
        self._tracker: MaintenanceTracker | None = None
        if config.control is not None:
            quiet_s = _QUIET_POLLS * config.control.poll_s
            self._tracker = MaintenanceTracker(
                clock,
                quiet_ns=max(
                    config.probe.quiet_ms * NS_PER_MS, round(quiet_s * NS_PER_S)
                ),
                lanes=[lane.name for lane in config.lanes],
                emit=self._decided.append,
            )
            metrics.set("maintenance_active", value=0)
            metrics.add("maintenances_total", by=0)

    def go_on(self, events: Iterable[Event]) -> None:
        """Go on with what was noticed by the process before."""
        if self._tracker is not None:
            known = self._load(self._aggregate.outages, self._planned())
            self._tracker.go_on(events, known)
            self._metrics.set("maintenance_active", value=float(self.is_active))

    @property
    def is_active(self) -> bool:
        """Tell whether something is being done to the group."""
        return self._tracker is not None and self._tracker.current is not None

    def take_event(self, event: Event) -> None:
        """Take what was seen."""
        if self._tracker is None:
            return
        match event:
            case MaintenanceBegun():
                self._metrics.set("maintenance_active", value=1)
            case MaintenanceOver():
                self._metrics.set("maintenance_active", value=0)
                self._metrics.add("maintenances_total")
            case WindowSeen():
                self._window = event.window
                self._show_window()
            case GroupStatusSeen(status="absent"):
                self._updates.clear()
                self._metrics.replace("maintenance_update_actions", {})
                self._tracker.take_event(event)
            case UpdateSeen():
                self._updates[event.name] = event
                counted = Counter((row.status,) for row in self._updates.values())
                series: dict[tuple[str, ...], float] = dict(counted.items())
                self._metrics.replace("maintenance_update_actions", series)
                self._tracker.take_event(event)
            case _:
                self._tracker.take_event(event)

    def take_sealed(self, sealed: Sealed) -> None:
        """Take outages, and notice what is over."""
        if self._tracker is None:
            return
        if sealed.closed or self.is_active:
            planned = self._planned()
            self._tracker.take_outages(
                self._load(sealed.closed, planned),
                self._load(self._aggregate.current().values(), planned),
                until_ns=sealed.until_ns,
            )
        # Told here, so that everybody hears of the sign before.
        decided, self._decided[:] = self._decided[:], []
        for event in decided:
            self._emit(event)

    def status(self) -> MaintenanceNow:
        """Return what the API answers."""
        self._show_window()
        tracker = self._tracker
        current = tracker.current if tracker is not None else None
        rows = []
        if tracker is not None:
            rows = [
                MaintenanceRow(
                    number=over.number,
                    reason=over.reason,
                    start_unix_ns=over.start_unix_ns,
                    end_unix_ns=over.end_unix_ns,
                    outages=over.outages,
                    verdict=over.verdict,
                )
                for over in tracker.past
            ]
        if current is not None:
            start_ns = self._clock.to_wall(current.start_ns)
            rows.append(
                MaintenanceRow(current.number, current.reason, start_ns, None, None, "")
            )
        return MaintenanceNow(
            window=self._window or None,
            next_window_unix_ns=next_start_unix_ns(self._window, wall_now_ns()),
            updates=[
                UpdateRow(row.name, row.severity, row.status, row.apply_by_unix_ns)
                for row in self._updates.values()
            ],
            maintenances=rows,
        )

    def _show_window(self) -> None:
        start_ns = next_start_unix_ns(self._window, wall_now_ns())
        if start_ns is not None:
            name = "maintenance_window_start_timestamp_seconds"
            self._metrics.set(name, value=start_ns / NS_PER_S)

    def _load(
        self, outages: Iterable[Outage], planned: Sequence[Planned]
    ) -> list[Outage]:
        """Return outages of the load, without what was by plan."""
        return [
            part
            for outage in outages
            if not outage.scope.op.is_apart
            for part in cut_at_plan([outage], planned)
            if not is_planned(part, planned)
        ]
