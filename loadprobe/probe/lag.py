"""When this process's loop was not looking: the difference between late and read late.

Pure. A reply that waited in our own socket buffer is not late by the server's doing.
The loop is known not to have looked from the time a wake-up was planned until it
happened.
"""

from collections import deque

_SAME_TURN_NS = 2_000_000
_LEAST_LAG_NS = 500_000
_RECENT_NS = 100_000_000
_RECENT_SPANS = 64


class Lag:
    """Keeps the plan of the next wake-up and the lag of the last one."""

    __slots__ = (
        "_last_lag_ns",
        "_last_planned_ns",
        "_last_tick_ns",
        "_planned_ns",
        "_spans",
    )

    def __init__(self) -> None:
        self._planned_ns = 1 << 62
        self._last_planned_ns = 0
        self._last_tick_ns = 0
        self._last_lag_ns = 0
        self._spans: deque[tuple[int, int]] = deque(maxlen=_RECENT_SPANS)

    def woke(self, planned_ns: int, now_ns: int) -> None:
        """Take note of a wake-up."""
        self._last_planned_ns = planned_ns
        self._last_tick_ns = now_ns
        lag_ns = self._last_lag_ns = now_ns - planned_ns
        spans = self._spans
        if spans and now_ns - spans[-1][0] < _RECENT_NS:
            if lag_ns > spans[-1][1]:
                spans[-1] = (spans[-1][0], lag_ns)
        else:
            spans.append((now_ns, lag_ns))

    def plan(self, next_ns: int) -> None:
        """Take note of when the next wake-up should be."""
        self._planned_ns = next_ns

    def recent_ns(self, at_ns: int) -> int:
        """Return the worst lag near a time, at most six seconds ago.

        It tells how busy the machine was: a request that was handed to its socket then
        may have taken that long to reach a server on it.
        """
        near = [
            lag_ns
            for start_ns, lag_ns in self._spans
            if start_ns - _RECENT_NS <= at_ns < start_ns + 2 * _RECENT_NS
        ]
        return max(near, default=0)

    def unread_since(self, now_ns: int) -> int:
        """Return since when what is read now may have waited; at most ``now_ns``.

        Replies and the wake-up are served in one turn of the loop, in any order, so a
        wake-up that was late a moment ago delayed the replies read now as well.
        """
        if now_ns > self._planned_ns:
            return self._planned_ns
        if (
            self._last_lag_ns >= _LEAST_LAG_NS
            and now_ns - self._last_tick_ns <= _SAME_TURN_NS
        ):
            return self._last_planned_ns
        return now_ns
