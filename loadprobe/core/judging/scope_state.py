"""What is known and counted of one scope: pending arrivals, its tracker, its totals.

Pure. Arrivals are counted when they are judged, in due order, exactly once.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import floordiv

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.intervals import Interval, overlaps
from loadprobe.core.judging.before import Before
from loadprobe.core.judging.columns import (
    Block,
    Failure,
    Scope,
    merge_blocks,
)
from loadprobe.core.judging.counts import ScopeTotals, SecondCounts
from loadprobe.core.judging.evidence import is_timed, is_unseen
from loadprobe.core.judging.ms_samples import MsSamples, SampleCutter
from loadprobe.core.judging.observed import ObservedTime
from loadprobe.core.judging.outage_tracker import OutageTracker
from loadprobe.core.judging.outages import Row
from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.judging.pending import Pending
from loadprobe.core.judging.ring import Slab


def lost_ns(failure: Failure, deadline_ns: int) -> int:
    """Return how long a client would have waited for a failed arrival, in ns.

    Until its reply; without one until the deadline if nothing happened (timeout), else
    until the failure was known (connection lost, or refused), at least 0.
    """
    if failure.done_ns >= 0:
        return max(0, failure.done_ns - failure.due_ns)
    if is_timed(failure):
        return deadline_ns
    return max(0, failure.evidence_end_ns - failure.due_ns)


class ScopeState:
    """Keep the arrivals of one scope until they can be judged, then judge them.

    Args:
        scope: the scope.
        deadline_ns: deadline of its lane.
        begin_ns: start of the observation of its lane, if known.

    Attributes:
        totals: what was counted.
        tracker: finds the outages.
        last_served: the last arrival that was certainly served in time.
    """

    def __init__(self, scope: Scope, *, deadline_ns: int, begin_ns: int | None) -> None:
        self.scope = scope
        self.totals = ScopeTotals()
        self.tracker = OutageTracker(scope, deadline_ns=deadline_ns, begin_ns=begin_ns)
        self._deadline_ns = self._least_ns = deadline_ns
        self._served: list[Pending] = []
        self._failed: list[tuple[Failure, int]] = []
        self.last_served: Row | None = None
        self._seconds: dict[int, SecondCounts] = {}
        self._observed = ObservedTime()
        self._cutter = SampleCutter(scope)
        self._samples: list[MsSamples] = []

    def go_on(self, totals: ScopeTotals, before: Before) -> None:
        """Go on with what was known before."""
        scope = self.scope
        self.totals = totals
        self.last_served = before.last_served(scope)
        self.tracker.go_on(
            before.going_on.get(scope),
            totals.last_outage,
            round_trip_ns=2 * before.usual_ns(scope.lane, scope.op),
        )

    def use_deadlines(self, least_ns: int, most_ns: int) -> None:
        """Take note between which bounds the deadlines of arrivals lie from now on."""
        self._least_ns, self._deadline_ns = least_ns, most_ns
        self.tracker.use_deadlines(least_ns, most_ns)

    def add(self, process: int, block: Block) -> None:
        """Take decided arrivals of one process; the block must not change any more."""
        if block.due:
            self._served.append(Pending.of(process, block))
        self._failed.extend((failure, process) for failure in block.iter_failures())

    @property
    def latest_due_ns(self) -> int:
        """Return the latest due time among the arrivals that wait, or -1."""
        served = (pending.high_ns for pending in self._served)
        failed = (failure.due_ns for failure, _ in self._failed)
        return max(max(served, default=-1), max(failed, default=-1))

    def take(
        self, start_ns: int, until_ns: int, blind: Mapping[int, Sequence[Interval]]
    ) -> Slab:
        """Remove and return the arrivals due before ``until_ns``, failures by due.

        Unseen ones are counted and left out.

        Args:
            start_ns: up to where arrivals have been taken before.
            until_ns: up to where they are taken now.
            blind: per process when it did not get to run.
        """
        now: list[Pending] = []
        kept: list[Pending] = []
        for pending in self._served:
            if pending.low_ns >= until_ns:
                kept.append(pending)
            elif pending.high_ns < until_ns:
                now.append(pending)
            else:
                early, late = pending.split(until_ns)
                now.append(early)
                kept.append(late)
        self._served = kept
        now = self._without_unseen(now, blind)
        served = merge_blocks(pending.block for pending in now)
        are_closed = all(isinstance(pending.due_times, set) for pending in now)
        return Slab(
            start_ns,
            until_ns,
            served.due,
            served.sent,
            served.done,
            self._take_failures(until_ns, blind),
            min((pending.low_ns for pending in now), default=0),
            max((pending.high_ns for pending in now), default=0),
            set().union(*(p.due_times for p in now)) if are_closed else served.due,
        )

    def _without_unseen(
        self, pending: Sequence[Pending], blind: Mapping[int, Sequence[Interval]]
    ) -> list[Pending]:
        """Leave out served arrivals that were due while their process was blind.

        And those answered after their deadline, which only count as served because the
        answer may have waited for us, if a blind time is behind it.
        """
        kept: list[Pending] = []
        for part in pending:
            spans = [
                span
                for span in blind.get(part.process, ())
                if span[0] < part.high_ns + self._deadline_ns and part.low_ns < span[1]
            ]
            if not spans:
                kept.append(part)
                continue
            seen = Block()
            rows = zip(part.block.due, part.block.sent, part.block.done, strict=True)
            for due, sent, done in rows:
                is_late = done - due > self._least_ns
                waits_ns = self._deadline_ns + 1 if is_late else 1
                if overlaps(spans, due, due + waits_ns):
                    self.totals.unseen += 1
                else:
                    seen.add_served(due, sent, done)
            if seen.due:
                kept.append(Pending.of(part.process, seen))
        return kept

    def _last_certain(self, slab: Slab) -> Row | None:
        """Return the last arrival of a slab that was certainly served in time."""
        last = _last_index(slab.due, slab.high_ns)
        row = slab.due[last], slab.sent[last], slab.done[last]
        if row[2] - row[0] <= self._least_ns:
            return row
        rows = zip(slab.due, slab.sent, slab.done, strict=True)
        in_time = (row for row in rows if row[2] - row[0] <= self._least_ns)
        return max(in_time, default=None)

    def _take_failures(
        self, until_ns: int, blind: Mapping[int, Sequence[Interval]]
    ) -> list[Failure]:
        """Remove and return the failures due before ``until_ns``, by due."""
        due_now = [row for row in self._failed if row[0].due_ns < until_ns]
        self._failed = [row for row in self._failed if row[0].due_ns >= until_ns]
        failures: list[Failure] = []
        for failure, process in due_now:
            spans = blind.get(process, ())
            if spans and is_unseen(
                failure,
                spans,
                deadline_ns=self._deadline_ns,
                is_attempt=self.scope.op.is_apart,
            ):
                self.totals.unseen += 1
            else:
                failures.append(failure)
        failures.sort()
        return failures

    def judge(
        self, slab: Slab, cuts: Sequence[Interval], recent: Sequence[Row]
    ) -> None:
        """Count arrivals and find outages.

        Args:
            slab: all arrivals of the scope that are due in its span.
            cuts: when the lane was blind, within the span.
            recent: the arrivals served in the HISTORY_NS before the slab, by due;
                needed when the slab holds failures and the tracker is idle.
        """
        if slab.failures or not self.tracker.is_idle:
            self._track(slab, cuts, recent)
        else:
            for start, end in cuts:
                self.tracker.cut(start, end)
        if slab.due:
            self.last_served = self._last_certain(slab) or self.last_served
        self._count(slab, cuts)
        self.totals.observed_ns += self._observed.add(slab, cuts)

    def _track(
        self, slab: Slab, cuts: Sequence[Interval], recent: Sequence[Row]
    ) -> None:
        tracker = self.tracker
        if tracker.is_idle:
            if not recent and self.last_served is not None:
                recent = [self.last_served]
            tracker.seed(recent)
        served = sorted(zip(slab.due, slab.sent, slab.done, strict=True))
        failures = slab.failures
        at = slab.start_ns
        for start, end in [*cuts, (slab.until_ns, slab.until_ns)]:
            tracker.feed(
                served[bisect_left(served, (at,)) : bisect_left(served, (start,))],
                [f for f in failures if at <= f.due_ns < start],
            )
            if start < end:
                tracker.cut(start, end)
            at = end
        tracker.advance(slab.until_ns)

    def _count(self, slab: Slab, cuts: Sequence[Interval]) -> None:
        totals = self.totals
        totals.counts[Outcome.SERVED] += len(slab.due)
        first, last = slab.start_ns // NS_PER_S, (slab.until_ns - 1) // NS_PER_S
        if first == last and slab.due:
            self._second(first).counts[Outcome.SERVED] += len(slab.due)
        elif slab.due:
            seconds = Counter(map(floordiv, slab.due, repeat(NS_PER_S)))
            for second, number in seconds.items():
                self._second(second).counts[Outcome.SERVED] += number
        lit = set(map(floordiv, slab.due_times, repeat(NS_PER_MS)))
        dark = {failure.due_ns // NS_PER_MS for failure in slab.failures}
        for failure in slab.failures:
            totals.counts[failure.outcome] += 1
            totals.classes[failure.error] += 1
            totals.lost_ns += lost_ns(failure, self._deadline_ns)
            self._second(failure.due_ns // NS_PER_S).counts[failure.outcome] += 1
        if cuts:
            lit = {ms for ms in lit if not _is_cut(cuts, ms)}
            dark = {ms for ms in dark if not _is_cut(cuts, ms)}
        self._cut_samples(slab, dark, lit)
        grey = dark & lit
        dark -= lit
        totals.observed_ms += len(lit) + len(dark)
        totals.dark_ms += len(dark)
        totals.grey_ms += len(grey)
        for ms in grey:
            self._second(ms // 1000).grey_ms += 1
        for ms in dark:
            self._second(ms // 1000).dark_ms += 1
            self._second(ms // 1000).observed_ms += 1
        if first == last and lit:
            self._second(first).observed_ms += len(lit)
        elif lit:
            for second, number in Counter(ms // 1000 for ms in lit).items():
                self._second(second).observed_ms += number

    def _cut_samples(self, slab: Slab, failing: set[int], lit: set[int]) -> None:
        """Count and keep the cells with failures."""
        if not failing and self._cutter.is_at_rest:
            return
        per_ms = Counter(f.due_ns // NS_PER_MS for f in slab.failures)
        self.totals.errors_per_ms.record_many([per_ms[ms] for ms in failing])
        self._samples += self._cutter.cut(failing, lit, slab.failures, slab.due)

    def _second(self, second: int) -> SecondCounts:
        counts = self._seconds.get(second)
        if counts is None:
            counts = self._seconds[second] = SecondCounts(self.scope, second)
        return counts

    def take_samples(self) -> list[MsSamples]:
        """Remove and return the samples of cells with failures."""
        samples, self._samples = self._samples, []
        return samples

    def take_seconds(self, until_ns: int | None) -> list[SecondCounts]:
        """Remove and return the seconds that end by ``until_ns`` (None: all)."""
        done = sorted(
            second
            for second in self._seconds
            if until_ns is None or (second + 1) * NS_PER_S <= until_ns
        )
        return [self._seconds.pop(second) for second in done]


def _last_index(dues: "array[int]", due_ns: int) -> int:
    """Return the last place of a due time that is there, and most likely at the end."""
    for at in range(len(dues) - 1, -1, -1):
        if dues[at] == due_ns:
            return at
    raise AssertionError(f"nothing is due at {due_ns}")


def _is_cut(cuts: Sequence[Interval], ms: int) -> bool:
    return overlaps(cuts, ms * NS_PER_MS, (ms + 1) * NS_PER_MS)
