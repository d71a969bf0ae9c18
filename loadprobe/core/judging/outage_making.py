"""An outage in the making: what its arrivals and the blind times in it come to.

Pure. What failures prove is told in ``core.judging.evidence``; which arrivals belong
to an outage decides ``core.judging.outage_tracker``.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median_low

from loadprobe.clock import NEVER_NS
from loadprobe.core.intervals import Interval, difference, intersection, length
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.evidence import Evidence, is_timed
from loadprobe.core.judging.outages import HISTORY_NS, Outage, Row
from loadprobe.core.judging.outcome import ErrorClass, Outcome

MOST_STRETCHES = 2_000
"""Of an outage with more blind times the oldest count as one: it is known less well."""

_ROUND_TRIP_SAMPLES = 32


@dataclass(slots=True)
class OutageMaking:
    """The outage in the making.

    ``before`` are the served arrivals since the previous outage (by due, at most
    HISTORY_NS before the last of them), ``after`` those since the last failure,
    ``proof`` the first of these that was certainly served after the outage. ``blind``
    are the blind times since the first of ``before``. ``whole`` has the evidence of
    all failures, ``stretches`` that between two blind times. Of an outage that was
    going on before the process began, ``earlier`` is what was known then; the rest but
    for the counts is of later arrivals. ``deadline_ns`` is the longest deadline of any
    of them, ``least_deadline_ns`` the shortest, if that is another one.
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
    earlier: Outage | None = None
    least_deadline_ns: int = NEVER_NS

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
    ) -> "OutageMaking":
        """Return an outage whose first failed arrival was due at a time."""
        since_ns = before[0][0] if before else -NEVER_NS
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

    @classmethod
    def resumed(
        cls, earlier: Outage, deadline_ns: int, *, round_trip_ns: int
    ) -> "OutageMaking":
        """Return an outage that was going on before nobody looked.

        Args:
            earlier: as it was known then.
            deadline_ns: deadline of the lane.
            round_trip_ns: twice what most arrivals take: no others are known.
        """
        whole = Evidence(deadline_ns)
        return cls(
            earlier.scope,
            deadline_ns,
            before=[],
            begin_ns=None,
            first_due_ns=earlier.first_due_ns,
            last_due_ns=earlier.last_due_ns,
            blind=list(earlier.unseen),
            whole=whole,
            stretches=[whole],
            announced=True,
            failed=earlier.failed,
            classes=Counter(earlier.classes),
            outcomes=Counter(earlier.outcomes),
            gap_ns=earlier.probe_gap_ns,
            round_trip_ns=round_trip_ns,
            earlier=earlier,
        )

    def add(self, failure: Failure) -> None:
        """Take the next failed arrival of the outage."""
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

    def use_deadlines(self, least_ns: int, most_ns: int) -> None:
        """Take note that arrivals from now on may have other deadlines.

        See ``core.judging.deadlines`` for which one is taken where.
        """
        own_ns = min(self.deadline_ns, self.least_deadline_ns)
        self.least_deadline_ns = min(own_ns, least_ns)
        self.deadline_ns = max(self.deadline_ns, most_ns)
        for evidence in (self.whole, *self.stretches):
            evidence.deadline_ns = self.deadline_ns

    def _proves_before(self, row: Row) -> bool:
        """Tell whether the target certainly served the arrival before the outage.

        One that was read after its deadline was served by the benefit of the doubt.
        """
        due_ns, _, done_ns = row
        limit_ns = min(self.deadline_ns, self.least_deadline_ns)
        is_in_time = done_ns - due_ns <= limit_ns
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
        if self.earlier is not None:
            return self._certain_since(self.earlier)
        core = self.whole.core(self.round_trip_ns)
        assert core is not None, "every failure proves something of the whole"
        start, end = core
        if self.stretches[0] is self.whole:
            if end < start:
                middle = (start + end) // 2
                start = end = max(self.first_due_ns, min(middle, self.last_due_ns))
            return start, end, ()
        return self._with_proven(start, end, [])

    def _certain_since(self, earlier: Outage) -> tuple[int, int, tuple[Interval, ...]]:
        """Return the same of an outage of which a part was proven before."""
        start, end = earlier.core_start_ns, earlier.core_end_ns
        return self._with_proven(start, end, earlier.cores)

    def _with_proven(
        self, start: int, end: int, known: Sequence[Interval]
    ) -> tuple[int, int, tuple[Interval, ...]]:
        """Return a core with what each stretch proves, and the gaps in it."""
        proven = [
            span
            for stretch in self.stretches
            if (span := stretch.core(self.round_trip_ns)) and span[0] <= span[1]
        ]
        start = min([start, *(span[0] for span in proven)])
        end = max([end, *(span[1] for span in proven)])
        return start, end, tuple(difference([(start, end)], [*known, *proven]))

    def _hull_start(self) -> int:
        if self.earlier is not None:
            return self.earlier.hull_start_ns
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
            limit_ns = min(self.deadline_ns, self.least_deadline_ns)
            return max(first_due, first_done - limit_ns)
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
        start_ns = (near_start + self.first_due_ns) // 2
        open_start = not self.before
        if self.earlier is not None:
            start_ns, open_start = self.earlier.start_ns, self.earlier.open_start
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
            start_ns=start_ns,
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
            open_start=open_start,
            open_end=not self.after,
            gaps=gaps,
            unseen=tuple(unseen),
        )
