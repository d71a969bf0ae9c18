"""Outages of one scope: runs of failed arrivals between served ones, with error bars.

Pure: arrivals go in by due time, outages come out; no clock is read and the same
arrivals give the same outages however they were batched.

Theory (worked examples in docs/measuring.md, "Error bars"). What failures prove is told
in ``core.evidence``. Blind time proves nothing, neither darkness nor light: it does not
end an outage, it is in no lower bound, and an upper bound reaches across it to the
nearest arrival that is known to have been served.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median_low
from typing import NamedTuple

from loadprobe.core.columns import Failure, Scope
from loadprobe.core.evidence import Evidence, is_timed
from loadprobe.core.intervals import Interval, difference, intersection, length
from loadprobe.core.outcome import ErrorClass, Outcome

HISTORY_NS = 1_000_000_000
"""Served arrivals older than this are not looked at when an outage begins."""

MOST_STRETCHES = 2_000
"""Of an outage with more blind times the oldest count as one: it is known less well."""

_ROUND_TRIP_SAMPLES = 32


Row = tuple[int, int, int]
"""One served arrival: (due, sent, done), monotonic ns. Plain, for there are many."""


class Served(NamedTuple):
    """One served arrival (monotonic ns); a ``Row`` with names."""

    due_ns: int
    sent_ns: int
    done_ns: int


@dataclass(frozen=True, slots=True)
class Outage:
    """A run of failed arrivals of one scope; all times monotonic ns.

    The target was up just outside the hull; ``hull_start <= start <= core_start`` and
    ``core_end <= end <= hull_end``. From ``core_start`` to ``core_end`` it was
    certainly down, but for the gaps, if the first is not after the second.

    Args:
        scope: what was down.
        hull_start_ns: due time of the last arrival known to be served before.
        start_ns: estimated start.
        core_start_ns: the outage had certainly begun here
        core_end_ns: and was certainly not over here. If this is the earlier one (it
            takes blind time for that), no instant at which it was down is known.
        end_ns: estimated end.
        hull_end_ns: when the target is known to have served again.
        first_due_ns: due time of the first failed arrival.
        last_due_ns: due time of the last failed arrival.
        failed: failed arrivals; each belongs to exactly one outage.
        classes: failed arrivals by class.
        outcomes: failed arrivals by outcome.
        probe_gap_ns: largest distance of consecutive due times from the last served
            arrival before to the first one after, blind time left out.
        open_start: no served arrival is known before (start of the run).
        open_end: no served arrival is known after (end of the run, no more arrivals,
            or the outage is still going on).
        gaps: around blind times, when nothing proves that it was down; within the core.
        unseen: when the probe was blind; within the hull, disjoint and by time.
        lit_beside: when others saw the shard served meanwhile; within the hull, outside
            of all that is certain. It bounds the darkness of the shard, not that of
            the scope (see ``core.light``).
    """

    scope: Scope
    hull_start_ns: int
    start_ns: int
    core_start_ns: int
    core_end_ns: int
    end_ns: int
    hull_end_ns: int
    first_due_ns: int
    last_due_ns: int
    failed: int
    classes: Mapping[ErrorClass, int]
    outcomes: Mapping[Outcome, int]
    probe_gap_ns: int
    open_start: bool
    open_end: bool
    gaps: tuple[Interval, ...] = ()
    unseen: tuple[Interval, ...] = ()
    lit_beside: tuple[Interval, ...] = ()

    @property
    def cores(self) -> list[Interval]:
        """Return when the target was certainly down; disjoint, by time."""
        return difference([(self.core_start_ns, self.core_end_ns)], self.gaps)

    @property
    def hull(self) -> Interval:
        """Return outside of what the target was certainly up."""
        return self.hull_start_ns, self.hull_end_ns

    @property
    def lower_ns(self) -> int:
        """Return the least length the outage can have had."""
        return length(self.cores)

    @property
    def duration_ns(self) -> int:
        """Return the estimated length."""
        return self.end_ns - self.start_ns

    @property
    def upper_ns(self) -> int:
        """Return the greatest length the outage can have had."""
        return self.hull_end_ns - self.hull_start_ns

    @property
    def unseen_ns(self) -> int:
        """Return how much of what it can have been the probe did not see."""
        return length(self.unseen)

    @property
    def seen(self) -> list[Interval]:
        """Return the estimated outage without what the probe did not see of it."""
        return difference([(self.start_ns, self.end_ns)], self.unseen)

    @property
    def seen_ns(self) -> int:
        """Return the length of that."""
        return length(self.seen) if self.unseen else self.duration_ns

    @property
    def possible(self) -> Interval:
        """Return the estimated outage, as long as it can have been where it is unseen.

        An edge that the probe did not see lies at the end of the hull, another one
        where it was estimated.
        """
        start_ns, end_ns = self.start_ns, self.end_ns
        if self.unseen and self.unseen[0][0] < self.core_start_ns:
            start_ns = self.hull_start_ns
        if self.unseen and self.unseen[-1][1] > self.core_end_ns:
            end_ns = self.hull_end_ns
        return start_ns, end_ns


@dataclass(slots=True)
class _Run:
    """The outage in the making.

    ``before`` are the served arrivals since the previous outage (by due, at most
    HISTORY_NS before the last of them), ``after`` those since the last failure,
    ``proof`` the first of these that was certainly served after the outage. ``blind``
    are the blind times since the first of ``before``. ``whole`` has the evidence of
    all failures, ``stretches`` that between two blind times.
    """

    scope: Scope
    deadline_ns: int
    before: list[Row]
    begin_ns: int | None
    first_due_ns: int
    last_due_ns: int
    blind: list[Interval]
    whole: Evidence
    stretches: list[Evidence]
    announced: bool = False
    after: list[Row] = field(default_factory=list)
    proof: Row | None = None
    failed: int = 0
    classes: Counter[ErrorClass] = field(default_factory=Counter)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    gap_ns: int = 0
    round_trip_ns: int = 0
    is_last_late: bool = False

    @classmethod
    def begun(
        cls,
        scope: Scope,
        deadline_ns: int,
        *,
        before: list[Row],
        begin_ns: int | None,
        due_ns: int,
        blind: Iterable[Interval],
    ) -> "_Run":
        """Return an outage whose first failed arrival was due at a time."""
        since_ns = before[0][0] if before else -1
        known = [span for span in blind if span[1] > since_ns]
        whole = Evidence(deadline_ns)
        stretch = Evidence(deadline_ns, known[-1][1]) if known else whole
        run = cls(
            scope,
            deadline_ns,
            before,
            begin_ns,
            due_ns,
            due_ns,
            known,
            whole,
            [stretch],
        )
        recent = before[-_ROUND_TRIP_SAMPLES:]
        if recent:
            # Twice the median: the slower half may take that long, one slow reply
            # must not widen the bounds.
            run.round_trip_ns = 2 * median_low(done - sent for _, sent, done in recent)
            run.last_due_ns = recent[-1][0]
        return run

    def add(self, failure: Failure) -> None:
        due = failure.due_ns
        self.gap_ns = max(self.gap_ns, self._gap(due))
        self.last_due_ns = due
        self.failed += 1
        self.classes[failure.error] += 1
        self.outcomes[failure.outcome] += 1
        self.is_last_late = failure.outcome is Outcome.LATE
        self.whole.add(failure)
        if self.stretches[-1] is not self.whole:
            self.stretches[-1].add(failure)
        if is_timed(failure):
            transit_ns = failure.evidence_end_ns - failure.sent_ns
            self.round_trip_ns = max(self.round_trip_ns, transit_ns)
        elif self.before and self._proves_before(self.before[-1]):
            del self.before[:-1]

    def _gap(self, due_ns: int) -> int:
        """Return how long nothing was due although the probe was looking."""
        if not self.blind:
            return due_ns - self.last_due_ns
        return length(difference([(self.last_due_ns, due_ns)], self.blind))

    def cut(self, start_ns: int, end_ns: int) -> None:
        """Take note that the probe was blind; it may go on being so."""
        if self.blind and self.blind[-1][1] >= start_ns:
            self.blind[-1] = (self.blind[-1][0], end_ns)
            self.stretches[-1].since_ns = end_ns
            return
        self.blind.append((start_ns, end_ns))
        if self.after:
            return  # no failure will be added
        if self.stretches[-1] is self.whole:
            # Only here it turns out that there will be another stretch.
            self.stretches[-1] = replace(self.whole)
        self.stretches.append(Evidence(self.deadline_ns, end_ns))
        if len(self.stretches) > MOST_STRETCHES:
            first = len(self.blind) - len(self.stretches) + 1
            del self.stretches[1]
            left, right = self.blind[first : first + 2]
            self.blind[first : first + 2] = [(left[0], right[1])]

    def _proves_before(self, row: Row) -> bool:
        """Tell whether the target certainly served the arrival before the outage.

        One that was read after its deadline was served by the benefit of the doubt.
        """
        due_ns, _, done_ns = row
        is_in_time = done_ns - due_ns <= self.deadline_ns
        return is_in_time and self.whole.proves_before(done_ns)

    def add_served(self, row: Row) -> None:
        """Take an arrival served after the last failure.

        The first one sent after a known instant of the outage proves that it is over.
        """
        self.after.append(row)
        if self.proof is None and self.whole.proves_after(row[1]):
            self.proof = row

    def _certain(self) -> tuple[int, int, tuple[Interval, ...]]:
        """Return the core and the gaps in it; start > end if no instant is known."""
        core = self.whole.core(self.round_trip_ns)
        assert core is not None, "every failure proves something of the whole"
        start, end = core
        if self.stretches[0] is self.whole:
            if end < start:
                middle = (start + end) // 2
                start = end = max(self.first_due_ns, min(middle, self.last_due_ns))
            return start, end, ()
        proven = [
            span
            for stretch in self.stretches
            if (span := stretch.core(self.round_trip_ns)) and span[0] <= span[1]
        ]
        start = min([start, *(span[0] for span in proven)])
        end = max([end, *(span[1] for span in proven)])
        return start, end, tuple(difference([(start, end)], proven))

    def _hull_start(self) -> int:
        if not self.before:
            if self.begin_ns is None:
                return self.first_due_ns
            # The scope may be younger than its lane (a shard was added).
            earliest = self.first_due_ns - HISTORY_NS
            for start, end in reversed(self.blind):
                if start < self.first_due_ns and end >= earliest:
                    earliest = min(earliest, start - HISTORY_NS)
            return min(max(self.begin_ns, earliest), self.first_due_ns)
        for row in reversed(self.before):
            if self._proves_before(row):
                return row[0]
        return self.before[0][0]

    def _hull_end(self) -> int:
        first_due, _, first_done = self.after[0]
        if self.is_last_late and self.whole.answer_end_ns is None:
            # Silence until b fails arrivals due before b - deadline. One due later is
            # served when the target is back: its due bounds the outage, not its done.
            # If it was read after its deadline, it was served by the benefit of the
            # doubt, and the silence may have ended as late as its done.
            return max(first_due, first_done - self.deadline_ns)
        if self.proof is not None:
            return max(first_due, self.proof[2])
        return max(row[2] for row in self.after)

    def _latest_end(self, limit_ns: int) -> int:
        """Return when an outage with no served arrival after it ended at the latest."""
        patience_ns = max(HISTORY_NS, self.gap_ns)
        latest = self.last_due_ns + patience_ns
        for start, end in self.blind:
            if end > self.last_due_ns and start <= latest:
                latest = max(latest, end + patience_ns)
        return max(self.last_due_ns, min(limit_ns, latest))

    def to_outage(self, *, limit_ns: int | None) -> Outage:
        """Return the outage as known now.

        Args:
            limit_ns: end of the observation; required while no served arrival is known
                after the last failure: the hull ends here. It then also ends HISTORY_NS
                after the last failure (or the largest gap between arrivals, if that is
                more) or after the blind time then: a scope that gets no arrivals any
                more, because its shard is gone, is not down for the rest of the run.
        """
        core_start, core_end, gaps = self._certain()
        hull_start = self._hull_start()
        # Estimates lie between the due times of the nearest arrivals of either kind:
        # the cores are on the safe side and would pull them inwards.
        near_start = self.before[-1][0] if self.before else hull_start
        gap_ns = self.gap_ns
        if self.after:
            first_due = self.after[0][0]
            gap_ns = max(gap_ns, self._gap(first_due))
            hull_end = self._hull_end()
            near_end = min(hull_end, first_due)
        else:
            assert limit_ns is not None
            hull_end = near_end = self._latest_end(limit_ns)
            gap_ns = max(gap_ns, self._gap(hull_end))
        unseen = intersection([self.blind, [(hull_start, hull_end)]])
        return Outage(
            scope=self.scope,
            hull_start_ns=hull_start,
            start_ns=(near_start + self.first_due_ns) // 2,
            core_start_ns=core_start,
            core_end_ns=core_end,
            end_ns=(self.last_due_ns + near_end) // 2,
            hull_end_ns=hull_end,
            first_due_ns=self.first_due_ns,
            last_due_ns=self.last_due_ns,
            failed=self.failed,
            classes=dict(self.classes),
            outcomes=dict(self.outcomes),
            probe_gap_ns=gap_ns,
            open_start=not self.before,
            open_end=not self.after,
            gaps=gaps,
            unseen=tuple(unseen),
        )


class OutageTracker:
    """Find the outages of one scope in its due-ordered arrivals.

    Args:
        scope: the scope.
        deadline_ns: deadline of its lane.
        begin_ns: start of the observation, if known.
    """

    def __init__(
        self, scope: Scope, *, deadline_ns: int, begin_ns: int | None = None
    ) -> None:
        self.scope = scope
        self._deadline_ns = deadline_ns
        self._begin_ns = begin_ns
        self._floor_ns = -1
        self._recent: deque[Row] = deque()
        self._blind: deque[Interval] = deque(maxlen=MOST_STRETCHES)
        self._run: _Run | None = None
        self._closed: list[Outage] = []

    @property
    def is_idle(self) -> bool:
        """Tell whether no outage is going on or waiting for its error bars."""
        return self._run is None

    @property
    def current(self) -> Outage | None:
        """Return the outage that is going on, as known now, or None."""
        run = self._run
        if run is None or run.after:
            return None
        return run.to_outage(limit_ns=run.last_due_ns)

    def seed(self, served: Iterable[Row]) -> None:
        """Replace the served arrivals remembered from before the next ones.

        A scope without failures need not be fed arrival by arrival: before the next
        failure it is enough to name the arrivals served in the last HISTORY_NS, or
        the last one, by due time. Those from before the last outage are left out here.
        """
        assert self._run is None
        self._recent = deque(row for row in served if row[0] > self._floor_ns)

    def feed(self, served: Sequence[Row], failures: Iterable[Failure]) -> None:
        """Take arrivals that are due after all those taken before, each kind by due.

        An arrival served at the same due time as a failed one counts as before it.
        """
        start = 0
        for failure in failures:
            stop = bisect_left(served, (failure.due_ns + 1,), lo=start)
            self._take_served(served[start:stop])
            start = stop
            self._take_failed(failure)
        self._take_served(served[start:])

    def _take_served(self, rows: Sequence[Row]) -> None:
        taken = 0
        while self._run is not None and taken < len(rows):
            row = rows[taken]
            self._settle(row[0])
            if self._run is not None:
                self._run.add_served(row)
                taken += 1
        if taken < len(rows):
            recent = self._recent
            recent.extend(rows[taken:])
            horizon = recent[-1][0] - HISTORY_NS
            while recent[0][0] < horizon:
                recent.popleft()

    def _take_failed(self, failure: Failure) -> None:
        if self._run is not None and self._run.after:
            self._finish_run(limit_ns=None)
        if self._run is None:
            recent = self._recent
            horizon = recent[-1][0] - HISTORY_NS if recent else 0
            self._run = _Run.begun(
                self.scope,
                self._deadline_ns,
                before=[row for row in recent if row[0] >= horizon],
                begin_ns=self._begin_ns,
                due_ns=failure.due_ns,
                blind=self._blind,
            )
        self._run.add(failure)

    def _settle(self, until_ns: int) -> None:
        """Close the outage if nothing due from ``until_ns`` on can change its bars."""
        run = self._run
        if run is None or not run.after:
            return
        proof = run.proof
        if proof is not None and max(proof[2], run.after[0][2]) <= until_ns:
            self._finish_run(limit_ns=None)

    def _finish_run(self, *, limit_ns: int | None) -> None:
        run = self._run
        assert run is not None
        self._closed.append(run.to_outage(limit_ns=limit_ns))
        self._recent = deque(run.after)
        self._floor_ns = run.last_due_ns
        self._run = None

    def cut(self, start_ns: int, end_ns: int) -> None:
        """Take note that the probe was blind during [start_ns, end_ns).

        Nothing is known about it: no arrival due then may be fed. Cuts come by time, in
        the order of the arrivals around them.
        """
        self._settle(start_ns)
        if self._run is not None:
            self._run.cut(start_ns, end_ns)
        blind = self._blind
        if blind and blind[-1][1] >= start_ns:
            start_ns = blind.pop()[0]
        blind.append((start_ns, end_ns))

    def advance(self, until_ns: int) -> None:
        """Take note that every arrival due before ``until_ns`` has been fed."""
        self._settle(until_ns)

    def close(self, until_ns: int) -> None:
        """End the observation at ``until_ns``; an outage that goes on stays open."""
        self._settle(until_ns)
        if self._run is not None:
            limit = None if self._run.after else until_ns
            self._finish_run(limit_ns=limit)

    def drain(self) -> tuple[list[Outage], list[Outage]]:
        """Return (outages that are going on and were not returned before, closed)."""
        opened: list[Outage] = []
        current = self.current
        if current is not None and self._run is not None and not self._run.announced:
            self._run.announced = True
            opened.append(current)
        closed, self._closed = self._closed, []
        return opened, closed
