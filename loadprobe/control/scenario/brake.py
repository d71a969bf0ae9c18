"""What an aborted scenario is stopped with: pauses end, and nothing new is begun."""

import asyncio
import contextlib


class Brake:
    """Is pulled once, with a reason; whoever pauses wakes up.

    Attributes:
        reason: why it was pulled; "" while it is not.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._pulled = asyncio.Event()

    def pull(self, reason: str) -> None:
        """Stop what can be stopped; the first reason counts."""
        if not self.reason:
            self.reason = reason
            self._pulled.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the brake is pulled."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._pulled.wait()

    async def wait(self) -> None:
        """Wait until it is pulled."""
        await self._pulled.wait()
