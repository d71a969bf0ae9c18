"""SIGHUP before a run listens for it: held until then, so that it ends nothing.

Whoever sends it to have the configuration read again does not know how far a start is.
This imports next to nothing, as all that is imported after it takes a good part of a
second.
"""

import os
import signal
from collections.abc import Iterable
from types import FrameType

_STANDARD = 0, 1, 2

_terminals: list[int] = []
_held: list[int] = []


def hold() -> None:
    """Hold SIGHUP from now on.

    One that was ignored when the process began stays so. A terminal that has gone still
    ends the process: nobody would be left to end it.
    """
    if signal.getsignal(signal.SIGHUP) != signal.SIG_DFL:
        return
    _terminals[:] = terminals()
    signal.signal(signal.SIGHUP, _on_hangup)


def release() -> None:
    """Let SIGHUP end the process as ever, also one that is held."""
    if signal.getsignal(signal.SIGHUP) is not _on_hangup:
        return
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if take_held():
        signal.raise_signal(signal.SIGHUP)


def take_held() -> bool:
    """Tell whether one was held, and forget it."""
    was_held = bool(_held)
    _held.clear()
    return was_held


def terminals() -> list[int]:
    """Return which of the three standard descriptors are terminals."""
    return [fd for fd in _STANDARD if os.isatty(fd)]


def are_there(descriptors: Iterable[int]) -> bool:
    """Tell whether descriptors that were terminals still are: none has gone."""
    return all(os.isatty(fd) for fd in descriptors)


def _on_hangup(number: int, _frame: FrameType | None) -> None:
    """Take a signal, in between any two instructions of ours."""
    _held[:] = [number]
    if not are_there(_terminals):
        release()
