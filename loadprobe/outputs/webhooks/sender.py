"""Sends notices to one receiver: beside the measuring, and never waited for by it.

``core.verdict.notice_queue`` decides what is sent, again or never. What waits is on
disk within moments, so a notice is sent at least once, also if the process ends in
between; one that is sent twice has the same id.
"""

import asyncio
import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from loadprobe.clock import mono_now_ns, wall_now_ns
from loadprobe.config.webhooks import Webhook
from loadprobe.core.verdict.notice_queue import Drop, Fate, NoticeQueue
from loadprobe.core.verdict.notices import Notice
from loadprobe.core.verdict.occasions import OpenIncident
from loadprobe.outputs.webhooks.queue_file import QueueFile, Stored
from loadprobe.outputs.webhooks.receiver import send_notice

FLUSH_S = 5.0
"""What a run that ends waits for the rest to be sent, at most."""

KEEP_AGAIN_S = 10.0
"""What could not be written is tried again after this, also if nothing changes."""

FOLDER = ".webhooks"
"""Where the queues are, beside the run folders."""

logger = logging.getLogger(__name__)


class WebhookMetrics(Protocol):
    """Where the sending of notices is counted."""

    def set(self, metric: str, *labels: str, value: float) -> None:
        """Set one series."""
        ...


class Sender:
    """Sends what it is offered (see the module).

    Args:
        webhook: the receiver.
        file: what waits, on disk; it is read at once.
        metrics: where it is counted.

    Attributes:
        resumed: incidents that an earlier run told of and did not see the end of;
            their times are UNIX ns.
        problem: why notices are not taken now, or None.
    """

    def __init__(
        self, webhook: Webhook, file: QueueFile, metrics: WebhookMetrics
    ) -> None:
        self._webhook = webhook
        self._file = file
        self._metrics = metrics
        self._queue = NoticeQueue(webhook.queue_notices)
        self._woken = asyncio.Event()
        self._changed = asyncio.Event()
        stored = file.load()
        self._open: Sequence[OpenIncident] = stored.open
        self._saved = 0
        self._queue.offer(stored.waiting)
        self.resumed = tuple(stored.open)
        self.problem: str | None = None
        if stored.waiting:
            self._woken.set()
        self._warned: str | None = None
        self._warn()
        self._show()

    @property
    def problems(self) -> list[str]:
        """Return what is wrong, as sentences."""
        found = (self.problem, self._file.problem)
        return [f"webhook {self._webhook.name}: {text}" for text in found if text]

    def offer(
        self, notices: Iterable[Notice], still_open: Sequence[OpenIncident]
    ) -> None:
        """Take notices in; never waits.

        Args:
            notices: to be sent, in their order.
            still_open: incidents that are not over after them; times as UNIX ns.
        """
        self._queue.offer(notices, now_ns=mono_now_ns())
        self._open = still_open
        self._woken.set()
        self._changed.set()
        self._show()

    async def run(self) -> None:
        """Send and keep until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep())
            group.create_task(self._send())

    async def flush(self) -> None:
        """Send what is left, for a limited time, and keep the rest; ``run`` is over."""
        self._queue.hurry()
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._deliver()
        except TimeoutError:
            pass
        finally:
            self.keep()
            self._file.close()
        if len(self._queue):
            logger.warning(
                "webhook_queue_left",
                extra={
                    "lp_webhook": self._webhook.name,
                    "lp_notices": len(self._queue),
                },
            )
        self._show()

    def close(self) -> None:
        """Keep what waits on disk, for whoever goes on with it; ``run`` is over."""
        self.keep()
        self._file.close()

    def keep(self) -> None:
        """Write what waits to the disk, now."""
        self._file.save(*self._stored())

    def _stored(self) -> tuple[Stored, int]:
        """Return what is to be on disk, and its number."""
        self._saved += 1
        return Stored(self._queue.waiting, list(self._open)), self._saved

    async def _keep(self) -> None:
        """Write what waits whenever that changes, or could not be written."""
        while True:
            pause_s = None if self._file.problem is None else KEEP_AGAIN_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            self._changed.clear()
            await asyncio.to_thread(self._file.save, *self._stored())
            self._warn()

    async def _send(self) -> None:
        while True:
            await self._woken.wait()
            await self._deliver()

    async def _deliver(self) -> None:
        """Send all that waits."""
        queue = self._queue
        while True:
            self._woken.clear()
            notice = queue.next(mono_now_ns(), unix_ns=wall_now_ns())
            if notice is not None:
                await self._try(notice)
                continue
            self._changed.set()
            self._show()
            pause_s = queue.pause_s(mono_now_ns())
            if pause_s is None:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()

    async def _try(self, notice: Notice) -> None:
        """Send a notice once."""
        reply = await send_notice(self._webhook, notice)
        self._queue.take_answer(
            reply.fate,
            mono_now_ns(),
            jitter=int.from_bytes(os.urandom(2)) / 0xFFFF,
            asked_s=reply.asked_s,
        )
        if reply.fate is not Fate.TAKEN:
            self._note(reply.text)
        elif not self._queue.is_held_up:
            self._note(None)
        self._changed.set()
        self._show()

    def _note(self, problem: str | None) -> None:
        """Log where trouble begins and ends, not what is between."""
        if (problem is None) != (self.problem is None):
            extra = {"lp_webhook": self._webhook.name}
            if problem is not None:
                extra["lp_problem"] = problem
                logger.warning("webhook_fails", extra=extra)
            else:
                logger.info("webhook_works", extra=extra)
        self.problem = problem

    def _warn(self) -> None:
        """Log once that the file cannot be used."""
        problem = self._file.problem
        if problem != self._warned and problem is not None:
            extra = {"lp_webhook": self._webhook.name, "lp_problem": problem}
            logger.warning("webhook_queue_not_kept", extra=extra)
        self._warned = problem

    def _show(self) -> None:
        queue, show, name = self._queue, self._metrics.set, self._webhook.name
        show("webhook_notices_sent_total", name, value=queue.sent)
        show("webhook_requests_failed_total", name, value=queue.failed)
        for reason in Drop:
            count = queue.dropped[reason]
            show("webhook_notices_dropped_total", name, reason.value, value=count)
        show("webhook_queue_notices", name, value=len(queue))


def queue_file(output_dir: str, run: str, webhook: str) -> QueueFile:
    """Return the file of a receiver: runs of one name and folder go on with it."""
    return QueueFile(Path(output_dir) / FOLDER / run / f"{webhook}.json")
