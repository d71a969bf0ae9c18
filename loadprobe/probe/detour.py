"""Reading keys back by another transport than the one they were written by.

After a TLS migration the transport of a lane may be gone, but what it wrote is still to
be looked at: a second driver connects by the other transport, for that alone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loadprobe.config.keys import Probe
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.settings import DriverSettings
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.drivers.wire.driver import WireDriver
from loadprobe.drivers.wire.sockets import SocketPoller
from loadprobe.errors import PreflightError
from loadprobe.probe.lane import LaneRunner
from loadprobe.probe.orders import Detour

_CONNECT_S = 4.0


@asynccontextmanager
async def connected(
    lane: LaneRunner,
    detour: Detour,
    *,
    password: str | None,
    probe: Probe,
    poller: SocketPoller | None,
) -> AsyncIterator[WireDriver | None]:
    """Connect by a detour with one connection per node; None if that fails.

    Args:
        lane: whose keys are to be read.
        detour: by what, and where.
        password: what to log in with.
        probe: how long a connection attempt may take.
        poller: what serves plaintext connections.
    """
    context = make_context(detour.target) if detour.tls else None
    timeout_ms = probe.connect_timeout_ms
    driver = WireDriver(
        DriverSettings(
            target=detour.target,
            tls=detour.tls,
            workers=1,
            max_in_flight=probe.max_in_flight,
        ),
        Dialer(detour.target, context, password, timeout_ms, poller),
        lane,
        on_topology=_tell_nobody,
    )
    ready = asyncio.Event()
    running = asyncio.create_task(driver.run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait(
            {running, waiting},
            timeout=_CONNECT_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if running.done():
            problem = running.exception()
            if problem is not None and not isinstance(problem, PreflightError):
                raise problem
        yield driver if ready.is_set() else None
    finally:
        waiting.cancel()
        running.cancel()
        await asyncio.wait({running, waiting})


def _tell_nobody(_topology: Topology, _cut_over: int) -> None:
    return None
