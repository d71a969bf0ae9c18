"""Steps that must not be left half done."""

import asyncio
from collections.abc import Coroutine


async def completed(work: Coroutine[None, None, None]) -> None:
    """Do work to its end, also when the caller is cancelled meanwhile."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
