"""Work that may be left undone: it is broken off when it has taken long enough.

By the alarm of the process (setitimer(2)), so it needs nothing of what it breaks off,
and is heard in between any two instructions of ours. It is for the main thread, after
all that others wait for.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class OutOfTime(BaseException):
    """The work was broken off."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Break off what is in the block after some time; the main thread's alone.

    Raises:
        OutOfTime: it took longer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_alarm(_number: int, _frame: FrameType | None) -> NoReturn:
        raise OutOfTime

    former = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
