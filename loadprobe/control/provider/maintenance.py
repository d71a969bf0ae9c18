"""Watches what is announced and done to the group: its window, its updates, its status.

Two calls a minute while nothing is done, more while something is. Nothing the provider
answers ends it, except a missing permission, and credentials that nobody renews.
"""

import asyncio
import logging
import os
from collections.abc import Callable

from loadprobe.clock import mono_now_ns, wall_now_ns
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.faults import (
    UNKNOWN_ACTION,
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    Patience,
    is_absent,
)
from loadprobe.control.provider.state import ABSENT
from loadprobe.control.provider.windows import next_start_unix_ns
from loadprobe.core.events import Emit, GroupStatusSeen, UpdateSeen, WindowSeen

_RENEWAL_S = 15 * 60.0
_QUIET_FACTOR = 6
"""Six polls of events to one of these, while nothing is done."""

_WINDOW_EVERY = 60
"""One look at the window, which seldom changes, to so many at the updates."""

_MOST_BACKOFF = 10
_JITTER = 0.2

logger = logging.getLogger(__name__)


class MaintenanceWatch:
    """Emits what is new of window, updates and status (see the module).

    Args:
        api: the open API.
        emit: where events go.
        poll_s: pause between two polls while something is done.
        is_busy: tells whether something is.
    """

    def __init__(
        self,
        api: ElastiCacheApi,
        emit: Emit,
        *,
        poll_s: float,
        is_busy: Callable[[], bool],
    ) -> None:
        self._api = api
        self._emit = emit
        self._poll_s = poll_s
        self._is_busy = is_busy
        self._window = ""
        self._status = ""
        self._updates: dict[str, str] = {}
        self._polls = 0
        self._backoff = 1
        self._knows_updates = True
        self._patience = Patience(limit_s=_RENEWAL_S)

    async def run(self) -> None:
        """Poll until cancelled.

        Raises:
            ApiRefused: a permission is missing, or credentials were refused for 15
                minutes.
        """
        while True:
            try:
                await self.poll()
            except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
                self._note(fault)
            else:
                self._patience.reset()
                self._backoff = 1
            factor = 1 if self._is_busy() else _QUIET_FACTOR
            jitter = _JITTER * (int.from_bytes(os.urandom(1)) / 0x80 - 1)
            pause_s = self._poll_s * factor * self._backoff
            await asyncio.sleep(pause_s * (1 + jitter))

    def _note(self, fault: ApiRefused | ApiUnanswered | ApiUnreachable) -> None:
        """Take note that nothing was learnt."""
        if is_absent(fault):
            self._take_status(ABSENT)  # not created yet, or deleted
            self._updates.clear()
            return
        self._patience.tolerate(fault)
        if self._backoff == 1:
            extra = {"lp_error": str(fault)}
            logger.warning("maintenance_watch_failing", extra=extra)
        self._backoff = min(2 * self._backoff, _MOST_BACKOFF)

    async def poll(self) -> None:
        """Ask once, and emit what is new."""
        if self._polls % _WINDOW_EVERY == 0:
            self._take_window(await self._api.describe_window())
        self._polls += 1
        group = await self._api.describe_group()
        self._take_status(group.status)
        if self._knows_updates:
            await self._look_at_updates()

    def _take_status(self, status: str) -> None:
        if status != self._status:
            previous, self._status = self._status, status
            self._emit(GroupStatusSeen(mono_now_ns(), status, previous))

    async def _look_at_updates(self) -> None:
        try:
            updates = await self._api.describe_updates()
        except ApiRefused as fault:
            if fault.code != UNKNOWN_ACTION:
                raise
            self._knows_updates = False  # an emulator that has none
            return
        for update in updates:
            previous = self._updates.get(update.name, "")
            if update.status != previous:
                self._updates[update.name] = update.status
                self._emit(
                    UpdateSeen(
                        mono_now_ns(),
                        name=update.name,
                        severity=update.severity,
                        status=update.status,
                        previous=previous,
                        apply_by_unix_ns=update.apply_by_unix_ns,
                    )
                )

    def _take_window(self, window: str) -> None:
        if window and window != self._window:
            self._window = window
            start_ns = next_start_unix_ns(window, wall_now_ns())
            self._emit(WindowSeen(mono_now_ns(), window, start_ns))
