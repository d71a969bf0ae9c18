"""Outages of one scope: runs of failed arrivals between served ones, with error bars.

Pure: arrivals go in by due time, outages come out; no clock is read and the same
arrivals give the same outages however they were batched.

Theory (worked examples in docs/measuring.md, "Error bars"). A failure proves one
instant at which the target did not serve. Where that instant lies depends on how the
arrival failed:

1. By an answer or by the lack of a connection: inside the failure's evidence interval.
   So the outage began before the *end* of every evidence interval and ended after the
   *start* of every one.
2. By time (late, or no answer): an arrival sent at ``sent`` reached the target within
   one usual round trip, so the outage began before ``sent + round trip``; it was down
   for arrivals due at ``due``. Arrivals that queued up while the target was silent may
   miss their deadline only because the backlog is worked off after its return; they
   do not prove anything beyond ``first reply after the silence - deadline``.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import NamedTuple

from loadprobe.core.columns import Failure, Scope
from loadprobe.core.outcome import ErrorClass, Outcome

HISTORY_NS = 1_000_000_000
"""Served arrivals older than this are not looked at when an outage begins."""

_ROUND_TRIP_SAMPLES = 32


Row = tuple[int, int, int]
"""One served arrival: (due, sent, done), monotonic ns. Plain, for there are many."""


class Served(NamedTuple):
    """One served arrival (monotonic ns); a ``Row`` with names."""

    due_ns: int
    sent_ns: int
    done_ns: int


def is_timed(failure: Failure) -> bool:
    """Tell whether only the passing of time made the arrival fail."""
    return failure.outcome is Outcome.LATE or failure.error is ErrorClass.TIMEOUT


@dataclass(frozen=True, slots=True)
class Outage:
    """A run of failed arrivals of one scope; all times monotonic ns.

    ``hull_start <= start <= core_start <= core_end <= end <= hull_end``: the target was
    down during the core, up just outside the hull, and start and end are estimates.

    Args:
        scope: what was down.
        hull_start_ns: due time of the last arrival known to be served before.
        start_ns: estimated start.
        core_start_ns: the target was certainly down from here
        core_end_ns: to here (equal to ``core_start_ns`` if a single instant is known).
        end_ns: estimated end.
        hull_end_ns: when the target is known to have served again.
        first_due_ns: due time of the first failed arrival.
        last_due_ns: due time of the last failed arrival.
        failed: failed arrivals; each belongs to exactly one outage.
        classes: failed arrivals by class.
        outcomes: failed arrivals by outcome.
        probe_gap_ns: largest distance of consecutive due times from the last served
            arrival before to the first one after.
        open_start: no served arrival is known before (start of the run, or blind).
        open_end: no served arrival is known after (end of the run, blind, or the
            outage is still going on).
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

    @property
    def lower_ns(self) -> int:
        """Return the least length the outage can have had."""
        return self.core_end_ns - self.core_start_ns

    @property
    def duration_ns(self) -> int:
        """Return the estimated length."""
        return self.end_ns - self.start_ns

    @property
    def upper_ns(self) -> int:
        """Return the greatest length the outage can have had."""
        return self.hull_end_ns - self.hull_start_ns


