"""How much of its servers the load takes: their connections, and their operations.

Pure, the clock is passed in. A server tells how many connections it has, how many it
may have, and how many operations it does; what is ours of these we know ourselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from loadprobe.clock import NS_PER_S
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.load.restraint import Strain

NEARLY_FULL = 0.95
"""With more of its connections in use, by anybody, a server is about to refuse some."""

_STALE_NS = 10 * NS_PER_S


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """What a server tells of its work.

    Args:
        clients: connections it has, of anybody.
        max_clients: connections it may have; None if it does not tell.
        ops_per_s: operations it did lately, for anybody.
    """

    clients: int
    max_clients: int | None
    ops_per_s: int


class Occupancy:
    """Compares our share of each server with ceilings.

    Args:
        connections: that we have to each server.
        elsewhere: lanes whose reads go to other servers than those that tell.
    """

    def __init__(self, connections: int, elsewhere: Iterable[str] = ()) -> None:
        self._connections = connections
        self._elsewhere = frozenset(elsewhere)
        self._told: dict[str, tuple[int, ServerLoad]] = {}
        self._ours: dict[str, int] = {}
        self._ours_ns = 0

    def take_server(self, shard: str, told: ServerLoad, now_ns: int) -> None:
        """Take what the primary of a shard tells."""
        self._told[shard] = now_ns, told

    def take_seconds(self, rows: Iterable[SecondCounts]) -> None:
        """Take how much was asked of each shard; the last of the seconds counts."""
        load = [
            row
            for row in rows
            if not row.scope.op.is_apart and row.scope.lane not in self._elsewhere
        ]
        if not load:
            return
        last = max(row.second for row in load)
        self._ours_ns = (last + 1) * NS_PER_S
        self._ours = {}
        for row in load:
            if row.second == last:
                sent = sum(row.counts) - row.counts[Outcome.UNSENT]
                shard = row.scope.shard
                self._ours[shard] = self._ours.get(shard, 0) + sent

    def strains(
        self,
        max_connections_ratio: float | None,
        max_operations_ratio: float | None,
        now_ns: int,
    ) -> frozenset[Strain]:
        """Return what is above its ceiling; what has none is not looked at."""
        since_ns = now_ns - _STALE_NS
        self._told = {k: v for k, v in self._told.items() if v[0] > since_ns}
        found: set[Strain] = set()
        for shard, (_, told) in self._told.items():
            if max_connections_ratio is not None and self._is_crowded(
                told, max_connections_ratio
            ):
                found.add(Strain.CONNECTIONS)
            if max_operations_ratio is not None and self._ours_ns > since_ns:
                ours = self._ours.get(shard, 0)
                if ours > max_operations_ratio * max(told.ops_per_s, ours):
                    found.add(Strain.OPERATIONS)
        return frozenset(found)

    def _is_crowded(self, told: ServerLoad, max_ratio: float) -> bool:
        if told.max_clients is None:
            return False
        return (
            self._connections > max_ratio * told.max_clients
            or told.clients >= NEARLY_FULL * told.max_clients
        )
