"""Waiting for a cluster that is not there: what ends it, and what does not."""

import asyncio
import io
import os
import signal

import pytest
from rich.console import Console

from loadprobe.config.keys import Target
from loadprobe.control.provider.shared import SharedApi
from loadprobe.errors import NotThereYet
from loadprobe.run.waiting import wait_until_there
from tests.support.bad_input import NOBODY_LISTENS
from tests.support.running import config_of, small_lane

NOWHERE = config_of(Target(host="127.0.0.1", port=NOBODY_LISTENS), small_lane("tcp"))


async def wait(console: Console, *, is_reloaded: bool, until_s: float) -> int | None:
    """Wait for nobody, and send ourselves SIGHUP meanwhile."""
    async with asyncio.TaskGroup() as group, SharedApi() as shared:
        waiting = group.create_task(
            wait_until_there(
                NOWHERE,
                None,
                shared,
                wait_s=until_s,
                console=console,
                is_reloaded=is_reloaded,
            )
        )
        await asyncio.sleep(0.3)
        os.kill(os.getpid(), signal.SIGHUP)
        return await waiting


async def test_a_reload_that_comes_too_early_ends_nothing() -> None:
    """It is said that there is nothing to reload yet; the waiting goes on."""
    console = Console(file=io.StringIO(), width=200)
    with pytest.RaisesGroup(NotThereYet):
        await wait(console, is_reloaded=True, until_s=1.0)
    assert "ask again" in console.file.getvalue()  # type: ignore[attr-defined]


async def test_what_cannot_be_reloaded_ends_by_it() -> None:
    """SIGHUP is an end in order there."""
    console = Console(file=io.StringIO(), width=200)
    assert await wait(console, is_reloaded=False, until_s=30.0) == 0
