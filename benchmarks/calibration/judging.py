"""Measured outages beside the truth: what lies between its bounds, what was missed.

Pure. The rules:

* The truth of a fault is when the server did not serve, told by the server. Silence
  counts from the deadline on (docs/measuring.md, "Error bars"): of a freeze [a, b) the
  outage is [a, b - deadline). A request that came before a may have met it, too, unless
  the server is known to have answered all that had come by then.
* A recovery shorter than the probing gap cannot be told from none: it may be counted
  as dark. An outage shorter than that may be missed.
* What nobody looked at may be missed, and two outages with nothing seen in between may
  be told as one, which is compared with both. Bounds hold all the same, and are no
  wider than what was not seen.
* What happened while the scripted server itself did not get to run is not compared:
  then it failed at more than was asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.calibration.arrivals import OPS, Arrivals
from benchmarks.calibration.compared import Comparison, Judged
from benchmarks.calibration.measuring import LANE, Observed
from benchmarks.calibration.script import Episode, Plan
from benchmarks.calibration.settings import (
    DEADLINE_MS,
    SHARDS,
    VIEWS,
    Setting,
    View,
    gap_ns,
)
from benchmarks.calibration.sight import Sight, excess_ns
from benchmarks.calibration.truths import (
    Truth,
    bounds_problems,
    length_problems,
    truth_of,
)
from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import (
    Interval,
    intersection,
    length,
    overlaps,
    union,
)
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.incidents import DarkTime, dark_time, downtime

_DEADLINE_NS = DEADLINE_MS * NS_PER_MS


def judge(setting: Setting, plan: Plan, observed: Observed) -> Judged:
    """Compare everything that was measured with everything that happened."""
    return _Judge(setting, plan, observed).run()


class _Judge:
    """Holds what the comparisons of a case have in common."""

    def __init__(self, setting: Setting, plan: Plan, observed: Observed) -> None:
        self._setting = setting
        self._plan = plan
        self._observed = observed
        self._stalls = [(span.start_ns, span.end_ns) for span in observed.server_stalls]
        self._blind = [
            (span.start_ns, span.end_ns)
            for span in observed.results.lane_totals[LANE].blind
        ]
        # The other process alone is enough for arrivals at the gap of such a case.
        held_up = () if setting.disturbance == "one stopped" else observed.probe_stalls
        self._sight = Sight(union([*self._blind, *held_up]), _DEADLINE_NS)
        self._arrivals = Arrivals(observed, self._sight)
        self._truths = [
            (episode, truth_of([observed.truth[at] for at in episode.faults]))
            for episode in plan.episodes
        ]
        self._truths = [
            (episode, self._with_moving_keys(episode, truth))
            for episode, truth in self._truths
        ]

    def _with_moving_keys(self, episode: Episode, truth: Truth) -> Truth:
        """Return the truth of a shard whose keys may be on their way to another one.

        Until a probe has learned where a key is now, its arrivals count for the shard
        where it was, and share the fate of the one where it is.
        """
        if episode.kind != "resharding":
            return truth
        margin_ns = self._plan.pause_ns // 3
        start_ns, end_ns = truth.touched
        others = [
            span
            for other, beside in self._truths
            if other.kind == "resharding"
            for span in beside.widest
            if span[0] < end_ns + margin_ns and start_ns - margin_ns < span[1]
        ]
        return replace(truth, widest=tuple(union([*truth.widest, *others])))

    def run(self) -> Judged:
        """Compare all episodes, then account for all outages."""
        comparisons: list[Comparison] = []
        for episode, truth in self._truths:
            for shard in episode.shards:
                comparisons += (
                    self._compare(episode, truth, shard, view) for view in VIEWS
                )
            if len(episode.shards) > 1:
                comparisons.append(self._compare_common(episode, truth))
        comparisons += self._compare_unions()
        return Judged(tuple(comparisons), *self._account())

    def _compare(
        self, episode: Episode, truth: Truth, shard: int, view: View
    ) -> Comparison:
        name = shard_name(shard)
        outages = [
            outage
            for outage in self._around(truth)
            if outage.scope.shard == name and outage.scope.op in OPS[view]
        ]
        gap = gap_ns(self._setting, view)
        slack_ns = self._arrivals.slack_ns(truth, name, view, gap)
        is_strained = self._is_strained(truth)
        measured = dark_time(outages)
        problems: list[str] = []
        too_wide_ns = 0.0
        if not is_strained and outages:
            met = self._met(truth, outages, gap + slack_ns)
            told = self._with_merged(truth, shard, outages)
            problems += bounds_problems(told, met, outages, measured)
            too_wide_ns = self._excess_ns(outages, measured, slack_ns)
            if too_wide_ns > 0:
                problems.append(f"bounds {too_wide_ns / NS_PER_MS:.3f} ms too wide")
        elif not (is_strained or self._arrivals.is_stale(truth, name, view)):
            sure_ns = gap + max(
                slack_ns, self._arrivals.sent_late_ns(truth, name, view, gap)
            )
            if not self._may_miss(truth, sure_ns):
                sure_ms = sure_ns / NS_PER_MS
                problems.append(
                    f"missed, though {sure_ms:.2f} ms are certain to be seen"
                )
        return Comparison(
            episode.kind,
            name,
            view,
            truth.dark_ns,
            truth.widest_ns,
            gap,
            measured,
            len(outages),
            len(episode.faults),
            self._is_blind(truth),
            is_strained,
            tuple(problems),
            too_wide_ns,
        )

    def _excess_ns(
        self, outages: Sequence[Outage], measured: DarkTime, slack_ns: float
    ) -> float:
        """Return by how much bounds are wider than the arrivals call for."""
        found = [self._arrivals.needed(outage) for outage in outages]
        width_ns = measured.upper_ns - measured.lower_ns
        return excess_ns(found, width_ns, slack_ns=slack_ns)

    def _met(
        self, truth: Truth, outages: Sequence[Outage], sure_ns: float
    ) -> list[Interval]:
        """Return the parts of a truth that arrivals met, whole."""
        lives = [life for outage in outages for life in self._arrivals.lives(outage)]
        return [
            span
            for span in truth.dark
            if self._sight.seen_ns([span], is_timed=truth.is_timed) >= sure_ns
            or (len(truth.dark) == 1 and _any_meets(lives, [span]))
        ]

    def _with_merged(
        self, truth: Truth, shard: int, outages: Sequence[Outage]
    ) -> Truth:
        """Return a truth with those that its outages may have been told as one with.

        These are the ones of the shard within the outages that nobody saw it served
        before, or after.
        """
        hulls = [outage.hull for outage in outages]
        start_ns, end_ns = truth.touched
        merged = [
            span
            for episode, other in self._truths
            if shard in episode.shards and other is not truth
            if self._sight.covers(
                min(end_ns, other.touched[1]), max(start_ns, other.touched[0])
            )
            for span in intersection([other.widest, hulls])
        ]
        return replace(truth, widest=tuple(union([*truth.widest, *merged])))

    def _compare_common(self, episode: Episode, truth: Truth) -> Comparison:
        """Compare the time in which all shards were dark at once."""
        names = [shard_name(shard) for shard in range(SHARDS)]
        outages = self._around(truth)
        seen = {outage.scope.shard for outage in outages} == set(names)
        measured = downtime(outages, names).all_shards if seen else DarkTime()
        problems: list[str] = []
        is_strained = self._is_strained(truth)
        if seen and not is_strained:
            problems += length_problems(truth.dark_ns, truth.widest_ns, measured)
        return Comparison(
            episode.kind,
            "",
            "shard",
            truth.dark_ns,
            truth.widest_ns,
            gap_ns(self._setting, "shard"),
            measured,
            len(outages) if seen else 0,
            len(episode.faults),
            self._is_blind(truth),
            is_strained,
            tuple(problems),
        )

    def _compare_unions(self) -> Iterator[Comparison]:
        """Compare, per disturbance, the time in which any shard was dark."""
        around: dict[int, list[Truth]] = {}
        for episode, truth in self._truths:
            if episode.around is not None:
                around.setdefault(episode.around, []).append(truth)
        for truths in around.values():
            outages = {id(o): o for t in truths for o in self._around(t)}.values()
            measured = dark_time(outages)
            met = [
                span
                for truth in truths
                for span in self._met(truth, [], self._surely_seen_ns(truth))
            ]
            widest_ns = length([span for truth in truths for span in truth.widest])
            is_strained = any(self._is_strained(truth) for truth in truths)
            problems = length_problems(length(met), widest_ns, measured)
            yield Comparison(
                "disturbed, any shard",
                "",
                "shard",
                length(met),
                widest_ns,
                gap_ns(self._setting, "shard"),
                measured,
                len(outages),
                len(truths),
                any(self._is_blind(truth) for truth in truths),
                is_strained,
                () if is_strained else tuple(problems),
            )

    def _surely_seen_ns(self, truth: Truth) -> float:
        """Return how long any shard needs to be seen dark to be certainly met."""
        gap = gap_ns(self._setting, "shard")
        names = [shard_name(shard) for shard in range(SHARDS)]
        return gap + max(
            self._arrivals.slack_ns(truth, name, "shard", gap) for name in names
        )

    def _around(self, truth: Truth) -> list[Outage]:
        margin_ns = self._plan.pause_ns // 3
        start_ns, end_ns = truth.touched
        return [
            outage
            for outage in self._observed.results.outages
            if outage.first_due_ns < end_ns + margin_ns
            and start_ns - margin_ns < outage.last_due_ns
        ]

    def _is_blind(self, truth: Truth) -> bool:
        margin_ns = round(gap_ns(self._setting, "write"))
        start_ns, end_ns = truth.touched
        return overlaps(self._blind, start_ns - margin_ns, end_ns + margin_ns)

    def _is_strained(self, truth: Truth) -> bool:
        start_ns, end_ns = truth.touched
        around = start_ns - _DEADLINE_NS, end_ns + _DEADLINE_NS
        return self._held_up_ns(around) >= _DEADLINE_NS // 2

    def _may_miss(self, truth: Truth, sure_ns: float) -> bool:
        """Tell whether no arrival needs to have met it.

        A process that was held up leaves out its arrivals, and the others go on.
        """
        return self._sight.seen_ns(truth.dark, is_timed=truth.is_timed) < sure_ns

    def _account(self) -> tuple[tuple[Outage, ...], int, int]:
        """Return outages without a cause, and how many had one that is no episode.

        An arrival was lost to a fault if it was under way during it, or the evidence of
        its failure reaches into it. Its due time may lie before: a request that waits
        in the server's socket is lost to the reset that comes then.
        """
        first_move_ns, last_move_ns = self._observed.moving
        own = [
            (shard_name(shard), truth.touched)
            for episode, truth in self._truths
            for shard in episode.shards
        ]
        false: list[Outage] = []
        moved = held_up = 0
        for outage in self._observed.results.outages:
            lives = self._arrivals.lives(outage)
            if _any_meets(lives, [span for name, span in own if _is(outage, name)]):
                continue
            is_moving = first_move_ns <= outage.first_due_ns < last_move_ns
            if any(self._held_up_ns(life) >= _DEADLINE_NS // 2 for life in lives):
                held_up += 1
            elif is_moving and _any_meets(lives, [span for _, span in own]):
                moved += 1
            else:
                false.append(outage)
        return tuple(false), moved, held_up

    def _held_up_ns(self, life: Interval) -> int:
        """Return for how long of an interval the server did not get to run."""
        return length(intersection([[life], self._stalls]))


def _is(outage: Outage, shard: str) -> bool:
    return outage.scope.shard == shard


def _any_meets(lives: Sequence[Interval], spans: Sequence[Interval]) -> bool:
    return any(
        start <= end and begin <= stop for start, stop in spans for begin, end in lives
    )


def shard_name(shard: int) -> str:
    """Return the name under which the meter knows a shard."""
    return f"{shard + 1:04d}"
