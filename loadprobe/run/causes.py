"""What a run says of its outages: causes for the metrics meanwhile, then the verdict.

Nothing is decided here: rules are in ``core.verdict``. This gathers what they need to
know.
"""

from collections import deque
from collections.abc import Callable, Sequence

from loadprobe.clock import NS_PER_MS, ClockPair, mono_now_ns
from loadprobe.config.keys import Config
from loadprobe.control.scenario.keys import Expect
from loadprobe.core.judging.aggregate import KEPT_OUTAGES, Aggregate, Results, Sealed
from loadprobe.core.judging.outages import Outage
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.verdict.attribution import Attribution
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.blame import Watched, find_causes
from loadprobe.core.verdict.expected import Expected
from loadprobe.core.verdict.plan_edges import cut_at_plan
from loadprobe.core.verdict.thresholds import SloLimits
from loadprobe.core.verdict.verdict import ObserverHealth, Verdict, summarize
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.run.health import Health


class OutageCounter:
    """Counts ended outages by cause, each once what went on beside it is known.

    Args:
        aggregate: the judged arrivals.
        metrics: where outages are counted.
        quiet_ns: an outage is looked at when this much time after it was judged.
        planned: returns the darkness that was planned so far.
    """

    def __init__(
        self,
        aggregate: Aggregate,
        metrics: RunMetrics,
        *,
        quiet_ns: int,
        planned: Callable[[], Sequence[Planned]] = tuple,
    ) -> None:
        self._aggregate = aggregate
        self._metrics = metrics
        self._quiet_ns = quiet_ns
        self._planned = planned
        self._waiting: list[Outage] = []
        self._settled: deque[tuple[Outage, Attribution]] = deque(maxlen=KEPT_OUTAGES)

    def take_sealed(self, sealed: Sealed) -> None:
        """Take outages that ended, and count those that are settled by now."""
        self._waiting += sealed.closed
        self._metrics.take_ended(sealed.closed)
        self.count(sealed.until_ns)

    def count(self, until_ns: int | None) -> None:
        """Count outages once everything that went on beside them is known.

        Those that are planned in part are counted in parts, as in the verdict.

        Args:
            until_ns: everything due before has been judged; None is the end.
        """
        settled = [
            outage
            for outage in self._waiting
            if until_ns is None or outage.hull_end_ns + self._quiet_ns < until_ns
        ]
        if not settled:
            return
        found = self._attribute(settled, until_ns)
        for outage, attribution in found:
            self._waiting.remove(outage)
            self._settled.append((outage, attribution))
        parts = cut_at_plan(settled, self._planned())
        if parts != settled:
            found = self._attribute(parts, until_ns)
        for part, attribution in found:
            self._metrics.count_outage(part, cause=attribution.cause.value)

    def so_far(self) -> list[tuple[Outage, Attribution]]:
        """Return the latest outages, also open ones, and what causes them as of now."""
        undecided = [*self._waiting, *self._aggregate.current().values()]
        return [*self._settled, *self._attribute(undecided, None)]

    def _attribute(
        self, outages: Sequence[Outage], until_ns: int | None
    ) -> list[tuple[Outage, Attribution]]:
        """Return outages with their causes, from all that is known by now."""
        aggregate = self._aggregate
        watched = Watched(
            aggregate.lanes,
            aggregate.lane_totals,
            list(aggregate.scope_totals),
            until_ns or mono_now_ns(),
        )
        return find_causes(
            outages,
            watched,
            beside=[*aggregate.outages, *aggregate.current().values()],
            planned=self._planned(),
        )


def judge(
    results: Results,
    *,
    config: Config,
    clock: ClockPair,
    health: Health,
    lost_writes: int | None,
    planned: Sequence[Planned] = (),
    scenario: ScenarioRecord | None = None,
    expect: Expect | None = None,
    problems: int = 0,
) -> Verdict:
    """Return the verdict of a run.

    Args:
        results: what ``Aggregate.finish`` returned.
        config: what was measured and how.
        clock: to show monotonic times as wall times.
        health: the health of the probe processes over the whole run.
        lost_writes: acknowledged writes that are gone; None if not all were checked.
        planned: expected darkness.
        scenario: how the scenario was carried out, if there was one.
        expect: what it expects of the load, besides ``planned``.
        problems: how many things went wrong in the run itself.
    """
    slo = config.slo
    processes = health.processes.values()
    stall_ns = config.probe.stall_ms * NS_PER_MS
    late = sum(
        totals.lateness.count - totals.lateness.cumulative([stall_ns])[0]
        for totals in results.lane_totals.values()
    )
    return summarize(
        results,
        clock=clock,
        quiet_ns=config.probe.quiet_ms * NS_PER_MS,
        observer=ObserverHealth(
            max_loop_lag_ns=health.max_lag_ns(),
            max_gc_pause_ns=max((h.max_gc_ns for h in processes), default=0),
            late_sends=late,
            skipped=health.skipped,
            cpu_ns=health.cpu_ns(),
        ),
        slo=SloLimits(slo.max_outage_ms, slo.availability, slo.p99_ms),
        planned=planned,
        stale_reads=health.stale_reads,
        replica_stale_reads=health.replica_stale_reads,
        lost_writes=lost_writes,
        scenario=scenario,
        expected=Expected() if expect is None else _expected(expect),
        p99=health.p99,
        events=health.provider_events,
        controller=health.controller,
        absent_reads=health.absent_reads,
        activity=health.activity,
        problems=problems,
    )


def _expected(expect: Expect) -> Expected:
    lost = expect.max_lost_writes
    return Expected(
        max_lost_writes=lost if isinstance(lost, int) else None,
        max_wrong=expect.max_wrong,
    )
