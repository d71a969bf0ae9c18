"""Disturbs the meter on schedule: ``python -m ...disturber``, its order on stdin.

A process of its own, for the one that measures may be stopped itself. What is stopped
is continued whatever happens, and nothing that burns CPU time outlives this process.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec

from benchmarks.calibration.priority import put_first
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.local.cluster.processes import bind_life_to_parent

_ROOT = Path(__file__).resolve().parents[2]
_BURNERS = 16
_NICENESS = -10
_END_TIMEOUT_S = 10.0

_Span = tuple[int, int]


class Order(msgspec.Struct, frozen=True):
    """What to do.

    Args:
        parent: who asks; nothing goes on without it.
        pids: of the processes to stop, or to starve.
        spans: when, monotonic ns, by time.
        starve: let other processes take the core of these instead of stopping them.
    """

    parent: int
    pids: tuple[int, ...]
    spans: tuple[_Span, ...]
    starve: bool = False


class Disturber:
    """The process as the one that asks for it sees it; it is gone after the block."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.calibration.disturber"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(self._order))
        self._process.stdin.close()
        return self

    def done(self) -> list[_Span]:
        """Wait for its end; return when it disturbed, monotonic ns.

        Raises:
            RuntimeError: it did not do all that it was asked to.
        """
        assert self._process.stdout is not None
        told = self._process.stdout.read()
        if self._process.wait(_END_TIMEOUT_S) != 0:
            raise RuntimeError("the disturber failed; see its stderr")
        return msgspec.json.decode(told, type=list[_Span])

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self._process.terminate()
        self._process.wait(_END_TIMEOUT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def disturbing(order: Order) -> Iterator[Callable[[bool], None]]:
    """Yield what begins (True) and ends (False) a disturbance; end it at the end."""
    burners = [_burner() for _ in range(_BURNERS)] if order.starve else []
    begin, end = signal.SIGSTOP, signal.SIGCONT
    pids: Sequence[int] = order.pids
    if order.starve:
        core = {max(os.sched_getaffinity(0))}
        for pid in (*pids, *burners):
            _pin(pid, core)
        begin, end = signal.SIGCONT, signal.SIGSTOP
        pids = burners

    def disturb(is_beginning: bool) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, begin if is_beginning else end)

    try:
        yield disturb
    finally:
        disturb(False)
        for pid in burners:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _pin(pid: int, cores: set[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def _burner() -> int:
    """Fork a stopped process that burns CPU time whenever it is continued."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        bind_life_to_parent(parent, signal.SIGKILL)
        # The kernel shares a core out among sessions first: one would take but half.
        os.setsid()
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
        while True:
            pass
    os.kill(pid, signal.SIGSTOP)
    return pid


def _obey(order: Order) -> list[_Span]:
    done: list[_Span] = []
    with disturbing(order) as disturb:
        for start_ns, end_ns in order.spans:
            _sleep_until(start_ns)
            began_ns = mono_now_ns()
            disturb(True)
            _sleep_until(end_ns)
            disturb(False)
            done.append((began_ns, mono_now_ns()))
    return done


def _sleep_until(at_ns: int) -> None:
    while (left_ns := at_ns - mono_now_ns()) > 0:
        time.sleep(left_ns / NS_PER_S)


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    # SIGTERM unwinds, so that what is stopped goes on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bind_life_to_parent(asked.parent, signal.SIGTERM)
    put_first(os.getpid())
    sys.stdout.write(msgspec.json.encode(_obey(asked)).decode())
