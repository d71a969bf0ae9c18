"""The end of tasks that are within a client library, in bounded time.

A library may keep a cancellation to itself: ``asyncio.wait_for`` of Python 3.11 does if
what it waits for is done in the same turn of the loop, and redis-py and valkey-py send
every command by it. The operation then goes on, try after try, until a server answers
or the library gives up (observed with valkey-py 6.2.0 as it comes, by TLS, a server
frozen: 10.7 s). Or it closes connections when it is cancelled, and waits for servers to
agree. So whoever does not end is told again, and is left with nothing to wait for.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any

logger = logging.getLogger(__name__)

CLOSE_S = 2.0
"""How long a library may take to end what it is at, and to close a client."""

_AGAIN_S = 0.1
_MOST_TIMES = 50


async def end_in_time(
    tasks: Collection["asyncio.Task[Any]"], *, drop: Callable[[], None], what: str
) -> None:
    """Wait until tasks have ended; those that do not end soon are made to.

    Args:
        tasks: they should end by themselves, or have been cancelled.
        drop: drops the connections that they may wait for.
        what: the tasks are, in words.
    """
    left = await _wait(tasks, CLOSE_S)
    if not left:
        return
    logger.warning(
        "%s: %d of %d did not end within %g s, connections are dropped",
        what,
        len(left),
        len(tasks),
        CLOSE_S,
    )
    for _ in range(_MOST_TIMES):
        drop()
        for task in left:
            task.cancel()
        left = await _wait(left, _AGAIN_S)
        if not left:
            return
    logger.error("%s: %d cannot be ended", what, len(left))


async def _wait(
    tasks: Collection["asyncio.Task[Any]"], timeout_s: float
) -> "set[asyncio.Task[Any]]":
    if not tasks:
        return set()
    return (await asyncio.wait(tasks, timeout=timeout_s))[1]
