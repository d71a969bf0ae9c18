"""Waking up when the next arrival is due.

uvloop's timers have whole milliseconds and may fire early, so on Linux a timerfd is
armed to the nanosecond instead (timerfd_create(2), absolute, CLOCK_MONOTONIC).
Elsewhere the loop's own timer is used and lateness, which is measured anyway, is
larger.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable

from loadprobe.clock import NS_PER_S, mono_now_ns

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_TFD_TIMER_ABSTIME = 1


class _TimeSpec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class Ticker:
    """Calls back at the time the callback asked for.

    Args:
        callback: given the time for which the wake-up was planned and the time now,
            both monotonic ns; returns when it wants to be called next.
    """

    def __init__(self, callback: Callable[[int, int], int]) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._planned_ns = 0
        self._stopped = False
        self._fd = -1
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            self._settime = libc.timerfd_settime
            self._spec = _TimerSpec()
            self._spec_ref = ctypes.byref(self._spec)
            self._fd = libc.timerfd_create(
                _CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC
            )
            if self._fd < 0:
                code = ctypes.get_errno()
                raise OSError(code, f"timerfd_create: {os.strerror(code)}")
            self._loop.add_reader(self._fd, self._on_timer_fd)

    def start(self, at_ns: int) -> None:
        """Begin with a first call at the given time."""
        self._arm(at_ns)

    def stop(self) -> None:
        """Call back no more."""
        self._stopped = True
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _arm(self, at_ns: int) -> None:
        self._planned_ns = at_ns
        if self._fd >= 0:
            value = self._spec.value
            value.sec, value.nsec = divmod(at_ns, NS_PER_S)
            self._settime(self._fd, _TFD_TIMER_ABSTIME, self._spec_ref, None)
        else:
            delay_ns = max(0, at_ns - mono_now_ns())
            self._loop.call_later(delay_ns / NS_PER_S, self._on_loop_timer)

    def _on_timer_fd(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._run(mono_now_ns())

    def _on_loop_timer(self) -> None:
        now = mono_now_ns()
        if now < self._planned_ns:  # the loop's timers may fire early
            self._arm(self._planned_ns)
            return
        self._run(now)

    def _run(self, now_ns: int) -> None:
        if self._stopped:
            return
        next_ns = self._callback(self._planned_ns, now_ns)
        if not self._stopped:
            self._arm(next_ns)
