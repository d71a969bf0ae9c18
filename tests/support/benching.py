"""``loadprobe bench`` in a process of its own."""

import asyncio
import os
import sys
from pathlib import Path

DEADLINE_S = 100.0


async def started(folder: Path, *words: str) -> asyncio.subprocess.Process:
    """Start ``loadprobe bench`` in a folder."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadprobe", "bench", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        },
    )


async def ended(
    process: asyncio.subprocess.Process, *, deadline_s: float = DEADLINE_S
) -> tuple[int | None, str]:
    """Wait for a bench; return its exit code and what it printed."""
    async with asyncio.timeout(deadline_s):
        out, _ = await process.communicate()
    return process.returncode, out.decode()
