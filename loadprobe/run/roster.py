"""Which process has which lanes, and which of them sleep.

Pure. Dormant lanes have processes of their own, so a process sleeps as a whole.
"""

from collections.abc import Collection, Iterable, Sequence

import msgspec

from loadprobe.config.keys import Lane
from loadprobe.probe.plan import share_out


class Roster:
    """The processes of a run, by their index.

    Args:
        lanes: all lanes of the run.
        dormant: names of those that do not begin with the load.

    Attributes:
        shares: of each process.
        asleep: processes that were not woken yet.
    """

    def __init__(self, lanes: Sequence[Lane], dormant: Collection[str]) -> None:
        self.shares = share_out(lanes, dormant)
        self.asleep = set(self.of(dormant))

    def use_lane(self, lane: Lane) -> None:
        """Have processes that are started from now on go by another configuration."""
        self.shares = [
            tuple(
                msgspec.structs.replace(share, lane=lane)
                if share.lane.name == lane.name
                else share
                for share in shares
            )
            for shares in self.shares
        ]

    def of(self, lanes: Collection[str]) -> list[int]:
        """Return the processes that have any of these lanes."""
        return [
            p for p in range(len(self.shares)) if set(lanes).intersection(self.lanes(p))
        ]

    def lanes(self, process: int) -> tuple[str, ...]:
        """Return the names of the lanes of a process."""
        return tuple(share.lane.name for share in self.shares[process])

    def lanes_of(self, processes: Iterable[int]) -> frozenset[str]:
        """Return the names of the lanes of some processes."""
        return frozenset(lane for p in processes for lane in self.lanes(p))

    @property
    def awake(self) -> list[int]:
        """Return the processes that do not sleep, in their order."""
        return [p for p in range(len(self.shares)) if p not in self.asleep]

    @property
    def dormant(self) -> frozenset[str]:
        """Return the names of the lanes that were not woken yet."""
        return self.lanes_of(self.asleep)
