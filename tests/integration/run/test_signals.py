"""Signals to the real command: which end it in order, which hard; all is written."""

import asyncio
import fcntl
import itertools
import os
import pty
import random
import shutil
import signal
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.local.cluster.ports import free_ports
from tests.support.bad_input import (
    DEADLINE_S,
    Servers,
    config_of,
    document,
    environment,
    finish,
    run_folder,
)
from tests.support.commands import (
    assert_gone,
    assert_whole,
    family,
    get,
    start_run,
)

_LOAD_S = 0.5

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
_COMMAND = sys.executable, "-m", "loadprobe", "run"


def assert_in_order(path: Path) -> None:
    """Check that a run ended in order, and everything is written."""
    assert_whole(run_folder(path))
    summary = document(path, "summary.json")
    assert not summary["ended_hard"]
    assert summary["complete_until_unix_ns"] is None
    assert summary["lost_writes"] == 0
    assert document(path, "outages.json")["outages"] == []
    info = document(path, "run.json")
    assert info["end"] is not None
    assert info["problems"] == []


async def bombarded(
    servers: Servers, folder: Path, numbers: Sequence[signal.Signals], seed: int
) -> None:
    """Send signals at random distances, all within 0.9 s; the run ends in order.

    It may be over before the last of them; then it has had the others.
    """
    folder.mkdir()
    # Two runs with the same keys would write over each other.
    lane: dict[str, object] = {"name": f"tcp{seed}"}
    process, path, _ = await start_run(servers, folder, lanes=lane)
    await asyncio.sleep(_LOAD_S)
    drawn = random.Random(seed)
    moments = sorted(drawn.uniform(0, 0.9) for _ in numbers)
    moments = [moment - moments[0] for moment in moments]
    sent = 0
    for number, (before, at) in zip(
        numbers, itertools.pairwise([0.0, *moments]), strict=True
    ):
        await asyncio.sleep(at - before)
        if process.returncode is not None:
            break
        process.send_signal(number)
        sent += 1
    assert sent >= 1
    ended = await finish(process)
    assert (ended.code, ended.err) == (0, ""), ended
    assert_in_order(path)


async def test_signals_within_a_second_are_one(
    servers: Servers, tmp_path: Path
) -> None:
    """2, 3 and 10 signals of any kind within a second end a run in order."""
    salvos = [
        [TERM, TERM],
        [INT, TERM, HUP],
        [TERM, INT, INT, TERM, HUP, TERM, INT, TERM, HUP, INT],
    ]
    async with asyncio.TaskGroup() as group:
        for seed, salvo in enumerate(salvos):
            folder = tmp_path / str(len(salvo))
            group.create_task(bombarded(servers, folder, salvo, seed))


async def test_signals_after_the_end_change_nothing(
    servers: Servers, tmp_path: Path
) -> None:
    """Signals that go on until the process is gone do not change its exit code."""
    process, path, _ = await start_run(
        servers, tmp_path, lanes={"deadline_ms": 100}, probe={"settle_ms": 100}
    )
    await asyncio.sleep(_LOAD_S)
    deadline_ns = mono_now_ns() + int(0.9 * NS_PER_S)
    while process.returncode is None and mono_now_ns() < deadline_ns:
        process.send_signal(INT)
        await asyncio.sleep(0.01)
    ended = await finish(process)
    assert ended.code == 0, ended
    assert_in_order(path)


async def test_timeout_signals_twice(servers: Servers, tmp_path: Path) -> None:
    """``timeout`` signals its child, then the group it is in: the run ends in order."""
    timeout = shutil.which("timeout")
    assert timeout is not None
    process, path = await started_by(servers, tmp_path, timeout, "600")
    await asyncio.sleep(_LOAD_S)
    # The same as at the end of its time: it passes the signal on in the same way.
    process.send_signal(TERM)
    ended = await finish(process)
    assert (ended.code, ended.err) == (0, "")
    assert_in_order(path)


