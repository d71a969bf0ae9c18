"""What every driver promises when a server errs, is silent, or is asked by many.

A lane judges what a driver brings, as in a probe process; the server is a real one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.config.keys import Client, Probe
from loadprobe.config.keys import Lane as LaneConfig
from loadprobe.core.judging.columns import Block, merge_blocks
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers.base import Driver
from loadprobe.drivers.clients.library import ending
from loadprobe.drivers.errors import is_defect
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.probe.drivers import make_driver
from loadprobe.probe.lag import Lag
from loadprobe.probe.lane import LaneRunner
from loadprobe.probe.orders import (
    Plan,
    Share,
)
from loadprobe.probe.prefill import prefill
from tests.support.blocks import read_block
from tests.support.driving import strangers
from tests.support.running import small_lane, target_of, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBE = Probe(stall_ms=1000, settle_ms=100)
DEADLINE_MS = 100
PATIENT_MS = 60_000
_PAUSE_S = 0.01
_END_S = PATIENT_MS / 2_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Return one server that serves all slots."""
    async with LocalCluster(shards=1, replicas_per_shard=0, tls=False) as cluster:
        yield cluster


@pytest.fixture(params=["wire", "redis-py", "valkey-py", "coredis", "valkey-glide"])
def driver(request: pytest.FixtureRequest) -> str:
    """Return the name of each driver."""
    name: str = request.param
    return name


def lane_of(driver: str, **more: Any) -> LaneConfig:
    """Return a lane of four workers."""
    plain: dict[str, Any] = {"workers": 4, "rate_per_s": 400.0, "keys": 40}
    plain["deadline_ms"] = 5_000
    return small_lane("lane", driver=driver, **(plain | more))


class Loaded:
    """A lane with its driver, in this process.

    Args:
        lane: judges.
        driver: sends.
        config: of the lane.
    """

    def __init__(self, lane: LaneRunner, driver: Driver, config: LaneConfig) -> None:
        self.lane = lane
        self.driver = driver
        self._config = config
        self._late_replies = 0

    def late_replies(self) -> int:
        """Return how many arrivals were answered after they had ended."""
        self._late_replies += self.lane.take_health().too_late
        return self._late_replies

    def begin(self, arrivals: int) -> None:
        """Make a number of arrivals from now on."""
        now_ns = mono_now_ns()
        self.lane.stop(now_ns + int(arrivals * NS_PER_S / self._config.rate_per_s))
        self.lane.start(now_ns, now_ns)

    async def load(self, arrivals: int) -> Block:
        """Make a number of arrivals and return how they ended."""
        self.begin(arrivals)

        def is_drained() -> bool:
            now_ns = mono_now_ns()
            self.lane.issue_due(now_ns)
            self.lane.give_up(now_ns)
            return self.lane.is_drained

        await until(is_drained, what="the ends of all arrivals")
        found = merge_blocks(map(read_block, self.lane.take_blocks()))
        assert found.served_count + found.failed_count == arrivals
        return found