@dataclass(slots=True)
class _Run:
    """The outage in the making.

    ``before`` are the served arrivals since the previous outage (by due, at most
    HISTORY_NS old), ``after`` those since the last failure, ``proof`` the first of
    these that was certainly served after the outage.
    """

    scope: Scope
    deadline_ns: int
    before: list[Row]
    begin_ns: int | None
    first_due_ns: int
    last_due_ns: int
    announced: bool = False
    after: list[Row] = field(default_factory=list)
    proof: Row | None = None
    failed: int = 0
    classes: Counter[ErrorClass] = field(default_factory=Counter)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    gap_ns: int = 0
    round_trip_ns: int = 0
    # evidence by answers (1.)
    answer_start_ns: int | None = None
    answer_end_ns: int | None = None
    # evidence by time (2.)
    timed_sent_ns: int | None = None
    timed_due_ns: int | None = None
    silent_due_ns: int | None = None
    resumed_ns: int | None = None
    is_last_late: bool = False

    def __post_init__(self) -> None:
        recent = self.before[-_ROUND_TRIP_SAMPLES:]
        if recent:
            # Twice the median: the slower half may take that long, one slow reply
            # must not widen the bounds.
            self.round_trip_ns = 2 * median_low(done - sent for _, sent, done in recent)
            self.last_due_ns = recent[-1][0]

    def add(self, failure: Failure) -> None:
        due = failure.due_ns
        self.gap_ns = max(self.gap_ns, due - self.last_due_ns)
        self.last_due_ns = due
        self.failed += 1
        self.classes[failure.error] += 1
        self.outcomes[failure.outcome] += 1
        self.is_last_late = failure.outcome is Outcome.LATE
        if is_timed(failure):
            self.timed_sent_ns = _least(self.timed_sent_ns, failure.sent_ns)
            self.timed_due_ns = due
            transit_ns = failure.evidence_end_ns - failure.sent_ns
            self.round_trip_ns = max(self.round_trip_ns, transit_ns)
            if failure.done_ns >= 0:
                resumed_ns = failure.evidence_start_ns
                self.resumed_ns = _least(self.resumed_ns, resumed_ns)
            else:
                self.silent_due_ns = due
        else:
            self.answer_start_ns = _greatest(
                self.answer_start_ns, failure.evidence_start_ns
            )
            self.answer_end_ns = _least(self.answer_end_ns, failure.evidence_end_ns)
            if self.before and self._proves_before(self.before[-1]):
                del self.before[:-1]

    def _proves_before(self, row: Row) -> bool:
        """Tell whether the target certainly served the arrival before the outage.

        One that was read after its deadline was served by the benefit of the doubt.
        """
        due_ns, _, done_ns = row
        if done_ns - due_ns > self.deadline_ns:
            return False
        return self.answer_start_ns is None or done_ns <= self.answer_start_ns

    def add_served(self, row: Row) -> None:
        """Take an arrival served after the last failure.

        The first one sent after a known instant of the outage proves that it is over.
        """
        self.after.append(row)
        if self.proof is None and (
            self.answer_end_ns is None or row[1] >= self.answer_end_ns
        ):
            self.proof = row

    def _core(self) -> tuple[int, int]:
        """Return the bounds the failures prove; start > end if it is one instant."""
        starts: list[int] = []
        ends: list[int] = []
        if self.answer_start_ns is not None and self.answer_end_ns is not None:
            starts.append(self.answer_end_ns)
            ends.append(self.answer_start_ns)
        if self.timed_sent_ns is not None:
            starts.append(self.timed_sent_ns + self.round_trip_ns)
            ends.append(self._timed_end())
        return max(self.first_due_ns, min(starts)), min(self.last_due_ns, max(ends))

    def _timed_end(self) -> int:
        """Return until when failures by time prove that nothing could be served."""
        assert self.timed_due_ns is not None
        resumed_ns = self.resumed_ns
        if resumed_ns is None or self.timed_due_ns >= resumed_ns:
            return self.timed_due_ns
        # The target was silent, then answered what had queued up. An arrival whose
        # deadline fell into that backlog may have been due after the silence mattered.
        resumed = resumed_ns - self.round_trip_ns
        bound = min(self.timed_due_ns, resumed - self.deadline_ns)
        if self.silent_due_ns is None:
            return bound
        # An unanswered arrival itself waited far longer than any backlog.
        return max(self.silent_due_ns, bound)

    def _hull_start(self) -> int:
        if not self.before:
            if self.begin_ns is None:
                return self.first_due_ns
            # The scope may be younger than its lane (a shard was added).
            earliest = max(self.begin_ns, self.first_due_ns - HISTORY_NS)
            return min(earliest, self.first_due_ns)
        for row in reversed(self.before):
            if self._proves_before(row):
                return row[0]
        return self.before[0][0]

    def _hull_end(self) -> int:
        first_due, _, first_done = self.after[0]
        if self.is_last_late and self.answer_end_ns is None:
            # Silence until b fails arrivals due before b - deadline. One due later is
            # served when the target is back: its due bounds the outage, not its done.
            # If it was read after its deadline, it was served by the benefit of the
            # doubt, and the silence may have ended as late as its done.
            return max(first_due, first_done - self.deadline_ns)
        if self.proof is not None:
            return max(first_due, self.proof[2])
        return max(row[2] for row in self.after)

    def to_outage(self, *, limit_ns: int | None) -> Outage:
        """Return the outage as known now.

        Args:
            limit_ns: the hull ends here at the latest (blind, or end of observation);
                required while no served arrival is known after the last failure. It
                then also ends HISTORY_NS after the last failure (or the largest gap
                between arrivals, if that is more): a scope that gets no arrivals any
                more, because its shard is gone, is not down for the rest of the run.
        """
        core_start, core_end = self._core()
        hull_start = self._hull_start()
        # Estimates lie between the due times of the nearest arrivals of either kind:
        # the cores are on the safe side and would pull them inwards.
        near_start = self.before[-1][0] if self.before else hull_start
        gap_ns = self.gap_ns
        if self.after:
            first_due = self.after[0][0]
            gap_ns = max(gap_ns, first_due - self.last_due_ns)
            hull_end = self._hull_end()
            if limit_ns is not None:
                hull_end = max(first_due, min(hull_end, limit_ns))
            near_end = min(hull_end, first_due)
        else:
            assert limit_ns is not None
            latest = self.last_due_ns + max(HISTORY_NS, gap_ns)
            hull_end = near_end = max(self.last_due_ns, min(limit_ns, latest))
            gap_ns = max(gap_ns, hull_end - self.last_due_ns)
        if core_end < core_start:
            middle = (core_start + core_end) // 2
            core_start = max(self.first_due_ns, min(middle, self.last_due_ns))
            core_end = core_start
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
        )


def _least(known: int | None, value: int) -> int:
    return value if known is None or value < known else known


def _greatest(known: int | None, value: int) -> int:
    return value if known is None or value > known else known


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
        the last one, by due time. Those from before the last outage or cut are left
        out here.
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
        due = failure.due_ns
        if self._run is not None and self._run.after:
            self._finish_run(limit_ns=None)
        if self._run is None:
            horizon = due - HISTORY_NS
            recent = list(self._recent)
            self._run = _Run(
                self.scope,
                self._deadline_ns,
                [row for row in recent if row[0] >= horizon] or recent[-1:],
                self._begin_ns,
                due,
                due,
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

        Nothing is known about it: no arrival due then may be fed, and no outage reaches
        into it.
        """
        self._settle(start_ns)
        if self._run is not None:
            self._finish_run(limit_ns=start_ns)
        self._recent.clear()
        self._floor_ns = end_ns - 1
        self._begin_ns = end_ns

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
