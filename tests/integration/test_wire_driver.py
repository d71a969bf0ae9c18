"""The wire driver against scripted servers: every way in which an arrival can end."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadprobe.clock import mono_now_ns
from loadprobe.config import Target
from loadprobe.core.columns import Scope
from loadprobe.core.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.recorder import ScopeRecorder
from loadprobe.core.slots import tag_for_slot
from loadprobe.core.topology import Node as TopologyNode
from loadprobe.core.topology import Shard, Topology
from loadprobe.core.values import NIL
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.driver import WireDriver
from loadprobe.drivers.wire.node import Node
from loadprobe.drivers.wire.seed import Bystander
from loadprobe.errors import PreflightError
from loadprobe.local.certificates import write_certificates
from tests.scripted import ScriptedCluster

WORKERS = 3
SLOT_OF = (0, 5462, 10923)
LOOPS = ("open", "closed", "shared")


class Sink:
    """Notes how every arrival ended."""

    def __init__(self) -> None:
        self.replies: dict[int, object] = {}
        self.failures: dict[int, tuple[Outcome, ErrorClass]] = {}
        self.evidence: dict[int, tuple[int, int]] = {}

    def expected(self, arrivals: list[Arrival]) -> None:
        """Take the replies that were expected."""
        for arrival in arrivals:
            self.replied(arrival, resp.parse(arrival.expect), arrival.done)

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Take a reply."""
        assert arrival.sent <= done_ns
        arrival.settled = True
        self.replies[arrival.version] = reply

    def unread_since(self, at_ns: int) -> int:
        """Return the time: this loop is never late."""
        return at_ns

    def failed(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        *,
        done_ns: int,
        evidence: tuple[int, int],
    ) -> None:
        """Take a failure."""
        arrival.settled = True
        assert evidence[0] <= evidence[1]
        self.failures[arrival.version] = (outcome, error)
        self.evidence[arrival.version] = evidence


class Client:
    """A driver at work, and what its arrivals came to."""

    def __init__(self, driver: WireDriver, sink: Sink) -> None:
        self.driver = driver
        self.sink = sink
        self.topologies: list[Topology] = []
        self.made: list[Arrival] = []
        self._recorder = ScopeRecorder(Scope("tcp", "0001", OpKind.READ))

    def on_topology(self, topology: Topology) -> None:
        """Take note of a topology."""
        self.topologies.append(topology)

    def submit(self, slot: int, *, value: bytes | None = None) -> Arrival:
        """Send a GET, or a SET of a value, for a key in a slot."""
        key = b"{%b}k" % tag_for_slot(slot)
        words = (b"GET", key) if value is None else (b"SET", key, value)
        number = len(self.made) + 1
        arrival = Arrival(
            mono_now_ns(),
            self._recorder,
            number % WORKERS,
            OpKind.READ if value is None else OpKind.WRITE,
            None,
            slot,
            resp.encode(*words),
            NIL if value is None else resp.OK_REPLY,
            number,
            NIL if value is None else resp.encode_bulk(value),
        )
        self.made.append(arrival)
        self.driver.submit([arrival])
        return arrival

    async def ended(self) -> None:
        """Wait until every arrival has ended."""
        await until(lambda: all(arrival.settled for arrival in self.made))

    async def ask(self, slot: int, *, value: bytes | None = None) -> object:
        """Send one arrival and return its reply, or (outcome, class)."""
        arrival = self.submit(slot, value=value)
        await self.ended()
        number = arrival.version
        failure = self.sink.failures.get(number)
        return self.sink.replies[number] if failure is None else failure


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
    loop: str = "open",
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
        target,
        Dialer(target, context, password, 300),
        sink,
        on_topology=learn,
        tls=tls,
        workers=WORKERS,
        max_in_flight=max_in_flight,
        closed_loop=loop != "open",
        is_shared=loop == "shared",
        known=known,
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


@pytest.fixture
async def cluster() -> AsyncIterator[ScriptedCluster]:
    """Start three scripted shards."""
    async with ScriptedCluster(shards=3) as started:
        yield started


def target_of(cluster: ScriptedCluster) -> Target:
    """Return the target of a scripted cluster."""
    return Target(host=cluster.host, port=cluster.port)


