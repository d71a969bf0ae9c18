"""The error budget of a run: fed with what was judged, kept on disk, told as figures.

Nothing is reckoned here: ``core.budget`` does, and ``outputs.folder.budget_file`` keeps
it. Without a target (``[slo] availability``) there is no budget, and nothing is kept; a
reload may give or take one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair, mono_now_ns
from loadprobe.config.keys import Config
from loadprobe.core.budget.account import Bands
from loadprobe.core.budget.accounts import Accounts, Dark, Entry, Place, Seen
from loadprobe.core.budget.figures import ErrorBudget, reckon
from loadprobe.core.budget.words import budget_words
from loadprobe.core.intervals import Interval, difference
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.results import Sealed
from loadprobe.core.verdict.beside import Planned, is_planned
from loadprobe.core.verdict.plan_edges import cut_at_plan
from loadprobe.outputs.folder.budget_file import BudgetFile, find_budget
from loadprobe.outputs.folder.documents import RunInfo

DARK_EVERY_NS = 400 * NS_PER_MS
"""While anything is dark. The next seal is half a second away at most, so nothing waits
for as long as a second. When an outage begins or ends nothing waits at all."""

SEEN_EVERY_NS = NS_PER_S
"""What was seen is entered this often: an arrival a second is enough to be seen."""

FIGURES_EVERY_NS = 10 * NS_PER_S
"""How often figures are reckoned while nothing is dark."""


class BudgetMetrics(Protocol):
    """What figures are shown with; see ``outputs.metrics.run_metrics``."""

    def replace(self, metric: str, series: dict[tuple[str, ...], float]) -> None:
        """Set all series of a gauge."""
        ...


class Budgeting:
    """A sink that keeps the error budget of a run (see the module).

    Args:
        config: what is run.
        aggregate: the judged arrivals.
        clock: to show monotonic times as UNIX times.
        metrics: where figures are shown.
        planned: returns the darkness that was planned so far.
        now_ns: monotonic clock.
    """

    def __init__(
        self,
        config: Config,
        aggregate: Aggregate,
        clock: ClockPair,
        metrics: BudgetMetrics,
        *,
        planned: Callable[[], Sequence[Planned]],
        now_ns: Callable[[], int] = mono_now_ns,
    ) -> None:
        self._config = config
        self._aggregate = aggregate
        self._clock = clock
        self._metrics = metrics
        self._planned = planned
        self._now_ns = now_ns
        self._seen_ns: int | None = None
        self._entered_ns = self._opened_ns = 0
        self._observed: dict[Scope, int] = {}
        self._blind: dict[str, list[Interval]] = defaultdict(list)
        self._open: set[Scope] = set()
        self._figures: ErrorBudget | None = None
        self._file: BudgetFile | None = None
        self._accounts = Accounts()
        if config.slo.availability is not None:
            self._begin()

    def _begin(self) -> None:
        """Take the file, and go on with what it says."""
        config = self._config
        self._file = BudgetFile(Path(config.output.dir), config.name, target_of(config))
        self._accounts = self._file.load()
        # The clock of a run that goes on was read long ago.
        self._opened_ns = self._now_ns()
        self._seen_ns, self._open = None, set()
        self.go_on()
        begun_unix_ns = self._clock.to_wall(self._opened_ns)
        self._accounts.resume(begun_unix_ns)
        self._file.begin(self._accounts.snapshot())
        self._reckon(begun_unix_ns)

    def go_on(self) -> None:
        """Take note that what was observed until now is known already."""
        totals = self._aggregate.scope_totals
        self._observed = {scope: each.observed_ns for scope, each in totals.items()}

    def use(self, config: Config) -> None:
        """Reckon by the target of another configuration from now on.

        What was used stays used. A budget that there was not begins with what its file
        says; one that there is not any more is shown no longer, and its file stays.
        """
        before, target = self._config.slo.availability, config.slo.availability
        if before is not None and target is None:
            self._leave()
        self._config = config
        if target is not None and before is None:
            self._begin()
        elif target != before and target is not None:
            opened_unix_ns = self._clock.to_wall(self._opened_ns)
            self._reckon(max(self._accounts.until_ns, opened_unix_ns))

    def _leave(self) -> None:
        """Have no budget from now on."""
        if self._seen_ns is not None:
            until_ns, dark = self._aggregate.sealed_until_ns, self._unfinished()
            self._enter(until_ns, (), dark.values(), is_last=True)
        self.close()
        for metric in budget_series(self._figures) if self._figures else ():
            self._metrics.replace(metric, {})
        self._file = self._figures = None
        self._accounts = Accounts()

    @property
    def problems(self) -> list[str]:
        """Return what is wrong with the file, as sentences."""
        return self._file.problems if self._file is not None else []

    @property
    def figures(self) -> ErrorBudget | None:
        """Return the budgets as last reckoned; None without a target."""
        return self._figures

    @property
    def words(self) -> str:
        """Return how the worst of the budgets stands, "" if there is none."""
        return budget_words(self._figures) if self._figures is not None else ""

    def take_sealed(self, sealed: Sealed) -> None:
        """Take what became certain."""
        begin_ns = self._aggregate.begin_ns
        if self._file is None or begin_ns is None or sealed.until_ns <= begin_ns:
            return
        for span in sealed.blind:
            self._blind[span.lane].append((span.start_ns, span.end_ns))
        if self._seen_ns is None:
            self._seen_ns = max(begin_ns, self._opened_ns)
        unfinished = self._unfinished()
        closed = [o for o in sealed.closed if not o.scope.op.is_apart]
        is_urgent = bool(closed) or unfinished.keys() != self._open
        is_dark = bool(unfinished)
        if (
            is_urgent
            or sealed.until_ns - self._seen_ns >= SEEN_EVERY_NS
            or (is_dark and sealed.until_ns - self._entered_ns >= DARK_EVERY_NS)
        ):
            self._open = set(unfinished)
            self._enter(sealed.until_ns, closed, unfinished.values())

    def conclude(self) -> ErrorBudget | None:
        """Enter the rest, after everything was judged; return the budgets."""
        if self._file is not None and self._seen_ns is not None:
            until_ns = self._aggregate.sealed_until_ns
            self._enter(until_ns, (), (), is_last=True)
            self._reckon(self._clock.to_wall(until_ns))
        return self._figures

    def close(self) -> None:
        """Let others have the file."""
        if self._file is not None:
            self._file.close()

    def _unfinished(self) -> dict[Scope, Outage]:
        """Return the outages that go on, those of new connections left out."""
        found = self._aggregate.unfinished().items()
        return {scope: outage for scope, outage in found if not scope.op.is_apart}

    # --- what is entered -------------------------------------------------------------

    def _enter(
        self,
        until_ns: int,
        closed: Iterable[Outage],
        unfinished: Iterable[Outage],
        *,
        is_last: bool = False,
    ) -> None:
        assert self._file is not None
        assert self._seen_ns is not None
        is_due = is_last or until_ns - self._seen_ns >= SEEN_EVERY_NS
        self._entered_ns = until_ns
        entry = Entry(
            until_ns=self._clock.to_wall(until_ns),
            seen=self._take_seen(until_ns) if is_due else [],
            ended=self._dark(closed),
            open=self._dark(unfinished),
        )
        self._accounts.take(entry)
        self._file.add(entry)
        if self._file.is_grown:
            self._file.begin(self._accounts.snapshot())
        known_ns = self._figures.until_unix_ns if self._figures is not None else 0
        is_dark = bool(entry.ended or entry.open)
        if is_dark or entry.until_ns - known_ns >= FIGURES_EVERY_NS:
            self._reckon(entry.until_ns)

    def _take_seen(self, until_ns: int) -> list[Seen]:
        """Return what was observed since the last time."""
        assert self._seen_ns is not None
        observed: dict[str, dict[str, None]] = defaultdict(dict)
        for scope, totals in self._aggregate.scope_totals.items():
            if not scope.op.is_apart:
                if totals.observed_ns != self._observed.get(scope):
                    observed[scope.lane][scope.shard] = None
                self._observed[scope] = totals.observed_ns
        rows = [
            Seen(lane, list(shards), self._wall(self._looked(lane, until_ns)))
            for lane, shards in observed.items()
        ]
        self._seen_ns = until_ns
        self._blind.clear()
        return [row for row in rows if row.spans]

    def _looked(self, lane: str, until_ns: int) -> list[Interval]:
        """Return when a lane looked since the last time: not before it began."""
        assert self._seen_ns is not None
        begin_ns = self._aggregate.lane_totals[lane].begin_ns
        since_ns = self._seen_ns if begin_ns is None else max(begin_ns, self._seen_ns)
        return difference([(since_ns, until_ns)], self._blind[lane])

    def _dark(self, outages: Iterable[Outage]) -> list[Dark]:
        """Return when places were dark, by reads and writes together."""
        planned = self._planned()
        found: dict[Place, Bands] = {}
        for outage in outages:
            for part in cut_at_plan([outage], planned) if planned else [outage]:
                place = part.scope.lane, part.scope.shard
                bands = self._bands(part, planned)
                found[place] = found.get(place, Bands()).joined(bands)
        return [Dark(*place, bands) for place, bands in found.items()]

    def _bands(self, part: Outage, planned: Sequence[Planned]) -> Bands:
        seen = self._wall(part.seen)
        if planned and is_planned(part, planned):
            return Bands(planned=seen)
        return Bands(self._wall(part.cores), seen, self._wall([part.hull]))

    def _wall(self, spans: Iterable[Interval]) -> list[Interval]:
        to_wall = self._clock.to_wall
        return [(to_wall(start), to_wall(end)) for start, end in spans if start < end]

    # --- what is told ----------------------------------------------------------------

    def _reckon(self, now_ns: int) -> None:
        target = self._config.slo.availability
        assert target is not None, "there is a budget"
        self._figures = reckon(self._accounts, target=target, now_ns=now_ns)
        for metric, series in budget_series(self._figures).items():
            self._metrics.replace(metric, series)


def target_of(config: Config) -> str:
    """Return what budgets are of: the group, else the address."""
    if config.control is not None:
        return config.control.cache
    return f"{config.target.host}:{config.target.port}"


def budget_at(path: Path, info: RunInfo, until_ns: int) -> ErrorBudget | None:
    """Return how the error budget of a run stood when something was known of it last.

    For a run that was cut short: its budget is beside its folder.

    Args:
        path: the run folder.
        info: what was run.
        until_ns: everything due before was judged, in its monotonic clock.

    Returns:
        None without a target, or if the file does not tell of that time any more.
    """
    try:
        config = msgspec.convert(info.config, Config)
    except msgspec.ValidationError:
        return None  # of another version: its budget cannot be found
    if config.slo.availability is None:
        return None
    until_unix_ns = info.start.clock.to_wall(until_ns)
    accounts = find_budget(path.parent, config.name, target_of(config), until_unix_ns)
    if accounts is None:
        return None
    return reckon(accounts, target=config.slo.availability, now_ns=accounts.until_ns)


def budget_series(budget: ErrorBudget) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the gauges of budgets: metric -> label values -> value."""
    series: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    series["error_budget_target_ratio"][()] = budget.target
    for place in budget.places:
        at = place.lane, place.shard
        for row in place.periods:
            labels = *at, row.period
            used = row.used_s
            series["error_budget_allowed_seconds"][row.period,] = row.allowed_s
            for bound in ("estimate", "lower", "upper"):
                value = getattr(used, bound)
                series["error_budget_used_seconds"][*labels, bound] = value
            series["error_budget_left_seconds"][labels] = row.left_s
            series["error_budget_planned_seconds"][labels] = row.planned_s
            series["error_budget_unseen_seconds"][labels] = row.unseen_s
            if row.left_ratio is not None:
                series["error_budget_left_ratio"][labels] = row.left_ratio
        for window, rate in place.burn_rates.items():
            if rate is not None:
                series["error_budget_burn_rate"][*at, window] = rate
    return series
