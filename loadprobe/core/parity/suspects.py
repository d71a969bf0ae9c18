"""Keys that differed at a look, and are looked at again before they count.

Pure. A key is *different* when two looks in a row, ``settle`` apart, show the same
difference and neither side was changed between them. It has *settled* when both sides
are the same at a later look, and is *changing* when it was changed between all looks.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from loadprobe.core.parity.glimpse import Finding, Glimpse, has_changed

MOST_LOOKS = 5
ROOM = 50_000
"""Suspects at a time; while there are as many, no new keys are looked at."""


class SuspectFate(StrEnum):
    """What becomes of a suspect after a look."""

    DIFFERENT = "different"
    CHANGING = "changing"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class BothSeen:
    """What a look at both sides showed.

    Args:
        finding: what it comes to; never SAME.
        source: the key in the source.
        target: the key in the target.
    """

    finding: Finding
    source: Glimpse
    target: Glimpse


@dataclass(slots=True)
class _Suspect:
    """Looks that there were, and the last of them; None: it is of an earlier life."""

    looks: int
    last: BothSeen | None
    due_ns: int


class Suspects:
    """All suspects, in the order in which they are due.

    Args:
        settle_ns: pause between two looks.
    """

    def __init__(self, settle_ns: int) -> None:
        self._settle_ns = settle_ns
        self._all: dict[bytes, _Suspect] = {}
        self._waiting: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def is_full(self) -> bool:
        """Tell whether there is no room for more."""
        return len(self._all) >= ROOM

    @property
    def keys(self) -> list[bytes]:
        """Return all of them, to be kept."""
        return list(self._all)

    def add(self, key: bytes, seen: BothSeen, now_ns: int) -> None:
        """Take a key that differed at its first look."""
        if key not in self._all:
            self._all[key] = _Suspect(1, seen, now_ns + self._settle_ns)
            self._waiting.append(key)

    def restore(self, keys: Iterable[bytes], now_ns: int) -> None:
        """Take the suspects of an earlier life; each look begins anew."""
        for key in keys:
            if key not in self._all:
                self._all[key] = _Suspect(0, None, now_ns)
                self._waiting.append(key)

    def take_due(self, now_ns: int, most: int) -> list[bytes]:
        """Return keys to be looked at now; they stay suspects until they are judged."""
        taken: list[bytes] = []
        while self._waiting and len(taken) < most:
            if self._all[self._waiting[0]].due_ns > now_ns:
                break
            taken.append(self._waiting.popleft())
        return taken

    def drop(self, key: bytes) -> None:
        """Forget a key that was taken: both sides are the same by now."""
        del self._all[key]

    def judge(self, key: bytes, seen: BothSeen, now_ns: int) -> SuspectFate:
        """Return what becomes of a key that was taken and still differs."""
        suspect = self._all[key]
        suspect.looks += 1
        fate = _judge(suspect, seen)
        if fate is SuspectFate.AGAIN:
            suspect.last, suspect.due_ns = seen, now_ns + self._settle_ns
            self._waiting.append(key)
        else:
            del self._all[key]
        return fate


def _judge(suspect: _Suspect, seen: BothSeen) -> SuspectFate:
    last = suspect.last
    if (
        last is not None
        and seen.finding is last.finding is not Finding.UNSTEADY
        and not has_changed(last.source, seen.source)
        and not has_changed(last.target, seen.target)
    ):
        return SuspectFate.DIFFERENT
    return SuspectFate.AGAIN if suspect.looks < MOST_LOOKS else SuspectFate.CHANGING
