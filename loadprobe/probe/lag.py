"""When this process's loop was not looking: the difference between late and read late.

Pure. A reply that waited in our own socket buffer is not late by the server's doing.
The loop is known not to have looked from the time a wake-up was planned until it
happened.
"""

from collections import deque

from loadprobe.clock import NEVER_NS, NS_PER_MS

LEAST_LAG_NS = 500_000
"""A wake-up that is later than this is late."""
_RECENT_NS = 100 * NS_PER_MS
_RECENT_SPANS = 64
_RECENT_WAKES = 16
_SURE_WAKES = 8
"""After so many turns of the loop whatever was there has been noticed, and more than
one may pass until it is told."""


class Lag:
    """Keeps the plan of the next wake-up, and the last ones as they happened.

    Args:
        blind_ns: a wake-up that is later is told as blind time.
    """

    __slots__ = (
        "_blind_ns",
        "_planned_ns",
        "_spans",
        "_wakes",
    )

    def __init__(self, blind_ns: int = NEVER_NS) -> None:
        self._blind_ns = blind_ns
        self._planned_ns = NEVER_NS
        # When each was planned, when it came, and when its turn of the loop ended.
        self._wakes: deque[tuple[int, int, int]] = deque(maxlen=_RECENT_WAKES)
        self._spans: deque[tuple[int, int]] = deque(maxlen=_RECENT_SPANS)

    def woke(self, planned_ns: int, now_ns: int) -> None:
        """Take note of a wake-up."""
        self._wakes.append((planned_ns, now_ns, NEVER_NS))
        lag_ns = now_ns - planned_ns
        spans = self._spans
        if spans and now_ns - spans[-1][0] < _RECENT_NS:
            if lag_ns > spans[-1][1]:
                spans[-1] = (spans[-1][0], lag_ns)
        else:
            spans.append((now_ns, lag_ns))

    def turned(self, now_ns: int) -> None:
        """Take note that the turn of the loop with the last wake-up in it is over."""
        planned_ns, tick_ns, _ = self._wakes[-1]
        self._wakes[-1] = planned_ns, tick_ns, now_ns

    def plan(self, next_ns: int) -> None:
        """Take note of when the next wake-up should be."""
        self._planned_ns = next_ns

    def recent_ns(self, at_ns: int) -> int:
        """Return the worst lag near a time, at most six seconds ago.

        It tells how busy the machine was: a request that was handed to its socket then
        may have taken that long to reach a server on it. Being stopped ourselves tells
        nothing of the kind, and is told as blind time.
        """
        near = [
            min(lag_ns, self._blind_ns)
            for start_ns, lag_ns in self._spans
            if start_ns - _RECENT_NS <= at_ns < start_ns + 2 * _RECENT_NS
        ]
        return max(near, default=0)

    def unread_since(self, at_ns: int) -> int:
        """Return since when what was read at a time may have waited; at most that.

        Replies and the wake-up are served in one turn of the loop, in any order, so a
        late wake-up delayed all replies that were read in its turn.
        """
        if at_ns > self._planned_ns:
            return self._planned_ns
        for planned_ns, tick_ns, end_ns in reversed(self._wakes):
            if at_ns <= planned_ns:
                continue
            if at_ns <= tick_ns or (
                tick_ns - planned_ns >= LEAST_LAG_NS and at_ns <= end_ns
            ):
                return planned_ns
            break
        return at_ns

    def looked_since(self, at_ns: int) -> int:
        """Return a time before which whatever was noticed at a time had not come yet.

        What came before it was noticed in one of the turns of the loop in between. 0 if
        the loop has not turned often enough.
        """
        ticks = [tick_ns for _, tick_ns, _ in self._wakes if tick_ns <= at_ns]
        return ticks[-_SURE_WAKES] if len(ticks) >= _SURE_WAKES else 0
