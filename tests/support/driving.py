"""A driver at work on real servers, in this process, and what its arrivals came to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from loadprobe.config.keys import Lane, Probe, Target
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.base import Arrival, Driver, DriverStats
from loadprobe.drivers.errors import is_defect
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.sockets import SocketPoller
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.probe.drivers import make_driver
from loadprobe.probe.orders import (
    Plan,
    Share,
)
from tests.support.arrivals import Sink, make_arrival
from tests.support.running import until

_PERIOD_S = 0.01
_SPREAD = 5_461


class Driving(Sink):
    """A driver, and the ends of its arrivals."""

    def __init__(self) -> None:
        super().__init__()
        self.driver: Driver
        self.topologies: list[Topology] = []
        self.made: list[Arrival] = []
        self.reported: list[dict[str, Any]] = []
        self._stats = DriverStats()

    @property
    def stats(self) -> DriverStats:
        """Return all that the driver has counted so far."""
        taken = self.driver.take_stats()
        for own, more in (
            (self._stats.redirects, taken.redirects),
            (self._stats.connects, taken.connects),
        ):
            for label, count in more.items():
                own[label] = own.get(label, 0) + count
        self._stats.attempts += taken.attempts
        return self._stats

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Take a reply; there is one end for each arrival."""
        assert reply is None or isinstance(reply, bytes)
        assert not arrival.decided, "an arrival ended twice"
        super().replied(arrival, reply, done_ns)

    def failed(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        *,
        done_ns: int,
        evidence: tuple[int, int],
    ) -> None:
        """Take a failure; there is one end for each arrival."""
        assert not arrival.decided, "an arrival ended twice"
        super().failed(arrival, outcome, error, done_ns=done_ns, evidence=evidence)

    # --- a lane --------------------------------------------------------------------

    def on_topology(self, topology: Topology, cut_over: int) -> None:
        """Take note of a topology."""
        self.topologies.append(topology)

    def submit(
        self, slot: int, value: bytes | None = None, *, ttl_s: int = 0
    ) -> Arrival:
        """Send a GET, or a SET of a value, for a key in a slot."""
        number = len(self.made)
        arrival = make_arrival(
            number, slot, worker=number % 4, value=value, ttl_s=ttl_s
        )
        self.made.append(arrival)
        self.driver.submit([arrival])
        return arrival

    async def ask(
        self, slot: int, value: bytes | None = None, *, ttl_s: int = 0
    ) -> object:
        """Send one arrival and return how it ended."""
        arrival = self.submit(slot, value, ttl_s=ttl_s)
        await until(lambda: arrival.version in self.ends, what="the end of an arrival")
        return self.ends[arrival.version]

    async def served_again(self, slot: int, *, within_s: float = 20.0) -> None:
        """Ask until there is a reply.

        Raises:
            TimeoutError: there is none in time.
        """
        async with asyncio.timeout(within_s):
            while isinstance(await self.ask(slot), tuple):
                await asyncio.sleep(_PERIOD_S)

    async def load(self, slots: tuple[int, ...]) -> None:
        """Send reads to all of some slots, for ever."""
        while True:
            for slot in slots:
                self.submit(slot)
            await asyncio.sleep(_PERIOD_S)


@asynccontextmanager
async def driving(
    target: Target,
    lane: Lane,
    *,
    password: str | None = None,
    poller: SocketPoller | None = None,
) -> AsyncIterator[Driving]:
    """Run a driver while the block runs; nothing of it may be left afterwards."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    drive = Driving()
    drive.driver = make_driver(
        Plan(0, {lane.name: target}, password, Probe(), (), 1, prefill=False),
        Share(lane, 0, 1, lane.workers, lane.workers),
        drive,
        context=make_context(target) if lane.tls else None,
        poller=poller,
        on_topology=drive.on_topology,
    )

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if is_defect(context):
            drive.reported.append(context)

    loop.set_exception_handler(report)
    ready = asyncio.Event()
    running = asyncio.create_task(drive.driver.run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield drive
    finally:
        waiting.cancel()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        loop.set_exception_handler(None)
    await until(lambda: asyncio.all_tasks() <= before, what="the end of all tasks")
    assert drive.reported == []


async def strangers(cluster: LocalCluster) -> list[str]:
    """Return the connections of clients that are not the cluster's own."""
    found: list[str] = []
    for node in cluster.live_nodes:
        text = await node.command("CLIENT", "LIST", "TYPE", "normal")
        found += [line for line in text.splitlines() if "cmd=client|list" not in line]
    return found
