"""A run that is killed while a server stops for known times, and what it left."""

import asyncio
import os
import random
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.core.intervals import Interval, difference, overlaps, union
from loadprobe.core.judging.outages import Outage
from loadprobe.errors import RunError
from loadprobe.local.cluster.node import LocalNode
from loadprobe.outputs.folder.reader import RunData, load_info
from loadprobe.outputs.folder.sealed_reader import read_sealed
from loadprobe.run.aftermath import load_any_run
from tests.support.bad_input import DEADLINE_S, Servers, run_folder
from tests.support.commands import assert_gone, family, get, kill_group, start_run

What = Literal["supervisor", "probe", "both", "group", "all"]
KINDS: tuple[What, ...] = ("supervisor", "probe", "both", "group", "all")
BOUND_NS = NS_PER_S
DEADLINE_NS = 50 * NS_PER_MS
SLOW_NS = 25 * NS_PER_MS
LANE: dict[str, object] = {
    "workers": 8,
    "rate_per_s": 400,
    "processes": 2,
    "deadline_ms": DEADLINE_NS // NS_PER_MS,
}


class NotBegun(Exception):
    """A run did not begin: a machine that is too busy may not let it."""


@dataclass
class Seen:
    """What was done to the server, and what the run told while it lived.

    Args:
        stopped: when the server was being stopped or had stopped, monotonic ns.
        certain: when it had certainly stopped.
        judged: when the run said up to when it had judged, both monotonic.
        slow: when the server did not answer at once although it had not been stopped:
            it did not get to run.
    """

    stopped: list[Interval] = field(default_factory=list)
    certain: list[Interval] = field(default_factory=list)
    judged: list[tuple[int, int]] = field(default_factory=list)
    slow: list[Interval] = field(default_factory=list)

    @property
    def possible(self) -> list[Interval]:
        """Return when the server may have been down for arrivals that were due."""
        return union(
            [*self.stopped, *((start - DEADLINE_NS, end) for start, end in self.slow)]
        )


@dataclass
class Killed:
    """A run that was killed.

    Args:
        what: of it was killed.
        seed: of the moments.
        path: its configuration.
        url: where it served.
        folder: what it left behind.
        seen: what was done and told before.
        node: the server.
        killed_ns: when, monotonic.
        after_s: how long it had measured.
    """

    what: What
    seed: int
    path: Path
    url: str
    folder: Path
    seen: Seen
    node: LocalNode
    killed_ns: int
    after_s: float


@dataclass
class Found:
    """What was found in the folder.

    Args:
        report: what is said about it.
        until_ns: up to when it is complete, monotonic.
        lost_ns: how much of the time before the kill is not in it.
        outages: stops before that which had to be told.
        problems: what is not as it should be.
        untold: stops that were not told, or with other bounds.
        false: outages that were told where the server had not stopped.
    """

    report: RunData
    until_ns: int
    lost_ns: int
    outages: int
    problems: list[str]
    untold: int = 0
    false: int = 0


async def kill_one(
    servers: Servers,
    tmp_path: Path,
    what: What,
    seed: int,
    *,
    between_s: tuple[float, float] = (2.0, 3.5),
) -> Killed:
    """Run, let the server stop again and again, and kill at a random moment.

    A probe that is killed is replaced, and the supervisor killed a while later.

    Args:
        servers: one server.
        tmp_path: for the configuration and the run folder.
        what: to kill.
        seed: of the moments.
        between_s: when, in seconds from when the load flows.

    Raises:
        NotBegun: there was nothing to kill.
    """
    rng = random.Random(seed)
    try:
        run, path, url = await start_run(servers, tmp_path, "--resume", lanes=LANE)
    except (AssertionError, TimeoutError) as exc:
        raise NotBegun(str(exc)) from exc
    try:
        folder = run_folder(path)
        clock = load_info(folder).start
        seen = Seen()
        members = family(run.pid)
        (node,) = servers.closed.nodes
        begun_ns = mono_now_ns()
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(_stop_again_and_again(node, rng, seen)),
                group.create_task(look_again_and_again(node, seen)),
                group.create_task(
                    _ask_again_and_again(url, clock.wall_ns - clock.mono_ns, seen)
                ),
            ]
            await asyncio.sleep(rng.uniform(*between_s))
            if what == "probe":
                os.kill(members[-1], signal.SIGKILL)
                await asyncio.sleep(rng.uniform(0.5, 1.5))
                members = family(run.pid)
            killed_ns = mono_now_ns()
            _kill(what, members)
            for task in beside:
                task.cancel()
    except BaseException:
        kill_group(run)
        raise
    await asyncio.wait_for(run.communicate(), DEADLINE_S)
    assert run.returncode == -signal.SIGKILL
    await assert_gone(members)
    after_s = (killed_ns - begun_ns) / NS_PER_S
    return Killed(what, seed, path, url, folder, seen, node, killed_ns, after_s)


