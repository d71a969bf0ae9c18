"""Runs that are killed at any moment: the folder says what was certain a second ago.

A real server stops for known times under load. Then the supervisor, a probe or all of
them are killed, and what the folder says is laid beside what was done and what the run
told of itself while it lived.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.core.intervals import Interval, difference
from loadprobe.local.cluster.node import LocalNode
from loadprobe.outputs.folder.reader import RunData, load_info
from loadprobe.outputs.folder.sealed_reader import read_sealed
from loadprobe.outputs.report.report import render_json
from loadprobe.run.aftermath import load_any_run
from tests.support.bad_input import DEADLINE_S, Servers, run_folder, serving, start
from tests.support.commands import assert_gone, family, get, start_run

KILLS = 10
BOUND_NS = NS_PER_S
DEADLINE_NS = 50 * NS_PER_MS
LANE: dict[str, object] = {
    "workers": 8,
    "rate_per_s": 400,
    "processes": 2,
    "deadline_ms": DEADLINE_NS // NS_PER_MS,
}

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Start the server once."""
    async with serving(tmp_path_factory.mktemp("run-killed")) as started:
        yield started


@dataclass
class Seen:
    """What was done to the server, and what the run told while it lived.

    Args:
        stopped: when the server was being stopped or had stopped, monotonic ns.
        certain: when it had certainly stopped.
        judged: when the run said up to when it had judged, both monotonic.
    """

    stopped: list[Interval] = field(default_factory=list)
    certain: list[Interval] = field(default_factory=list)
    judged: list[tuple[int, int]] = field(default_factory=list)


async def stop_again_and_again(node: LocalNode, rng: random.Random, seen: Seen) -> None:
    """Let a server stop for known times."""
    while True:
        await asyncio.sleep(rng.choice([rng.uniform(0.3, 0.6), 1.8]))
        start_ns = mono_now_ns()
        node.pause()
        while _state(node) != "T":
            await asyncio.sleep(0.001)
        certain_ns = mono_now_ns()
        try:
            await asyncio.sleep(rng.choice([rng.uniform(0.15, 0.5), 1.6]))
        finally:
            over_ns = mono_now_ns()
            node.resume()
            seen.certain.append((certain_ns, over_ns))
            seen.stopped.append((start_ns, mono_now_ns()))


def _state(node: LocalNode) -> str:
    """Return the state of a server's process, T if it is stopped."""
    return Path(f"/proc/{node.pid}/stat").read_text().rpartition(") ")[2][0]


async def ask_again_and_again(url: str, wall_less_mono_ns: int, seen: Seen) -> None:
    """Note what a run says of itself."""
    while True:
        page = await get(f"{url}/api/v1/status")
        if page is not None:
            judged_ns = msgspec.json.decode(page)["judged_until_unix_ns"]
            if judged_ns is not None:
                seen.judged.append((mono_now_ns(), judged_ns - wall_less_mono_ns))
        await asyncio.sleep(0.05)


def kill(what: str, members: list[int]) -> None:
    """Kill a part of a run; the first of its processes is the supervisor."""
    supervisor, *probes = members
    match what:
        case "supervisor":
            os.kill(supervisor, signal.SIGKILL)
        case "both":
            os.kill(probes[0], signal.SIGKILL)
            os.kill(supervisor, signal.SIGKILL)
        case "group":
            os.killpg(supervisor, signal.SIGKILL)
        case "all":
            for member in members:
                os.kill(member, signal.SIGKILL)


async def reported(folder: Path) -> bytes:
    """Return what ``loadprobe report --json`` says."""
    process = await start("report", str(folder), "--json")
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return out.rstrip()


@pytest.mark.parametrize("number", range(KILLS))
async def test_nothing_that_was_certain_is_lost(
    servers: Servers, tmp_path: Path, number: int
) -> None:
    """After a kill everything sealed a second before is there, and nothing else is.

    The folder is readable, every outage in it has bounds that hold the truth, and no
    process is left.
    """
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown if it fails
    rng = random.Random(seed)
    what = ("supervisor", "probe", "both", "group", "all")[number % 5]
    run, path, url = await start_run(servers, tmp_path, lanes=LANE)
    folder = run_folder(path)
    clock = load_info(folder).start
    seen = Seen()
    members = family(run.pid)
    (node,) = servers.closed.nodes
    async with asyncio.TaskGroup() as group:
        beside = [
            group.create_task(stop_again_and_again(node, rng, seen)),
            group.create_task(
                ask_again_and_again(url, clock.wall_ns - clock.mono_ns, seen)
            ),
        ]
        await asyncio.sleep(rng.uniform(2.0, 3.5))
        if what == "probe":
            os.kill(members[-1], signal.SIGKILL)
            await asyncio.sleep(rng.uniform(0.5, 1.5))
            members = family(run.pid)
            what = "supervisor"
        killed_ns = mono_now_ns()
        kill(what, members)
        for task in beside:
            task.cancel()
    await asyncio.wait_for(run.communicate(), DEADLINE_S)
    assert run.returncode == -signal.SIGKILL
    await assert_gone(members)
    report = load_any_run(folder)
    if number == 0:  # the command takes its time
        assert await reported(folder) == render_json(report).rstrip()
    check(report, folder, seen, killed_ns)


def check(report: RunData, folder: Path, seen: Seen, killed_ns: int) -> None:
    """Compare what is said with what was done."""
    replay = read_sealed(folder, set())
    assert replay is not None
    until_ns = replay.until_ns
    summary = report.summary
    assert summary.state == "interrupted"
    complete_until_ns = report.info.start.clock.to_wall(until_ns)
    assert summary.complete_until_unix_ns == complete_until_ns
    known = [judged for at, judged in seen.judged if at <= killed_ns - BOUND_NS]
    assert until_ns >= max(known, default=0), "what was sealed a second ago is lost"
    assert known, "the run was too short to tell"
    outages = [o for o in replay.results().outages if not o.scope.op.is_apart]
    assert len(report.outages) == len(outages)
    # Nothing is dark that was not.
    for outage in outages:
        assert difference(outage.cores, seen.stopped) == [], outage
    # What was dark is told, and lies within the bounds.
    for start_ns, end_ns in seen.certain:
        truth = start_ns, min(end_ns - DEADLINE_NS, until_ns)
        if truth[1] - truth[0] < 2 * DEADLINE_NS:
            continue
        told = [
            o
            for o in outages
            if o.hull_start_ns <= truth[0] and truth[1] <= o.hull_end_ns
        ]
        hulls = [(o.scope.op.label, *o.hull) for o in outages]
        assert {o.scope.op.label for o in told} == {"read", "write"}, (truth, hulls)
