"""The wire driver against scripted servers: every way in which an arrival can end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.drivers import resp
from loadprobe.drivers.settings import Sending
from tests.scripted import ScriptedCluster
from tests.support.wire_client import SLOT_OF, WORKERS, connected, target_of, until

SENDING = ("open", "closed", "shared")


@pytest.fixture
async def cluster() -> AsyncIterator[ScriptedCluster]:
    """Start three scripted shards."""
    async with ScriptedCluster(shards=3) as started:
        yield started


@pytest.mark.parametrize("sending", SENDING)
async def test_arrivals_are_answered(
    cluster: ScriptedCluster, sending: Sending
) -> None:
    """Each arrival gets its own reply, from the shard that owns its slot."""
    async with connected(target_of(cluster), sending=sending) as client:
        for index, slot in enumerate(SLOT_OF):
            assert await client.ask(slot) is None
            assert await client.ask(slot, value=b"v%d" % index) == b"OK"
        for index, slot in enumerate(SLOT_OF):
            for _ in range(2 * WORKERS):
                client.submit(slot)
            assert await client.ask(slot) == b"v%d" % index
        assert client.sink.failures == {}
        assert client.driver.stats.redirects == {}
        assert client.driver.live_connections() == {
            "0001": WORKERS,
            "0002": WORKERS,
            "0003": WORKERS,
        }
    for shard in range(3):
        assert await cluster.ops("SET", shard=shard) == 1


@pytest.mark.parametrize("sending", SENDING)
async def test_a_request_beside_the_load(
    cluster: ScriptedCluster, sending: Sending
) -> None:
    """What is asked beside the load does not overtake the load on its connection.

    Replies are matched in order, so each would be taken for the other's.
    """
    async with connected(target_of(cluster), sending=sending) as client:
        assert await client.ask(SLOT_OF[0], value=b"v") == b"OK"
        for _ in range(20):
            arrivals = [client.submit(SLOT_OF[0]) for _ in range(WORKERS)]
            pongs = [
                client.driver.request(SLOT_OF[0], resp.PING) for _ in range(WORKERS)
            ]
            more = client.submit(SLOT_OF[0])
            assert [await pong for pong in pongs] == [b"PONG"] * WORKERS
            await client.ended()
            assert {client.sink.ends[a.version] for a in [*arrivals, more]} == {b"v"}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("CLUSTERDOWN The cluster is down", ErrorClass.CLUSTERDOWN),
        ("TRYAGAIN Multiple keys", ErrorClass.TRYAGAIN),
        ("LOADING Redis is loading", ErrorClass.LOADING),
        ("NOPERM this user", ErrorClass.AUTH),
        ("ERR something new", ErrorClass.OTHER),
        ("NEWCODE that no table has", ErrorClass.OTHER),
    ],
)
async def test_refusals(
    cluster: ScriptedCluster, reply: str, expected: ErrorClass
) -> None:
    """An error reply is a refusal of its class; other shards are served meanwhile."""
    async with connected(target_of(cluster)) as client:
        fault = await cluster.fault("error", shards=[1], reply=reply)
        assert await client.ask(SLOT_OF[1]) == (Outcome.REFUSED, expected)
        assert await client.ask(SLOT_OF[0]) is None
        truth = await cluster.heal(fault)
        assert await client.ask(SLOT_OF[1]) is None
        start, end = client.sink.evidence[1]
        assert truth.start_ns <= end
        assert start <= truth.end_ns


async def test_a_redirect_that_leads_nowhere(cluster: ScriptedCluster) -> None:
    """Redirects are followed five times; then the last one is the answer."""
    async with connected(target_of(cluster)) as client:
        moved = f"MOVED 0 127.0.0.1:{cluster.ports[0]}"
        await cluster.fault("error", shards=[0], reply=moved)
        expected = (Outcome.REFUSED, ErrorClass.MOVED)
        assert await client.ask(SLOT_OF[0]) == expected
        assert client.driver.stats.redirects == {"moved": 5}


async def test_a_redirect_to_a_dead_node(cluster: ScriptedCluster) -> None:
    """A redirect to where nobody listens is a refusal by redirect, not unsent."""
    async with connected(target_of(cluster)) as client:
        (closed,) = await closed_ports()
        reply = f"MOVED 0 127.0.0.1:{closed}"
        fault = await cluster.fault("error", shards=[0], reply=reply)
        expected = (Outcome.REFUSED, ErrorClass.MOVED)
        assert await client.ask(SLOT_OF[0]) == expected
        await cluster.heal(fault)
        # The map goes back to what the nodes say.
        async with asyncio.timeout(20):
            while await client.ask(SLOT_OF[0]) is not None:
                await asyncio.sleep(0.02)


async def closed_ports() -> tuple[int]:
    """Return a port on which nobody listens."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return (port,)


