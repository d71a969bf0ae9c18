"""The end of probe processes: they go when all is decided; who hangs is ended."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from loadprobe.clock import mono_now_ns
from loadprobe.probe.fleet import FleetProbe
from loadprobe.run.hearing import Hearing

_LOOK_S = 0.25
_HANGS_AFTER_LOOKS = 16
"""A process that says nothing for so many looks, and is not reading back, hangs."""


async def until_gone(
    waiting: "set[asyncio.Task[None]]",
    probes: Sequence[FleetProbe],
    hearing: Hearing,
    *,
    end_ns: int,
    give_up_ns: int,
    meanwhile: Callable[[], object],
) -> "set[asyncio.Task[None]]":
    """Wait until the processes are gone; end those that hang.

    Args:
        waiting: their tasks.
        probes: the processes, by their index.
        hearing: takes what they say.
        end_ns: the end of the load.
        give_up_ns: it is not waited for longer.
        meanwhile: called at every look, each 250 ms.

    Returns:
        The tasks of those that are still there.
    """
    silent: Counter[int] = Counter()
    while waiting and mono_now_ns() < give_up_ns:
        heard_ns = dict(hearing.heard_ns)
        _, waiting = await asyncio.wait(waiting, timeout=_LOOK_S)
        meanwhile()
        for process, watermark_ns in hearing.watermark_ns.items():
            is_silent = hearing.heard_ns[process] == heard_ns[process]
            silent[process] = silent[process] + 1 if is_silent else 0
            # It says nothing, too, while it reads back.
            if silent[process] >= _HANGS_AFTER_LOOKS and watermark_ns < end_ns:
                probes[process].kill()
    return waiting
