"""How a copy goes: begun, done, caught up; and when it stalls or falls behind.

Pure; the time is passed in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadprobe.clock import NS_PER_S

_TWICE = 2
"""Looks in a row that must find it in step: one may fall between two writes."""


@dataclass(frozen=True, slots=True)
class CopyStatus:
    """How far a copy is at a time.

    Args:
        state: in the words of the tool.
        is_begun: the full copy has begun.
        is_copied: the full copy is done.
        is_in_step: all that the source has sent by now was passed on.
        done_bytes: what of the full copy is done; None if the tool does not tell.
        all_bytes: of how much; None if the tool does not tell.
        lag_bytes: what was received and not passed on; None if it does not tell.
        moved: something that grows as long as the tool works.
    """

    state: str
    is_begun: bool = False
    is_copied: bool = False
    is_in_step: bool = False
    done_bytes: int | None = None
    all_bytes: int | None = None
    lag_bytes: int | None = None
    moved: int = 0


def together(statuses: Sequence[CopyStatus]) -> CopyStatus:
    """Return how far a copy is that several processes make, at least one."""
    behind = min(statuses, key=lambda s: (s.is_copied, s.is_begun, s.is_in_step))
    return CopyStatus(
        state=behind.state,
        is_begun=any(each.is_begun for each in statuses),
        is_copied=all(each.is_copied for each in statuses),
        is_in_step=all(each.is_in_step for each in statuses),
        done_bytes=_sum([each.done_bytes for each in statuses]),
        all_bytes=_sum([each.all_bytes for each in statuses]),
        lag_bytes=_sum([each.lag_bytes for each in statuses]),
        moved=sum(each.moved for each in statuses),
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


class CopyCourse:
    """Follows a copy, status by status.

    Args:
        stall_s: it stalls if nothing of it moves for so long before it is in step.
        most_lag_bytes: it falls behind if more than this was not passed on.

    Attributes:
        status: the newest; None before the first.
        has_begun: the full copy has begun.
        is_copied: the full copy is done.
        has_caught_up: it was in step once, twice in a row.
        in_step_ns: since when it is in step without a break; None if it is not.
        lag_worst_bytes: the most that was not passed on after it had caught up.
    """

    def __init__(self, *, stall_s: float, most_lag_bytes: int) -> None:
        self._stall_ns = int(stall_s * NS_PER_S)
        self._most_lag_bytes = most_lag_bytes
        self._moved_ns: int | None = None
        self._in_step_looks = 0
        self._is_stalled = False
        self._is_behind = False
        self.status: CopyStatus | None = None
        self.has_begun = False
        self.is_copied = False
        self.has_caught_up = False
        self.in_step_ns: int | None = None
        self.lag_worst_bytes = 0

    def take(self, status: CopyStatus, now_ns: int) -> list[str]:
        """Take a status; return what is newly wrong, each in a sentence."""
        before, self.status = self.status, status
        if before is None or before.moved != status.moved or self._moved_ns is None:
            self._moved_ns = now_ns
        self.has_begun = self.has_begun or status.is_begun or status.is_copied
        self.is_copied = self.is_copied or status.is_copied
        self._in_step_looks = self._in_step_looks + 1 if status.is_in_step else 0
        if not status.is_in_step:
            self.in_step_ns = None
        elif self.in_step_ns is None:
            self.in_step_ns = now_ns
        self.has_caught_up = self.has_caught_up or self._in_step_looks >= _TWICE
        if self.has_caught_up:
            self.lag_worst_bytes = max(self.lag_worst_bytes, status.lag_bytes or 0)
        return list(self._problems(status, now_ns - self._moved_ns))

    def is_in_step_since(self, since_ns: int) -> bool:
        """Tell whether two looks in a row from a time on found it in step."""
        begun_ns = self.in_step_ns
        return (
            begun_ns is not None
            and self._in_step_looks >= _TWICE
            and begun_ns >= since_ns
        )

    def look_anew(self) -> None:
        """Count looks that find it in step from now on."""
        self._in_step_looks = 0
        self.in_step_ns = None

    def _problems(self, status: CopyStatus, still_ns: int) -> Iterator[str]:
        is_stalled = not status.is_in_step and still_ns >= self._stall_ns
        if is_stalled and not self._is_stalled:
            yield (
                f"the copy has not moved for {still_ns / NS_PER_S:.0f} s "
                f"({status.state})"
            )
        self._is_stalled = is_stalled
        lag = status.lag_bytes or 0
        if status.is_copied and lag > self._most_lag_bytes and not self._is_behind:
            self._is_behind = True
            yield (
                f"the copy falls behind: {lag:,} bytes of the source's stream are not "
                f"passed on (more than {self._most_lag_bytes:,})"
            )
        elif lag <= self._most_lag_bytes // 2:
            self._is_behind = False
