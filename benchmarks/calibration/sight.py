"""When the probes looked, and how wide bounds need to be where they did not. Pure.

A lane looks while one of its processes does. What is not seen proves nothing: an outage
may be missed there, and its bounds reach across.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import (
    Interval,
    difference,
    intersection,
    length,
    overlaps,
    union,
)
from loadprobe.core.judging.columns import Failure
from loadprobe.core.judging.evidence import is_timed
from loadprobe.core.judging.outages import Outage, Row

FEW_NS = 5 * NS_PER_MS
"""What an edge may be away from the nearest arrivals: what was under way at once."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What could be seen.

    Args:
        unseen: when a process was held up whose arrivals are needed, disjoint, by time.
        deadline_ns: an arrival that is due so long before that, and fails by time only,
            is not known to have failed.
    """

    unseen: Sequence[Interval]
    deadline_ns: int

    def seen_ns(self, dark: Sequence[Interval], *, is_timed: bool) -> int:
        """Return the longest stretch of a darkness in which arrivals were judged."""
        before_ns = self.deadline_ns if is_timed else 0
        unjudged = union((start - before_ns, end) for start, end in self.unseen)
        seen = difference(dark, unjudged)
        return max((end - start for start, end in seen), default=0)

    def is_fresh(self, failure: Failure) -> bool:
        """Tell whether a failure is known to be of the time since nobody looked."""
        due_ns = failure.due_ns
        wait_ns = self.deadline_ns if is_timed(failure) else 1
        since_ns = max((end for _, end in self.unseen if end <= due_ns), default=0)
        is_known = is_timed(failure) or failure.evidence_start_ns >= since_ns
        return is_known and not self.covers(due_ns, due_ns + wait_ns)

    def covers(self, start_ns: int, end_ns: int) -> bool:
        """Tell whether nobody looked at some time of an interval."""
        return overlaps(self.unseen, start_ns, end_ns)


@dataclass(frozen=True, slots=True)
class Needed:
    """The bounds of an outage as its arrivals alone give them, within ``edges``.

    Args:
        hull: from the last served arrival before to the first one after.
        dark: when failures prove that it was down.
        edges: ends of these intervals, each of which may be off by what was under way.
    """

    hull: Interval
    dark: Sequence[Interval]

    @property
    def edges(self) -> int:
        """Return how many ends there are, two at least."""
        return 2 + 2 * max(0, len(self.dark) - 1)


def needed(
    outage: Outage, served: Sequence[Row], failed: Sequence[Failure], sight: Sight
) -> Needed:
    """Return what the arrivals of its scope, each kind by due, say of an outage.

    A reply that was read after the earliest time at which a failure may have come up
    does not tell that nothing was wrong then, nor does a request that was sent before
    the latest such time tell that all is well again.
    """
    first_ns, last_ns = outage.first_due_ns, outage.last_due_ns
    start_ns, end_ns = first_ns, last_ns
    own = [failure for failure in failed if first_ns <= failure.due_ns <= last_ns]
    answers = [failure for failure in own if not is_timed(failure)]
    from_ns = max((f.evidence_start_ns for f in answers), default=last_ns)
    until_ns = min((f.evidence_end_ns for f in answers), default=first_ns)
    for at in range(bisect_left(served, (first_ns,)) - 1, -1, -1):
        due_ns, _, done_ns = served[at]
        start_ns = due_ns
        if done_ns <= from_ns and not sight.covers(due_ns, done_ns):
            break
    for at in range(bisect_left(served, (last_ns + 1,)), len(served)):
        due_ns, sent_ns, done_ns = served[at]
        end_ns = max(end_ns, done_ns)
        if sent_ns >= until_ns and not sight.covers(due_ns, done_ns):
            break
    dark = intersection([_proven(own, sight), [(first_ns, last_ns)]])
    return Needed((start_ns, end_ns), difference(dark, sight.unseen))


def _proven(failures: Iterable[Failure], sight: Sight) -> Iterator[Interval]:
    """Yield from when to when failures prove a darkness, by stretch.

    What was known before a stretch proves nothing of it.
    """
    begins = [start for start, _ in sight.unseen]
    stretches: dict[int, list[Failure]] = {}
    for failure in failures:
        due_ns = failure.due_ns
        at = bisect_right(begins, due_ns)
        if sight.is_fresh(failure):
            stretches.setdefault(at, []).append(failure)
    for stretch in stretches.values():
        spans = [_span(failure, sight.deadline_ns) for failure in stretch]
        yield min(end for _, end in spans), max(start for start, _ in spans)


def _span(failure: Failure, deadline_ns: int) -> Interval:
    """Return within what a failure was met: a time at which it was down lies in it."""
    if not is_timed(failure):
        return failure.evidence_start_ns, failure.evidence_end_ns
    until_ns = failure.due_ns
    if failure.done_ns >= 0:  # it may have been late for the queue before it alone
        until_ns = min(until_ns, failure.evidence_start_ns - deadline_ns)
    return until_ns, failure.sent_ns


def excess_ns(found: Sequence[Needed], width_ns: int, *, slack_ns: float) -> float:
    """Return by how much bounds are wider than arrivals call for, or less than 0.

    Args:
        found: what they call for, of all outages that are bounded together.
        width_ns: upper less lower bound.
        slack_ns: how long an arrival near them was under way, at most.
    """
    hulls = length(one.hull for one in found)
    dark = length(span for one in found for span in one.dark)
    edges = sum(one.edges for one in found)
    return width_ns - (hulls - dark) - edges * (slack_ns + FEW_NS)
