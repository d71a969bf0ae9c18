"""Phases of the steps of a scenario: what the load saw of each change, and when.

Pure; times are monotonic nanoseconds. The definitions, with a worked example, are in
docs/measuring.md ("Phases of a change").

1. A step lasts from its API call (one without a call: from its start) until 10 s after
   the last thing the controller saw of it, but ends where the next step begins. One
   that failed lasts until the next step, or to the end of the run. Holds and waits are
   no steps in this sense: they change nothing.
2. An outage belongs to the step in whose time its first failed arrival was due, as a
   whole, however long it went on. So every outage belongs to one step at most.
3. The baseline is the median of the p99 of the whole seconds before the call, at most
   30 of them, counted from when the step before was over. If these are fewer than 3, it
   is that of the first step. The band ends at 1.5 times the baseline plus 1 ms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.judging.outages import Outage
from loadprobe.core.phase_names import Phase
from loadprobe.core.steps import StepRecord, StepState
from loadprobe.core.verdict.instants import Instant, first_error, served_again
from loadprobe.core.verdict.step_phases import (
    Blast,
    LanePhases,
    LoadSeen,
    P99Course,
    StepPhases,
)

AFTER_NS = 10 * NS_PER_S
BASELINE_S = 30
LEAST_BASELINE_S = 3
CALM_S = 3
BAND_RATIO = 1.5
BAND_NS = NS_PER_MS
EARLY_NS = NS_PER_S
"""A provider's clock may be so much behind ours without its events being lost."""

_IDLE = frozenset({"hold", "wait"})


