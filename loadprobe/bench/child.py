"""A run of ``loadprobe run`` in a process of its own, as the work of a cell."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loadprobe.signals import Stopping

_RUN = "run.json"


@dataclass(frozen=True, slots=True)
class ChildRun:
    """How a run ended.

    Args:
        code: its exit code.
        folder: its run folder; None if there is none.
        said: the last line that it printed.
    """

    code: int
    folder: Path | None
    said: str


async def run_child(
    words: Sequence[str], *, runs: Path, log: Path, stopping: Stopping
) -> ChildRun:
    """Run a command to its end; a signal to us is passed on to it.

    Args:
        words: of the command, without ``loadprobe``.
        runs: where it makes its run folder.
        log: takes what it prints.
        stopping: whether we were told to end.
    """
    before = set(run_folders(runs))
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadprobe", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # signals of the terminal reach us alone
        )
        code = await _wait_for(process, stopping)
    made = sorted(set(run_folders(runs)) - before)
    return ChildRun(code, made[-1] if made else None, _last_line(log))


def run_folders(folder: Path) -> list[Path]:
    """Return the run folders right in a folder."""
    if not folder.is_dir():
        return []
    return [child for child in folder.iterdir() if (child / _RUN).is_file()]


def _last_line(log: Path) -> str:
    return "".join(log.read_text(errors="replace").strip().splitlines()[-1:])


async def _wait_for(process: asyncio.subprocess.Process, stopping: Stopping) -> int:
    try:
        code = await stopping.unless_set(process.wait())
        if code is None:  # in order: what it created is deleted
            _send(process, signal.SIGTERM)
            code = await stopping.unless_urged(process.wait())
        if code is None:
            _send(process, signal.SIGTERM)
            code = await process.wait()
    except BaseException:
        _send(process, signal.SIGTERM)
        raise
    return code


def _send(process: asyncio.subprocess.Process, signal_number: int) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal_number)
