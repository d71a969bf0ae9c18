"""At which rate each lane goes: worked out once, here, and told to its processes.

Pure. A change takes effect a little after it was told, so that all processes of the
lane know of it by then (``LEAD_NS``).
"""

from collections.abc import Iterable, Sequence

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.config.keys import Lane
from loadprobe.core.load.pace import Pace
from loadprobe.core.load.schedule import first_pace
from loadprobe.probe.orders import ChangeRate

LEAD_NS = 100 * NS_PER_MS
_KEPT_NS = 10 * NS_PER_S
"""So long a pace that is over is told; a process that is restarted needs none."""


def configured_pace(lane: Lane) -> Pace:
    """Return the pace with which a lane begins."""
    return first_pace(
        lane.schedule,
        rate_per_s=lane.rate_per_s,
        ramp_from_per_s=lane.ramp_from_per_s,
        ramp_s=lane.ramp_s,
    )


class LaneRates:
    """The paces of all lanes of a run.

    Args:
        lanes: those of open loops; the others have no rate.
    """

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self._paces: dict[str, tuple[Pace, ...]] = {
            lane.name: (configured_pace(lane),) for lane in lanes if lane.loop == "open"
        }
        self._start_ns: dict[str, int] = {}

    def begin(self, lanes: Iterable[str], start_ns: int) -> None:
        """Take note that the schedules of lanes begin at a time (monotonic)."""
        self._start_ns |= {lane: start_ns for lane in lanes if lane in self._paces}

    @property
    def begun(self) -> list[str]:
        """Return the lanes that have begun."""
        return list(self._start_ns)

    def configure(self, lane: Lane) -> None:
        """Let a lane that has not begun yet begin with another pace."""
        self._paces[lane.name] = (configured_pace(lane),)

    def paces(self, lanes: Iterable[str]) -> dict[str, tuple[Pace, ...]]:
        """Return what the processes of lanes have to know, now."""
        return {lane: self._paces[lane] for lane in lanes if lane in self._paces}

    def rate_per_s(self, lane: str, at_ns: int) -> float:
        """Return the rate of a lane that has begun, at a time that is not long ago."""
        offset_ns = at_ns - self._start_ns[lane]
        return _at(self._paces[lane], offset_ns).rate_per_s(offset_ns)

    def target_per_s(self, lane: str) -> float:
        """Return the rate that a lane has, or that it is going to."""
        return self._paces[lane][-1].to_per_s

    def change(
        self, lane: str, to_per_s: float, *, ramp_s: float, now_ns: int
    ) -> tuple[ChangeRate, int]:
        """Let a lane that has begun have another rate.

        Args:
            lane: its name.
            to_per_s: the rate, above 0.
            ramp_s: how long it takes to get there; 0 is at once.
            now_ns: monotonic.

        Returns:
            What its processes are to be told, and when it takes effect (monotonic).
        """
        known = self._paces[lane]
        now_offset_ns = now_ns - self._start_ns[lane]
        at_ns = max(now_offset_ns + LEAD_NS, known[-1].from_ns)
        new = known[-1].changed(at_ns, to_per_s, ramp_s)
        first = known.index(_at(known, now_offset_ns - _KEPT_NS))
        paces = self._paces[lane] = (*known[first:], new)
        return ChangeRate(lane, paces), at_ns + self._start_ns[lane]


def _at(paces: Sequence[Pace], offset_ns: int) -> Pace:
    """Return the pace that holds at a time; the first one also before it."""
    return next((p for p in reversed(paces) if p.from_ns <= offset_ns), paces[0])
