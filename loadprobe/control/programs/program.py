"""A program that is run beside: no shell, bounded output, no leftovers.

It gets a process group of its own, which is killed at the end, so that what it started
ends with it. If we are killed, the kernel kills it; what it started is left then.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from loadprobe.clock import mono_now_ns
from loadprobe.control.provider.secret import MASK, Secret
from loadprobe.core.events import Emit, ExecEnded, ExecLine
from loadprobe.liveness import bind_life_to_parent

MOST_LINES = 1000
"""Lines of output that are kept; more are read and counted."""

LONGEST_LINE = 4096
"""Characters of a line that are kept."""

_Stream = Literal["stdout", "stderr"]
_READ_BYTES = 65_536
_AFTER_EXIT_S = 1.0


async def start_program(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    asks: bytes = b"",
    withheld: Collection[str] = (),
) -> asyncio.subprocess.Process:
    """Start a program in a process group of its own.

    Args:
        command: program and arguments.
        env: environment variables that it has besides ours.
        asks: what it reads from its standard input.
        withheld: variables of ours that it does not inherit: secrets.

    Cancelled meanwhile, asyncio would kill the program alone, and leave behind what it
    has started by then.

    Raises:
        OSError, ValueError: it could not be started.
    """
    parent = os.getpid()
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE if asks else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=lambda: bind_life_to_parent(parent, signal.SIGKILL),
            env=_inherited(withheld) | dict(env or {}),
        )
    )
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting})
        if starting.exception() is None:
            await end_program(starting.result())
        raise
    if process.stdin is not None:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(asks)
            process.stdin.close()
    return process


def _inherited(withheld: Collection[str]) -> dict[str, str]:
    return {name: v for name, v in os.environ.items() if name not in withheld}


async def finish_program(
    process: asyncio.subprocess.Process, add: Callable[[_Stream, str], None]
) -> int:
    """Read until the program has ended; return its exit code.

    What it left running may hold the pipes open: that is not waited for.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        readers = [
            group.create_task(_read(process.stdout, "stdout", add)),
            group.create_task(_read(process.stderr, "stderr", add)),
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


async def end_program(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the process group, and collect the process.

    The group can outlive its leader. While it does, its id is not given to another;
    if it does not, the id was free for no longer than ``_AFTER_EXIT_S``.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        await process.wait()
    # What it has started may have held the pipes open until now.
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001


@dataclass(slots=True)
class OutputJournal:
    """Puts lines into the journal, a bounded number of them."""

    step: str
    emit: Emit
    secrets: Sequence[Secret]
    lines: int = 0
    last: str = ""

    def add(self, stream: _Stream, line: str) -> None:
        """Take a line."""
        self.lines += 1
        self.last = masked(line.rstrip("\r"), self.secrets)[:LONGEST_LINE]
        if self.lines <= MOST_LINES:
            self.emit(ExecLine(mono_now_ns(), self.step, stream, self.last))

    def close(self, code: int) -> None:
        """Note the end."""
        kept = min(self.lines, MOST_LINES)
        self.emit(ExecEnded(mono_now_ns(), self.step, code, self.lines, kept))


def masked(text: str, secrets: Sequence[Secret]) -> str:
    """Return a text without secrets, also in the forms in which programs get them."""
    forms = {form for secret in secrets for form in _forms(secret.reveal())}
    for form in sorted(forms, key=len, reverse=True):  # one may begin another
        text = text.replace(form, MASK)
    return text


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, in a URL, and between quotes; none if it is empty."""
    quoted = json.dumps(secret, ensure_ascii=False)[1:-1]
    return {secret, quote(secret, safe=""), quoted} - {""}
