"""How every shard of every lane is doing now, told from what was judged last.

Pure. It looks at the last complete second, and at what is going on.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.results import Sealed

ShardState = Literal["lit", "grey", "dark", "planned", "blind", "blank"]
"""As cells are called (docs/measuring.md); "blank" is also a shard without arrivals,
and "planned" is dark by plan."""

Place = tuple[str, str]
"""A lane and a shard."""


@dataclass(slots=True)
class _Second:
    """The last complete second of a place, over its op kinds."""

    second: int
    observed_ms: int = 0
    failed_ms: int = 0


class ShardStates:
    """Follows the shards (see the module)."""

    def __init__(self) -> None:
        self._seconds: dict[Place, _Second] = {}
        self._latest: dict[str, int] = {}
        self._blind_until_ns: dict[str, int] = {}
        self._until_ns = 0

    def take(self, sealed: Sealed) -> None:
        """Take what became certain."""
        self._until_ns = sealed.until_ns
        for span in sealed.blind:
            known_ns = self._blind_until_ns.get(span.lane, 0)
            self._blind_until_ns[span.lane] = max(known_ns, span.end_ns)
        for counts in sealed.seconds:
            lane, shard, op = counts.scope
            if op.is_apart:
                continue
            latest = max(self._latest.get(lane, counts.second), counts.second)
            self._latest[lane] = latest
            found = self._seconds.get((lane, shard))
            if found is None or found.second < counts.second:
                found = self._seconds[lane, shard] = _Second(counts.second)
            if found.second == counts.second:
                found.observed_ms += counts.observed_ms
                found.failed_ms += counts.dark_ms + counts.grey_ms

    def states(
        self,
        scopes: Iterable[Scope],
        current: Mapping[Scope, Outage],
        by_plan: Collection[Place] = (),
    ) -> dict[Place, ShardState]:
        """Return the state of every place.

        Args:
            scopes: all scopes of the load there are.
            current: the outages that are going on.
            by_plan: where they are by plan now, all of them.
        """
        dark: dict[Place, ShardState] = {
            (s.lane, s.shard): "dark" for s in current if not s.op.is_apart
        }
        dark |= dict.fromkeys(by_plan, "planned")
        places = dict.fromkeys((scope.lane, scope.shard) for scope in scopes)
        return {place: self._state(place, dark) for place in places}

    def _state(self, place: Place, dark: Mapping[Place, ShardState]) -> ShardState:
        """Return a state; the first rule that holds decides.

        1. blind: the lane was, up to the last moment that was judged.
        2. dark: an outage is going on; planned: all that are going on are by plan.
        3. blank: nothing was due in the lane's last second.
        4. grey: a cell of that second had failures.
        """
        lane, _ = place
        if self._until_ns and self._blind_until_ns.get(lane, -1) >= self._until_ns:
            return "blind"
        if place in dark:
            return dark[place]
        found = self._seconds.get(place)
        if found is None or found.second < self._latest[lane] or not found.observed_ms:
            return "blank"
        return "grey" if found.failed_ms else "lit"
