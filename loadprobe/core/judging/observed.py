"""How long a scope was observed. Pure.

Time between two arrivals was observed, if they are at most a second apart and the probe
was not blind in between. An arrival on its own, or the first of a row, observes its
millisecond. Whole time counts, not milliseconds with arrivals: shares of time must not
depend on the rate.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from loadprobe.clock import NEVER_NS, NS_PER_MS, NS_PER_S
from loadprobe.core.intervals import Interval, overlaps
from loadprobe.core.judging.ring import Slab

LONGEST_GAP_NS = NS_PER_S


class ObservedTime:
    """Adds up the observed time of one scope."""

    def __init__(self) -> None:
        self._last_ns: int | None = None

    def add(self, slab: Slab, cuts: Sequence[Interval]) -> int:
        """Return by how much more time was observed, in ns.

        Args:
            slab: the arrivals due in its span; spans follow each other.
            cuts: when the lane was blind, within the span.
        """
        ends = [slab.low_ns, slab.high_ns] if slab.due else []
        dues = [*ends, *(failure.due_ns for failure in slab.failures)]
        if not dues and not cuts:
            return 0
        if cuts or max(dues) - min(dues) > LONGEST_GAP_NS:
            dues += slab.due
        observed_ns = 0
        for due_ns in _ends(sorted(dues), cuts):
            observed_ns += self._gap_ns(due_ns, cuts)
            self._last_ns = due_ns
        if cuts and self._last_ns is not None and cuts[-1][1] > self._last_ns:
            self._last_ns = None
        return observed_ns

    def _gap_ns(self, due_ns: int, cuts: Sequence[Interval]) -> int:
        last_ns = self._last_ns
        if (
            last_ns is None
            or due_ns - last_ns > LONGEST_GAP_NS
            or overlaps(cuts, last_ns, due_ns)
        ):
            return NS_PER_MS
        return due_ns - last_ns


def _ends(dues: Sequence[int], cuts: Sequence[Interval]) -> Iterator[int]:
    """Yield the due times that matter, of sorted ones: none of those that were cut.

    Between two cuts only the first and the last do, if the gaps are short.
    """
    at = 0
    for start, end in [*cuts, (NEVER_NS, NEVER_NS)]:
        part = dues[at : bisect_left(dues, start, at)]
        if part and part[-1] - part[0] <= LONGEST_GAP_NS:
            part = part[:1] if len(part) == 1 else (part[0], part[-1])
        yield from part
        at = bisect_left(dues, end, at)
