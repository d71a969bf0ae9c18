"""What is counted of one scope: in one second, and over the whole run."""

from collections import Counter
from dataclasses import dataclass, field

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, Outcome


@dataclass(slots=True)
class SecondCounts:
    """One second of one scope, by due time.

    Args:
        scope: the scope.
        second: monotonic second (due time // 1 s).
        counts: arrivals per outcome, indexed by ``Outcome`` (6 integers).
        observed_ms: cells in which arrivals were judged.
        dark_ms: cells with failures only.
        grey_ms: cells with failures and served arrivals.
    """

    scope: Scope
    second: int
    counts: list[int] = field(default_factory=lambda: [0] * len(Outcome))
    observed_ms: int = 0
    dark_ms: int = 0
    grey_ms: int = 0


@dataclass(slots=True)
class ScopeTotals:
    """What is counted per scope over the whole run.

    Args:
        counts: arrivals per outcome, indexed by ``Outcome`` (6 integers); unseen ones
            are not among them.
        classes: failed arrivals by class.
        unseen: arrivals that were due while their own process was blind, or of which
            it cannot tell for that reason whether they were served in time; they are
            in nothing else.
        lost_ns: time spent in failed arrivals, as a waiting client would see it.
        observed_ms: cells in which arrivals were judged.
        dark_ms: cells with failures only.
        grey_ms: cells with failures and served arrivals.
        observed_ns: time in which arrivals were judged; see ``core.judging.observed``.
        errors_per_ms: failed arrivals of every cell that has some (a count, not a
            time).
        outages: closed outages.
        outage_ns: sum of their estimated lengths, without what was not seen of them.
        outage_unseen_ns: sum of what was not seen of them.
        last_outage: the latest closed one.
    """

    counts: list[int] = field(default_factory=lambda: [0] * len(Outcome))
    classes: Counter[ErrorClass] = field(default_factory=Counter)
    unseen: int = 0
    lost_ns: int = 0
    observed_ms: int = 0
    dark_ms: int = 0
    grey_ms: int = 0
    observed_ns: int = 0
    errors_per_ms: Histogram = field(default_factory=Histogram)
    outages: int = 0
    outage_ns: int = 0
    outage_unseen_ns: int = 0
    last_outage: Outage | None = None

    @property
    def arrivals(self) -> int:
        """Return the number of arrivals that were counted (not the unseen ones)."""
        return sum(self.counts)

    @property
    def served(self) -> int:
        """Return the number of served arrivals."""
        return self.counts[Outcome.SERVED]

    @property
    def failed(self) -> int:
        """Return the number of failed arrivals."""
        return self.arrivals - self.served

    def add_outage(self, outage: Outage) -> None:
        """Count a closed outage."""
        self.outages += 1
        self.outage_ns += outage.seen_ns
        self.outage_unseen_ns += outage.unseen_ns
        self.last_outage = outage
