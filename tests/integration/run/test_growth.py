"""A probe does not grow: what has ended is gone, without a collector of garbage."""

import asyncio
import gc
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType, TracebackType

import hiredis
import pytest
import pytest_asyncio

from benchmarks.failovers import measure, rows_of
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.greeting import Greeting
from loadprobe.drivers.wire.seed import Bystander
from loadprobe.drivers.wire.sockets import PlainTransport, SocketPoller
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.driving import Driving, driving
from tests.support.running import small_lane, target_of, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

_WORKERS = 4
_RECONNECTIONS = 50
_KINDS = (
    Connection,
    PlainTransport,
    Greeting,
    ssl.SSLObject,
    hiredis.Reader,
    asyncio.Future,
    BaseException,
    TracebackType,
    FrameType,
)
_NO_NAME = ".".join(["name"] * 100)
"""It is longer than a name may be, so no name server is asked."""

_SOME = 3
"""What may come and go meanwhile: a question for the topology that is under way."""


@pytest.fixture
def _uncollected() -> Iterator[None]:
    """Keep the collector from running."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _alive() -> Counter[str]:
    """Return how many objects there are of what connections consist of."""
    found = (type(each) for each in gc.get_objects())
    return Counter(kind.__qualname__ for kind in found if issubclass(kind, _KINDS))


def _more(before: Counter[str]) -> dict[str, int]:
    """Return of what there is more than before, and how many."""
    return {kind: n for kind, n in (_alive() - before).items() if n > _SOME}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    """Start one server that serves TCP and TLS."""
    async with LocalCluster(shards=1, replicas_per_shard=0) as started:
        yield started


async def _renew(drive: Driving, cluster: LocalCluster) -> int:
    """Kill all connections and wait for the new ones; return how many these are."""
    (node,) = cluster.nodes
    opened = drive.stats.connects.get("ok", 0)
    await node.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until(
        lambda: (
            drive.stats.connects.get("ok", 0) >= opened + _WORKERS
            and drive.driver.live_connections() == {"0001": _WORKERS}
        ),
        what="as many connections as before",
    )
    await drive.served_again(1)
    return drive.stats.connects["ok"] - opened


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.usefixtures("_uncollected")
async def test_connections_that_ended_are_gone(
    cluster: LocalCluster, *, tls: bool
) -> None:
    """However often all connections are renewed, there are no more objects of them."""
    lane = small_lane(workers=_WORKERS, tls=tls)
    async with driving(target_of(cluster), lane, poller=SocketPoller()) as drive:
        load = asyncio.create_task(drive.load((1,)))
        await _renew(drive, cluster)
        before = _alive()
        renewed = 0
        while renewed < _RECONNECTIONS:
            renewed += await _renew(drive, cluster)
        assert _more(before) == {}
        load.cancel()


async def test_transports_of_the_loop(cluster: LocalCluster) -> None:
    """Where the loop's own transports are used, a closed TLS connection is renewed."""
    lane = small_lane(workers=_WORKERS, tls=True)
    async with driving(target_of(cluster), lane) as drive:
        await _renew(drive, cluster)
        assert drive.reported == []


def _connection() -> Connection:
    nobody = Bystander()
    return Connection(nobody, nobody, None)


@pytest.mark.parametrize("make", [_connection, Greeting])
@pytest.mark.usefixtures("_uncollected")
async def test_attempts_that_failed_are_gone(
    cluster: LocalCluster, make: Callable[[], Connection]
) -> None:
    """Of attempts refused, unanswered, not trusted or without address none stay."""
    target = target_of(cluster)
    context = ssl.create_default_context()  # it trusts others
    dialer = Dialer(target, context, None, timeout_ms=50, poller=SocketPoller())
    nowhere = (
        ("127.0.0.1", 1),  # nobody listens
        ("127.0.0.1", cluster.port),  # it speaks no TLS
        ("127.0.0.1", target.port_of(tls=True)),
        (_NO_NAME, 1),
    )

    async def fail(times: int) -> None:
        for host, port in nowhere:
            for _ in range(times):
                assert isinstance(await dialer.dial(host, port, make), DialFailure)
        await asyncio.sleep(0.01)  # a transport tells of its end in a later turn

    await fail(1)
    before = _alive()
    await fail(20)
    assert _more(before) == {}


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.usefixtures("_uncollected")
async def test_greetings_are_gone(cluster: LocalCluster, *, tls: bool) -> None:
    """Of connections made for their own sake nothing is left."""
    target = target_of(cluster)
    context = make_context(target) if tls else None
    dialer = Dialer(target, context, None, timeout_ms=1_000)

    async def greet() -> None:
        made = await dialer.dial(target.host, target.port_of(tls=tls), Greeting)
        assert isinstance(made, Greeting)
        made.close()

    await greet()
    before = _alive()
    for _ in range(20):
        await greet()
    # The last ones close in their own time.
    await until(lambda: not _more(before), what="the end of the greetings")


@pytest.mark.alone
async def test_twenty_failovers_leave_memory_as_it_was() -> None:
    """In the second half of twenty failovers the probe grows by 2 % at most."""
    missed = [row.name for row in rows_of(await measure(20)) if row.is_missed]
    assert missed == []
