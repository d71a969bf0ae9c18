"""What the service manager hears of a real run."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from loadprobe.clock import NS_PER_S, mono_now_ns
from tests.support.bad_input import DEADLINE_S, Servers, finish
from tests.support.commands import family, start_run
from tests.support.service_manager import Manager

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_S = 2


@pytest.fixture(autouse=True)
def watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next command asked for signs of life within two seconds."""
    monkeypatch.setenv("WATCHDOG_USEC", str(PATIENCE_S * 1_000_000))


async def heard_until(manager: Manager, wanted: str) -> list[str]:
    """Return what is heard until a line that begins so, with it."""
    lines: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while not any(line.startswith(wanted) for line in lines):
            await asyncio.sleep(0.02)
            lines += manager.heard()
    return lines


async def test_what_a_run_tells(
    servers: Servers, tmp_path: Path, manager: Manager
) -> None:
    """Readiness comes with the load; a probe that hangs ends the signs of life."""
    process, _, _ = await start_run(servers, tmp_path)
    lines = await heard_until(manager, "WATCHDOG=1")
    assert lines[0] == "READY=1"
    assert any(line.startswith("STATUS=") for line in lines), lines

    probe = family(process.pid)[-1]
    os.kill(probe, signal.SIGSTOP)
    patted_ns = mono_now_ns()
    async with asyncio.timeout(DEADLINE_S):
        while mono_now_ns() - patted_ns < PATIENCE_S * NS_PER_S:
            await asyncio.sleep(0.02)
            if "WATCHDOG=1" in manager.heard():
                patted_ns = mono_now_ns()
    os.kill(probe, signal.SIGCONT)
    await heard_until(manager, "WATCHDOG=1")

    process.send_signal(signal.SIGTERM)
    lines = await heard_until(manager, "STOPPING=1")
    assert "READY=1" not in lines
    assert (await finish(process)).code == 0


async def test_processes_of_a_run_are_not_asked(
    servers: Servers, tmp_path: Path, manager: Manager
) -> None:
    """The socket is not in the environment of the probes."""
    process, _, _ = await start_run(servers, tmp_path)
    children = family(process.pid)[1:]
    for child in children:
        assert b"NOTIFY_SOCKET" not in Path(f"/proc/{child}/environ").read_bytes()
    assert children
    assert "READY=1" in manager.heard()
    process.send_signal(signal.SIGTERM)
    await finish(process)
