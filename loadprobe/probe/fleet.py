"""The probe processes as the supervisor sees them: spawned, heard, restarted, stopped.

A process that dies is never silence: its death is reported with the time, it is started
again, and the time without it is blind. One that meets something no table knows says
so and ends the run.
"""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.errors import LoadprobeError, PreflightError, ProbeCrashed, RunError
from loadprobe.logs import log_again
from loadprobe.probe.frames import (
    HEADER_BYTES,
    decode_from_probe,
    encode_frame,
    frame_length,
)
from loadprobe.probe.messages import (
    Finished,
    FromProbe,
    ProbeFailed,
    Ready,
)
from loadprobe.probe.orders import (
    Change,
    ChangeRate,
    Detour,
    Plan,
    Start,
    Stop,
    ToProbe,
)

_RESTART_PAUSE_S = 0.5
_HEAD_START_NS = 50 * NS_PER_MS
_STDERR_LINES = 40

OnMessage = Callable[[FromProbe], None]


@dataclass(frozen=True, slots=True)
class Death:
    """A probe process that ended without being asked to.

    Args:
        process: its index.
        at_ns: when it was noticed, monotonic.
        cause: exit code or signal, in words, with the end of its standard error.
    """

    process: int
    at_ns: int
    cause: str


class FleetProbe:
    """One probe process, over all its restarts.

    Args:
        process: its index.
        make_plan: makes the plan of a (re)start; the argument says whether it is the
            first one.
        on_message: receives all messages except the last.
        on_death: called when the process ended by itself in mid-run.
        on_restart: called with (process, first due time) when the load goes on.
        withheld: environment variables that it does not inherit: secrets, of which it
            is told in its plan what it needs.
    """

    def __init__(
        self,
        process: int,
        make_plan: Callable[[bool], Plan],
        *,
        on_message: OnMessage,
        on_death: Callable[[Death], None],
        on_restart: Callable[[int, int], None],
        withheld: Collection[str] = (),
    ) -> None:
        self.process = process
        self._make_plan = make_plan
        self._on_message = on_message
        self._on_death = on_death
        self._on_restart = on_restart
        self._withheld = withheld
        self._start: Start | None = None
        self._stopping = False
        self._process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        self.pid: int | None = None

    async def run(self) -> None:
        """Run the process, again after each death, until it finished as told.

        Raises:
            PreflightError: the first start failed because of the target.
            ProbeCrashed: the process met something it does not know.
        """
        first = True
        while True:
            last, cause = await self._run_once(first)
            # Also while it ends: a defect is never taken for a death.
            if isinstance(last, ProbeFailed) and not last.preflight:
                raise ProbeCrashed(
                    f"probe process {self.process} met an error it has no name for; "
                    f"this is a defect of loadprobe, please report it:\n{last.text}"
                )
            if isinstance(last, Finished) or self._stopping:
                if not isinstance(last, Finished) and self.has_begun:
                    self._on_death(Death(self.process, mono_now_ns(), cause))
                return
            if first and not self.has_begun:
                if isinstance(last, ProbeFailed):
                    raise PreflightError(last.text)
                raise RunError(
                    f"probe process {self.process} ended before the run: {cause}"
                )
            if isinstance(last, ProbeFailed):
                cause = last.text
            self._on_death(Death(self.process, mono_now_ns(), cause))
            first = False
            await asyncio.sleep(_RESTART_PAUSE_S)
            if self._stopping:
                return

    @property
    def has_begun(self) -> bool:
        """Tell whether the load has begun."""
        return self._start is not None

    async def _run_once(self, first: bool) -> tuple[FromProbe | None, str]:
        """Return the last message, and how the process ended."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "loadprobe.probe",
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={k: v for k, v in os.environ.items() if k not in self._withheld},
            # A Ctrl-C at the terminal is for the supervisor, which drains us.
            start_new_session=True,
        )
        self._process = process
        self.pid = process.pid
        if self._stopping:  # told so while the process was being made
            self.kill()
        tail: deque[str] = deque(maxlen=_STDERR_LINES)
        try:
            # Not made earlier: what was told since then would be missing in it.
            self._write(self._make_plan(first))
            async with asyncio.TaskGroup() as group:
                assert process.stderr is not None
                group.create_task(read_stderr(process.stderr, self.process, tail))
                last = await self._read_messages(process)
            code = await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        ended = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return last, "; ".join([ended, *tail])

    async def _read_messages(
        self, process: asyncio.subprocess.Process
    ) -> FromProbe | None:
        last: FromProbe | None = None
        assert process.stdout is not None
        with suppress(asyncio.IncompleteReadError):
            while True:
                header = await process.stdout.readexactly(HEADER_BYTES)
                length = frame_length(header)
                last = decode_from_probe(await process.stdout.readexactly(length))
                match last:
                    case Ready():
                        self._on_message(last)
                        self._on_ready(last)
                    case Finished() | ProbeFailed():
                        break
                    case _:
                        self._on_message(last)
        return last

    def _on_ready(self, message: Ready) -> None:
        self.ready.set()
        if self._start is not None:  # a restart: go on with the schedule
            first_due_ns = mono_now_ns() + _HEAD_START_NS
            self._write(msgspec.structs.replace(self._start, first_due_ns=first_due_ns))
            self._on_restart(message.process, first_due_ns)

    def _write(self, message: ToProbe) -> None:
        assert self._process is not None
        stdin = self._process.stdin
        assert stdin is not None
        # Its death is reported by the reader; uvloop calls a closed pipe RuntimeError.
        if self._process.returncode is None and not stdin.is_closing():
            with suppress(ConnectionError, RuntimeError):
                stdin.write(encode_frame(message))

    def tell(self, message: Change) -> None:
        """Pass on what has changed; a process yet to come has it in its plan."""
        if self._process is not None:
            self._write(message)

    def go_on(self, plan: Plan) -> None:
        """Have a process that waits for its transport connect (see ``Plan.ahead``)."""
        self._write(plan)

    def start(self, message: Start) -> None:
        """Begin the load."""
        self._start = message
        self._write(message)

    def change_rate(self, message: ChangeRate) -> None:
        """Pass on that the rate of a lane changes, also to what is started again."""
        if self._start is None:
            return
        paces = {**self._start.paces, message.lane: message.paces}
        self._start = msgspec.structs.replace(self._start, paces=paces)
        self._write(message)

    def stop(self, at_ns: int, detours: dict[str, Detour]) -> None:
        """Ask for an orderly end (see ``Stop``)."""
        self._stopping = True
        if self._start is None:
            self.kill()
        else:
            self._write(Stop(at_ns, detours))

    def kill(self) -> None:
        """End it at once."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()


