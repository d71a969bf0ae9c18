"""Notices on their way to a receiver: what waits, is tried again, or is given up.

Pure; ``outputs.webhooks.sender`` does the sending. They are sent in their order, one at
a time. What waits is bounded: the oldest makes room that is not just being sent. Every
notice that was taken in is sent or counted with a reason.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from loadprobe.clock import NS_PER_S
from loadprobe.core.verdict.notices import Notice

KEEP_S = 86_400
"""A notice that is not taken for so long is dropped: it is no news any more."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
LONGEST_ASKED_PAUSE_S = 3600.0


class Drop(StrEnum):
    """Why a notice was dropped."""

    QUEUE_FULL = "queue_full"
    REJECTED = "rejected"
    GAVE_UP = "gave_up"


class Fate(Enum):
    """What became of a request.

    TAKEN: the notice arrived. REJECTED: this notice never will. LATER: not now; also
    if it is our address or login that is refused, for that can be put right.
    """

    TAKEN = auto()
    REJECTED = auto()
    LATER = auto()


def fate_of(status: int) -> Fate:
    """Return what an HTTP status says."""
    if 200 <= status < 300:
        return Fate.TAKEN
    return Fate.REJECTED if status in (400, 413, 422) else Fate.LATER


@dataclass(slots=True)
class NoticeQueue:
    """What waits for one receiver (see the module).

    Args:
        limit: notices that may wait, at least two.

    Attributes:
        sent: notices that were taken.
        failed: requests that were not answered as they should be.
        dropped: notices that are not sent any more, by reason.
    """

    limit: int
    sent: int = 0
    failed: int = 0
    dropped: Counter[Drop] = field(default_factory=Counter)
    _waiting: deque[Notice] = field(default_factory=deque)
    _is_under_way: bool = False
    _failures: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> list[Notice]:
        """Return what waits or is being sent, the oldest first."""
        return list(self._waiting)

    def offer(self, notices: Iterable[Notice]) -> None:
        """Take notices in."""
        for notice in notices:
            self._waiting.append(notice)
            if len(self._waiting) > self.limit:
                del self._waiting[int(self._is_under_way)]
                self.dropped[Drop.QUEUE_FULL] += 1

    def next(self, now_unix_ns: int) -> Notice | None:
        """Return what is to be sent now, and then settled; None if nothing waits."""
        while self._waiting:
            notice = self._waiting[0]
            if now_unix_ns - notice.at_unix_ns <= KEEP_S * NS_PER_S:
                self._is_under_way = True
                return notice
            self._waiting.popleft()
            self.dropped[Drop.GAVE_UP] += 1
        return None

    def take_answer(
        self, fate: Fate, *, jitter: float, asked_s: float | None = None
    ) -> float:
        """Take what became of the notice that ``next`` returned last.

        Args:
            fate: of it.
            jitter: a random number from 0 to 1.
            asked_s: the pause that the receiver asks for.

        Returns:
            Seconds to wait before the next request.
        """
        self._is_under_way = False
        if fate is Fate.LATER:
            self.failed += 1
            self._failures += 1
            return self._pause_s(jitter, asked_s or 0.0)
        self._failures = 0
        self._waiting.popleft()
        if fate is Fate.TAKEN:
            self.sent += 1
        else:
            self.failed += 1
            self.dropped[Drop.REJECTED] += 1
        return 0.0

    def _pause_s(self, jitter: float, asked_s: float) -> float:
        doublings = min(self._failures - 1, 16)
        pause_s = min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)
        return max(pause_s * (0.5 + jitter / 2), min(asked_s, LONGEST_ASKED_PAUSE_S))
