"""When the server process was held up itself: that is truth, too.

A server that shares its cores with others, or has more to do than it can, is silent
without any fault. Whoever compares a meter with the script must know when.
"""

import asyncio
from collections import deque
from typing import NoReturn

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from tests.scripted.faults import Span

_PERIOD_NS = 5 * NS_PER_MS
_LEAST_NS = 15 * NS_PER_MS
_KEPT = 100_000


class StallLog:
    """Looks every 5 ms whether the loop turned, and keeps where it took over 15 ms."""

    def __init__(self) -> None:
        self.spans: deque[Span] = deque(maxlen=_KEPT)

    async def watch(self) -> NoReturn:
        """Keep looking until cancelled."""
        seen_ns = mono_now_ns()
        while True:
            await asyncio.sleep(_PERIOD_NS / NS_PER_S)
            now_ns = mono_now_ns()
            if now_ns - seen_ns > _LEAST_NS:
                self.spans.append(Span(seen_ns, now_ns))
            seen_ns = now_ns
