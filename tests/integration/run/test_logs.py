"""What the real command logs: on standard error, from both kinds of process."""

import asyncio
import json
import os
import pty
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.bad_input import (
    DEADLINE_S,
    NOBODY_LISTENS,
    SECRET,
    Servers,
    config_of,
    environment,
    finish,
    start,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


SITECUSTOMIZE = """
import gc, logging, sys, threading, time

def warn():
    while not gc.get_freeze_count():  # that is done when the load begins
        time.sleep(0.1)
    time.sleep(1)
    fields = {"lp_lane": "tcp", "lp_left": 3}
    logging.getLogger("loadprobe.drivers").warning("made up", extra=fields)

if "loadprobe.probe" in sys.orig_argv:
    threading.Thread(target=warn, daemon=True).start()
"""


def odd_probes(folder: Path) -> dict[str, str]:
    """Return an environment in which a probe logs a warning, as a driver would."""
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return {"PYTHONPATH": str(folder)}


def lines_of(text: str) -> list[dict[str, Any]]:
    """Return lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]


async def test_a_pipe(servers: Servers, tmp_path: Path) -> None:
    """Standard error is JSON alone; a probe's lines are there with all their fields."""
    path = config_of(servers, tmp_path)
    env = odd_probes(tmp_path)
    ended = await finish(await start("run", str(path), "--for", "3s", env=env))
    assert ended.code == 0, ended
    (line,) = lines_of(ended.err)
    assert line.pop("at")
    assert line == {
        "level": "warning",
        "logger": "loadprobe.drivers",
        "event": "made up",
        "lane": "tcp",
        "left": 3,
        "process": 0,
    }
    assert "made up" not in ended.out


async def test_all_that_is_logged(servers: Servers, tmp_path: Path) -> None:
    """At debug there are lines about what goes well, and no secrets."""
    remote: dict[str, object] = {"url": f"http://127.0.0.1:{NOBODY_LISTENS}/write"}
    path = config_of(servers, tmp_path, remote_write=remote)
    options = ("--for", "500ms", "--log-level", "debug")
    ended = await finish(await start("run", str(path), *options))
    assert ended.code == 0, ended
    (last,) = [
        line for line in lines_of(ended.err) if line["event"] == "remote_write_ended"
    ]
    assert last["sent"] == 0
    assert SECRET not in ended.err + ended.out


async def test_a_terminal(servers: Servers, tmp_path: Path) -> None:
    """Lines for people stand above the live view, and leave it whole."""
    path = config_of(servers, tmp_path)
    ours, theirs = pty.openpty()
    env = {"TERM": "xterm", "COLUMNS": "200", "LINES": "50"} | odd_probes(tmp_path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadprobe", "run", str(path), "--for", "3s"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(env),
    )
    os.close(theirs)
    shown = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, lambda: shown.extend(_read(ours)))
    async with asyncio.timeout(DEADLINE_S):
        assert await process.wait() == 0, shown.decode()
    loop.remove_reader(ours)
    os.close(ours)
    line = "warning drivers: made up lane=tcp left=3 process=0\r\n"
    before, told, after = shown.decode().partition(line)
    assert told, shown.decode()
    # The view was taken away, the line written in its place, and then the view again.
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} ", before.rpartition("\x1b[2K")[2])
    view = after.partition("\x1b[2K")[0]
    assert view.startswith("\x1b[1mrun  ")
    assert "loadprobe itself" in view.splitlines()[-1]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # the other side is closed
        return b""
