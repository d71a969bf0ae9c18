"""The journal of a run that goes on, read while it is written."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tests.support.run_command import Command


def events(command: Command, kind: str) -> list[dict[str, Any]]:
    """Return the events of a kind, so far: their lines."""
    path = command.folder / "events.ndjson"
    lines = path.read_bytes().split(b"\n")[1:-1]  # the last one may not be whole
    found = [msgspec.json.decode(line) for line in lines]
    return [line for line in found if line["kind"] == kind]


def told(
    command: Command, kind: str, *, times: int = 1
) -> Callable[[], Awaitable[bool]]:
    """Return what tells whether events of a kind were told so often."""

    async def look() -> bool:
        return len(events(command, kind)) >= times

    return look


async def begun(command: Command, *, for_s: float = 1.5) -> None:
    """Wait until the load has flowed for a time, by which the rest is measured."""
    async with asyncio.timeout(30):
        while not command.has_begun:
            assert command.process.returncode is None, await command.wait()
            await asyncio.sleep(0.05)
    await asyncio.sleep(for_s)
