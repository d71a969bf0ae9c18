"""A probe process as the supervisor sees it: it ends, whatever it is told."""

import asyncio
import struct
import sys

from loadprobe.config.keys import Probe, Target
from loadprobe.probe.frames import HEADER_BYTES, decode_from_probe, encode_frame
from loadprobe.probe.messages import ProbeFailed
from loadprobe.probe.orders import Plan
from loadprobe.probe.plan import share_out
from tests.support.running import small_lane

_UNREADABLE = struct.pack(">I", 3) + b"\x01\x02\x03"


async def start() -> asyncio.subprocess.Process:
    """Start a probe process."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadprobe.probe"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_frame_that_cannot_be_read_ends_it() -> None:
    """It does not wait for ever for a plan that it has missed."""
    process = await start()
    assert process.stdin is not None
    process.stdin.write(_UNREADABLE)
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    process.stdin.close()


async def test_a_frame_that_cannot_be_read_amid_the_work_is_a_crash() -> None:
    """It is reported as what it is: not as an end in order, nor as a death."""
    lane = small_lane()
    plan = Plan(
        process=3,
        targets={lane.name: Target("127.0.0.1", port=1)},
        password="s3cret",
        probe=Probe(),
        shares=share_out([lane])[0],
        version_base=1,
        prefill=False,
        ahead={},  # it waits for its transport, and for orders
    )
    process = await start()
    assert process.stdin is not None
    process.stdin.write(encode_frame(plan) + _UNREADABLE)
    async with asyncio.timeout(20):
        told, _ = await process.communicate()
    assert process.returncode == 1
    last = decode_from_probe(told[HEADER_BYTES:])
    assert isinstance(last, ProbeFailed)
    assert not last.preflight
    assert "msgspec" in last.text
    assert "s3cret" not in last.text
