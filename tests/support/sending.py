"""Notices sent by a real sender, and what is counted of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from loadprobe.clock import wall_now_ns
from loadprobe.config.webhooks import Webhook
from loadprobe.core.verdict import notice_queue
from loadprobe.core.verdict.notices import Notice
from loadprobe.outputs.webhooks import sender as sender_module
from loadprobe.outputs.webhooks.queue_file import QueueFile
from loadprobe.outputs.webhooks.sender import Sender
from tests.scripted.hook import Hook
from tests.support.notices import a_notice
from tests.support.running import until


def shorten_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses short; how they grow is tested without a clock."""
    monkeypatch.setattr(notice_queue, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(notice_queue, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(sender_module, "FLUSH_S", 1.0)


class Counts(dict[tuple[str, ...], float]):
    """What is counted of one receiver; (metric, reason) -> value."""

    def set(self, metric: str, *labels: str, value: float) -> None:
        """Take a value."""
        assert labels[0] == "hook"
        self[metric.removeprefix("webhook_"), *labels[1:]] = value

    @property
    def plain(self) -> dict[tuple[str, ...], float]:
        """Return what is not zero."""
        return {key: value for key, value in self.items() if value}


def notice(number: int = 1) -> Notice:
    """Return a notice of now."""
    return a_notice(number, at_unix_ns=wall_now_ns())


def notices(count: int) -> list[Notice]:
    """Return notices 1, 2, ... of now."""
    return [notice(number) for number in range(1, count + 1)]


def hook_of(receiver: Hook, **more: Any) -> Webhook:
    """Return the configuration for a receiver."""
    return Webhook(**({"name": "hook", "kind": "json", "url": receiver.url} | more))


class Running:
    """A sender, its file and what it counts."""

    def __init__(self, webhook: Webhook, path: Path) -> None:
        self.counts = Counts()
        self.path = path
        self.sender = Sender(webhook, QueueFile(path), self.counts)

    async def until_empty(self) -> None:
        """Wait until nothing waits to be sent."""
        await until(lambda: not self.counts["queue_notices",], what="an empty queue")


@asynccontextmanager
async def sending(
    webhook: Webhook, folder: Path, name: str = "queue/hook.json"
) -> AsyncIterator[Running]:
    """Send while the block runs, and be gone after it as if killed."""
    running = Running(webhook, folder / name)
    task = asyncio.create_task(running.sender.run())
    try:
        yield running
        assert not task.done() or task.result() is None
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        running.sender._file.close()