async def test_moved_slots(cluster: ScriptedCluster) -> None:
    """MOVED is followed and counted, and the new map is used from then on."""
    async with connected(target_of(cluster)) as client:
        assert await client.ask(SLOT_OF[0], value=b"there") == b"OK"
        await cluster.move_slots(0, 99, to_shard=2)
        assert await client.ask(SLOT_OF[0]) == b"there"
        assert client.driver.stats.redirects == {"moved": 1}
        assert await client.ask(SLOT_OF[0]) == b"there"
        await until(lambda: len(client.topologies) > 1)
        assert await client.ask(50) is None
        assert client.driver.stats.redirects == {"moved": 1}
        shard = next(s for s in client.topologies[-1].shards if s.name == "0003")
        assert (0, 99) in shard.ranges


async def test_a_promoted_replica() -> None:
    """After a promotion the shard keeps its name and is served by the new primary."""
    async with (
        ScriptedCluster(shards=2, replicas_per_shard=1) as cluster,
        connected(target_of(cluster)) as client,
    ):
        assert client.driver.live_connections() == {
            "0001": WORKERS + 1,
            "0002": WORKERS + 1,
        }
        await cluster.promote(1)
        assert await client.ask(16383, value=b"v") == b"OK"
        (port,) = cluster.replica_ports[1]
        await until(
            lambda: client.topologies[-1].shards[1].primary.port == port,
        )
        assert [shard.name for shard in client.topologies[-1].shards] == [
            "0001",
            "0002",
        ]
        assert client.sink.failures == {}


@pytest.mark.parametrize("sending", SENDING)
async def test_connections_that_are_reset(
    cluster: ScriptedCluster, sending: Sending
) -> None:
    """What was on a connection is unknown, what finds none unsent, until it is back."""
    async with connected(target_of(cluster), sending=sending) as client:
        frozen = await cluster.fault("freeze", shards=[1])
        sent = [client.submit(SLOT_OF[1]) for _ in range(WORKERS)]
        await cluster.heal(frozen)
        fault = await cluster.fault("reset", shards=[1])
        await until(lambda: not client.driver._members.owner[SLOT_OF[1]].live)
        unsent = await client.ask(SLOT_OF[1])
        assert isinstance(unsent, tuple)
        assert unsent[0] is Outcome.UNSENT
        assert unsent[1] in (ErrorClass.CONNECT_REFUSED, ErrorClass.RESET)
        assert await client.ask(SLOT_OF[0]) is None
        await cluster.heal(fault)
        async with asyncio.timeout(20):
            while await client.ask(SLOT_OF[1]) is not None:
                await asyncio.sleep(0.005)
        await until(lambda: client.driver._members.owner[SLOT_OF[1]].is_complete)
        outcomes = Counter(o for o, _ in client.sink.failures.values())
        assert outcomes.keys() <= {Outcome.UNSENT, Outcome.UNKNOWN}
        assert all(arrival.decided for arrival in sent)
        assert client.driver.stats.connects["connect_refused"] > 0


async def test_a_connection_lost_with_a_request_on_it(
    cluster: ScriptedCluster,
) -> None:
    """An arrival that was sent and whose connection is lost then is unknown."""
    async with connected(target_of(cluster)) as client:
        fault = await cluster.fault("blackhole", shards=[1])
        arrival = client.submit(SLOT_OF[1])
        await until(lambda: bool(client.driver._members.owner[SLOT_OF[1]].live))
        await asyncio.sleep(0.05)
        await cluster.heal(fault)
        await client.ended()
        assert client.sink.failures[arrival.version] == (
            Outcome.UNKNOWN,
            ErrorClass.RESET,
        )


async def test_late_replies_keep_their_place(cluster: ScriptedCluster) -> None:
    """A given-up arrival costs neither its connection nor the order of replies."""
    async with connected(target_of(cluster)) as client:
        assert await client.ask(SLOT_OF[2], value=b"v") == b"OK"
        before = dict(client.driver.stats.connects)
        fault = await cluster.fault("freeze", shards=[2])
        given_up = [client.submit(SLOT_OF[2]) for _ in range(2 * WORKERS)]
        for arrival in given_up:
            arrival.decided = True  # as a lane does after deadline and slack
        waiting = [client.submit(SLOT_OF[2], value=b"w") for _ in range(WORKERS)]
        await cluster.heal(fault)
        await client.ended()
        assert [client.sink.ends[a.version] for a in waiting] == [b"OK"] * WORKERS
        assert await client.ask(SLOT_OF[2]) == b"w"
        assert client.driver.stats.connects == before


async def test_the_bound_of_arrivals_in_flight(cluster: ScriptedCluster) -> None:
    """A connection takes no more than its bound; the rest is unsent and says why."""
    async with connected(target_of(cluster), max_in_flight=2) as client:
        fault = await cluster.fault("freeze", shards=[0])
        for _ in range(5 * WORKERS):
            client.submit(SLOT_OF[0])
        failures = list(client.sink.failures.values())
        assert len(failures) >= 3 * WORKERS
        assert set(failures) == {(Outcome.UNSENT, ErrorClass.INFLIGHT)}
        await cluster.heal(fault)
        await client.ended()
        assert len(client.sink.ends) == 5 * WORKERS
        assert len(client.sink.failures) == len(failures)
