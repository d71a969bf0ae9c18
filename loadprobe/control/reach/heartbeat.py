"""Whether the other end of a tunnel answers, told from an echo there.

Pure. All that goes through a tunnel shares one connection: while that stalls nothing is
served, on whatever shard, and nothing of it is the cluster's doing. An echo at the
other end, which no node has a part in, tells the two apart.

What is asked comes back in the order in which it was sent. A stall lasts from when the
first question without an answer was sent to the last look that found it so: both lie
within what was really dark, by a period each.
"""

from collections import deque
from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS

PERIOD_NS = 50 * NS_PER_MS
"""Between two questions."""
_PATIENCE_NS = 100 * NS_PER_MS
_TRIPS = 4
_SMOOTHED_OVER = 16


@dataclass(frozen=True, slots=True)
class Stall:
    """The other end did not answer during [start_ns, end_ns), monotonic."""

    start_ns: int
    end_ns: int


class Heartbeat:
    """Judges the answers of an echo (see the module).

    One that has never answered has not stalled. How long the first answer took says
    nothing of the way: it waits for the shell there to start.

    Attributes:
        heard_ns: when it answered last; None if it never did.
        stalled_ns: since when it does not answer; None while it does.
    """

    def __init__(self) -> None:
        self.heard_ns: int | None = None
        self.stalled_ns: int | None = None
        self._number = 0
        self._waiting: deque[tuple[int, int]] = deque()
        self._usual_ns: int | None = None
        self._silent_ns = 0

    @property
    def is_new(self) -> bool:
        """Tell whether nothing was asked yet."""
        return self._number == 0

    def ask(self, now_ns: int) -> int:
        """Return the number of the next question, which is sent now."""
        self._number += 1
        self._waiting.append((self._number, now_ns))
        return self._number

    def hear(self, number: int, now_ns: int) -> Stall | None:
        """Take an answer; return the stall that it ends.

        Raises:
            ValueError: nothing waits for it.
        """
        if not self._waiting or not self._waiting[0][0] <= number <= self._number:
            raise ValueError(f"{number} was not asked")
        while self._waiting and self._waiting[0][0] <= number:
            _, sent_ns = self._waiting.popleft()
        stalled_ns, self.stalled_ns = self.stalled_ns, None
        if stalled_ns is None and self.heard_ns is not None:
            took_ns = now_ns - sent_ns
            usual_ns = took_ns if self._usual_ns is None else self._usual_ns
            self._usual_ns = usual_ns + (took_ns - usual_ns) // _SMOOTHED_OVER
        self.heard_ns = now_ns
        if stalled_ns is None:
            return None
        # Who reads late must not call the other end late.
        return Stall(stalled_ns, min(now_ns, self._silent_ns + 2 * PERIOD_NS))

    def look(self, now_ns: int) -> bool:
        """Tell whether it has begun to stall.

        Args:
            now_ns: all that had come by then was heard.
        """
        if self._usual_ns is None or not self._waiting:
            return False
        _, sent_ns = self._waiting[0]
        if now_ns - sent_ns <= _PATIENCE_NS + _TRIPS * self._usual_ns:
            return False
        is_news = self.stalled_ns is None
        self.stalled_ns = sent_ns
        self._silent_ns = now_ns
        return is_news
