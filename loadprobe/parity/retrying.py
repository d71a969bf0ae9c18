"""How long what does not answer is tried again, and at which pace."""

import asyncio
from collections.abc import Callable

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.errors import RunError

PATIENCE_S = 60.0
"""Failovers and restarts are over by then."""

_FIRST_S = 0.01
_LONGEST_S = 0.5


class Retrying:
    """Waits between tries, a little longer each time.

    Args:
        who: what is asked, for the message.
        limit_s: after so long it is given up.
        now_ns: monotonic clock.
    """

    def __init__(
        self,
        who: str,
        limit_s: float = PATIENCE_S,
        now_ns: Callable[[], int] = mono_now_ns,
    ) -> None:
        self._who = who
        self._limit_s = limit_s
        self._now_ns = now_ns
        self._since_ns: int | None = None
        self._pause_s = _FIRST_S

    def renew(self) -> None:
        """Begin anew, as there was an answer."""
        self._since_ns, self._pause_s = None, _FIRST_S

    async def wait(self, problem: str) -> None:
        """Wait before another try.

        Args:
            problem: why there has to be one.

        Raises:
            RunError: it was tried for long enough.
        """
        now_ns = self._now_ns()
        if self._since_ns is None:
            self._since_ns = now_ns
        if now_ns - self._since_ns > self._limit_s * NS_PER_S:
            raise RunError(
                f"the {self._who} gave no usable answer for {self._limit_s:g} s: "
                f"{problem}"
            )
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_S)
