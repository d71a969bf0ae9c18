"""The end of what is within a client library: in time, whatever the library does."""

import asyncio
import logging

import pytest

from loadprobe.drivers.clients.library import ending
from loadprobe.drivers.clients.library.ending import end_in_time


class Server:
    """What a task of a library waits for."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.drops = 0

    def drop(self) -> None:
        """Drop the connection to it."""
        self.drops += 1
        self.gone.set()

    async def answer(self, *, kept: int = 0, is_cleaning: bool = False) -> None:
        """Wait for it, and keep some cancellations to oneself."""
        for _ in range(kept):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if is_cleaning:
                    await self.gone.wait()
                    raise
        await self.gone.wait()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing longer than it takes."""
    monkeypatch.setattr(ending, "CLOSE_S", 0.01)
    monkeypatch.setattr(ending, "_AGAIN_S", 0.01)
    monkeypatch.setattr(ending, "_MOST_TIMES", 3)


async def cancel_and_end(server: Server, task: "asyncio.Task[None]") -> None:
    """Cancel a task as soon as it waits, and see to its end."""
    await asyncio.sleep(0)
    task.cancel()
    await end_in_time([task], drop=server.drop, what="a library")


async def test_what_ends_by_itself_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A library that ends when it is told keeps its connections until it closes."""
    server = Server()
    task = asyncio.create_task(server.answer())
    await cancel_and_end(server, task)
    assert task.cancelled()
    await end_in_time([], drop=server.drop, what="nothing")
    assert server.drops == 0
    assert caplog.records == []


@pytest.mark.parametrize("is_cleaning", [False, True])
async def test_a_cancellation_that_was_kept(
    is_cleaning: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Who goes on, or waits for a server while it closes, has nothing to wait for."""
    server = Server()
    task = asyncio.create_task(server.answer(kept=1, is_cleaning=is_cleaning))
    await cancel_and_end(server, task)
    assert task.done()
    assert server.drops == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "a library: 1 of 1 did not end within 0.01 s, connections are dropped"
    )


async def test_what_cannot_be_ended(caplog: pytest.LogCaptureFixture) -> None:
    """It is told so often and no oftener; that it is still there is said."""
    server = Server()
    task = asyncio.create_task(server.answer(kept=1_000))
    await cancel_and_end(server, task)
    assert not task.done()
    assert server.drops == 3
    assert caplog.records[-1].getMessage() == "a library: 1 cannot be ended"
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