async def _stop_again_and_again(
    node: LocalNode, rng: random.Random, seen: Seen
) -> None:
    """Let a server stop for known times."""
    while True:
        await asyncio.sleep(rng.choice([rng.uniform(0.3, 0.6), 1.8]))
        start_ns, certain_ns = mono_now_ns(), None
        try:
            node.pause()
            while _state(node) != "T":
                await asyncio.sleep(0.001)
            certain_ns = mono_now_ns()
            await asyncio.sleep(rng.choice([rng.uniform(0.15, 0.5), 1.6]))
        finally:  # whenever we are told to end: or it would be stopped for good
            over_ns = mono_now_ns()
            node.resume()
            if certain_ns is not None:
                seen.certain.append((certain_ns, over_ns))
            seen.stopped.append((start_ns, mono_now_ns()))


async def look_again_and_again(node: LocalNode, seen: Seen) -> None:
    """Note when a server that was not stopped is slow to answer."""
    while True:
        begun_ns = mono_now_ns()
        with suppress(RunError):
            await node.command("PING", timeout_s=5.0)
        now_ns = mono_now_ns()
        was_stopped = node.is_paused or overlaps(seen.stopped, begun_ns, now_ns)
        if now_ns - begun_ns > SLOW_NS and not was_stopped:
            seen.slow.append((begun_ns, now_ns))
        while node.is_paused:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)


def _state(node: LocalNode) -> str:
    """Return the state of a server's process, T if it is stopped."""
    return Path(f"/proc/{node.pid}/stat").read_text().rpartition(") ")[2][0]


async def _ask_again_and_again(url: str, wall_less_mono_ns: int, seen: Seen) -> None:
    """Note what a run says of itself."""
    while True:
        page = await get(f"{url}/api/v1/status")
        if page is not None:
            judged_ns = msgspec.json.decode(page)["judged_until_unix_ns"]
            if judged_ns is not None:
                seen.judged.append((mono_now_ns(), judged_ns - wall_less_mono_ns))
        await asyncio.sleep(0.05)


def _kill(what: What, members: list[int]) -> None:
    """Kill a part of a run; the first of its processes is the supervisor."""
    supervisor, *probes = members
    match what:
        case "supervisor" | "probe":
            os.kill(supervisor, signal.SIGKILL)
        case "both":
            os.kill(probes[0], signal.SIGKILL)
            os.kill(supervisor, signal.SIGKILL)
        case "group":
            os.killpg(supervisor, signal.SIGKILL)
        case "all":
            for member in members:
                os.kill(member, signal.SIGKILL)


def look_at(killed: Killed) -> Found:
    """Compare what is said of a run that was killed with what was done.

    Raises:
        UsageError: the folder cannot be read.
    """
    report = load_any_run(killed.folder)
    replay = read_sealed(killed.folder, set())
    assert replay is not None
    until_ns, seen = replay.until_ns, killed.seen
    problems: list[str] = []
    summary = report.summary
    if summary.state != "interrupted":
        problems.append(f"its state is {summary.state}")
    if summary.complete_until_unix_ns != report.info.start.clock.to_wall(until_ns):
        problems.append("it does not say up to when it is complete")
    known = [at for said, at in seen.judged if said <= killed.killed_ns - BOUND_NS]
    if not known:
        problems.append("the run was too short to tell")
    if until_ns < max(known, default=0):
        problems.append("what was sealed a second ago is lost")
    outages = load_of(replay.results().outages)
    if len(report.outages) != len(outages):
        problems.append("the report has not all outages")
    certain = certain_of(seen, until_ns)
    false = [o for o in outages if difference(o.cores, seen.possible)]
    untold = [t for t in certain if told_of(t, outages) != {"read", "write"}]
    problems += [f"dark that was not: {outage}" for outage in false]
    hulls = [(o.scope.op.label, *o.hull) for o in outages]
    problems += [f"{truth} is not told: {hulls}" for truth in untold]
    lost_ns = killed.killed_ns - until_ns
    return Found(
        report, until_ns, lost_ns, len(certain), problems, len(untold), len(false)
    )


def load_of(outages: Iterable[Outage]) -> list[Outage]:
    """Return the outages of reads and writes."""
    return [outage for outage in outages if not outage.scope.op.is_apart]


def certain_of(seen: Seen, until_ns: int) -> list[Interval]:
    """Return when the server was down for long enough to be told, and was judged."""
    truths = (
        (start_ns, min(end_ns - DEADLINE_NS, until_ns))
        for start_ns, end_ns in seen.certain
    )
    return [each for each in truths if each[1] - each[0] >= 2 * DEADLINE_NS]


def told_of(truth: Interval, outages: list[Outage]) -> set[str]:
    """Return the op kinds of the outages whose bounds hold the truth."""
    return {
        outage.scope.op.label
        for outage in outages
        if outage.hull_start_ns <= truth[0] and truth[1] <= outage.hull_end_ns
    }
