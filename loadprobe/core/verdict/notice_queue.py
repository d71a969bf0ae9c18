"""Notices on their way to a receiver: what waits, is tried again, or is given up.

Pure; ``outputs.webhooks.sender`` does the sending. They are sent one at a time, those
of an incident in their order. One that is not taken waits, ever longer, and lets those
of other incidents pass; only if they fail as well, all wait. What waits is bounded: the
oldest makes room that is not just being sent. Every notice that was taken in is sent or
counted with a reason.
"""

from collections import Counter
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
class _Trouble:
    """An incident whose next notice was not taken.

    Args:
        failures: how often in a row.
        resting_ns: it is not tried again before, monotonic.
    """

    failures: int = 0
    resting_ns: int = 0


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
    _waiting: list[Notice] = field(default_factory=list)
    _since_ns: dict[str, int] = field(default_factory=dict)
    _under_way: Notice | None = None
    _troubles: dict[str, _Trouble] = field(default_factory=dict)
    _away: _Trouble = field(default_factory=_Trouble)
    _refused: str | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> list[Notice]:
        """Return what waits or is being sent, the oldest first."""
        return list(self._waiting)

    @property
    def is_held_up(self) -> bool:
        """Tell whether anything waits that was not taken when it was sent."""
        return any(notice.incident in self._troubles for notice in self._waiting)

    def offer(self, notices: Iterable[Notice], *, now_ns: int | None = None) -> None:
        """Take notices in.

        Args:
            notices: to be sent.
            now_ns: monotonic, if they are news; None: an earlier process left them, and
                only the wall clock tells how old they are.
        """
        for notice in notices:
            self._waiting.append(notice)
            if now_ns is not None:
                self._since_ns[notice.id] = now_ns
            if len(self._waiting) > self.limit:
                place = int(self._waiting[0] is self._under_way)
                self._since_ns.pop(self._waiting.pop(place).id, None)
                self.dropped[Drop.QUEUE_FULL] += 1

    def next(self, now_ns: int, *, unix_ns: int) -> Notice | None:
        """Return what is to be sent now, and then settled.

        Args:
            now_ns: monotonic.
            unix_ns: the same moment as UNIX time.

        Returns:
            The oldest notice of the incident that waits for longest, or None: nothing
            may be sent for ``pause_s``.
        """
        self._drop_old(now_ns, unix_ns)
        if now_ns < self._away.resting_ns:
            return None
        ready = [
            notice for notice in self._heads() if self._resting_ns(notice) <= now_ns
        ]
        self._under_way = min(ready, key=self._resting_ns, default=None)
        return self._under_way

    def hurry(self) -> None:
        """Let nothing rest: each incident may be tried at once."""
        self._away.resting_ns = 0
        for trouble in self._troubles.values():
            trouble.resting_ns = 0

    def pause_s(self, now_ns: int) -> float | None:
        """Return when to ask for the next one, None if nothing waits."""
        at_ns = min(map(self._resting_ns, self._heads()), default=None)
        if at_ns is None:
            return None
        return max(0, max(at_ns, self._away.resting_ns) - now_ns) / NS_PER_S

    def take_answer(
        self, fate: Fate, now_ns: int, *, jitter: float, asked_s: float | None = None
    ) -> None:
        """Take what became of the notice that ``next`` returned last.

        Args:
            fate: of it.
            now_ns: monotonic.
            jitter: a random number from 0 to 1.
            asked_s: the pause that the receiver asks for.
        """
        notice, self._under_way = self._under_way, None
        assert notice is not None, "something was sent"
        if fate is Fate.LATER:
            self.failed += 1
            self._put_off(
                notice, now_ns, jitter, min(asked_s or 0.0, LONGEST_ASKED_PAUSE_S)
            )
            return
        self._away, self._refused = _Trouble(), None
        self._troubles.pop(notice.incident, None)
        del self._waiting[self._place_of(notice)]
        self._since_ns.pop(notice.id, None)
        if fate is Fate.TAKEN:
            self.sent += 1
        else:
            self.failed += 1
            self.dropped[Drop.REJECTED] += 1

    def _put_off(
        self, notice: Notice, now_ns: int, jitter: float, asked_s: float
    ) -> None:
        """Let an incident wait, and all others if they fail as well.

        That one incident fails again and again tells nothing of the receiver.
        """
        trouble = self._troubles.setdefault(notice.incident, _Trouble())
        away = self._away
        if notice.incident != self._refused:
            away.failures += 1
        self._refused = notice.incident
        trouble.failures += 1
        pause_s = max(_pause_s(trouble.failures, jitter), asked_s)
        trouble.resting_ns = now_ns + round(pause_s * NS_PER_S)
        if away.failures > 1 or asked_s:
            pause_s = max(_pause_s(away.failures, jitter), asked_s)
            away.resting_ns = now_ns + round(pause_s * NS_PER_S)

    def _heads(self) -> list[Notice]:
        """Return the oldest notice of each incident, the oldest first."""
        heads: dict[str, Notice] = {}
        for notice in self._waiting:
            heads.setdefault(notice.incident, notice)
        return list(heads.values())

    def _resting_ns(self, notice: Notice) -> int:
        trouble = self._troubles.get(notice.incident)
        return trouble.resting_ns if trouble is not None else 0

    def _place_of(self, notice: Notice) -> int:
        return next(at for at, other in enumerate(self._waiting) if other is notice)

    def _drop_old(self, now_ns: int, unix_ns: int) -> None:
        kept = [
            notice
            for notice in self._waiting
            if self._age_ns(notice, now_ns, unix_ns) <= KEEP_S * NS_PER_S
        ]
        if len(kept) == len(self._waiting):
            return
        ids = {notice.id for notice in kept}
        self._since_ns = {i: ns for i, ns in self._since_ns.items() if i in ids}
        self.dropped[Drop.GAVE_UP] += len(self._waiting) - len(kept)
        self._waiting = kept
        incidents = {notice.incident for notice in kept}
        for incident in self._troubles.keys() - incidents:
            del self._troubles[incident]

    def _age_ns(self, notice: Notice, now_ns: int, unix_ns: int) -> int:
        """Return how old a notice is; the wall clock may have been set meanwhile."""
        since_ns = self._since_ns.get(notice.id)
        return unix_ns - notice.at_unix_ns if since_ns is None else now_ns - since_ns


def _pause_s(failures: int, jitter: float) -> float:
    doublings = min(failures - 1, 16)
    pause_s = min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)
    return pause_s * (0.5 + jitter / 2)
