"""Between which bounds the deadlines of arrivals lie that are judged together.

Pure. A lane has one deadline, and for a while two when it is given another one. What
failures prove is worked out from the deadline; where arrivals with different ones meet,
each step takes the one with which it claims less: the longer one for what failures
prove, and for what a blind process may have missed; the shorter one for what was served
in time, and for when the target was back. So bounds stay right, and are wider by the
difference at most, for an outage that goes on then.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from loadprobe.core.judging.evidence import AFTERMATH_NS
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outages import HISTORY_NS

MEMORY_NS = HISTORY_NS + AFTERMATH_NS
"""So long arrivals are remembered beside later ones."""


@dataclass(frozen=True, slots=True)
class DeadlineRange:
    """The deadlines of some arrivals.

    Args:
        least_ns: the shortest.
        most_ns: the longest.
    """

    least_ns: int
    most_ns: int

    def joined(self, deadline_ns: int) -> "DeadlineRange":
        """Return the range that has another one, too."""
        return DeadlineRange(
            min(self.least_ns, deadline_ns), max(self.most_ns, deadline_ns)
        )


@dataclass(slots=True)
class _Changing:
    newest_ns: int
    until_ns: int
    """Before this, arrivals that are judged may have an older one, or know of such."""


class DeadlineRanges:
    """The ranges of all lanes.

    Args:
        lanes: with the deadlines they begin with.
    """

    def __init__(self, lanes: Iterable[LaneInfo]) -> None:
        self._ranges = {
            lane.name: DeadlineRange(lane.deadline_ns, lane.deadline_ns)
            for lane in lanes
        }
        self._changing: dict[str, _Changing] = {}

    def of(self, lane: str) -> DeadlineRange:
        """Return between which bounds the deadlines of a lane lie now."""
        return self._ranges[lane]

    def change(self, lane: str, deadline_ns: int, from_ns: int) -> None:
        """Let arrivals of a lane that are due from a time on have another deadline."""
        found = self._ranges[lane] = self._ranges[lane].joined(deadline_ns)
        until_ns = from_ns + found.most_ns + MEMORY_NS
        self._changing[lane] = _Changing(deadline_ns, until_ns)

    def settle(self, judged_ns: int) -> list[str]:
        """Return the lanes of which only the newest deadline is left now.

        Args:
            judged_ns: every arrival due before was judged.
        """
        over = [
            lane for lane, each in self._changing.items() if each.until_ns <= judged_ns
        ]
        for lane in over:
            newest_ns = self._changing.pop(lane).newest_ns
            self._ranges[lane] = DeadlineRange(newest_ns, newest_ns)
        return over
