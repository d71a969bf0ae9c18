"""What client libraries leave behind in a probe, which may run for weeks."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from loadprobe.config.keys import Client, Lane, Probe, Target
from loadprobe.drivers.clients.library.base import Handle, Login, Tally
from loadprobe.drivers.clients.redis_py.library import RedisLike
from loadprobe.probe.beat import Beat
from loadprobe.probe.lag import Lag
from loadprobe.probe.orders import (
    Plan,
    Share,
)
from tests.support.probe_bench import Bench

S = 1_000_000_000
TIMES = 20


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Have nothing collected by chance."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def counted(package: str) -> Counter[str]:
    """Return how many errors and connections of a library there are."""
    counts: Counter[str] = Counter()
    for kind in map(type, gc.get_objects()):
        is_error = kind.__module__ == f"{package}.exceptions"
        counts["error"] += is_error and issubclass(kind, Exception)
        counts["connection"] += kind.__name__ == "CountedConnection"
    return counts


@asynccontextmanager
async def refusing() -> AsyncIterator[Target]:
    """Serve a target that refuses whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await reader.readline()).startswith(b"*"):
            for _ in range(2 * int(head[1:])):
                await reader.readline()
            writer.write(b"-LOADING not yet\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield Target(host, port=port, cluster=False)
    finally:
        server.close()
        await server.wait_closed()


async def refused(library: RedisLike, handle: Handle) -> None:
    """Ask for a key, and be refused."""
    try:
        await handle.get(b"key")
    except Exception as exc:  # noqa: BLE001 - the table knows it, or raises it
        library.classify(exc)
    else:
        raise AssertionError("it was served")


def library_of(name: str) -> RedisLike:
    """Return a library that tries nothing again."""
    client = Client(retries=0)
    return RedisLike(name, client, Tally(), Login(None, None), tls=False)


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("name", ["redis-py", "valkey-py"])
async def test_an_error_reply_keeps_nothing(name: str) -> None:
    """When an operation is over, its error is gone, without a collection."""
    library = library_of(name)
    package = name.removesuffix("-py")
    async with refusing() as target:
        handle = library.make(target, users=1)
        before = counted(package)["error"]
        for _ in range(TIMES):
            await refused(library, handle)
        assert counted(package)["error"] == before
        await handle.close()


@pytest.mark.usefixtures("uncollected")
async def test_connections_that_were_let_go_of_are_collected() -> None:
    """While a probe with a client's lane runs, the objects of old clients go."""
    library = library_of("redis-py")
    lane = Lane(name="app", driver="redis-py", workers=1)
    plan = Plan(0, {}, None, Probe(), (Share(lane, 0, 1, 1, 1),), 7, prefill=False)
    bench = Bench()
    bench.lane.start(100 * S, 100 * S)
    beat = Beat(plan, (bench.lane,), lag=Lag(), poller=None, send=lambda _: None)
    before = counted("redis")["connection"]
    async with refusing() as target:
        for _ in range(TIMES):
            handle = library.make(target, users=1)
            await refused(library, handle)
            await handle.close()
            del handle
        made = counted("redis")["connection"] - before
        assert made > 0, "there is nothing to be collected"
        for at_s in (100, 101):
            beat._tick(at_s * S, at_s * S)
        beat._ticker.stop()
    assert counted("redis")["connection"] == before
