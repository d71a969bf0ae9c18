"""What goes on beside the load: its failures are told, and end nothing."""

import asyncio
from collections.abc import Coroutine, Iterable

from loadprobe.clock import mono_now_ns
from loadprobe.core.events import Emit, RunProblem
from loadprobe.errors import LoadprobeError
from loadprobe.run.endings import defect


class Companions:
    """Tasks beside the load (see the module).

    Args:
        emit: where failures are told.

    Attributes:
        problems: the failures, as sentences.
    """

    def __init__(self, emit: Emit) -> None:
        self.problems: list[str] = []
        self._emit = emit
        self._tasks: list[asyncio.Task[None]] = []

    def start(
        self, group: asyncio.TaskGroup, work: Iterable[Coroutine[None, None, None]]
    ) -> None:
        """Begin work that goes on until ``end``."""
        self._tasks += [group.create_task(self.beside(each)) for each in work]

    def end(self) -> None:
        """End all that was started."""
        for task in self._tasks:
            task.cancel()

    async def beside(self, work: Coroutine[None, None, None]) -> None:
        """Carry work out; a failure is noted, no more."""
        try:
            await work
        except LoadprobeError as exc:
            problem = exc
        except Exception as exc:  # noqa: BLE001 - it is told, and is not the load
            problem = defect("what runs beside the load", exc)
        else:
            return
        self.tell(problem)

    def tell(self, problem: LoadprobeError) -> None:
        """Take note of a failure that ends nothing."""
        self.problems.append(str(problem))
        self._emit(RunProblem(mono_now_ns(), str(problem)))