async def read_stderr(
    stderr: asyncio.StreamReader, process: int, tail: "deque[str]"
) -> None:
    """Log what a process logs, and keep whatever else it says."""
    while True:
        try:
            line = await stderr.readline()
        except ValueError:  # it is longer than a reader takes; the rest comes next
            continue
        if not line:
            return
        if not log_again(line, process=process):
            tail.append(line.decode(errors="replace").rstrip())


@dataclass(frozen=True, slots=True)
class LateProbes:
    """Probes that were started in mid-run; see ``start_late``."""

    probes: Sequence[FleetProbe]
    running: "Sequence[asyncio.Task[None]]"
    failed: "asyncio.Future[str]"

    @property
    def is_there(self) -> bool:
        """Tell whether all have been started, and none of them has ended."""
        return not self.failed.done() and all(probe.pid for probe in self.probes)

    async def wait(self) -> str | None:
        """Wait until all are ready.

        Returns:
            What went wrong, or None. Then none of them runs any more.
        """
        ready = asyncio.create_task(_all_ready(self.probes))
        is_done = False
        try:
            waiting: set[asyncio.Future[Any]] = {ready, self.failed}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            is_done = not self.failed.done()
        finally:
            ready.cancel()
            if not is_done:
                for probe in self.probes:
                    probe.kill()
        if is_done:
            return None
        await asyncio.wait(self.running)
        return self.failed.result()


def start_late(
    probes: Sequence[FleetProbe],
    group: asyncio.TaskGroup,
    tasks: "list[asyncio.Task[None]]",
) -> LateProbes:
    """Run probes in mid-run.

    Args:
        probes: none of them was run before.
        group: they run in tasks of it, and on after this returns.
        tasks: the tasks are added to it.
    """
    failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = [group.create_task(_run_late(probe, failed)) for probe in probes]
    tasks += running
    return LateProbes(probes, running, failed)


async def _all_ready(probes: Sequence[FleetProbe]) -> None:
    for probe in probes:
        await probe.ready.wait()


async def _run_late(probe: FleetProbe, failed: "asyncio.Future[str]") -> None:
    """Run a probe; until its load has begun, its failure does not end the run."""
    problem = f"probe process {probe.process} ended"
    try:
        await probe.run()
    except ProbeCrashed:
        raise
    except LoadprobeError as exc:
        if probe.has_begun:
            raise
        problem = str(exc)
    if not failed.done():
        failed.set_result(problem)
