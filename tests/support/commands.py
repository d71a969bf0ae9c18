"""Runs as processes of their own, and all that belongs to them."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import aiohttp
import msgspec

from loadprobe.local.cluster.ports import free_ports
from tests.support.bad_input import (
    DEADLINE_S,
    Servers,
    config_of,
    finish,
    start,
)


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(member for child in children for member in family(int(child)))]


def kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill a command, if it has not ended; its probes end with it."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def get(url: str) -> str | None:
    """Return a page, or None if there is none."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text() if response.status == 200 else None
    except aiohttp.ClientError:
        return None


async def until_ready(url: str) -> None:
    """Wait until a run measures."""
    async with asyncio.timeout(DEADLINE_S):
        while await get(f"{url}/readyz") is None:
            await asyncio.sleep(0.02)


async def start_run(
    servers: Servers,
    tmp_path: Path,
    *words: str,
    lanes: dict[str, object] | None = None,
    output: dict[str, object] | None = None,
    probe: dict[str, object] | None = None,
    slo: dict[str, object] | None = None,
) -> tuple[asyncio.subprocess.Process, Path, str]:
    """Start a run and wait until it measures; return it, its file and its URL."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    http: dict[str, object] = {"listen": address}
    output = output or {"dir": str(tmp_path / "runs")}
    path = config_of(
        servers,
        tmp_path,
        http=http,
        lanes=lanes or {},
        output=output,
        probe=probe or {},
        slo=slo or {},
    )
    process = await start("run", str(path), *words)
    try:
        async with asyncio.timeout(DEADLINE_S):
            while await get(f"http://{address}/readyz") is None:
                assert process.returncode is None, await finish(process)
                await asyncio.sleep(0.05)
    except BaseException:
        kill_group(process)
        raise
    return process, path, f"http://{address}"


def assert_whole(folder: Path) -> None:
    """Check that what was written by the second is all that was judged at the end."""
    (lane,) = msgspec.json.decode((folder / "summary.json").read_bytes())["lanes"]
    lines = (folder / "series.ndjson").read_bytes().splitlines()
    rows = [msgspec.json.decode(line) for line in lines[1:]]
    rows = [row for row in rows if row["op"] != "connect"]  # no load
    outcomes = lane["outcomes"]
    assert {name: sum(row[name] for row in rows) for name in outcomes} == outcomes
    assert outcomes["served"] > 0


async def assert_gone(members: list[int]) -> None:
    """Check that processes end, whoever inherits them."""
    async with asyncio.timeout(DEADLINE_S):
        while any(_is_running(member) for member in members):
            await asyncio.sleep(0.02)


def _is_running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"
