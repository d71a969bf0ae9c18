"""SIGHUP to a run that has only just been started."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.run.test_reload import end, journal
from tests.support.bad_input import (
    Servers,
    config_of,
    environment,
    finish,
    start,
)
from tests.support.running import until

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]


NOHUP = (
    "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    "os.execv(sys.executable, [sys.executable, '-m', 'loadprobe', *sys.argv[1:]])"
)
"""Starts a command that ignores it, as nohup does."""


def pipe_at(path: Path) -> int:
    """Make a pipe that is read until what this returns is closed."""
    os.mkfifo(path)
    return os.open(path, os.O_RDWR)


async def read_by(pid: int, path: Path) -> None:
    """Wait until a command reads a file: it has begun, and goes no further."""

    def is_read() -> bool:
        found = Path(f"/proc/{pid}/fd").iterdir()
        return str(path) in [_link(each) for each in found]

    await until(is_read, what="the reading of the configuration")


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


async def test_a_reload_before_the_load_begins(
    servers: Servers, tmp_path: Path, ending: ExitStack
) -> None:
    """It ends nothing: the file is read again once the load flows."""
    path = config_of(servers, tmp_path)
    text = path.read_text()
    path.unlink()
    pipe = pipe_at(path)
    process = await start("run", str(path))
    ending.callback(end, process)
    await read_by(process.pid, path)
    process.send_signal(signal.SIGHUP)
    path.unlink()
    path.write_text(f"{text}\n[slo]\nmax_outage_ms = 60000\n")
    os.write(pipe, text.encode())
    os.close(pipe)

    def is_read_again() -> bool:
        assert process.returncode is None, process.returncode
        runs = (tmp_path / "runs").glob("[!.]*/events.ndjson")
        return bool(list(runs)) and bool(journal(path, "config_reloaded"))

    await until(is_read_again, what="the reload", within_s=60)
    (told,) = journal(path, "config_reloaded")
    assert (told["changed"], told["by"]) == (["slo.max_outage_ms"], "signal")
    await asyncio.sleep(0.5)  # there is something to judge
    process.send_signal(signal.SIGTERM)
    ended = await finish(process)
    assert ended.code == 0, ended


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-m", "loadprobe", "run"), 2),
        (("-m", "loadprobe", "check"), -signal.SIGHUP),
        (("-c", NOHUP, "run"), 2),
        (("-c", NOHUP, "check"), 2),
    ],
    ids=["run", "another-command", "nohup", "another-with-nohup"],
)
async def test_a_command_that_fails_afterwards(
    tmp_path: Path, ending: ExitStack, words: tuple[str, ...], code: int
) -> None:
    """Only a run holds it; one that cannot begin says why, as without a signal."""
    path = tmp_path / "run.toml"
    pipe = pipe_at(path)
    process = subprocess.Popen(  # noqa: ASYNC220 - it begins at once
        [sys.executable, *words, str(path)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment(),
    )
    ending.callback(end, process)
    await read_by(process.pid, path)
    process.send_signal(signal.SIGHUP)
    await asyncio.sleep(0.1)  # it would be gone
    os.close(pipe)
    await until(lambda: process.poll() is not None, what="the end of the command")
    assert process.returncode == code


async def test_a_terminal_that_goes_early(tmp_path: Path, ending: ExitStack) -> None:
    """SIGHUP of a terminal that was closed ends a run that has not begun, at once."""
    path = tmp_path / "run.toml"
    ending.callback(os.close, pipe_at(path))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(  # noqa: ASYNC220 - it begins at once
        [sys.executable, "-m", "loadprobe", "run", str(path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=environment(),
    )
    ending.callback(end, process)
    os.close(theirs)
    await read_by(process.pid, path)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    await until(lambda: process.poll() is not None, what="the end of the run")
    assert process.returncode == -signal.SIGHUP


async def test_a_url_is_not_read_again(tmp_path: Path, ending: ExitStack) -> None:
    """A run without a file ends by it, in order or at once, as ever."""
    # Nobody answers there: the run is at its start, or waits, for all this time.
    process = await start("run", "redis://127.0.0.1:1", "--wait", "60s")
    ending.callback(end, process)
    await asyncio.sleep(0.6)
    process.send_signal(signal.SIGHUP)
    ended = await finish(process)
    assert ended.code in (0, -signal.SIGHUP), ended