async def started_by(
    servers: Servers, folder: Path, *words: str
) -> tuple[asyncio.subprocess.Process, Path]:
    """Start a run by another command, and wait until it measures."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    path = config_of(servers, folder, http={"listen": address})
    process = await asyncio.create_subprocess_exec(
        *(*words, *_COMMAND, str(path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    async with asyncio.timeout(DEADLINE_S):
        while await get(f"http://{address}/readyz") is None:
            assert process.returncode is None, await finish(process)
            await asyncio.sleep(0.05)
    return process, path


async def test_all_processes_are_signalled(servers: Servers, tmp_path: Path) -> None:
    """A service manager that signals every process does not end the probes first."""
    process, path, _ = await start_run(servers, tmp_path)
    members = family(process.pid)
    assert len(members) >= 2
    await asyncio.sleep(_LOAD_S)
    for member in reversed(members):
        os.kill(member, TERM)
    ended = await finish(process)
    assert (ended.code, ended.err) == (0, "")
    assert_in_order(path)
    await assert_gone(members)


async def test_at_a_terminal(servers: Servers, tmp_path: Path) -> None:
    """Ctrl-C at a terminal, and a terminal that is closed, end a run in order."""
    async with asyncio.TaskGroup() as group:
        for end in ("ctrl-c", "hang-up"):
            (tmp_path / end).mkdir()
            group.create_task(end_at_terminal(servers, tmp_path / end, end))


async def end_at_terminal(servers: Servers, folder: Path, end: str) -> None:
    """End a run by its terminal."""
    ours, theirs = pty.openpty()
    address = f"127.0.0.1:{free_ports(1)[0]}"
    lane: dict[str, object] = {"name": end}
    path = config_of(servers, folder, http={"listen": address}, lanes=lane)
    process = await asyncio.create_subprocess_exec(
        *(*_COMMAND, str(path)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment({"TERM": "xterm"}),
        preexec_fn=lambda: _take_terminal(theirs),
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()
    shown = bytearray()
    loop.add_reader(ours, lambda: shown.extend(_read(ours)))
    async with asyncio.timeout(DEADLINE_S):
        while await get(f"http://{address}/readyz") is None:
            assert process.returncode is None, shown.decode()
            await asyncio.sleep(0.05)
        await asyncio.sleep(_LOAD_S)
        if end == "ctrl-c":
            os.write(ours, b"\x03")
            assert await process.wait() == 0, shown.decode()
        loop.remove_reader(ours)
        os.close(ours)
        assert await process.wait() == 0, shown.decode()
    assert_in_order(path)


def _take_terminal(descriptor: int) -> None:
    os.setsid()
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # the other side is closed
        return b""


async def test_a_reader_that_is_gone(servers: Servers, tmp_path: Path) -> None:
    """A closed pipe costs only what would have been shown; that is told."""
    process, path, _ = await start_run(servers, tmp_path)
    transport = process.stdout
    assert transport is not None
    transport._transport.close()  # type: ignore[attr-defined]
    await asyncio.sleep(_LOAD_S)
    process.send_signal(TERM)
    async with asyncio.timeout(DEADLINE_S):
        assert process.stderr is not None
        told = (await process.stderr.read()).decode()
        assert await process.wait() == 0, told
    assert "standard output is gone (Broken pipe)" in told
    assert told.count("\n") == 1
    assert_in_order(path)


def stop_probe(pid: int) -> list[int]:
    """Stop the probe process of a run; return it."""
    probes = family(pid)[1:]
    for probe in probes:
        os.kill(probe, signal.SIGSTOP)
    return probes


async def test_a_second_signal_after_a_second_is_hard(
    servers: Servers, tmp_path: Path
) -> None:
    """It ends the run within two seconds: what was judged is written, and says so."""
    process, path, _ = await start_run(servers, tmp_path)
    members = family(process.pid)
    await asyncio.sleep(2.0)
    stop_probe(process.pid)  # or it would have ended in order before
    process.send_signal(TERM)
    await asyncio.sleep(1.1)
    assert process.returncode is None
    began_ns = mono_now_ns()
    for number in (INT, INT, TERM):
        process.send_signal(number)
        await asyncio.sleep(0.05)
    ended = await finish(process)
    took_s = (mono_now_ns() - began_ns) / NS_PER_S
    assert ended.code == 130, ended
    assert took_s < 2.5
    assert "Traceback" not in ended.out + ended.err
    assert_whole(run_folder(path))
    summary = document(path, "summary.json")
    assert summary["ended_hard"]
    until_ns = summary["complete_until_unix_ns"]
    assert summary["start_unix_ns"] < until_ns <= summary["end_unix_ns"]
    assert summary["lost_writes"] is None
    assert document(path, "outages.json")["outages"] == []
    info = document(path, "run.json")
    assert info["end"] is not None
    (problem,) = info["problems"]
    assert "ended hard" in problem
    assert problem in " ".join(ended.out.split())
    await assert_gone(members)


async def test_a_stopped_probe_does_not_hold_up_the_end(
    servers: Servers, tmp_path: Path
) -> None:
    """A probe that hangs at the end is ended; what it had told is written."""
    process, path, _ = await start_run(servers, tmp_path)
    members = family(process.pid)
    await asyncio.sleep(2.0)
    stop_probe(process.pid)
    process.send_signal(TERM)
    ended = await finish(process)
    assert (ended.code, ended.err) == (0, "")
    assert_whole(run_folder(path))
    summary = document(path, "summary.json")
    assert summary["state"] == "blind"
    assert summary["lost_writes"] is None
    assert not summary["ended_hard"]
    await assert_gone(members)
