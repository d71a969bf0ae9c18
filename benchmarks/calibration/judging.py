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

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from benchmarks.calibration.measuring import LANE, Observed
from benchmarks.calibration.script import Episode, Kind, Plan
from benchmarks.calibration.settings import (
    DEADLINE_MS,
    SHARDS,
    VIEWS,
    Setting,
    View,
    gap_ns,
)
from benchmarks.calibration.sight import Sight, excess_ns, needed
from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import (
    Interval,
    difference,
    intersection,
    length,
    overlaps,
    union,
)
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.evidence import is_timed
from loadprobe.core.judging.outages import Outage, Row
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.verdict.incidents import DarkTime, dark_time, downtime
from tests.scripted.faults import TruthInterval

_Arrival = TypeVar("_Arrival", Row, Failure)
_DEADLINE_NS = DEADLINE_MS * NS_PER_MS
_TRANSIT_NS = 2 * NS_PER_MS
_OPS: Mapping[View, tuple[OpKind, ...]] = {
    "shard": (OpKind.READ, OpKind.WRITE),
    "read": (OpKind.READ,),
    "write": (OpKind.WRITE,),
}


@dataclass(frozen=True, slots=True)
class Truth:
    """An episode as it happened, all times in ns.

    Args:
        dark: when the target was certainly down, at least: disjoint, by time.
        widest: all of that and what may have been part of it.
        touched: from the first effect to the last.
        is_timed: whether only the passing of time made arrivals fail.
    """

    dark: tuple[Interval, ...]
    widest: tuple[Interval, ...]
    touched: Interval
    is_timed: bool

    @property
    def dark_ns(self) -> int:
        """Return how long it was down, at least."""
        return sum(end - start for start, end in self.dark)

    @property
    def widest_ns(self) -> int:
        """Return how long it can have been down."""
        return length(self.widest)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One episode of one shard in one view.

    Args:
        kind: of the episode.
        shard: name of the shard; "" is all of them.
        view: which arrivals were looked at.
        least_ns: the outage was at least so long.
        most_ns: and at most so long.
        gap_ns: planned distance of arrivals.
        measured: what the meter says.
        pieces: outages that the meter reports.
        expected_pieces: faults of the episode.
        is_blind: the probe was blind during it, at least in part.
        excess_ns: by how much the bounds are wider than they need to be, or less.
        is_strained: the server itself did not get to run, for half a deadline or more
            within a deadline before and after it.
        problems: how the meter was wrong; empty if it was not.
    """

    kind: Kind
    shard: str
    view: View
    least_ns: int
    most_ns: int
    gap_ns: float
    measured: DarkTime
    pieces: int
    expected_pieces: int
    is_blind: bool
    is_strained: bool
    problems: tuple[str, ...]
    excess_ns: float = 0.0

    @property
    def is_compared(self) -> bool:
        """Tell whether it is known what happened."""
        return not self.is_strained

    @property
    def is_seen(self) -> bool:
        """Tell whether the meter reports anything."""
        return self.pieces > 0

    @property
    def error_ns(self) -> int:
        """Return the distance of the estimate from the truth."""
        estimate_ns = self.measured.estimate_ns
        return max(self.least_ns - estimate_ns, estimate_ns - self.most_ns, 0)

    @property
    def width_ns(self) -> int:
        """Return the distance of the bounds."""
        return self.measured.upper_ns - self.measured.lower_ns


@dataclass(frozen=True, slots=True)
class Judged:
    """A whole case.

    Args:
        comparisons: one for each episode, shard and view.
        false: outages where nothing had happened.
        of_moving_keys: outages of another shard's fault, met by keys on their way.
        of_server: outages whose arrivals waited while the server process itself did
            not get to run, for half of the deadline at least.
    """

    comparisons: tuple[Comparison, ...]
    false: tuple[Outage, ...]
    of_moving_keys: int
    of_server: int


def truth_of(faults: Sequence[TruthInterval]) -> Truth:
    """Return the truth of an episode from that of its faults.

    Args:
        faults: by time; one, or several of the same kind that is no freeze.
    """
    first, last = faults[0], faults[-1]
    start_ns, end_ns = first.start_ns, last.end_ns
    if first.kind != "freeze":
        dark = tuple((fault.start_ns, fault.end_ns) for fault in faults)
        touched = start_ns, last.answered_ns
        # A connection that is cut ends at the end of a turn of the server's loop.
        over_ns = last.answered_ns if last.kind == "reset" else end_ns
        return Truth(dark, ((start_ns, over_ns),), touched, is_timed=False)
    silent_ns, spoke_ns = first.heard_ns, last.answered_ns
    short_ns = end_ns - _DEADLINE_NS
    return Truth(
        ((start_ns, short_ns),) if short_ns > start_ns else (),
        ((silent_ns, spoke_ns - _DEADLINE_NS),),
        (silent_ns, spoke_ns),
        is_timed=True,
    )


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
            if outage.scope.shard == name and outage.scope.op in _OPS[view]
        ]
        gap = gap_ns(self._setting, view)
        slack_ns = self._slack_ns(truth, name, view, gap)
        is_strained = self._is_strained(truth)
        measured = dark_time(outages)
        problems: list[str] = []
        too_wide_ns = 0.0
        if not is_strained and outages:
            met = self._met(truth, outages, gap + slack_ns)
            told = self._with_merged(truth, shard, outages)
            problems += _compare_bounds(told, met, outages, measured)
            too_wide_ns = self._excess_ns(outages, measured, slack_ns)
            if too_wide_ns > 0:
                problems.append(f"bounds {too_wide_ns / NS_PER_MS:.3f} ms too wide")
        elif not (is_strained or self._is_stale(truth, name, view)):
            sure_ns = gap + max(slack_ns, self._sent_late_ns(truth, name, view, gap))
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
        found = [
            needed(
                outage,
                self._observed.served.get(outage.scope, ()),
                self._observed.failed[outage.scope],
                self._sight,
            )
            for outage in outages
        ]
        width_ns = measured.upper_ns - measured.lower_ns
        return excess_ns(found, width_ns, slack_ns=slack_ns)

    def _met(
        self, truth: Truth, outages: Sequence[Outage], sure_ns: float
    ) -> list[Interval]:
        """Return the parts of a truth that arrivals met, whole."""
        lives = [life for outage in outages for life in self._lives(outage)]
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
            problems += _length_problems(truth.dark_ns, truth.widest_ns, measured)
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
            problems = _length_problems(length(met), widest_ns, measured)
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
        return gap + max(self._slack_ns(truth, name, "shard", gap) for name in names)

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

    def _is_stale(self, truth: Truth, shard: str, view: View) -> bool:
        """Tell whether all that failed may have failed for what is older."""
        start_ns, end_ns = truth.touched
        rows = [
            failure
            for op in _OPS[view]
            for failure in _due_between(
                self._observed.failed.get(Scope(LANE, shard, op), ()), start_ns, end_ns
            )
        ]
        return bool(rows) and not any(self._sight.is_fresh(row) for row in rows)

    def _slack_ns(self, truth: Truth, shard: str, view: View, gap: float) -> float:
        """Return by how much an arrival near an episode missed its time, at most.

        Up to then it may have met the target later than planned.
        """
        start_ns, end_ns = truth.touched
        worst_ns = 0
        for op in _OPS[view]:
            rows = self._observed.served.get(Scope(LANE, shard, op), ())
            for due_ns, sent_ns, done_ns in _due_between(
                rows, start_ns - 2 * gap, end_ns + 2 * gap
            ):
                if self._sight.covers(due_ns, done_ns):
                    continue  # it waited for us
                # While it is silent, waiting says nothing about the way there.
                late_ns = sent_ns + _TRANSIT_NS if truth.is_timed else done_ns
                worst_ns = max(worst_ns, late_ns - due_ns)
        return worst_ns

    def _sent_late_ns(self, truth: Truth, shard: str, view: View, gap: float) -> int:
        """Return by how much an arrival near an episode was sent late, at most.

        What waited for us met nothing of what was over when it was sent.
        """
        start_ns, end_ns = truth.touched
        return max(
            (
                sent_ns - due_ns
                for op in _OPS[view]
                for due_ns, sent_ns, _ in _due_between(
                    self._observed.served.get(Scope(LANE, shard, op), ()),
                    start_ns - 2 * gap,
                    end_ns + 2 * gap,
                )
            ),
            default=0,
        )

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
            lives = self._lives(outage)
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

    def _lives(self, outage: Outage) -> list[Interval]:
        """Return from when to when each failed arrival of an outage was under way."""
        first_ns, last_ns = outage.first_due_ns, outage.last_due_ns + 1
        return [
            _life(failure)
            for failure in _due_between(
                self._observed.failed[outage.scope], first_ns, last_ns
            )
        ]


def _life(failure: Failure) -> Interval:
    if is_timed(failure):
        return failure.sent_ns, max(failure.done_ns, failure.due_ns + _DEADLINE_NS)
    return failure.evidence_start_ns, failure.evidence_end_ns


def _is(outage: Outage, shard: str) -> bool:
    return outage.scope.shard == shard


def _any_meets(lives: Sequence[Interval], spans: Sequence[Interval]) -> bool:
    return any(
        start <= end and begin <= stop for start, stop in spans for begin, end in lives
    )


def shard_name(shard: int) -> str:
    """Return the name under which the meter knows a shard."""
    return f"{shard + 1:04d}"


def _compare_bounds(
    truth: Truth,
    met: Sequence[Interval],
    outages: Sequence[Outage],
    measured: DarkTime,
) -> Iterator[str]:
    """Yield what is wrong with the bounds of outages that were seen."""
    met_ns = sum(end - start for start, end in met)
    if truth.widest_ns == 0:
        yield "an outage, though the silence was shorter than the deadline"
        return
    yield from _length_problems(met_ns, truth.widest_ns, measured)
    hulls = [outage.hull for outage in outages]
    for start, end in difference(met, hulls):
        yield f"{(end - start) / NS_PER_MS:.3f} ms of the truth are outside the hull"
    if truth.is_timed:  # where they lie rests on the usual round trip
        return
    cores = [core for outage in outages for core in outage.cores]
    for start, end in difference(cores, truth.widest):
        yield f"{(end - start) / NS_PER_MS:.3f} ms of the core are outside the truth"


def _length_problems(least_ns: int, most_ns: int, measured: DarkTime) -> Iterator[str]:
    if measured.lower_ns > most_ns:
        over_ms = (measured.lower_ns - most_ns) / NS_PER_MS
        yield f"the lower bound is {over_ms:.3f} ms above the truth"
    if measured.upper_ns < least_ns:
        under_ms = (least_ns - measured.upper_ns) / NS_PER_MS
        yield f"the upper bound is {under_ms:.3f} ms below the truth"


def _due_between(
    rows: Sequence[_Arrival], start_ns: float, end_ns: float
) -> Iterator[_Arrival]:
    for at in range(bisect_left(rows, (start_ns,)), len(rows)):
        if rows[at][0] >= end_ns:
            return
        yield rows[at]
