"""The wire driver at work on a scripted cluster, and what its arrivals came to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from loadprobe.config.keys import Target
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.base import Arrival
from loadprobe.drivers.settings import DriverSettings, Sending
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.drivers.wire.driver import WireDriver
from tests.scripted import ScriptedCluster
from tests.support.arrivals import Sink, make_arrival

WORKERS = 3
SLOT_OF = (0, 5462, 10923)


class Client:
    """A driver at work, and what its arrivals came to."""

    def __init__(self, driver: WireDriver, sink: Sink) -> None:
        self.driver = driver
        self.sink = sink
        self.topologies: list[Topology] = []
        self.made: list[Arrival] = []

    def on_topology(self, topology: Topology) -> None:
        """Take note of a topology."""
        self.topologies.append(topology)

    def submit(self, slot: int, *, value: bytes | None = None) -> Arrival:
        """Send a GET, or a SET of a value, for a key in a slot."""
        number = len(self.made) + 1
        arrival = make_arrival(number, slot, worker=number % WORKERS, value=value)
        self.made.append(arrival)
        self.driver.submit([arrival])
        return arrival

    async def ended(self) -> None:
        """Wait until every arrival has ended."""
        await until(lambda: all(arrival.decided for arrival in self.made))

    async def ask(self, slot: int, *, value: bytes | None = None) -> object:
        """Send one arrival and return its reply, or (outcome, class)."""
        arrival = self.submit(slot, value=value)
        await self.ended()
        return self.sink.ends[arrival.version]


async def until(is_true: Callable[[], bool]) -> None:
    """Wait until something holds, at most twenty seconds."""
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def connected(
    target: Target,
    *,
    tls: bool = False,
    password: str | None = None,
    sending: Sending = "open",
    max_in_flight: int = 100,
    known: Topology | None = None,
) -> AsyncIterator[Client]:
    """Run a driver; what it raises itself is raised here."""
    sink = Sink()
    context = make_context(target) if tls else None
    clients: list[Client] = []

    def learn(topology: Topology, _cut_over: int) -> None:
        clients[0].on_topology(topology)

    driver = WireDriver(
        DriverSettings(
            target=target,
            tls=tls,
            workers=WORKERS,
            max_in_flight=max_in_flight,
            sending=sending,
            known=known,
        ),
        Dialer(target, context, password, 300),
        sink,
        on_topology=learn,
    )
    client = Client(driver, sink)
    clients.append(client)
    ready = asyncio.Event()
    running = asyncio.create_task(driver.run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if running.done():
            running.result()
        yield client
        assert not running.done(), running
    finally:
        waiting.cancel()
        running.cancel()
        await asyncio.wait({running, waiting})


def target_of(cluster: ScriptedCluster) -> Target:
    """Return the target of a scripted cluster."""
    return Target(host=cluster.host, port=cluster.port)
