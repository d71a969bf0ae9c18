"""SIGTERM and SIGINT: the first ends a run in order, the second at once."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

EXIT_INTERRUPTED = 130
_NUMBERS = (signal.SIGTERM, signal.SIGINT)

_T = TypeVar("_T")


class Stopping:
    """Whether the run was told to end.

    Attributes:
        event: set when it was.
        before_exit: called at the second signal, before the process is gone.
    """

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.before_exit: Callable[[], None] | None = None

    @property
    def is_set(self) -> bool:
        """Tell whether the run was told to end."""
        return self.event.is_set()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Take the signals for the life of the block."""
        loop = asyncio.get_running_loop()
        for number in _NUMBERS:
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in _NUMBERS:
                loop.remove_signal_handler(number)

    async def unless_set(self, work: Coroutine[Any, Any, _T]) -> _T | None:
        """Return what work returns; None if it was cancelled for a signal meanwhile."""
        task = asyncio.create_task(work)
        stopping = asyncio.create_task(self.event.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not task.done():
                task.cancel()
            await asyncio.wait({task})
        if self.is_set:
            if not task.cancelled():
                task.exception()  # of no interest any more
            return None
        return task.result()

    def _on_signal(self) -> None:
        if self.is_set:
            if self.before_exit is not None:
                self.before_exit()
            os._exit(EXIT_INTERRUPTED)
        self.event.set()
