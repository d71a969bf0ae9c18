"""What is done to the cluster every half minute, and what was true meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle

from benchmarks.chaos.judging import Truth
from benchmarks.chaos.servers import stop_servers
from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.core.intervals import Interval
from loadprobe.errors import RunError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.resharding import scale_in, scale_out
from tests.support.failing_over import fail_over

WITNESSES = ("tcp", "tls")
CLIENTS = ("app-tcp", "app-tls")
SHARDS = ("0001", "0002", "0003")
ADDED = "added"
"""Any shard that a resharding adds; servers and lanes number it in their own ways."""

DEADLINE_MS = 500
_STOPPED_S = 1.2
_LOOK_S = 0.05
_SLOW_NS = 100 * NS_PER_MS
Say = Callable[[str], None]


@dataclass(slots=True)
class Course:
    """What was done, by time.

    Args:
        stops: a server was stopped: it was certainly dark for most of that.
        changes: roles or slots changed: it may have been dark.
        failed: changes that the cluster did not complete in time.
        slow: when a server that was not stopped did not answer at once, by its shard.
    """

    stops: list[Truth] = field(default_factory=list)
    changes: list[Truth] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    slow: list[tuple[str, Interval]] = field(default_factory=list)

    @property
    def kinds(self) -> dict[str, int]:
        """Return how often each kind of thing was done."""
        counts = {"stops": len(self.stops)}
        for change in self.changes:
            counts[change.cause] = counts.get(change.cause, 0) + 1
        return counts


async def change_for_ever(
    cluster: LocalCluster, course: Course, *, every_s: float, say: Say
) -> None:
    """Do one thing after the other: stop, fail over, stop, reshard.

    Args:
        cluster: it has a replica for each shard.
        course: takes what was done.
        every_s: from the beginning of one to that of the next.
        say: takes lines of progress.
    """
    shards = cycle(SHARDS)
    due_ns = mono_now_ns() + round(every_s / 2 * NS_PER_S)
    steps: tuple[Callable[[LocalCluster, Course, str], Awaitable[None]], ...] = (
        _stop,
        _fail_over,
        _stop,
        _reshard,
    )
    for step in cycle(steps):
        await asyncio.sleep(max(0, due_ns - mono_now_ns()) / NS_PER_S)
        due_ns += round(every_s * NS_PER_S)
        shard = next(shards)
        name = step.__name__.strip("_")
        try:
            await step(cluster, course, shard)
        except (RunError, TimeoutError) as exc:
            course.failed.append(f"{name} of {shard}: {str(exc) or type(exc).__name__}")
            say(course.failed[-1])
        else:
            say(f"{name} of {shard}")


async def _stop(cluster: LocalCluster, course: Course, shard: str) -> None:
    node = await cluster.primary_of(shard)
    certain, possible = await stop_servers(
        [node], _STOPPED_S, deadline_ns=DEADLINE_MS * NS_PER_MS
    )
    lanes = (*WITNESSES, *CLIENTS)
    course.stops.append(Truth(certain, possible, "shard", lanes, (shard,)))


async def _fail_over(cluster: LocalCluster, course: Course, shard: str) -> None:
    begun_ns = mono_now_ns()
    try:
        await fail_over(cluster, cluster.shard(shard))
    finally:
        _changed(course, "failovers", begun_ns, (shard,))


async def _reshard(cluster: LocalCluster, course: Course, _: str) -> None:
    begun_ns = mono_now_ns()
    count = len(SHARDS)
    try:
        if len(cluster.shards) == count:
            await scale_out(cluster, count + 1, on_progress=lambda _: None)
        else:
            gone = sorted({s.node_group_id for s in cluster.shards} - set(SHARDS))
            await scale_in(cluster, gone, on_progress=lambda _: None)
    finally:
        _changed(course, "reshardings", begun_ns, (*SHARDS, ADDED))


def known_as(shard: str) -> str:
    """Return what a shard is called here, whatever a server or a lane calls it."""
    return shard if shard in SHARDS else ADDED


def _changed(course: Course, what: str, begun_ns: int, shards: tuple[str, ...]) -> None:
    possible = begun_ns, mono_now_ns()
    lanes = (*WITNESSES, *CLIENTS)
    course.changes.append(Truth(None, possible, what, lanes, shards))


async def look_for_ever(cluster: LocalCluster, course: Course) -> None:
    """Ask every server again and again whether it gets to run."""
    while True:
        nodes = [(s.node_group_id, node) for s in cluster.shards for node in s.nodes]
        await asyncio.gather(*(_look(course, *each) for each in nodes))
        await asyncio.sleep(_LOOK_S)


async def _look(course: Course, shard: str, node: LocalNode) -> None:
    if node.is_paused:
        return
    begun_ns = mono_now_ns()
    with suppress(RunError):  # it may have gone with its shard
        await node.command("PING", timeout_s=2.0)
    ended_ns = mono_now_ns()
    if ended_ns - begun_ns > _SLOW_NS:
        course.slow.append((known_as(shard), (begun_ns, ended_ns)))
