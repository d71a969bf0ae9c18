"""What is done to the meter itself, and to what it lives with."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.chaos.judging import Done
from benchmarks.chaos.network import refuse
from benchmarks.chaos.stage import Stage
from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns, wall_now_ns
from loadprobe.core.intervals import Interval
from tests.scripted.hook import Hook

_WOKEN_NS = 60 * NS_PER_MS
"""A probe would have been woken so long after it was stopped, at the latest."""
_STEP_NS = 3_600 * NS_PER_S
_BEFORE_S = 0.3
_BEFORE_NS = 50 * NS_PER_MS
"""An incident may begin so long before: with the last arrival that was served."""


@contextmanager
def _stopping(pids: list[int]) -> Iterator[list[int]]:
    """Stop processes; yields when they were, and adds when they went on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    at = [mono_now_ns()]
    try:
        yield at
    finally:
        at.append(mono_now_ns())
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def probe_stopped(stage: Stage) -> Done:
    """Stop all that sends: nothing is dark, and nothing is lit."""
    with _stopping(stage.running.probes) as at:
        await asyncio.sleep(1.0)
    return Done(
        "probes stopped",
        "SIGSTOP of all processes that send, for 1 s; nothing else happens",
        blind=_blind(at),
    )


async def probe_stopped_in_an_outage(stage: Stage) -> Done:
    """Stop all that sends while an outage ends."""
    async with asyncio.TaskGroup() as group:
        refusing = group.create_task(refuse(stage, 0.8))
        await asyncio.sleep(0.4)
        with _stopping(stage.running.probes) as at:
            await asyncio.sleep(1.0)
    return Done(
        "probes stopped in an outage",
        "refused for 0.8 s; from its middle on all that sends is stopped for 1 s",
        truths=[refusing.result()],
        blind=_blind(at),
    )


def _blind(at: list[int]) -> dict[str, Interval]:
    stopped_ns, continued_ns = at
    span = stopped_ns + _WOKEN_NS, continued_ns
    return {"tcp": span, "tls": span}


async def supervisor_stopped(stage: Stage) -> Done:
    """Stop what judges, across an outage: the probes see it all the same."""
    with _stopping([stage.running.supervisor]):
        await asyncio.sleep(_BEFORE_S)
        truth = await refuse(stage)
        await asyncio.sleep(0.9)
    return Done(
        "supervisor stopped",
        "SIGSTOP of the process that judges for 2 s; refused for 0.8 s meanwhile",
        truths=[truth],
    )


async def clock_forward(stage: Stage) -> Done:
    """Step the wall clock forward by an hour, and back, around an outage."""
    return await _step(stage, _STEP_NS, "clock stepped forward")


async def clock_back(stage: Stage) -> Done:
    """Step the wall clock back by an hour, and forward again, around an outage."""
    return await _step(stage, -_STEP_NS, "clock stepped back")


async def _step(stage: Stage, by_ns: int, name: str) -> Done:
    what = "the wall clock of all processes by an hour; refused for 0.8 s meanwhile"
    if not stage.clock.is_there:
        return Done(name, what, obstacle="no C compiler")
    stage.clock.step_to(by_ns)
    try:
        await asyncio.sleep(_BEFORE_S)
        truth = await refuse(stage)
        await asyncio.sleep(_BEFORE_S)
    finally:
        stage.clock.step_to(0)
    return Done(name, what, truths=[truth])


async def disk_full(stage: Stage) -> Done:
    """Fill the disk that the run folder is on, around an outage."""
    name = "disk full"
    what = "not a byte is left for 2 s; refused for 0.8 s meanwhile"
    runs = stage.running.folder
    if not runs.is_mount():
        return Done(name, what, obstacle="a small file system needs root")
    ballast = runs / "ballast"
    await asyncio.to_thread(_fill, ballast)
    try:
        await asyncio.sleep(_BEFORE_S)
        truth = await refuse(stage)
        await asyncio.sleep(0.9)
        left = shutil.disk_usage(runs).free
    finally:
        ballast.unlink()
    problems = [] if left == 0 else [f"the disk had {left} bytes left"]
    return Done(name, what, truths=[truth], problems=problems)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def _told(hook: Hook, since_ns: int) -> list[str]:
    """Return the kinds of notices of incidents that began after a time, in order."""
    taken = [request.document for request in hook.taken]
    return [each["kind"] for each in taken if each["start_unix_ns"] >= since_ns]


async def receiver_down(stage: Stage) -> Done:
    """Let nobody take notices while there is something to tell."""
    hook = stage.hook
    since_ns = wall_now_ns() - _BEFORE_NS
    await hook.__aexit__()
    try:
        truth = await refuse(stage)
        await asyncio.sleep(1.0)
    finally:
        await hook.__aenter__()
    back_ns = mono_now_ns()
    until_ns = back_ns + 20 * NS_PER_S
    while len(told := _told(hook, since_ns)) < 2 and mono_now_ns() < until_ns:
        await asyncio.sleep(0.02)
    problems = [] if told == ["opened", "closed"] else [f"it was told {told} only"]
    took_s = (mono_now_ns() - back_ns) / NS_PER_S
    return Done(
        "webhook receiver down",
        "nobody takes notices; refused for 0.8 s, 1 s later the receiver is back",
        truths=[truth],
        problems=problems,
        remark=f"both notices came {took_s:.1f} s after it was back",
    )
