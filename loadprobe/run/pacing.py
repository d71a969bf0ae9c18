"""At which rate the lanes go: quiet or high, and less where something suffers.

What is going on is told by events and seals; ``core.load.alert`` and
``core.load.restraint`` decide. Whatever changes is an event, and shown as a metric.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from loadprobe.clock import NS_PER_S
from loadprobe.config.keys import Lane
from loadprobe.config.load import Load
from loadprobe.core.events import (
    Emit,
    EndpointMoved,
    Event,
    GroupStatusSeen,
    LoadRestrained,
    MaintenanceBegun,
    MaintenanceOver,
    MarkMade,
    NodeRemoved,
    ProviderTold,
    RoleChanged,
    ShardAdded,
    ShardRemoved,
    SlotsMoved,
    StepBegun,
    StepEnded,
    UpdateSeen,
)
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.results import Sealed
from loadprobe.core.load.alert import Alert, AlertReason
from loadprobe.core.load.restraint import Restraint
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.probe.rates import LaneRates
from loadprobe.run.straining import Straining

QUIET = "quiet"
_LOOK_NS = NS_PER_S


class ChangesRates(Protocol):
    """The probes, as far as their rates go; see ``Measurement``."""

    rates: LaneRates

    def change_rate(
        self, lane: str, to_per_s: float, *, reason: str, ramp_s: float = 0.0
    ) -> None:
        """Let a lane that has begun have another rate."""


class Pacing:
    """Decides on the rates of a run, and has them changed.

    Args:
        lanes: of the run.
        load: when rates change.
        probes: change them.
        straining: what suffers.
        metrics: show them.
        emit: takes events.
        now_ns: monotonic clock.
    """

    def __init__(
        self,
        lanes: Iterable[Lane],
        load: Load,
        probes: ChangesRates,
        *,
        straining: Straining,
        metrics: RunMetrics,
        emit: Emit,
        now_ns: Callable[[], int],
    ) -> None:
        self._probes = probes
        self._straining = straining
        self._metrics = metrics
        self._emit = emit
        self._now_ns = now_ns
        self._alert = Alert(
            quiet_ns=round(load.quiet_s * NS_PER_S),
            longest_ns=round(load.longest_s * NS_PER_S),
        )
        self._restraint = Restraint()
        self._restrained_ns = 0
        self.use(lanes, load)

    def use(self, lanes: Iterable[Lane], load: Load) -> None:
        """Go by other rates and ceilings from the next look on (a reload)."""
        self._load = load
        self._straining.load = load
        self._lanes = {lane.name: lane for lane in lanes}
        self._alert.use(
            quiet_ns=round(load.quiet_s * NS_PER_S),
            longest_ns=round(load.longest_s * NS_PER_S),
        )

    @property
    def load(self) -> Load:
        """Return what it goes by."""
        return self._load

    @property
    def problem(self) -> str | None:
        """Return what the operator should know of it now."""
        share = self._restraint.share
        if share == 1:
            return None
        why = ", ".join(sorted(self._restraint.strains))
        return f"the load is at {share:.1%} of its rate to spare others ({why})"

    # --- what goes on ----------------------------------------------------------------

    def go_on(self, outages: Iterable[Outage], events: Iterable[Event]) -> None:
        """Take what went on when the process before this one was gone.

        Args:
            outages: those that had not ended.
            events: what happened beside the load, by time.
        """
        for outage in outages:
            if not outage.scope.op.is_apart and outage.scope.lane in self._lanes:
                name, since_ns = _name(outage.scope), outage.first_due_ns
                self._alert.begin(AlertReason.OUTAGE, name, since_ns)
        for event in events:
            if isinstance(event, MaintenanceBegun | MaintenanceOver):
                self._take_maintenance(event, event.mono_ns)

    def take_event(self, event: Event) -> None:
        """Take what happens beside the load."""
        match event:
            case (
                RoleChanged()
                | SlotsMoved()
                | ShardAdded()
                | ShardRemoved()
                | NodeRemoved()
                | EndpointMoved()
            ):
                self._alert.touch(AlertReason.ROLE_CHANGE, self._now_ns())
            case MarkMade():
                self._alert.touch(AlertReason.MARK, self._now_ns())
            case ProviderTold() | UpdateSeen() | GroupStatusSeen():
                self._alert.touch(AlertReason.MAINTENANCE, self._now_ns())
            case MaintenanceBegun() | MaintenanceOver():
                self._take_maintenance(event, self._now_ns())
            case StepBegun():
                self._alert.begin(AlertReason.STEP, event.step, self._now_ns())
            case StepEnded():
                self._alert.end(AlertReason.STEP, event.step, self._now_ns())

    def _take_maintenance(
        self, event: MaintenanceBegun | MaintenanceOver, at_ns: int
    ) -> None:
        is_begun = isinstance(event, MaintenanceBegun)
        take = self._alert.begin if is_begun else self._alert.end
        take(AlertReason.MAINTENANCE, str(event.number), at_ns)

    def take_sealed(self, sealed: Sealed) -> None:
        """Take the outages that opened and ended."""
        self._straining.take_sealed(sealed)
        now_ns = self._now_ns()
        for outage in sealed.opened:
            if not outage.scope.op.is_apart:
                self._alert.begin(AlertReason.OUTAGE, _name(outage.scope), now_ns)
        for outage in sealed.closed:
            if not outage.scope.op.is_apart:  # a short one was never open
                self._alert.begin(AlertReason.OUTAGE, _name(outage.scope), now_ns)
                self._alert.end(AlertReason.OUTAGE, _name(outage.scope), now_ns)

    # --- what is done about it -----------------------------------------------------

    def look(self) -> None:
        """Change what has to be changed; call it several times a second."""
        now_ns = self._now_ns()
        alert = self._alert.reason(now_ns)
        reason = QUIET if alert is None else alert.value
        if now_ns - self._restrained_ns >= _LOOK_NS:
            self._restrained_ns = now_ns
            if self._restraint.take(self._straining.now(now_ns), now_ns):
                reason = self._tell_restraint(now_ns)
        rates = self._probes.rates
        for name in rates.begun:
            lane = self._lanes[name]
            rate_per_s = lane.rate_per_s
            if alert is not None and lane.incident_rate_per_s is not None:
                rate_per_s = lane.incident_rate_per_s
            rate_per_s *= self._restraint.share
            if rate_per_s != rates.target_per_s(name):
                self._probes.change_rate(
                    name, rate_per_s, reason=reason, ramp_s=self._load.ramp_s
                )
            self._metrics.set(
                "lane_rate_per_second", name, value=rates.rate_per_s(name, now_ns)
            )
        self._metrics.set("load_share", value=self._restraint.share)

    def _tell_restraint(self, now_ns: int) -> str:
        """Say that the share has changed; return the reason for the rates."""
        restraint = self._restraint
        strains = tuple(sorted(strain.value for strain in restraint.strains))
        self._emit(LoadRestrained(now_ns, restraint.share, strains))
        return "strain" if restraint.share < 1 else "strain_over"


def _name(scope: Scope) -> str:
    return f"{scope.lane}/{scope.shard}/{scope.op}"
