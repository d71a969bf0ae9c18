"""Probe processes that are ready before they are needed, or gone with a reason."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from loadprobe.errors import PreflightError, RunError
from loadprobe.probe.fleet import FleetProbe
from loadprobe.run.standby import Standby


class Probe:
    """A process without a process.

    Args:
        does: what it does after a turn of the loop.
    """

    def __init__(self, does: Callable[["Probe"], Awaitable[None]]) -> None:
        self._does = does
        self._killed = asyncio.Event()
        self.ready = asyncio.Event()
        self.is_gone = False

    async def run(self) -> None:
        """Run until it is killed, or fails."""
        try:
            await asyncio.sleep(0)
            await self._does(self)
            await self._killed.wait()
        finally:
            self.is_gone = True

    def kill(self) -> None:
        """End it."""
        self._killed.set()


async def get_ready(probe: Probe) -> None:
    """Be ready."""
    probe.ready.set()


async def hang(_: Probe) -> None:
    """Be never ready."""


async def fail(_: Probe) -> None:
    """Find nobody."""
    raise PreflightError("nobody is there")


async def end(probe: Probe) -> None:
    """Be ready, and end by itself."""
    probe.ready.set()
    probe.kill()


def standby(*probes: Probe) -> Standby:
    """Return what has processes ready."""
    return Standby([cast(FleetProbe, probe) for probe in probes])


async def test_they_wait_to_be_taken_over() -> None:
    """Whoever takes them over waits for their end, and ends them by being cancelled."""
    probes = [Probe(get_ready), Probe(get_ready)]
    waiting = standby(*probes)
    await waiting.make_ready(within_s=10)
    assert waiting.is_there
    async with asyncio.TaskGroup() as group:
        first, second = [group.create_task(each) for each in waiting.taken_over()]
        probes[0].kill()
        await first
        assert not probes[1].is_gone
        second.cancel()
    assert [probe.is_gone for probe in probes] == [True, True]
    assert not waiting.is_there


@pytest.mark.parametrize(
    ("does", "why"), [(fail, "nobody is there"), (hang, "no answer within 0 s")]
)
async def test_one_that_is_not_ready_ends_all(does: Any, why: str) -> None:
    """It is said why, and nobody is left."""
    probes = [Probe(get_ready), Probe(does)]
    waiting = standby(*probes)
    with pytest.raises(RunError, match=f"new probes are not ready: {why}"):
        await waiting.make_ready(within_s=0.01 if does is hang else 10)
    assert [probe.is_gone for probe in probes] == [True, True]


async def test_one_that_ends_while_it_waits() -> None:
    """That is seen; the others are ended."""
    probes = [Probe(get_ready), Probe(end)]
    waiting = standby(*probes)
    with_one = asyncio.create_task(waiting.make_ready(within_s=10))
    await asyncio.wait({with_one})
    while not probes[1].is_gone:
        await asyncio.sleep(0)
    with_one.exception()
    assert not waiting.is_there
    await waiting.end()
    assert probes[0].is_gone


async def test_who_asked_is_told_to_end() -> None:
    """Then nobody is left either."""
    probe = Probe(hang)
    asking = asyncio.create_task(standby(probe).make_ready(within_s=100))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    assert probe.is_gone