@asynccontextmanager
async def loaded(cluster: LocalCluster, config: LaneConfig) -> AsyncIterator[Loaded]:
    """Run a lane while the block runs; nothing of it may be left afterwards."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    await cluster.nodes[0].command("FLUSHALL")
    share = Share(config, 0, 1, config.workers, config.workers)
    lane = LaneRunner(share, PROBE, version_base=1, lag=Lag())
    plan = Plan(0, {"lane": target_of(cluster)}, None, PROBE, (), 1, prefill=False)
    driver = make_driver(
        plan,
        share,
        lane,
        context=None,
        poller=None,
        on_topology=lambda topology, _: lane.on_topology(topology),
    )
    lane.attach(driver)
    reported: list[dict[str, Any]] = []

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if is_defect(context):
            reported.append(context)

    loop.set_exception_handler(report)
    ready = asyncio.Event()
    running = asyncio.create_task(driver.run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield Loaded(lane, driver, config)
    finally:
        waiting.cancel()
        running.cancel()
        await asyncio.wait({running}, timeout=_END_S)
        assert running.done(), "the driver does not end"
        loop.set_exception_handler(None)
    await until(lambda: asyncio.all_tasks() <= before, what="the end of all tasks")
    assert reported == []
    assert running.cancelled()


def failures(block: Block) -> set[tuple[Outcome, ErrorClass]]:
    """Return how arrivals failed."""
    return {(failure.outcome, failure.error) for failure in block.iter_failures()}


async def test_a_value_that_somebody_else_wrote(
    cluster: LocalCluster, driver: str
) -> None:
    """What is not ours is a wrong reply, however well-formed; it is never served."""
    (node,) = cluster.nodes
    async with loaded(cluster, lane_of(driver, read_ratio=1.0)) as under:
        await prefill(under.lane, under.driver, progress=lambda *_: None)
        assert (await under.load(20)).failed_count == 0
        for key in await node.command("KEYS", "lp:lane:*"):
            await node.command("SET", key, "of another program")
        block = await under.load(20)
        assert block.served_count == 0
        assert failures(block) == {(Outcome.WRONG, ErrorClass.VALUE)}


async def test_a_server_that_accepts_and_does_not_answer(
    cluster: LocalCluster, driver: str
) -> None:
    """Deadline and slack end an arrival, whatever its driver waits for; it goes on."""
    (node,) = cluster.nodes
    config = lane_of(driver, deadline_ms=DEADLINE_MS)
    given_up_ns = (DEADLINE_MS + PROBE.settle_ms) * NS_PER_MS
    async with loaded(cluster, config) as under:
        await prefill(under.lane, under.driver, progress=lambda *_: None)
        node.pause()
        try:
            block = await under.load(config.workers)
        finally:
            node.resume()
        assert block.served_count == 0
        assert failures(block) == {(Outcome.UNKNOWN, ErrorClass.TIMEOUT)}
        for failure in block.iter_failures():
            assert failure.evidence_start_ns == failure.due_ns + given_up_ns
        await until(lambda: under.late_replies() == config.workers, what="late replies")
        async with asyncio.timeout(20):
            while (await under.load(20)).failed_count:
                await asyncio.sleep(_PAUSE_S)


async def test_a_hundred_and_fifty_workers_at_once(
    cluster: LocalCluster, driver: str
) -> None:
    """A lane has the connections that its workers need; no pool turns one away."""
    config = lane_of(driver, workers=150, rate_per_s=1e6)
    async with loaded(cluster, config) as under:
        block = await under.load(config.workers)
        assert failures(block) == set()
        if driver in ("redis-py", "valkey-py"):
            assert under.driver.live_connections()["0001"] > 100
    await until_nothing_is_left(cluster)


async def until_nothing_is_left(cluster: LocalCluster) -> None:
    """Wait until no server holds a connection of a client."""
    async with asyncio.timeout(20):
        while await strangers(cluster):
            await asyncio.sleep(_PAUSE_S)


@pytest.mark.parametrize("turns", [3, 4])
async def test_closing_while_a_server_is_silent(
    cluster: LocalCluster, driver: str, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library is at, it ends when it is told, not when a server answers."""
    monkeypatch.setattr(ending, "CLOSE_S", 0.1)
    (node,) = cluster.nodes
    client = None
    if driver not in ("wire", "valkey-glide"):
        client = Client(socket_timeout_ms=PATIENT_MS)
    try:
        async with loaded(cluster, lane_of(driver, client=client)) as under:
            assert (await under.load(4)).failed_count == 0
            node.pause()
            under.begin(4)
            under.lane.issue_due(mono_now_ns() + 100 * NS_PER_MS)
            for _ in range(turns):
                await asyncio.sleep(0)
    finally:
        node.resume()
    await until_nothing_is_left(cluster)
