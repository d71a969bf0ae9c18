"""Notices that the wall clock was set while the monotonic clock went on."""

from collections.abc import Callable

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair

STEP_NS = 100 * NS_PER_MS
"""More than any clock is slewed by in a second (500 ppm; adjtimex(2))."""

LOOK_EVERY_NS = NS_PER_S


class WallWatch:
    """Compares both clocks again and again.

    Args:
        clock: how they stood.
    """

    def __init__(self, clock: ClockPair) -> None:
        self._known = clock

    def look(self, read_clock: Callable[[], ClockPair]) -> float | None:
        """Return by how many ms the wall clock was set forward, None if it was not.

        Args:
            read_clock: reads both clocks.
        """
        now = read_clock()
        if now.mono_ns - self._known.mono_ns < LOOK_EVERY_NS:
            return None
        by_ns = now.wall_ns - self._known.to_wall(now.mono_ns)
        self._known = now
        return by_ns / NS_PER_MS if abs(by_ns) >= STEP_NS else None
