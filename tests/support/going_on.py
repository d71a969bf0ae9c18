"""A run that was killed, and is started again: it goes on, and nothing is made up."""

import asyncio

import msgspec

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.events import RunContinued
from loadprobe.core.intervals import difference
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.folder.sealed_reader import read_sealed
from loadprobe.run.aftermath import load_any_run
from tests.support.bad_input import DEADLINE_S, start
from tests.support.commands import get, kill_group
from tests.support.killing import (
    Found,
    Killed,
    certain_of,
    load_of,
    look_again_and_again,
    told_of,
)

_READY_S = 60.0


async def go_on(killed: Killed, found: Found) -> list[str]:
    """Start a run again that was killed, and end it in order.

    Args:
        killed: the run.
        found: what was found in its folder before.

    Returns:
        What is not as it should be, in words.
    """
    run = await start("run", str(killed.path), "--resume")
    looking = asyncio.create_task(look_again_and_again(killed.node, killed.seen))
    try:
        async with asyncio.timeout(_READY_S):
            while await get(f"{killed.url}/readyz") is None:
                if run.returncode is not None:
                    _, err = await run.communicate()
                    return [f"it did not start again: {err.decode()[-500:]}"]
                await asyncio.sleep(0.05)
            back_ns = mono_now_ns()
            clock = found.report.info.start.clock
            while await _judged(killed.url) <= clock.to_wall(back_ns):
                await asyncio.sleep(0.05)
    except TimeoutError:
        kill_group(run)
        await run.communicate()
        return ["it did not measure again"]
    except BaseException:
        kill_group(run)
        raise
    finally:
        looking.cancel()
    run.terminate()
    _, err = await asyncio.wait_for(run.communicate(), DEADLINE_S)
    if run.returncode != 0:
        return [f"it ended with {run.returncode}: {err.decode()[-500:]}"]
    blind_ms = (back_ns - killed.killed_ns) / NS_PER_MS
    return await asyncio.to_thread(_look_again, killed, found, blind_ms)


async def _judged(url: str) -> int:
    """Return up to when a run has judged, wall ns; 0 if it does not say."""
    page = await get(f"{url}/api/v1/status")
    if page is None:
        return 0
    return msgspec.json.decode(page)["judged_until_unix_ns"] or 0


def _look_again(killed: Killed, found: Found, blind_ms: float) -> list[str]:
    """Compare what is said of the whole run with what was said after the kill."""
    if len(list(killed.folder.parent.glob("[!.]*"))) != 1:
        return ["another run was begun"]
    report = load_any_run(killed.folder)
    summary = report.summary
    problems = _counts(found.report, report)
    if summary.state in {"interrupted", "running"}:
        problems.append(f"after it went on its state is {summary.state}")
    again = [p.event for p in report.events if isinstance(p.event, RunContinued)]
    if [event.was_killed for event in again] != [True]:
        problems.append(f"it is said to have gone on {len(again)} times")
    if summary.lost_writes:
        problems.append(f"{summary.lost_writes} writes are said to be lost")
    (lane,) = summary.lanes
    if lane.blind_ms < blind_ms:
        problems.append(f"blind for {lane.blind_ms:.0f} ms of {blind_ms:.0f} ms")
    replay = read_sealed(killed.folder, set())
    assert replay is not None
    outages = load_of(replay.results().outages)
    for outage in outages:
        if difference(outage.cores, killed.seen.possible):
            problems.append(f"dark that was not, after it went on: {outage}")
    # What nobody had judged before the kill, nobody saw.
    for truth in certain_of(killed.seen, found.until_ns):
        if told_of(truth, outages) != {"read", "write"}:
            problems.append(f"after it went on {truth} is not told")
    return problems


def _counts(before: RunData, after: RunData) -> list[str]:
    """Return what does not go on counting."""
    (old,), (new,) = before.summary.lanes, after.summary.lanes
    fallen = [
        name for name, count in old.outcomes.items() if new.outcomes[name] < count
    ]
    problems = [f"fewer {name} than before" for name in fallen]
    if new.outcomes["served"] <= old.outcomes["served"]:
        problems.append("nothing was served after it went on")
    return problems
