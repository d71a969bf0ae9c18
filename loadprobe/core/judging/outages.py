"""Outages of one scope: runs of failed arrivals between served ones, with error bars.

Pure: arrivals go in by due time, outages come out; no clock is read and the same
arrivals give the same outages however they were batched.

Theory (worked examples in docs/measuring.md, "Error bars"). What failures prove is told
in ``core.judging.evidence``. Blind time proves nothing, neither darkness nor light: it
does not end an outage, it is in no lower bound, and an upper bound reaches across it to
the nearest arrival that is known to have been served.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from loadprobe.clock import NS_PER_S
from loadprobe.core.intervals import Interval, difference, length
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import ErrorClass, Outcome

HISTORY_NS = NS_PER_S
"""Served arrivals older than this are not looked at when an outage begins."""

KEPT_OUTAGES = 10_000
"""Of a run, and spans of blind time of a lane; what comes after is only counted."""

OutageKey = tuple[Scope, int]
"""What tells an outage, or a part of one, from all others of a run: scope and start."""

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
            the scope (see ``core.verdict.light``).
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
    def key(self) -> OutageKey:
        """Return what tells it from all others."""
        return self.scope, self.start_ns

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
