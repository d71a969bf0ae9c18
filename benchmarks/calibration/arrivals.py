"""What arrivals near an episode say: how late they were, what they met. Pure."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from benchmarks.calibration.measuring import LANE, Observed
from benchmarks.calibration.settings import DEADLINE_MS, View
from benchmarks.calibration.sight import Needed, Sight, needed
from benchmarks.calibration.truths import Truth
from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import Interval
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.evidence import is_timed
from loadprobe.core.judging.outages import Outage, Row
from loadprobe.core.judging.outcome import OpKind

OPS: Mapping[View, tuple[OpKind, ...]] = {
    "shard": (OpKind.READ, OpKind.WRITE),
    "read": (OpKind.READ,),
    "write": (OpKind.WRITE,),
}
"""The arrivals of each view."""

_Arrival = TypeVar("_Arrival", Row, Failure)
_DEADLINE_NS = DEADLINE_MS * NS_PER_MS
_TRANSIT_NS = 2 * NS_PER_MS


class Arrivals:
    """All arrivals of a case.

    Args:
        observed: has them.
        sight: when nobody looked.
    """

    def __init__(self, observed: Observed, sight: Sight) -> None:
        self._served = observed.served
        self._failed = observed.failed
        self._sight = sight

    def is_stale(self, truth: Truth, shard: str, view: View) -> bool:
        """Tell whether all that failed may have failed for what is older."""
        start_ns, end_ns = truth.touched
        rows = [
            failure
            for op in OPS[view]
            for failure in _due_between(
                self._failed.get(Scope(LANE, shard, op), ()), start_ns, end_ns
            )
        ]
        return bool(rows) and not any(self._sight.is_fresh(row) for row in rows)

    def slack_ns(self, truth: Truth, shard: str, view: View, gap: float) -> float:
        """Return by how much an arrival near an episode missed its time, at most.

        Up to then it may have met the target later than planned.
        """
        start_ns, end_ns = truth.touched
        worst_ns = 0
        for op in OPS[view]:
            rows = self._served.get(Scope(LANE, shard, op), ())
            for due_ns, sent_ns, done_ns in _due_between(
                rows, start_ns - 2 * gap, end_ns + 2 * gap
            ):
                if self._sight.covers(due_ns, done_ns):
                    continue  # it waited for us
                # While it is silent, waiting says nothing about the way there.
                late_ns = sent_ns + _TRANSIT_NS if truth.is_timed else done_ns
                worst_ns = max(worst_ns, late_ns - due_ns)
        return worst_ns

    def sent_late_ns(self, truth: Truth, shard: str, view: View, gap: float) -> int:
        """Return by how much an arrival near an episode was sent late, at most.

        What waited for us met nothing of what was over when it was sent.
        """
        start_ns, end_ns = truth.touched
        return max(
            (
                sent_ns - due_ns
                for op in OPS[view]
                for due_ns, sent_ns, _ in _due_between(
                    self._served.get(Scope(LANE, shard, op), ()),
                    start_ns - 2 * gap,
                    end_ns + 2 * gap,
                )
            ),
            default=0,
        )

    def lives(self, outage: Outage) -> list[Interval]:
        """Return from when to when each failed arrival of an outage was under way."""
        first_ns, last_ns = outage.first_due_ns, outage.last_due_ns + 1
        return [
            _life(failure)
            for failure in _due_between(self._failed[outage.scope], first_ns, last_ns)
        ]

    def needed(self, outage: Outage) -> Needed:
        """Return the bounds that an outage needs by its arrivals."""
        scope = outage.scope
        served = self._served.get(scope, ())
        return needed(outage, served, self._failed[scope], self._sight)


def _life(failure: Failure) -> Interval:
    if is_timed(failure):
        return failure.sent_ns, max(failure.done_ns, failure.due_ns + _DEADLINE_NS)
    return failure.evidence_start_ns, failure.evidence_end_ns


def _due_between(
    rows: Sequence[_Arrival], start_ns: float, end_ns: float
) -> Iterator[_Arrival]:
    for at in range(bisect_left(rows, (start_ns,)), len(rows)):
        if rows[at][0] >= end_ns:
            return
        yield rows[at]
