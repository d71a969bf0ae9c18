"""A client library as an application uses it, laid beside the witness.

Every worker is one task that awaits one operation after the other, as a request handler
does. An arrival that is due while its worker still waits for the one before stands in
line, and its response time counts from its due time: an operation that "succeeds" after
five seconds is five seconds without service. Nothing is cancelled. What was given up
while it stood in line is not sent any more, so it certainly did not happen.

What the client knows of the cluster is its own affair. Scopes have the names of the
wire driver, of which one with a single connection per node is beside: for the topology,
the prefill and the reading back.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.base import Arrival, Asked, DriverStats, OnTopology, Sink
from loadprobe.drivers.clients.library.address import make_remap
from loadprobe.drivers.clients.library.base import (
    CURRENT,
    Handle,
    Library,
    Operation,
    end_of,
)
from loadprobe.drivers.clients.library.ending import CLOSE_S, end_in_time
from loadprobe.drivers.renewal import Renewal
from loadprobe.drivers.settings import DriverSettings
from loadprobe.drivers.wire.driver import WireDriver
from loadprobe.errors import PreflightError


@dataclass(slots=True, eq=False)
class _Worker:
    """A task that uses the client; what it is at, and what stands in line."""

    line: deque[Arrival] = field(default_factory=deque)
    idle: "asyncio.Future[None] | None" = None
    since_ns: int = 0


@dataclass(slots=True, eq=False)
class _Shared:
    """A client object and the workers that are within one of its operations."""

    client: Handle
    users: int = 0
    is_left: bool = False


class LibraryDriver:
    """Sends the arrivals of one lane by a client library.

    Args:
        settings: what the lane asks.
        library: makes the client objects.
        sink: receives the end of every arrival.
        on_topology: called with every new topology.
        make_guide: makes the wire driver beside, given what to tell topologies.
    """

    waiting_error = ErrorClass.INFLIGHT

    def __init__(
        self,
        settings: DriverSettings,
        library: Library,
        sink: Sink,
        *,
        on_topology: OnTopology,
        make_guide: Callable[[OnTopology], WireDriver],
    ) -> None:
        self._settings = settings
        self._target = settings.target
        self._library = library
        self._tally = library.tally
        self._sink = sink
        self._on_topology = on_topology
        self._workers = [_Worker() for _ in range(settings.workers)]
        self._working: list[asyncio.Task[None]] = []
        self._clients: list[_Shared] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._cut_over: int | None = None
        self._shard_of: dict[tuple[str, int], str] = {}
        self._guide = make_guide(self._take_topology)

    def take_stats(self) -> DriverStats:
        """Return what was counted since the last call."""
        self._guide.take_stats()  # nobody asks for them
        return self._tally.take()

    @property
    def topology(self) -> Topology | None:
        """Return the newest topology known."""
        return self._guide.topology

    # --- life ------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Connect, call ``ready``, and work until cancelled.

        Raises:
            PreflightError: the first connections could not be made.
            Exception: what the library raised and no table knows.
        """
        found = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._guide.run(found.set))
                await found.wait()
                if not self._clients:
                    self._clients = self._make_clients()
                await self._connect_in_time()
                self._working = [
                    group.create_task(self._work(worker, number))
                    for number, worker in enumerate(self._workers)
                ]
                ready()
                try:
                    await asyncio.Event().wait()
                finally:
                    await self._end_workers()
        finally:
            for shared in self._clients:
                self._close_later(shared, limit_s=None)
            closing = tuple(self._closing)
            await self._end(closing, "closing its clients")
            for task in closing:
                if task.done() and not task.cancelled():
                    task.result()

    async def _connect_in_time(self) -> None:
        connecting = asyncio.create_task(self._connect())
        try:
            await asyncio.wait({connecting})
        finally:
            if not connecting.done():
                connecting.cancel()
                await self._end([connecting], "connecting")
        connecting.result()

    async def _end_workers(self) -> None:
        for task in self._working:
            task.cancel()
        await self._end(self._working, "its operations")

    async def _end(self, tasks: Collection["asyncio.Task[None]"], what: str) -> None:
        name = f"{self._library.name}, {what}"
        await end_in_time(tasks, drop=self._library.drop, what=name)

    def _make_clients(self) -> list[_Shared]:
        makes = range(self._settings.clients)
        users = -(-len(self._workers) // self._settings.clients)
        return [_Shared(self._library.make(self._target, users=users)) for _ in makes]

    async def _connect(self) -> None:
        """Let every client meet the target, as an application does when it starts.

        Raises:
            PreflightError: the library cannot connect where the wire driver could.
        """
        for shared in self._clients:
            try:
                await shared.client.connect()
            except Exception as exc:
                error = self._library.classify(exc)[1]
                if self._settings.known is not None:
                    continue
                host, port = (
                    self._target.host,
                    self._target.port_of(tls=self._settings.tls),
                )
                raise PreflightError(
                    f"{self._library.name} could not connect to {host}:{port} "
                    f"({error.label}): {exc}; the wire driver could, so check "
                    "[lanes.client], and by TLS that certificates hold the "
                    "addresses that nodes announce"
                ) from exc

    # --- topology --------------------------------------------------------------

    def _take_topology(self, topology: Topology, cut_over: int) -> None:
        if self._cut_over is not None and cut_over != self._cut_over:
            self._replace_clients()
        self._cut_over = cut_over
        remap = make_remap(self._target)
        self._shard_of = {
            remap((node.host, node.port)): shard.name
            for shard in topology.shards
            for node in (shard.primary, *shard.replicas)
        }
        self._on_topology(topology, cut_over)

    def _replace_clients(self, fresh: list[_Shared] | None = None) -> None:
        """Go over to new client objects; old ones end with their last use."""
        left, self._clients = self._clients, fresh or self._make_clients()
        for shared in left:
            shared.is_left = True
            if not shared.users:
                self._close_later(shared)

    def _close_later(self, shared: _Shared, *, limit_s: float | None = CLOSE_S) -> None:
        task = asyncio.create_task(self._close(shared.client, limit_s))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def use_endpoint(self, host: str, port: int, *, cut_over: int | None) -> None:
        """Find the topology through another endpoint from now on.

        No library can be told another endpoint. Of the same cluster it keeps its own,
        as it does in an application. For another cluster, or another single server, new
        client objects are made, as an application would be started anew.
        """
        self._target = self._target.at(tls=self._settings.tls, host=host, port=port)
        self._guide.use_endpoint(host, port, cut_over=cut_over)
        if cut_over is None and not self._target.cluster:
            self._replace_clients()

    def use_login(self, username: str | None, password: str | None) -> None:
        """Log in as somebody from now on; open connections stay."""
        self._library.login.use(username, password)
        self._guide.use_login(username, password)
        for shared in self._clients:
            shared.client.use_login()

    async def renew_login(self, spread_s: float) -> Renewal:
        """Log in anew on open connections, spread over a time; none is closed."""
        own, beside = await asyncio.gather(
            self._library.renew_login(spread_s), self._guide.renew_login(spread_s)
        )
        return own + beside

    async def use_certificates(self, target: Target, context: ssl.SSLContext) -> None:
        """Use other certificates for new connections; open ones stay.

        A library that has read its files for good, or knows others, gets new client
        objects. They connect first, so that no operation waits for that.
        """
        await self._guide.use_certificates(target, context)
        before = self._target
        self._target = before.with_certificates_of(target)
        if not self._settings.tls or (
            self._target == before and self._library.read_certificates()
        ):
            return
        fresh = self._make_clients()
        for shared in fresh:
            # What cannot connect now tries again with its first operation.
            with suppress(Exception):
                await shared.client.connect()
        self._replace_clients(fresh)

    def suspect(self, slot: int) -> None:  # noqa: ARG002
        """Take note that an arrival got no answer: look at the topology soon."""
        self._guide.hurry()

    def resumed_ns(self, slot: int) -> int:  # noqa: ARG002
        """Return 0: an operation that waited in line was not served, whoever spoke."""
        return 0

    # --- arrivals --------------------------------------------------------------

    def submit(self, arrivals: Sequence[Arrival]) -> None:
        """Hand arrivals to their workers."""
        for arrival in arrivals:
            self._line_up(arrival)

    def deliver(self) -> None:
        """Do nothing: every reply is reported as it comes."""

    def _line_up(self, arrival: Arrival) -> None:
        """Hand an arrival to its worker, or let it stand in line for it."""
        worker = self._workers[arrival.worker]
        while worker.line and worker.line[0].decided:
            worker.line.popleft()  # given up
        if len(worker.line) >= self._settings.max_in_flight:
            self._sink.failed(
                arrival,
                Outcome.UNSENT,
                ErrorClass.INFLIGHT,
                done_ns=-1,
                evidence=(worker.since_ns, mono_now_ns()),
            )
            return
        worker.line.append(arrival)
        idle = worker.idle
        if idle is not None and not idle.done():
            idle.set_result(None)

    async def _work(self, worker: _Worker, number: int) -> None:
        """Await one operation after the other."""
        operation = Operation()
        CURRENT.set(operation)
        loop = asyncio.get_running_loop()
        line = worker.line
        while True:
            while not line:
                worker.idle = loop.create_future()
                await worker.idle
            arrival = line.popleft()
            if arrival.decided:
                continue
            asked = arrival.asked
            assert asked is not None, "client libraries encode by themselves"
            shared = self._clients[number % len(self._clients)]
            shared.users += 1
            operation.tries = operation.answers = 0
            moved = self._tally.moved
            arrival.sent = worker.since_ns = mono_now_ns()
            try:
                reply = await _call(shared.client, asked)
            except Exception as exc:
                if _is_cancelled():
                    raise asyncio.CancelledError from exc  # its connection was dropped
                self._failed(arrival, exc, operation)
            else:
                self._sink.replied(arrival, reply, mono_now_ns())
            if self._tally.moved != moved:
                self._guide.hurry()
            shared.users -= 1
            if _is_cancelled():
                raise asyncio.CancelledError  # the library has kept it to itself
            if shared.is_left and not shared.users:
                self._close_later(shared)

    def _failed(self, arrival: Arrival, exc: Exception, operation: Operation) -> None:
        done_ns = mono_now_ns()
        outcome, error = end_of(
            self._library.classify(exc),
            tries=operation.tries,
            answers=operation.answers,
        )
        self._guide.hurry()
        self._tally.stats.raised += 1
        if arrival.decided:
            self._sink.too_late()
            return
        is_silent = error is ErrorClass.TIMEOUT
        self._sink.failed(
            arrival,
            outcome,
            error,
            done_ns=done_ns if outcome is Outcome.REFUSED else -1,
            evidence=(arrival.sent, arrival.sent if is_silent else done_ns),
        )

    # --- beside the load -------------------------------------------------------

    def request(self, slot: int, command: bytes) -> "asyncio.Future[object]":
        """Send a command by the wire driver beside (prefill, read-back).

        Raises:
            ConnectionError: it has no connection to the owner of the slot.
        """
        return self._guide.request(slot, command)

    def live_connections(self) -> dict[str, int]:
        """Return the number of the library's open connections per shard name."""
        live: dict[str, int] = {}
        for address in self._library.connected_to():
            shard = self._shard_of.get(address)
            if shard is not None:
                live[shard] = live.get(shard, 0) + 1
        return live

    async def _close(self, client: Handle, limit_s: float | None) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await client.close()
        except Exception as exc:  # noqa: BLE001 - the table decides
            if not _is_cancelled() and not isinstance(exc, TimeoutError):
                self._library.classify(exc)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _call(client: Handle, asked: Asked) -> Awaitable[object]:
    if asked.value is None:
        return client.get(asked.key)
    return client.set(asked.key, asked.value, asked.ttl_s)
