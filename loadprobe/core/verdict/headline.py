"""The headline of a run: one, from everything that matters, the worst first.

Pure. The report, ``summary.json``, the view of a run under way and the exit code all
take it from here. The order is that of ``Findings.parts``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from loadprobe.clock import NS_PER_S
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.lanes import LaneTotals
from loadprobe.core.steps import ScenarioState
from loadprobe.core.verdict.judged import JudgedRun
from loadprobe.core.verdict.scenario_document import ScenarioSummary
from loadprobe.core.verdict.summary import SloResult, State

BLIND_RATIO = 0.01
"""A lane that was blind for more than this part of its time makes the run blind: what
was seen is no measure of the rest. Less is told in a sentence."""

_EXPECTED_WITHIN_NS = 2 * NS_PER_S
"""A lane that began so long ago should have had arrivals that were judged."""

BLIND = "the probe was blind"
"""What is said of a run whose probe was so for too long."""

SILENT = "had no arrival to judge"
"""What is said of lanes that were to be seen."""

END_WORDS = {
    ScenarioState.ABORTED: "was aborted",
    ScenarioState.FAILED: "failed",
    ScenarioState.STOPPED: "was stopped",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What matters of a run, as far as it is known.

    Args:
        lost_writes: acknowledged writes that are gone.
        stale_reads: reads of primaries that found an older value.
        wrong: replies that did not match what was written.
        incidents: those with outages that were not planned.
        where: shards and lanes of these incidents, in words.
        dropped_outages: outages that were counted but not kept.
        void: why nothing is known of the run or of a lane, "" if something is.
        scenario: name of the scenario, and how it ended; None if as it should.
        problems: what went wrong in the run itself.
        missed: expectations and thresholds that were not met.
        blind_ratio: greatest part of its time for which a lane was blind.
    """

    lost_writes: int = 0
    stale_reads: int = 0
    wrong: int = 0
    incidents: int = 0
    where: str = ""
    dropped_outages: int = 0
    void: str = ""
    scenario: tuple[str, ScenarioState] | None = None
    problems: int = 0
    missed: Sequence[str] = ()
    blind_ratio: float = 0.0

    def parts(self) -> list[tuple[State, str]]:
        """Return everything that matters, the worst first; nothing if all is well."""
        found: list[tuple[State, str]] = [
            ("damaged", _counted(count, one, many))
            for count, one, many in (
                (
                    self.lost_writes,
                    "acknowledged write lost",
                    "acknowledged writes lost",
                ),
                (self.wrong, "wrong reply", "wrong replies"),
                (self.stale_reads, "stale read", "stale reads"),
            )
            if count
        ]
        if self.incidents:
            what = _counted(self.incidents, "incident", "incidents")
            found.append(("outage", f"{what}: {self.where}"))
        elif self.dropped_outages:
            found.append(("outage", f"{self.dropped_outages:,} outages not kept"))
        if self.void:
            found.append(("invalid", self.void))
        if self.scenario is not None:
            name, state = self.scenario
            found.append(("failed", f"scenario {name} {END_WORDS[state]}"))
        if self.problems:
            count = _counted(self.problems, "problem", "problems")
            found.append(("failed", f"{count} of the run itself"))
        if self.missed:
            found.append(("missed", f"missed: {', '.join(self.missed)}"))
        if self.blind_ratio > BLIND_RATIO:
            share = f"{BLIND} for {self.blind_ratio:.1%} of the time"
            found.append(("blind", share))
        return found

    @property
    def state(self) -> State:
        """Return the worst of it in a word."""
        parts = self.parts()
        return parts[0][0] if parts else "clean"

    @property
    def headline(self) -> str:
        """Return all of it in one line, "" if all is well."""
        return "; ".join(text for _, text in self.parts())


def find_findings(run: JudgedRun, known: Findings, *, is_over: bool = True) -> Findings:
    """Return what matters of a run, while it lasts and when it is over.

    Args:
        run: what was judged of it until now.
        known: what is known from elsewhere.
        is_over: nothing more will be judged.
    """
    watched = run.watched
    return replace(
        known,
        wrong=run.wrong,
        incidents=sum(not (i.is_probe_only or i.is_planned) for i in run.incidents),
        where=run.where(run.outages) if run.outages else "",
        dropped_outages=watched.dropped_outages,
        void=find_void(
            watched.lane_totals,
            watched.scope_totals,
            before_ns=None if is_over else watched.end_ns - _EXPECTED_WITHIN_NS,
        ),
        blind_ratio=find_blind_ratio(watched.lane_totals, watched.end_ns),
    )


def ended_badly(scenario: ScenarioSummary | None) -> tuple[str, ScenarioState] | None:
    """Return name and state of a scenario that did not get to its end."""
    if scenario is None or scenario.state is ScenarioState.COMPLETED:
        return None
    return scenario.name, scenario.state


def find_missed(
    scenario: ScenarioSummary | None, checks: Sequence[SloResult]
) -> list[str]:
    """Return the expectations and thresholds that were not met.

    What a scenario expects and could not be told was not met either, if the scenario
    got to its end.
    """
    missed: list[str] = []
    if scenario is not None:
        is_whole = scenario.state is ScenarioState.COMPLETED
        missed += [
            expectation.what
            for expectation in scenario.expectations
            if expectation.is_met is False or (is_whole and not expectation.is_met)
        ]
    return missed + [check.name for check in checks if not check.is_met]


def find_void(
    lanes: Mapping[str, LaneTotals],
    scopes: Mapping[Scope, ScopeTotals],
    *,
    before_ns: int | None = None,
) -> str:
    """Return why nothing is known of a run, or of a lane that was to be seen.

    Args:
        lanes: what was seen of each lane.
        scopes: what was seen of each scope.
        before_ns: nothing is expected yet of a lane that began later; None: of all.
    """
    begun = [name for name, totals in lanes.items() if totals.begin_ns is not None]
    if not begun:
        return "nothing was measured"
    active = {scope.lane for scope, totals in scopes.items() if totals.arrivals}
    silent = [
        name
        for name in begun
        if name not in active
        and (before_ns is None or (lanes[name].begin_ns or 0) < before_ns)
    ]
    return f"lane {', '.join(silent)} {SILENT}" if silent else ""


def find_blind_ratio(lanes: Mapping[str, LaneTotals], end_ns: int) -> float:
    """Return for which part of its time the lane was blind that was so most."""
    return max(
        (
            totals.blind_ns / (end_ns - totals.begin_ns)
            for totals in lanes.values()
            if totals.begin_ns is not None and end_ns > totals.begin_ns
        ),
        default=0.0,
    )


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
