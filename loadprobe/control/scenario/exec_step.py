"""Runs a program as a step of a scenario: no shell, bounded output, no leftovers.

The program gets a process group of its own, which is killed at the timeout, on
cancellation and when the program has ended, so that what it started ends with it.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from loadprobe.clock import mono_now_ns
from loadprobe.control.provider.secret import MASK, Secret
from loadprobe.core.events import Emit, ExecEnded, ExecLine
from loadprobe.errors import ControlError

MOST_LINES = 1000
"""Lines of output that are kept; more are read and counted."""

LONGEST_LINE = 4096
"""Characters of a line that are kept."""

_Stream = Literal["stdout", "stderr"]
_READ_BYTES = 65_536
_AFTER_EXIT_S = 1.0


async def run_command(
    command: Sequence[str],
    *,
    step: str,
    emit: Emit,
    timeout_s: float,
    secrets: Sequence[Secret] = (),
) -> None:
    """Run a program to its end; its output goes to the journal.

    Emits ``ExecLine`` for each line, and ``ExecEnded``.

    Args:
        command: program and arguments.
        step: name of the step.
        emit: where events go.
        timeout_s: its process group is killed after this time.
        secrets: values that are masked wherever they occur in the output.

    Raises:
        ControlError: it could not be started, took too long, or ended with another
            exit code than 0.
    """
    shown = _masked(" ".join(command), secrets)
    try:
        process = await _start(command)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise ControlError(
            f"step {step}: {shown!r} could not be started: {why}; give a program and "
            "its arguments as a list, without shell syntax"
        ) from exc
    journal = _Journal(step, emit, secrets)
    try:
        async with asyncio.timeout(timeout_s):
            code = await _finish(process, journal)
    except TimeoutError:
        raise ControlError(
            f"step {step}: {shown!r} ran longer than {timeout_s:g} s and was killed; "
            "raise timeout_s, or find out what it waits for"
        ) from None
    finally:
        await _end(process)
    journal.close(code)
    if code != 0:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        last = f"; its last line: {journal.last}" if journal.last else ""
        raise ControlError(f"step {step}: {shown!r} ended with {how}{last}")


async def _start(command: Sequence[str]) -> asyncio.subprocess.Process:
    """Start a program in a process group of its own.

    Cancelled meanwhile, asyncio would kill the program alone, and leave behind what it
    has started by then.
    """
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting})
        if starting.exception() is None:
            await _end(starting.result())
        raise


async def _finish(process: asyncio.subprocess.Process, journal: "_Journal") -> int:
    """Read until the program has ended; return its exit code.

    What it left running may hold the pipes open: that is not waited for.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        readers = [
            group.create_task(_read(process.stdout, "stdout", journal.add)),
            group.create_task(_read(process.stderr, "stderr", journal.add)),
        ]
        code = await process.wait()
        await asyncio.wait(readers, timeout=_AFTER_EXIT_S)
        for reader in readers:
            reader.cancel()
    return code


async def _read(
    stream: asyncio.StreamReader,
    name: _Stream,
    add: Callable[[_Stream, str], None],
) -> None:
    """Hand over a stream line by line, however long its lines are."""
    rest = b""
    while chunk := await stream.read(_READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            add(name, line.decode(errors="replace"))
        rest = rest[: LONGEST_LINE * 4]
    if rest:
        add(name, rest.decode(errors="replace"))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the process group, and collect the process.

    The group can outlive its leader. While it does, its id is not given to another;
    if it does not, the id was free for no longer than ``_AFTER_EXIT_S``.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        await process.wait()


@dataclass(slots=True)
class _Journal:
    """Puts lines into the journal, a bounded number of them."""

    step: str
    emit: Emit
    secrets: Sequence[Secret]
    lines: int = 0
    last: str = ""

    def add(self, stream: _Stream, line: str) -> None:
        """Take a line."""
        self.lines += 1
        self.last = _masked(line.rstrip("\r"), self.secrets)[:LONGEST_LINE]
        if self.lines <= MOST_LINES:
            self.emit(ExecLine(mono_now_ns(), self.step, stream, self.last))

    def close(self, code: int) -> None:
        """Note the end."""
        kept = min(self.lines, MOST_LINES)
        self.emit(ExecEnded(mono_now_ns(), self.step, code, self.lines, kept))


def _masked(text: str, secrets: Sequence[Secret]) -> str:
    for secret in secrets:
        if secret.reveal():
            text = text.replace(secret.reveal(), MASK)
    return text
