"""Observed time: what is skipped for speed changes nothing."""

from array import array
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import Interval, overlaps, union
from loadprobe.core.judging.observed import LONGEST_GAP_NS, ObservedTime
from loadprobe.core.judging.ring import Slab

_STEP_NS = 100 * NS_PER_MS
_MOST = 60
_STEPS = st.lists(st.integers(0, _MOST - 1), max_size=30)
_CUTS = st.lists(st.tuples(st.integers(0, _MOST), st.integers(0, 8)), max_size=4)


def _one_by_one(dues: Sequence[int], cuts: Sequence[Interval]) -> int:
    """Return the observed time as the definition has it, arrival by arrival."""
    observed_ns = 0
    last_ns: int | None = None
    for due_ns in sorted(dues):
        if overlaps(cuts, due_ns, due_ns + 1):
            continue
        is_near = last_ns is not None and due_ns - last_ns <= LONGEST_GAP_NS
        if last_ns is None or not is_near or overlaps(cuts, last_ns, due_ns):
            observed_ns += NS_PER_MS
        else:
            observed_ns += due_ns - last_ns
        last_ns = due_ns
    return observed_ns


@given(_STEPS, _CUTS, st.integers(0, _MOST))
def test_all_arrivals_count_as_one_by_one(
    steps: list[int], spans: list[tuple[int, int]], middle: int
) -> None:
    """However dense arrivals are, wherever blind times and slabs cut them."""
    dues = sorted(step * _STEP_NS for step in steps)
    cuts = union((at * _STEP_NS, (at + length) * _STEP_NS) for at, length in spans)
    observed, total_ns = ObservedTime(), 0
    end_ns = 2 * _MOST * _STEP_NS
    for start, until in ((0, middle * _STEP_NS), (middle * _STEP_NS, end_ns)):
        due = array("q", [d for d in dues if start <= d < until])
        low, high = (due[0], due[-1]) if due else (0, 0)
        slab = Slab(start, until, due, due, due, (), low, high, due)
        own = [(max(a, start), min(b, until)) for a, b in cuts if a < until > start < b]
        total_ns += observed.add(slab, [(a, b) for a, b in own if a < b])
    assert total_ns == _one_by_one(dues, cuts)
