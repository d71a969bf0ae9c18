"""The truth of an episode, and how measured bounds can be at odds with it. Pure.

See ``judging`` for the rules.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.calibration.settings import DEADLINE_MS
from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import Interval, difference, length
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.incidents import DarkTime
from tests.scripted.faults import TruthInterval

_DEADLINE_NS = DEADLINE_MS * NS_PER_MS


@dataclass(frozen=True, slots=True)
class Truth:
    """An episode as it happened, all times in ns.

    Args:
        dark: when the target was certainly down, at least: disjoint, by time.
        widest: all of that and what may have been part of it.
        touched: from the first effect to the last.
        is_timed: whether only the passing of time made arrivals fail.
    """

    dark: tuple[Interval, ...]
    widest: tuple[Interval, ...]
    touched: Interval
    is_timed: bool

    @property
    def dark_ns(self) -> int:
        """Return how long it was down, at least."""
        return sum(end - start for start, end in self.dark)

    @property
    def widest_ns(self) -> int:
        """Return how long it can have been down."""
        return length(self.widest)


def truth_of(faults: Sequence[TruthInterval]) -> Truth:
    """Return the truth of an episode from that of its faults.

    Args:
        faults: by time; one, or several of the same kind that is no freeze.
    """
    first, last = faults[0], faults[-1]
    start_ns, end_ns = first.start_ns, last.end_ns
    if first.kind != "freeze":
        dark = tuple((fault.start_ns, fault.end_ns) for fault in faults)
        touched = start_ns, last.answered_ns
        # A connection that is cut ends at the end of a turn of the server's loop.
        over_ns = last.answered_ns if last.kind == "reset" else end_ns
        return Truth(dark, ((start_ns, over_ns),), touched, is_timed=False)
    silent_ns, spoke_ns = first.heard_ns, last.answered_ns
    short_ns = end_ns - _DEADLINE_NS
    return Truth(
        ((start_ns, short_ns),) if short_ns > start_ns else (),
        ((silent_ns, spoke_ns - _DEADLINE_NS),),
        (silent_ns, spoke_ns),
        is_timed=True,
    )


def bounds_problems(
    truth: Truth,
    met: Sequence[Interval],
    outages: Sequence[Outage],
    measured: DarkTime,
) -> Iterator[str]:
    """Yield what is wrong with the bounds of outages that were seen."""
    met_ns = sum(end - start for start, end in met)
    if truth.widest_ns == 0:
        yield "an outage, though the silence was shorter than the deadline"
        return
    yield from length_problems(met_ns, truth.widest_ns, measured)
    hulls = [outage.hull for outage in outages]
    for start, end in difference(met, hulls):
        yield f"{(end - start) / NS_PER_MS:.3f} ms of the truth are outside the hull"
    if truth.is_timed:  # where they lie rests on the usual round trip
        return
    cores = [core for outage in outages for core in outage.cores]
    for start, end in difference(cores, truth.widest):
        yield f"{(end - start) / NS_PER_MS:.3f} ms of the core are outside the truth"


def length_problems(least_ns: int, most_ns: int, measured: DarkTime) -> Iterator[str]:
    """Yield what is wrong with bounds of what lasted so long at least, and at most."""
    if measured.lower_ns > most_ns:
        over_ms = (measured.lower_ns - most_ns) / NS_PER_MS
        yield f"the lower bound is {over_ms:.3f} ms above the truth"
    if measured.upper_ns < least_ns:
        under_ms = (least_ns - measured.upper_ns) / NS_PER_MS
        yield f"the upper bound is {under_ms:.3f} ms below the truth"
