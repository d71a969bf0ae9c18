"""What goes on beside the load: its failures are told, and end nothing."""

import asyncio
from collections.abc import Coroutine, Iterable

from loadprobe.clock import mono_now_ns
from loadprobe.core.events import Emit, RunProblem
from loadprobe.errors import LoadprobeError
from loadprobe.run.endings import defect

_MOST_PROBLEMS = 100


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
            self._note(str(exc))
        except Exception as exc:  # noqa: BLE001 - it is told, and is not the load
            self.take_defect("what runs beside the load", exc)

    def take_defect(self, what: str, error: Exception) -> str:
        """Note an error that nothing expects; return what is told of it.

        Args:
            what: what met it.
            error: what it met.
        """
        problem = str(defect(what, error))
        self._note(problem)
        return problem

    def take_defects(
        self, errors: Iterable[Exception], *, beside: LoadprobeError | None
    ) -> LoadprobeError:
        """Return what is told first of what ended the run; note the rest.

        A defect comes first: what else failed may have failed for it.

        Args:
            errors: those that nothing expects, at least one.
            beside: what else ended it.
        """
        first, *others = [defect("the run", error) for error in errors]
        for other in [*others, *filter(None, [beside])]:
            self._note(str(other))
        return first

    def tell(self, problem: LoadprobeError) -> None:
        """Take note of a failure that ends nothing."""
        self._note(str(problem))

    def _note(self, problem: str) -> None:
        """Tell a problem once, however often it comes."""
        if problem in self.problems or len(self.problems) >= _MOST_PROBLEMS:
            return
        self.problems.append(problem)
        self._emit(RunProblem(mono_now_ns(), problem))
