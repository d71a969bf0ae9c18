"""A run without probes, served over HTTP: what the tests of the server ask."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from loadprobe.clock import ClockPair
from loadprobe.config.keys import Http
from loadprobe.core.events import Event, RunStarted
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.judging.results import Sealed
from loadprobe.core.topology.topology import Node, Shard, Topology
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.http.reload import Reload
from loadprobe.outputs.http.run_view import RunView
from loadprobe.outputs.http.server import HttpServer, start_http
from loadprobe.outputs.live.terminal import LaneState, LiveState
from loadprobe.outputs.metrics.collector import CatalogueCollector
from loadprobe.outputs.metrics.page import make_registry, make_renderer
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.run.causes import OutageCounter

MS = 1_000_000
S = 1_000_000_000
BEGIN_UNIX_NS = 1_700_000_000 * S
CLOCK = ClockPair(0, BEGIN_UNIX_NS)
REFUSED = Outcome.REFUSED, ErrorClass.CLUSTERDOWN


def arrivals(
    start_ns: int, end_ns: int, *dark: tuple[int, int], every_ns: int = 10 * MS
) -> Block:
    """Return arrivals of one scope; those due in a dark time were refused."""
    block = Block()
    for due in range(start_ns, end_ns, every_ns):
        if any(begin <= due < end for begin, end in dark):
            block.add_failure(Failure(due, due, due + MS, *REFUSED, due, due + MS))
        else:
            block.add_served(due, due, due + MS)
    return block


@dataclass(slots=True)
class Stage:
    """A run whose arrivals the test makes up; begin with ``make``."""

    aggregate: Aggregate
    counter: OutageCounter
    metrics: RunMetrics
    live: LiveState
    journal: list[Event] = field(default_factory=list)
    now_ns: int = 0
    spent_ns: int = 0
    planned: list[Planned] = field(default_factory=list)
    view: RunView = field(init=False)

    def __post_init__(self) -> None:
        """Make the view, which puts marks into the journal."""
        self.view = RunView(
            self.live,
            self.aggregate,
            CLOCK,
            scenario=None,
            outages=self.counter.so_far,
            emit=self.emit,
            planned=lambda: self.planned,
            now_ns=lambda: self.now_ns,
            spent_ns=lambda: self.spent_ns,
        )

    @classmethod
    def make(cls, *lanes: str) -> "Stage":
        """Return a run of one process and the given lanes (one "tcp")."""
        names = lanes or ("tcp",)
        return cls.of([LaneInfo(name, False, (0,), 250 * MS) for name in names])

    @classmethod
    def of(cls, infos: Sequence[LaneInfo]) -> "Stage":
        """Return a run of one process and the given lanes."""
        aggregate = Aggregate(infos)
        metrics = RunMetrics("db.example", aggregate=aggregate, clock=CLOCK)
        planned: list[Planned] = []
        counter = OutageCounter(aggregate, metrics, quiet_ns=S, planned=lambda: planned)
        live = LiveState(
            run="test",
            target="db.example:6379",
            started_ns=0,
            lanes=[LaneState(info.name, 100.0, 99.5) for info in infos],
        )
        return cls(aggregate, counter, metrics, live, planned=planned)

    def emit(self, event: Event) -> None:
        """Do what the account does with an event."""
        self.journal.append(event)
        self.metrics.take_event(event)
        self.view.take_event(event)

    def begin(self) -> None:
        """Begin the load."""
        self.aggregate.start_process(0, 0)
        self.view.state = "running"
        self.emit(RunStarted(0, "test"))

    def add(self, blocks: dict[tuple[str, str], Block], until_ns: int) -> Sealed:
        """Judge arrivals of lanes and shards that were decided until a time."""
        scopes = {Scope(*place, OpKind.READ): b for place, b in blocks.items()}
        self.aggregate.add(0, scopes, watermark_ns=until_ns)
        sealed = self.aggregate.seal()
        self.view.take_sealed(sealed)
        self.counter.take_sealed(sealed)
        self.now_ns = until_ns
        return sealed


def ended_and_open() -> Stage:
    """Return a run in which 0001 was dark for 100 ms, and 0002 is dark since 4 s."""
    stage = Stage.make()
    stage.begin()
    stage.add(
        {
            ("tcp", "0001"): arrivals(0, 5 * S, (S, S + 100 * MS)),
            ("tcp", "0002"): arrivals(0, 5 * S, (4 * S, 9 * S)),
        },
        5 * S,
    )
    nodes = [Node(str(n), "127.0.0.1", 7000 + n) for n in range(4)]
    stage.view.topology = Topology(
        (
            Shard("0001", ((0, 8191),), nodes[0], (nodes[1],), 1),
            Shard("0002", ((8192, 16383),), nodes[2], (nodes[3],), 2),
        )
    )
    return stage


async def no_page(accept: str) -> tuple[bytes, str]:
    """Return an empty page, whatever is asked for."""
    return b"", "text/plain"


@asynccontextmanager
async def serving(
    stage: Stage, *, reload: Reload | None = None, **http: Any
) -> AsyncIterator[HttpServer]:
    """Serve a run on a free port; keywords are keys of the [http] section."""
    collector = CatalogueCollector(stage.metrics, loop=asyncio.get_running_loop())
    server = await start_http(
        ("127.0.0.1", 0),
        render=make_renderer(make_registry(collector)),
        not_ready=lambda: None,
        api=stage.view,
        reload=reload,
        http=Http(**http),
    )
    stage.view.problem = lambda: server.access.problem
    try:
        yield server
    finally:
        await server.stop()


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)


async def ask(
    server: HttpServer,
    path: str,
    *,
    method: str = "GET",
    scheme: str = "http",
    login: tuple[str, str] | None = None,
    **options: Any,
) -> Reply:
    """Send a request on a connection of its own."""
    headers = dict(options.pop("headers", {}))
    if login is not None:
        headers["Authorization"] = aiohttp.encode_basic_auth(*login)
    url = f"{scheme}://{server.host}:{server.port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers, **options) as reply,
    ):
        return Reply(reply.status, dict(reply.headers), await reply.read())


async def exchange(server: HttpServer, request: bytes, *, whole: bool = True) -> bytes:
    """Send raw bytes; return what comes back until the server closes.

    Args:
        server: who is asked.
        request: what is sent.
        whole: whether to wait for the end; else the first bytes are enough.
    """
    reader, writer = await asyncio.open_connection(server.host, server.port)
    answer = b""
    try:
        writer.write(request)
        async with asyncio.timeout(60):
            while more := await reader.read(65536):
                answer += more
                if not whole:
                    break
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return answer
