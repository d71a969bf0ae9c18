"""What the watch tells of a group that is not there any more."""

import asyncio
from dataclasses import replace
from typing import cast

from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.faults import ApiRefused
from loadprobe.control.provider.kinds import REPLICATION_GROUP
from loadprobe.control.provider.maintenance import MaintenanceWatch
from loadprobe.control.provider.replies import Group
from loadprobe.control.provider.state import no_group
from loadprobe.core.events import Event, GroupStatusSeen


class Provider:
    """A group that has one status after the other; "" is that there is none."""

    def __init__(self, *statuses: str) -> None:
        self._left = list(statuses)

    async def describe_window(self) -> str:
        """Return no window."""
        return ""

    async def describe_updates(self) -> tuple[()]:
        """Return no updates."""
        return ()

    async def describe_group(self) -> Group:
        """Return the group as it is next; the last status stays."""
        status = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        if not status:
            raise ApiRefused("no such group", code=REPLICATION_GROUP.not_found)
        return replace(no_group().group, status=status)


async def seen(*statuses: str, least: int) -> list[tuple[str, str]]:
    """Return (status, previous) of what is told, once there is so much of it."""
    told: list[tuple[str, str]] = []
    enough = asyncio.Event()

    def emit(event: Event) -> None:
        assert isinstance(event, GroupStatusSeen)
        told.append((event.status, event.previous))
        if len(told) == least:
            enough.set()

    api = cast("ElastiCacheApi", Provider(*statuses))
    watch = MaintenanceWatch(api, emit, poll_s=0.001, is_busy=lambda: True)
    watching = asyncio.create_task(watch.run())
    async with asyncio.timeout(5):
        await enough.wait()
    await asyncio.sleep(0.02)
    watching.cancel()
    await asyncio.wait({watching})
    return told


async def test_a_group_that_is_deleted_is_told_once() -> None:
    """And when it is made anew."""
    statuses = "available", "deleting", "", "", "creating"
    assert await seen(*statuses, least=4) == [
        ("available", ""),
        ("deleting", "available"),
        ("absent", "deleting"),
        ("creating", "absent"),
    ]


async def test_a_group_that_is_not_there_is_told() -> None:
    """The process before may have seen it at work."""
    assert await seen("", least=1) == [("absent", "")]
