"""How a run is told to end: in order at the first signal, hard when it is urged to.

Signals come in pairs without anybody being impatient: ``timeout`` signals its child and
then the group, a terminal signals the group and a wrapper passes it on. So only one
that comes a second after the first, or later, urges. Even then there is time to write
down what was measured; the process is gone two seconds later, whatever it hangs in.
"""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from loadprobe import hangup
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.errors import LoadprobeError
from loadprobe.logs import write_out

EXIT_INTERRUPTED = 130
NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_IMPATIENCE_NS = NS_PER_S
_GRACE_S = 2.0
_WRITING_S = 10.0
_LOGGING_S = 0.5
_UNWIND_S = 0.5

_T = TypeVar("_T")
logger = logging.getLogger(__name__)


class Stopping:
    """Whether the run was told to end, and whether it was urged to.

    Args:
        is_reloaded: SIGHUP asks for the configuration to be read again. It still ends
            a run whose terminal has gone: nobody would be left to end it.

    Attributes:
        event: set when it was told.
        urged: set when it was urged.
        hangup: set by SIGHUP if that is no reason to end: the configuration is to be
            read again. It is whoever waits for it who clears it.
        before_exit: called before the process is gone if it has to be ended from
            outside of the event loop.
    """

    def __init__(self, *, is_reloaded: bool = False) -> None:
        self.event = asyncio.Event()
        self.urged = asyncio.Event()
        self.hangup = asyncio.Event()
        self._is_reloaded = is_reloaded
        self._terminals = hangup.terminals()
        self.before_exit: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._told_ns: int | None = None
        self._is_leaving = False
        self._is_over = threading.Event()
        self._is_free = threading.Event()
        self._is_free.set()

    @property
    def is_set(self) -> bool:
        """Tell whether the run was told to end."""
        return self.event.is_set()

    @property
    def is_urged(self) -> bool:
        """Tell whether the run was told so again, and is to end hard."""
        return self.urged.is_set()

    @contextmanager
    def caught(self, *, deaf_after: bool = False) -> Iterator[None]:
        """Take the signals for the life of the block.

        One that was ignored when the process began stays so (nohup does that). One that
        was held until now is taken.

        Args:
            deaf_after: the process ends after the block; if it was told to, further
                signals change nothing more, least of all its exit code.
        """
        former = {number: signal.getsignal(number) for number in NUMBERS}
        if former[signal.SIGHUP] == signal.SIG_IGN:
            del former[signal.SIGHUP]
        # Not by the loop: when it lets go of a signal, that ends the process.
        for number in former:
            signal.signal(number, self._on_signal)
        if hangup.take_held():
            self._on_signal(signal.SIGHUP, None)
        try:
            yield
        finally:
            self._is_over.set()
            is_deaf = deaf_after and self._told_ns is not None
            for number, handler in former.items():
                signal.signal(number, signal.SIG_IGN if is_deaf else handler)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Have the hard end wait, if need be, until what is in the block is written."""
        self._is_free.clear()
        try:
            yield
        finally:
            self._is_free.set()

    @contextmanager
    def setting(self, event: asyncio.Event) -> Iterator[None]:
        """Have an event set as well when it is told, for the life of the block."""
        told = asyncio.create_task(self.event.wait())

        def pass_on(task: asyncio.Task[object]) -> None:
            if not task.cancelled():
                event.set()

        told.add_done_callback(pass_on)
        try:
            yield
        finally:
            told.cancel()

    async def unless_set(self, work: Coroutine[Any, Any, _T]) -> _T | None:
        """Return what work returns; None if it was cancelled for a signal meanwhile."""
        return await _unless(self.event, work, unwind_s=None)

    async def unless_urged(self, work: Coroutine[Any, Any, _T]) -> _T | None:
        """Return what work returns; None if it was given up because of urging.

        Then it has half a second to clean up, and is left alone if it takes longer.
        """
        return await _unless(self.urged, work, unwind_s=_UNWIND_S)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal, in between any two instructions of ours."""
        if number == signal.SIGHUP and self._is_reloaded and self._has_terminals:
            self._loop.call_soon_threadsafe(self.hangup.set)
            return
        now_ns = mono_now_ns()
        if self._told_ns is None:
            self._told_ns = now_ns
            self._loop.call_soon_threadsafe(self.event.set)
        elif now_ns - self._told_ns >= _IMPATIENCE_NS and not self._is_leaving:
            self._is_leaving = True
            self._loop.call_soon_threadsafe(self.urged.set)
            threading.Thread(target=self._end_hard, daemon=True).start()

    @property
    def _has_terminals(self) -> bool:
        """Tell whether all terminals are there that were there at first."""
        return hangup.are_there(self._terminals)

    def _end_hard(self) -> None:
        """End the process from a thread, whatever the event loop hangs in."""
        if self._is_over.wait(_GRACE_S):
            return
        self._is_free.wait(_WRITING_S)
        if self._is_over.is_set():
            return
        if self.before_exit is not None:
            self.before_exit()
        write_out(_LOGGING_S)
        os._exit(EXIT_INTERRUPTED)


async def _unless(
    event: asyncio.Event, work: Coroutine[Any, Any, _T], *, unwind_s: float | None
) -> _T | None:
    """Return what work returns; None if the event was set before it was done."""
    task = asyncio.create_task(work)
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        if not task.done():
            task.cancel()
        await asyncio.wait({task}, timeout=unwind_s)
    if event.is_set():
        if task.done() and not task.cancelled():
            problem = task.exception()
            # What failed for the signal is of no interest any more; a defect is.
            if isinstance(problem, Exception) and not isinstance(
                problem, LoadprobeError
            ):
                logger.error("unexpected_error", exc_info=problem)
        return None
    return task.result()
