"""How long a scope was observed. Pure.

Time between two arrivals was observed, if they are at most a second apart and the probe
was not blind in between. An arrival on its own, or the first of a row, observes its
millisecond. Whole time counts, not milliseconds with arrivals: shares of time must not
depend on the rate.
"""

from collections.abc import Sequence

from loadprobe.core.intervals import Interval, overlaps
from loadprobe.core.ring import Slab

NS_PER_MS = 1_000_000
LONGEST_GAP_NS = 1_000_000_000


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
        if not cuts and max(dues) - min(dues) <= LONGEST_GAP_NS:
            dues = [min(dues), max(dues)]
        else:
            dues += slab.due
        observed_ns = 0
        for due_ns in sorted(dues):
            if overlaps(cuts, due_ns, due_ns + 1):
                continue
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
