"""A probe process as the supervisor sees it: it ends, whatever it is told."""

import asyncio
import struct
import sys


async def test_a_frame_that_cannot_be_read_ends_it() -> None:
    """It does not wait for ever for a plan that it has missed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadprobe.probe"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(struct.pack(">I", 3) + b"\x01\x02\x03")
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    process.stdin.close()
