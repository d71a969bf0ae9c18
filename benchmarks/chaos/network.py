"""What is done to the network before a server, on both transports or one."""

import asyncio

from benchmarks.chaos.judging import Done, Truth
from benchmarks.chaos.proxy import Mode, until_heard
from benchmarks.chaos.servers import DEADLINE_NS
from benchmarks.chaos.stage import Stage
from loadprobe.core.intervals import Interval

_BOTH = ("tcp", "tls")


async def refuse(stage: Stage, for_s: float = 0.8) -> Truth:
    """Cut all connections to a server, and refuse new ones for a while."""
    certain, possible = await stage.fail(stage.before(*_BOTH), Mode.REFUSE, for_s)
    return Truth(certain, possible, "shard")


async def refused(stage: Stage) -> Done:
    """Refuse connections."""
    return Done(
        "refused",
        "all connections cut, new ones refused for 0.8 s",
        truths=[await refuse(stage)],
    )


async def refused_by_tls(stage: Stage) -> Done:
    """Refuse connections of one transport."""
    certain, possible = await stage.fail(stage.before("tls"), Mode.REFUSE, 0.8)
    return Done(
        "refused by TLS only",
        "the same of the TLS port; TCP is served",
        truths=[Truth(certain, possible, "transport", lanes=("tls",))],
    )


async def reset(stage: Stage) -> Done:
    """Reset every connection as soon as something is sent on it."""
    certain, possible = await stage.fail(stage.before(*_BOTH), Mode.RESET, 0.8)
    return Done(
        "reset",
        "connections are taken, and reset at the first byte, for 0.8 s",
        truths=[Truth(certain, possible, "shard")],
    )


async def half_open(stage: Stage) -> Done:
    """Drop all packets, without a word to either side."""
    proxies = stage.before(*_BOTH)
    certain, possible = await stage.fail(proxies, Mode.DROP, 1.2)
    # What was lost is sent again when the client's system thinks fit.
    heard_ns = await until_heard(proxies, within_s=4.0)
    return Done(
        "half-open",
        "the kernel drops all packets for 1.2 s; lost ones are sent again later",
        truths=[_silent(certain, (possible[0], heard_ns), "shard")],
    )


async def slow(stage: Stage) -> Done:
    """Hold every reply for longer than the deadline."""
    proxies = stage.before(*_BOTH)
    certain, possible = await stage.fail(proxies, Mode.SLOW, 1.0, delay_s=0.4)
    return Done(
        "slow replies",
        "every reply is held for 400 ms, for 1 s; the deadline is 250 ms",
        truths=[_silent(certain, possible, "shard")],
    )


async def slower(stage: Stage) -> Done:
    """Hold every reply, but for less than the deadline: nothing is dark."""
    await stage.fail(stage.before(*_BOTH), Mode.SLOW, 1.0, delay_s=0.04)
    await asyncio.sleep(0.2)
    return Done("slower replies", "every reply is held for 40 ms, for 1 s")


async def garbage(stage: Stage) -> Done:
    """Replace every reply by noise."""
    certain, possible = await stage.fail(stage.before(*_BOTH), Mode.GARBAGE, 0.8)
    return Done(
        "garbage replies",
        "every byte of the server is replaced by noise for 0.8 s",
        truths=[Truth(certain, possible, "shard")],
    )


def _silent(certain: Interval, possible: Interval, cause: str) -> Truth:
    """Return the truth of a silence: what comes within the deadline is no outage."""
    return Truth((certain[0], certain[1] - DEADLINE_NS), possible, cause)