@pytest.mark.parametrize("loop", LOOPS)
async def test_arrivals_are_answered(cluster: ScriptedCluster, loop: str) -> None:
    """Each arrival gets its own reply, from the shard that owns its slot."""
    async with connected(target_of(cluster), loop=loop) as client:
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


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_request_beside_the_load(cluster: ScriptedCluster, loop: str) -> None:
    """What is asked beside the load does not overtake the load on its connection.

    Replies are matched in order, so each would be taken for the other's.
    """
    async with connected(target_of(cluster), loop=loop) as client:
        assert await client.ask(SLOT_OF[0], value=b"v") == b"OK"
        for _ in range(20):
            arrivals = [client.submit(SLOT_OF[0]) for _ in range(WORKERS)]
            pongs = [
                client.driver.request(SLOT_OF[0], resp.PING) for _ in range(WORKERS)
            ]
            more = client.submit(SLOT_OF[0])
            assert [await pong for pong in pongs] == [b"PONG"] * WORKERS
            await client.ended()
            assert {client.sink.replies[a.version] for a in [*arrivals, more]} == {b"v"}


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


@pytest.mark.parametrize("loop", LOOPS)
async def test_connections_that_are_reset(cluster: ScriptedCluster, loop: str) -> None:
    """What was on a connection is unknown, what finds none unsent, until it is back."""
    async with connected(target_of(cluster), loop=loop) as client:
        frozen = await cluster.fault("freeze", shards=[1])
        sent = [client.submit(SLOT_OF[1]) for _ in range(WORKERS)]
        await cluster.heal(frozen)
        fault = await cluster.fault("reset", shards=[1])
        await until(lambda: not client.driver._owner[SLOT_OF[1]].live)
        unsent = await client.ask(SLOT_OF[1])
        assert isinstance(unsent, tuple)
        assert unsent[0] is Outcome.UNSENT
        assert unsent[1] in (ErrorClass.CONNECT_REFUSED, ErrorClass.RESET)
        assert await client.ask(SLOT_OF[0]) is None
        await cluster.heal(fault)
        async with asyncio.timeout(20):
            while await client.ask(SLOT_OF[1]) is not None:
                await asyncio.sleep(0.005)
        await until(lambda: client.driver._owner[SLOT_OF[1]].is_complete)
        outcomes = Counter(o for o, _ in client.sink.failures.values())
        assert outcomes.keys() <= {Outcome.UNSENT, Outcome.UNKNOWN}
        assert all(arrival.settled for arrival in sent)
        assert client.driver.stats.connects["connect_refused"] > 0


async def test_a_connection_lost_with_a_request_on_it(
    cluster: ScriptedCluster,
) -> None:
    """An arrival that was sent and whose connection is lost then is unknown."""
    async with connected(target_of(cluster)) as client:
        fault = await cluster.fault("blackhole", shards=[1])
        arrival = client.submit(SLOT_OF[1])
        await until(lambda: bool(client.driver._owner[SLOT_OF[1]].live))
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
            arrival.settled = True  # as a lane does after deadline and slack
        waiting = [client.submit(SLOT_OF[2], value=b"w") for _ in range(WORKERS)]
        await cluster.heal(fault)
        await client.ended()
        assert [client.sink.replies[a.version] for a in waiting] == [b"OK"] * WORKERS
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
        assert len(client.sink.replies) == 5 * WORKERS - len(failures)


async def test_tls_and_a_password(tmp_path: Path) -> None:
    """A TLS lane logs in on every connection; wrong secrets and CAs are explained."""
    certificates = write_certificates(tmp_path)
    async with ScriptedCluster(shards=2, tls=certificates, password="right") as cluster:
        target = Target(
            host=cluster.host,
            port=cluster.port,
            tls_port=cluster.tls_port,
            ca_file=str(certificates.ca),
        )
        async with connected(target, tls=True, password="right") as client:
            assert await client.ask(SLOT_OF[0]) is None
        for options, advice in [
            ({"tls": True, "password": "wrong"}, "check username, password_file"),
            ({"tls": True}, "the server wants a password"),
        ]:
            with pytest.raises(PreflightError, match=advice):
                async with connected(target, **options):  # type: ignore[arg-type]
                    pass
        plain = Target(host=target.host, port=target.port, ca_file=target.ca_file)
        with pytest.raises(PreflightError, match="by TLS failed"):
            async with connected(plain, tls=True, password="right"):
                pass


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[int, asyncio.Event, asyncio.Event]]:
    """Serve a port that takes logins and never answers.

    Yields the port, and what tells that a login came and that its connection ended.
    """
    asked, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"AUTH")
            asked.set()
            while await reader.read(100):
                pass
        writer.close()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked, closed
    finally:
        server.close()
        await server.wait_closed()


