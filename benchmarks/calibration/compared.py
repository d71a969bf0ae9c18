"""What comes of comparing what was measured with the truth. Pure; see ``judging``."""

from dataclasses import dataclass

from benchmarks.calibration.script import Kind
from benchmarks.calibration.settings import View
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.incidents import DarkTime


@dataclass(frozen=True, slots=True)
class Comparison:
    """One episode of one shard in one view.

    Args:
        kind: of the episode.
        shard: name of the shard; "" is all of them.
        view: which arrivals were looked at.
        least_ns: the outage was at least so long.
        most_ns: and at most so long.
        gap_ns: planned distance of arrivals.
        measured: what the meter says.
        pieces: outages that the meter reports.
        expected_pieces: faults of the episode.
        is_blind: the probe was blind during it, at least in part.
        excess_ns: by how much the bounds are wider than they need to be, or less.
        is_strained: the server itself did not get to run, for half a deadline or more
            within a deadline before and after it.
        problems: how the meter was wrong; empty if it was not.
    """

    kind: Kind
    shard: str
    view: View
    least_ns: int
    most_ns: int
    gap_ns: float
    measured: DarkTime
    pieces: int
    expected_pieces: int
    is_blind: bool
    is_strained: bool
    problems: tuple[str, ...]
    excess_ns: float = 0.0

    @property
    def is_compared(self) -> bool:
        """Tell whether it is known what happened."""
        return not self.is_strained

    @property
    def is_seen(self) -> bool:
        """Tell whether the meter reports anything."""
        return self.pieces > 0

    @property
    def error_ns(self) -> int:
        """Return the distance of the estimate from the truth."""
        estimate_ns = self.measured.estimate_ns
        return max(self.least_ns - estimate_ns, estimate_ns - self.most_ns, 0)

    @property
    def width_ns(self) -> int:
        """Return the distance of the bounds."""
        return self.measured.upper_ns - self.measured.lower_ns


@dataclass(frozen=True, slots=True)
class Judged:
    """A whole case.

    Args:
        comparisons: one for each episode, shard and view.
        false: outages where nothing had happened.
        of_moving_keys: outages of another shard's fault, met by keys on their way.
        of_server: outages whose arrivals waited while the server process itself did
            not get to run, for half of the deadline at least.
    """

    comparisons: tuple[Comparison, ...]
    false: tuple[Outage, ...]
    of_moving_keys: int
    of_server: int
