"""What a run says of its outages: causes for the metrics meanwhile, then the verdict.

Nothing is decided here: rules are in ``core.verdict``. This gathers what they need to
know.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from loadprobe.clock import NS_PER_MS, ClockPair, mono_now_ns
from loadprobe.config.keys import Config
from loadprobe.control.scenario.keys import Expect
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import KEPT_OUTAGES, Outage
from loadprobe.core.judging.results import Results, Sealed
from loadprobe.core.verdict.beside import Blocked, Planned
from loadprobe.core.verdict.blame import Blamed, Watched, blame
from loadprobe.core.verdict.expected import Expected
from loadprobe.core.verdict.measured import Changes, Measured
from loadprobe.core.verdict.thresholds import SloLimits
from loadprobe.core.verdict.verdict import Verdict, summarize
from loadprobe.outputs.folder.sealed_lines import Rules
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.run.health import Health


class OutageCounter:
    """Counts ended outages by cause, each once what went on beside it is known.

    Args:
        aggregate: the judged arrivals.
        metrics: where outages are counted.
        quiet_ns: an outage is looked at when this much time after it was judged.
        planned: returns the darkness that was planned so far.
        blocked: returns when the way to the cluster was blocked.
    """

    def __init__(
        self,
        aggregate: Aggregate,
        metrics: RunMetrics,
        *,
        quiet_ns: int,
        planned: Callable[[], Sequence[Planned]] = tuple,
        blocked: Callable[[], Sequence[Blocked]] = tuple,
    ) -> None:
        self._aggregate = aggregate
        self._metrics = metrics
        self._quiet_ns = quiet_ns
        self._planned = planned
        self._blocked = blocked
        self._waiting: list[Outage] = []
        self._reopened: dict[Scope, Outage] = {}
        self._counted: deque[Outage] = deque(maxlen=KEPT_OUTAGES)
        self._blamed: deque[Blamed] = deque(maxlen=KEPT_OUTAGES)
        self._counted_ns = 0
        self._plans: list[Planned] = []

    def go_on(self, reopened: Mapping[Scope, Outage], *, counted_ns: int) -> None:
        """Go on with the outages that the aggregate has from before.

        Args:
            reopened: those that were counted because the load ended, and go on.
            counted_ns: when the load last ended in order: what had begun before was
                counted then, whatever became of later processes; 0 if it never did.
        """
        until_ns = self._aggregate.sealed_until_ns
        self._reopened = dict(reopened)
        for outage in self._aggregate.outages:
            is_counted = outage.last_due_ns < counted_ns
            if is_counted or outage.hull_end_ns + self._quiet_ns < until_ns:
                self._counted.append(outage)
                self._counted_ns = max(self._counted_ns, outage.hull_end_ns)
            else:
                self._waiting.append(outage)
        self._blamed += self._blame(self._counted, until_ns)

    @property
    def reopened(self) -> list[Outage]:
        """Return those of ``go_on`` that were not counted again, as they were then."""
        return list(self._reopened.values())

    def take_sealed(self, sealed: Sealed) -> None:
        """Take outages that ended, and count those whose causes are known by now."""
        self._waiting += sealed.closed
        self._metrics.take_ended(sealed.closed)
        known = [
            outage
            for outage in self._waiting
            if outage.hull_end_ns + self._quiet_ns < sealed.until_ns
        ]
        if known:
            self._count(known, sealed.until_ns)

    def conclude(self, end_ns: int) -> None:
        """Count all that are left: the run is over.

        Args:
            end_ns: end of the load.
        """
        self._count(list(self._waiting), end_ns)

    def so_far(self) -> list[Blamed]:
        """Return the latest outages, also open ones, with their causes as of now.

        Those that were counted are looked at again only if what was planned then turns
        out not to be so.
        """
        self._renew()
        uncounted = [*self._waiting, *self._aggregate.current().values()]
        found = [*self._blamed, *self._blame(uncounted, mono_now_ns())]
        return sorted(found, key=lambda part: part.order)

    def causes_of(self, outages: Iterable[Outage]) -> list[Blamed]:
        """Return the parts of outages with their causes as of now."""
        return self._blame(outages, mono_now_ns())

    def _renew(self) -> None:
        plans = _until(self._planned(), self._counted_ns)
        if plans != self._plans:
            self._plans = plans
            self._blamed.clear()
            self._blamed += self._blame(self._counted, self._aggregate.sealed_until_ns)

    def _count(self, outages: Sequence[Outage], until_ns: int) -> None:
        """Count outages, once everything that went on beside them is known."""
        self._renew()
        for outage in outages:
            self._waiting.remove(outage)
            self._counted_ns = max(self._counted_ns, outage.hull_end_ns)
        self._plans = _until(self._planned(), self._counted_ns)
        self._counted += outages
        found = self._blame(outages, until_ns)
        self._blamed += found
        for part in found:
            cause = part.attribution.cause.value
            before = self._reopened.get(part.outage.scope)
            if before is not None and before.first_due_ns == part.outage.first_due_ns:
                del self._reopened[part.outage.scope]
            else:
                before = None
            self._metrics.count_outage(part.outage, cause=cause, counted=before)

    def _blame(self, outages: Iterable[Outage], until_ns: int) -> list[Blamed]:
        """Return outages with their causes, from all that is known by now."""
        watched = Watched.so_far(self._aggregate, until_ns)
        return blame(outages, watched, planned=self._planned(), blocked=self._blocked())


def _until(plans: Iterable[Planned], until_ns: int) -> list[Planned]:
    """Return what was planned before a time."""
    return [
        replace(plan, end_ns=min(plan.end_ns, until_ns))
        for plan in plans
        if plan.start_ns < until_ns
    ]


def rules_of(config: Config, expect: Expect | None = None) -> Rules:
    """Return by what a run is judged.

    Args:
        config: what is measured and how.
        expect: what its scenario expects of the load, besides planned darkness.
    """
    slo = config.slo
    return Rules(
        quiet_ns=config.probe.quiet_ms * NS_PER_MS,
        stall_ns=config.probe.stall_ms * NS_PER_MS,
        slo=SloLimits(**msgspec.structs.asdict(slo)),
        expected=Expected() if expect is None else _expected(expect),
    )


def judge(
    results: Results,
    *,
    rules: Rules,
    clock: ClockPair,
    health: Health,
    lost_writes: int | None,
    changes: Changes,
    problems: int = 0,
) -> Verdict:
    """Return the verdict of a run.

    Args:
        results: what ``Aggregate.finish`` returned.
        rules: by what it is judged.
        clock: to show monotonic times as wall times.
        health: the health of the probe processes over the whole run.
        lost_writes: acknowledged writes that are gone; None if not all were checked.
        changes: what was done to the target; the rules say what is expected.
        problems: how many things went wrong in the run itself.
    """
    lanes = results.lane_totals.values()
    return summarize(
        Measured(
            results,
            clock,
            quiet_ns=rules.quiet_ns,
            observer=health.observer(lanes, late_ns=rules.stall_ns),
            slo=rules.slo,
            data=health.data(lost_writes),
            course=health.course,
            changes=replace(
                changes, expected=rules.expected, events=health.provider_events
            ),
            problems=problems,
        )
    )


def _expected(expect: Expect) -> Expected:
    """Return what a scenario expects of the load, besides darkness by plan."""
    lost = expect.max_lost_writes
    return Expected(
        max_lost_writes=lost if isinstance(lost, int) else None,
        max_wrong=expect.max_wrong,
    )
