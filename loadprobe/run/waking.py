"""Processes that begin in mid-run: started, maybe ahead of time, until they can probe.

A failure is tried again for a while: a transport that was turned on a moment ago is
not served everywhere yet.
"""

import asyncio
from collections.abc import Callable, Sequence

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.errors import RunError
from loadprobe.probe.fleet import FleetProbe, LateProbes, start_late
from loadprobe.probe.orders import Plan

_PAUSE_S = 0.1


class Waking:
    """Starts processes in mid-run (see the module).

    Args:
        probes: the processes of the run; those that are started here take their places.
        make: makes a process, by its index.
        plan: makes the first plan of a process, by its index.
        has_ended: tells whether the load has ended: nothing is begun any more.
    """

    def __init__(
        self,
        probes: list[FleetProbe],
        *,
        make: Callable[[int], FleetProbe],
        plan: Callable[[int], Plan],
        has_ended: Callable[[], bool],
    ) -> None:
        self._probes = probes
        self._make = make
        self._plan = plan
        self._has_ended = has_ended
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ahead: dict[int, LateProbes | None] = {}
        self.turn = asyncio.Lock()  # or lanes would have two processes each

    def begin(
        self, group: asyncio.TaskGroup, tasks: "list[asyncio.Task[None]]"
    ) -> None:
        """Start in a group from now on, and append to a list what was started."""
        self._group, self._tasks = group, tasks

    def is_ahead(self, process: int) -> bool:
        """Tell whether a process was started before its lanes can begin."""
        return process in self._ahead

    def prepare(self, processes: Sequence[int]) -> None:
        """Start processes, and have them wait for their lanes' transport."""
        for process in processes:
            if process not in self._ahead:
                self._ahead[process] = None  # its plan asks for it
                self._ahead[process] = self._start(process)

    async def connect(
        self, processes: Sequence[int], *, names: str, within_s: float
    ) -> None:
        """Have processes connect and prefill; they can begin on return.

        Args:
            processes: which.
            names: of their lanes, for messages.
            within_s: a failure is not tried again after this time.

        Raises:
            RunError: they could not, and why.
        """
        give_up_ns = mono_now_ns() + int(within_s * NS_PER_S)
        while processes:
            problem = await self._connect(processes)
            if self._has_ended():
                raise RunError(f"waking lanes {names}: the load ended before")
            if problem is None:
                return
            if mono_now_ns() >= give_up_ns:
                raise RunError(f"waking lanes {names} failed: {problem}")
            await asyncio.sleep(_PAUSE_S)

    async def _connect(self, processes: Sequence[int]) -> str | None:
        """Wait until processes are ready; return what went wrong."""
        if self._has_ended():
            return None
        started = [self._go_on(process) for process in processes]
        problems = [await late.wait() for late in started]
        return next((problem for problem in problems if problem is not None), None)

    def _go_on(self, process: int) -> LateProbes:
        """Have a process connect: the one that waits, or a new one."""
        ahead = self._ahead.pop(process, None)
        if ahead is not None and ahead.is_there:
            ahead.probes[0].go_on(self._plan(process))
            return ahead
        if ahead is not None:
            ahead.probes[0].kill()
        return self._start(process)

    def _start(self, process: int) -> LateProbes:
        assert self._group is not None, "the load has begun"
        probe = self._probes[process] = self._make(process)
        return start_late([probe], self._group, self._tasks)
