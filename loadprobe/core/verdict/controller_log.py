"""What the supervisor saw of itself and of slots while it carried a scenario out.

Pure; times are monotonic ns. It looks by polling, and may itself not get to run: what
it saw then has bars.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from loadprobe.clock import NS_PER_S
from loadprobe.core.intervals import Interval
from loadprobe.core.verdict.beside import Blocked
from loadprobe.core.verdict.instants import Instant

LATE_NS = NS_PER_S
"""What is seen within this time after it was away may have happened meanwhile."""


@dataclass(frozen=True, slots=True)
class SlotMove:
    """A shard was seen with slots that it did not have before.

    Args:
        at_ns: when it was seen.
        slots: how many.
    """

    at_ns: int
    slots: int


@dataclass(frozen=True, slots=True)
class ControllerLog:
    """What was seen of a whole run, by time.

    Args:
        away: when the supervisor did not get to run.
        slot_moves: when slots came to other shards.
        blocked: when the way to the cluster was blocked.
    """

    away: Sequence[Interval] = ()
    slot_moves: Sequence[SlotMove] = ()
    blocked: Sequence[Blocked] = ()

    def dated(self, seen_ns: int) -> Instant | int:
        """Return when something happened that was seen at a time."""
        since = [start for start, end in self.away if start < seen_ns < end + LATE_NS]
        return Instant(seen_ns, min(since), seen_ns) if since else seen_ns

    def moves_between(self, start_ns: int, until_ns: int) -> list[SlotMove]:
        """Return the moves that were seen from a time on, before another."""
        return [m for m in self.slot_moves if start_ns <= m.at_ns < until_ns]