def find_phases(records: Sequence[StepRecord], load: LoadSeen) -> list[StepPhases]:
    """Return what was seen of each step, given in the order of their starts."""
    calls = [call for record in records if (call := called_ns(record)) is not None]
    found: list[StepPhases] = []
    first_quiet: tuple[int, int] | None = None
    over_ns = load.begin_ns
    for record in records:
        start_ns = called_ns(record)
        if start_ns is None:
            found.append(StepPhases(record))
            continue
        next_ns = min((call for call in calls if call > start_ns), default=load.end_ns)
        until_ns = _until_ns(record, start_ns, next_ns)
        quiet = (_after_second(over_ns), start_ns // NS_PER_S)
        first_quiet = first_quiet or quiet
        step = _Step(record, start_ns, until_ns, next_ns, load, quiet, first_quiet)
        lanes = tuple(step.lane(lane) for lane in load.shards)
        moves = load.controller.moves_between(start_ns, until_ns)
        seen = StepPhases(record, start_ns, until_ns, lanes, moves)
        found.append(seen)
        served = seen.first_served
        over_ns = max(_last_ns(record, start_ns), served.at_ns if served else 0)
    return found


def called_ns(record: StepRecord) -> int | None:
    """Return when a step began to change something; None if it did not."""
    if record.operation in _IDLE or record.state is StepState.SKIPPED:
        return None
    phases = record.phases_ns
    return phases.get(Phase.API_CALL, phases.get(Phase.BEGUN))


def step_at(
    steps: Sequence[StepPhases], at_ns: int, *, seen_ns: int, shard: str | None
) -> StepPhases | None:
    """Return the step that something the provider told belongs to.

    That is the latest step called before (its clock may be a second behind ours, but
    it cannot tell of a call to come), if it is about that shard.

    Args:
        steps: what ``find_phases`` returned.
        at_ns: the provider's time of it, on our clock.
        seen_ns: when we saw it.
        shard: the shard it is about, None if that is not known.
    """
    before = [
        step
        for step in steps
        if step.start_ns is not None
        and step.start_ns - EARLY_NS <= at_ns
        and step.start_ns <= seen_ns
    ]
    if not before:
        return None
    latest = max(before, key=lambda step: step.start_ns or 0)
    shards = latest.record.shards
    return None if shard and shards and shard not in shards else latest


def _last_ns(record: StepRecord, start_ns: int) -> int:
    return max(record.phases_ns.values(), default=start_ns)


def _until_ns(record: StepRecord, start_ns: int, next_ns: int) -> int:
    if record.state is StepState.FAILED:
        return next_ns
    return max(start_ns, min(next_ns, _last_ns(record, start_ns) + AFTER_NS))


def _after_second(at_ns: int) -> int:
    """Return the first second that begins at a time or later."""
    return -(-at_ns // NS_PER_S)


@dataclass(frozen=True, slots=True)
class _Step:
    """A step, and which seconds of the run matter for it.

    Args:
        record: what the controller did.
        start_ns: its API call.
        until_ns: end of its time.
        next_ns: start of the next step, or end of the run.
        load: what was measured.
        quiet: [first, until) seconds of its baseline.
        first_quiet: those of the first step.
    """

    record: StepRecord
    start_ns: int
    until_ns: int
    next_ns: int
    load: LoadSeen
    quiet: tuple[int, int]
    first_quiet: tuple[int, int]

    def lane(self, lane: str) -> LanePhases:
        planned = [o for o in self.load.planned if o.scope.lane == lane]
        own, by_plan = self._own(lane, self.load.outages), self._own(lane, planned)
        unended = self.load.activity.never_ended(own)
        # Of a scope that got no more arrivals, no end is known at all.
        is_dark_at_end = any(o.hull_end_ns >= self.load.end_ns for o in unended)
        served = None if unended else served_again(own)
        is_dark = any(
            o.start_ns < self.until_ns and self.start_ns < o.end_ns for o in planned
        )
        over_s = self._over_s(own)
        return LanePhases(
            lane=lane,
            outages=own,
            planned=by_plan,
            first_error=first_error(own),
            first_planned_error=first_error(by_plan),
            planned_served=self._back_by_plan(planned),
            first_served=served,
            is_dark_at_end=is_dark_at_end,
            p99=None if is_dark else self._course(lane, own, over_s),
            blast=self._blast(lane, own, over_s),
            redirects=self.load.activity.redirects(
                lane, self.start_ns // NS_PER_S, over_s
            ),
        )

    def _back_by_plan(self, planned: Sequence[Outage]) -> Instant | None:
        """Return when a lane was back from darkness by plan; None if a part was not."""
        begun = [o for o in planned if o.start_ns < self.until_ns]
        if any(o.open_end or o.end_ns >= self.until_ns for o in begun):
            return None
        return served_again([o for o in begun if o.end_ns >= self.start_ns])

    def _own(self, lane: str, outages: Sequence[Outage]) -> tuple[Outage, ...]:
        return tuple(
            o
            for o in outages
            if o.scope.lane == lane and self.start_ns <= o.first_due_ns < self.until_ns
        )

    def _over_s(self, own: Sequence[Outage]) -> int:
        """Return the first second in which the step was not under way any more."""
        last_ns = self.until_ns
        if self.record.state is not StepState.FAILED:
            last_ns = _last_ns(self.record, self.start_ns)
        last_ns = max([last_ns, *(o.end_ns for o in own)])
        return min(last_ns // NS_PER_S + 1, _after_second(self.next_ns))

    def _baseline(self, lane: str, shard: str | None) -> float | None:
        for first, until in (self.quiet, self.first_quiet):
            first = max(first, until - BASELINE_S)  # noqa: PLW2901 - cut to the last
            values = self.load.p99.between(lane, shard, first, until)
            if len(values) >= LEAST_BASELINE_S:
                return median(values.values())
        return None

    def _under_way(self, lane: str, shard: str | None, over_s: int) -> dict[int, int]:
        return self.load.p99.between(lane, shard, self.start_ns // NS_PER_S, over_s)

    def _course(
        self, lane: str, own: Sequence[Outage], over_s: int
    ) -> P99Course | None:
        baseline_ns = self._baseline(lane, None)
        values = self._under_way(lane, None, over_s)
        if baseline_ns is None or not values:
            return None
        limit_ns = int(baseline_ns * BAND_RATIO) + BAND_NS
        outside = [second for second, value in values.items() if value > limit_ns]
        from_s = [second + 1 for second in outside]
        from_s += [_after_second(o.end_ns) for o in own]
        recovered_s: int | None = None
        if from_s and not self.load.activity.never_ended(own):
            later = self.load.p99.between(
                lane, None, max(from_s), _after_second(self.next_ns)
            )
            recovered_s = _first_calm(later, limit_ns)
        return P99Course(
            baseline_ns=int(baseline_ns),
            limit_ns=limit_ns,
            worst_ns=max(values.values()),
            has_left=bool(from_s),
            recovered_ns=None if recovered_s is None else recovered_s * NS_PER_S,
        )

    def _blast(self, lane: str, own: Sequence[Outage], over_s: int) -> Blast | None:
        shards = self.load.shards[lane]
        about = set(self.record.shards) & set(shards)
        others = tuple(shard for shard in shards if shard not in about)
        if not about or not others:
            return None
        failed = sum(o.failed for o in own if o.scope.shard in others)
        rises: list[tuple[float, str, int, int]] = []
        for shard in others:
            baseline_ns = self._baseline(lane, shard)
            values = self._under_way(lane, shard, over_s)
            if baseline_ns and values:
                worst_ns = max(values.values())
                rise = worst_ns / baseline_ns
                rises.append((rise, shard, int(baseline_ns), worst_ns))
        if not rises:
            return Blast(others, failed)
        _, shard, before_ns, worst_ns = max(rises)
        return Blast(others, failed, shard, before_ns, worst_ns)


def _first_calm(values: Mapping[int, int], limit_ns: int) -> int | None:
    """Return the first of the first ``CALM_S`` seconds in a row within a limit."""
    begun = last = None
    for second, value in values.items():
        if begun is None or last != second - 1:
            begun = second
        last = second
        if value > limit_ns:
            begun = None
        elif second - begun + 1 >= CALM_S:
            return begun
    return None
