"""The probe processes as the supervisor sees them: spawned, heard, restarted, stopped.

A process that dies is never silence: its death is reported with the time, it is started
again, and the time without it is blind. One that meets something no table knows says
so and ends the run.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.errors import PreflightError, ProbeCrashed, RunError
from loadprobe.probe.messages import (
    HEADER_BYTES,
    Failed,
    Finished,
    FromProbe,
    Plan,
    Ready,
    Start,
    Stop,
    ToProbe,
    decode_from_probe,
    encode_frame,
    frame_length,
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


class Probe:
    """One probe process, over all its restarts.

    Args:
        make_plan: makes the plan of a (re)start; the argument says whether it is the
            first one.
        on_message: receives all messages except the last.
        on_death: called when the process ended by itself in mid-run.
        on_restart: called with (process, first due time) when the load goes on.
    """

    def __init__(
        self,
        make_plan: Callable[[bool], Plan],
        *,
        on_message: OnMessage,
        on_death: Callable[[Death], None],
        on_restart: Callable[[int, int], None],
    ) -> None:
        self._make_plan = make_plan
        self._on_message = on_message
        self._on_death = on_death
        self._on_restart = on_restart
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
            plan = self._make_plan(first)
            last, cause = await self._run_once(plan)
            if isinstance(last, Finished) or self._stopping:
                if not isinstance(last, Finished):
                    self._on_death(Death(plan.process, mono_now_ns(), cause))
                return
            if isinstance(last, Failed) and not last.preflight:
                raise ProbeCrashed(
                    f"probe process {plan.process} met an error it has no name for; "
                    f"this is a defect of loadprobe, please report it:\n{last.text}"
                )
            if first and self._start is None:
                if isinstance(last, Failed):
                    raise PreflightError(last.text)
                raise RunError(
                    f"probe process {plan.process} ended before the run: {cause}"
                )
            if isinstance(last, Failed):
                cause = last.text
            self._on_death(Death(plan.process, mono_now_ns(), cause))
            first = False
            await asyncio.sleep(_RESTART_PAUSE_S)
            if self._stopping:
                return

    async def _run_once(self, plan: Plan) -> tuple[FromProbe | None, str]:
        """Return the last message, and how the process ended."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "loadprobe.probe.process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # A Ctrl-C at the terminal is for the supervisor, which drains us.
            start_new_session=True,
        )
        self._process = process
        self.pid = process.pid
        if self._stopping:  # told so while the process was being made
            self.kill()
        tail: deque[str] = deque(maxlen=_STDERR_LINES)
        try:
            self._write(plan)
            async with asyncio.TaskGroup() as group:
                group.create_task(_keep_tail(process, tail))
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
                    case Finished() | Failed():
                        break
                    case _:
                        self._on_message(last)
        return last

    def _on_ready(self, message: Ready) -> None:
        self.ready.set()
        if self._start is not None:  # a restart: go on with the schedule
            first_due_ns = mono_now_ns() + _HEAD_START_NS
            self._write(Start(self._start.schedule_start_ns, first_due_ns))
            self._on_restart(message.process, first_due_ns)

    def _write(self, message: ToProbe) -> None:
        assert self._process is not None
        stdin = self._process.stdin
        assert stdin is not None
        # Its death is reported by the reader; uvloop calls a closed pipe RuntimeError.
        if self._process.returncode is None and not stdin.is_closing():
            with suppress(ConnectionError, RuntimeError):
                stdin.write(encode_frame(message))

    def start(self, message: Start) -> None:
        """Begin the load."""
        self._start = message
        self._write(message)

    def stop(self, at_ns: int) -> None:
        """Ask for an orderly end."""
        self._stopping = True
        if self._start is None:
            self.kill()
        else:
            self._write(Stop(at_ns))

    def kill(self) -> None:
        """End it at once."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()


async def _keep_tail(process: asyncio.subprocess.Process, tail: "deque[str]") -> None:
    assert process.stderr is not None
    while line := await process.stderr.readline():
        tail.append(line.decode(errors="replace").rstrip())