class _Quiet:
    """What a node needs of a driver that is not there."""

    def hurry(self) -> None:
        """Take no note."""


async def log_in(port: int, *, timeout_ms: int) -> Connection | DialFailure:
    """Open one connection with a password."""
    dialer = Dialer(Target(host="127.0.0.1", port=port), None, "secret", timeout_ms)
    node = Node(
        _Quiet(),  # type: ignore[arg-type]
        "127.0.0.1",
        port,
        replies=Bystander(),
        width=1,
        closed_loop=False,
    )
    return await dialer.dial(
        "127.0.0.1", port, lambda: Connection(node, Bystander(), None)
    )


async def test_an_attempt_that_is_not_needed_any_more() -> None:
    """A connection whose login is cancelled is closed: the server keeps none."""
    async with silent_server() as (port, asked, closed), asyncio.timeout(20):
        attempt = asyncio.create_task(log_in(port, timeout_ms=15_000))
        await asked.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await closed.wait()


async def test_an_unanswered_login() -> None:
    """An attempt ends after its time, with a failure that says what was waited for."""
    async with silent_server() as (port, _, closed), asyncio.timeout(20):
        made = await log_in(port, timeout_ms=50)
        assert isinstance(made, DialFailure)
        assert made.error is ErrorClass.UNREACHABLE
        assert made.detail == "no answer to AUTH within 50 ms"
        assert made.end_ns - made.start_ns >= 49_000_000
        await closed.wait()


# --- other endpoints ------------------------------------------------------------------


def gone() -> Topology:
    """Return a topology of nodes that are all gone."""
    shards = tuple(
        Shard(
            name=f"{i + 1:04d}",
            ranges=((slot, slot + 5000),),
            primary=TopologyNode(f"x{i}", "127.0.0.1", 1),
            replicas=(),
            epoch=9,
        )
        for i, slot in enumerate(SLOT_OF)
    )
    return Topology(shards, len(shards))


async def test_the_endpoint_is_asked_when_all_nodes_are_gone(
    cluster: ScriptedCluster,
) -> None:
    """A driver that knows nobody who lives finds the others through its endpoint."""
    async with connected(target_of(cluster), known=gone()) as client:
        assert (await client.ask(SLOT_OF[0]))[0] is Outcome.UNSENT  # type: ignore[index]
        await until(lambda: len(client.driver.live_connections()) == 3)
        await until(lambda: all(client.driver.live_connections().values()))
        for slot in SLOT_OF:
            assert await client.ask(slot, value=b"v") == b"OK"


async def test_another_endpoint_of_the_same_cluster(cluster: ScriptedCluster) -> None:
    """It is asked at once, and again when all nodes are gone."""
    dead = Target(host=cluster.host, port=1)
    async with connected(dead, known=gone()) as client:
        client.driver.use_endpoint("localhost", cluster.port, cut_over=None)
        await until(lambda: all(client.driver.live_connections().values()))
        assert await client.ask(SLOT_OF[1], value=b"v") == b"OK"


async def test_a_cut_over_loses_nothing(cluster: ScriptedCluster) -> None:
    """Arrivals go to the old cluster until the new one is connected to; none fails.

    What nodes of the old one say afterwards does not lead back.
    """
    async with (
        ScriptedCluster(shards=2) as other,
        connected(target_of(cluster)) as client,
    ):
        driver = client.driver
        driver.use_endpoint(cluster.host, 1, cut_over=1)  # nobody is there
        for slot in SLOT_OF:
            assert await client.ask(slot, value=b"v") == b"OK"
        driver.use_endpoint(other.host, other.port, cut_over=2)
        old = {node for node in driver._members.nodes.values() if node.is_primary}
        while client.topologies[-1].shards[0].primary.port not in other.ports:
            client.submit(SLOT_OF[len(client.made) % 3], value=b"w")
            await asyncio.sleep(0.001)
        await client.ended()
        assert client.sink.failures == {}
        await until(lambda: not any(node.live for node in old))
        for slot in SLOT_OF:
            assert await client.ask(slot, value=b"x") == b"OK"
        assert client.sink.failures == {}
        driver.hurry()
        await asyncio.sleep(0.3)
        assert {s.primary.port for s in client.topologies[-1].shards} <= {*other.ports}
        assert await other.ops("SET") >= 3
