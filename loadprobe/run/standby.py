"""Probe processes that are ready before their load begins, while others measure.

They are connected and prefilled, and wait. So the load of others ends for as long as it
takes to hand over what was judged, and only once nothing stands in the way.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from loadprobe.errors import LoadprobeError, RunError
from loadprobe.probe.fleet import FleetProbe


class Standby:
    """Processes that wait to be taken over (see the module).

    Args:
        probes: the processes; none of them was run before.
    """

    def __init__(self, probes: Sequence[FleetProbe]) -> None:
        self._probes = probes
        self._tasks: list[asyncio.Task[None]] = []

    async def make_ready(self, *, within_s: float) -> None:
        """Have them connected and prefilled.

        Args:
            within_s: how long that may take.

        Raises:
            RunError: it could not be done, and why; they are gone.
        """
        # They outlive whoever asks for them: they are run for whoever takes them over.
        self._tasks = [asyncio.create_task(probe.run()) for probe in self._probes]
        ready = asyncio.create_task(_all_ready(self._probes))
        is_ready = False
        try:
            await asyncio.wait(
                {ready, *self._tasks},
                timeout=within_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            is_ready = self.is_there
        finally:
            ready.cancel()
            if not is_ready:
                await self.end()
        if not is_ready:
            raise RunError(f"new probes are not ready: {self._why(within_s)}")

    @property
    def is_there(self) -> bool:
        """Tell whether all are ready, and none of them has ended."""
        are_ready = all(probe.ready.is_set() for probe in self._probes)
        return are_ready and not any(task.done() for task in self._tasks)

    def taken_over(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs them from now on, each until its process has finished."""
        return [_go_on(task) for task in self._tasks]

    async def end(self) -> None:
        """End those that nobody has taken over."""
        for probe in self._probes:
            probe.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _why(self, within_s: float) -> str:
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        problems = [problem for task in ended if (problem := task.exception())]
        named = [str(each) for each in problems if isinstance(each, LoadprobeError)]
        return next(
            iter([*named, *map(repr, problems)]), f"no answer within {within_s:.0f} s"
        )


async def _all_ready(probes: Sequence[FleetProbe]) -> None:
    for probe in probes:
        await probe.ready.wait()


async def _go_on(task: "asyncio.Task[None]") -> None:
    await task
