"""A lane in virtual time, with a server that is a dict."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from loadprobe.config.keys import Lane as LaneConfig
from loadprobe.config.keys import Probe, Target
from loadprobe.core.judging.columns import Block, Failure
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.topology.slots import SLOTS
from loadprobe.core.topology.topology import Node, Shard, Topology
from loadprobe.drivers.base import Arrival, DriverStats
from loadprobe.drivers.renewal import Renewal
from loadprobe.probe.lag import Lag
from loadprobe.probe.lane import LaneRunner
from loadprobe.probe.orders import Share
from tests.support.blocks import read_block

MS = 1_000_000
START = 1_000_000 * MS
DEADLINE = 100 * MS
PROBE = Probe(stall_ms=20, settle_ms=200)


def topology_of(*ranges: tuple[int, int]) -> Topology:
    """Return a topology with one shard per range of slots."""
    shards = (
        Shard(f"{i:04d}", (owned,), Node(f"n{i}", "h", i), (), 1)
        for i, owned in enumerate(ranges, start=1)
    )
    return Topology(tuple(shards), len(ranges))


ONE = topology_of((0, 16383))
TWO = topology_of((0, 8191), (8192, 16383))


class Store:
    """A driver whose server is a dict; it answers when it is told to."""

    waiting_error = ErrorClass.UNREACHABLE

    def __init__(self) -> None:
        self.submitted: list[Arrival] = []
        self.suspected: list[int] = []
        self.values: dict[bytes, bytes] = {}
        self.now_ns = 0
        self.is_connected = True
        self.resumed = 0

    @property
    def topology(self) -> Topology | None:
        """Return the topology (a lane does not ask for it)."""
        return ONE

    async def run(self, ready: Callable[[], None]) -> None:
        """Connect (there is nothing to connect to)."""
        raise NotImplementedError

    def take_stats(self) -> DriverStats:
        """Return what was counted: nothing is."""
        return DriverStats()

    def submit(self, arrivals: Sequence[Arrival]) -> None:
        """Take arrivals; what is not connected never sends them."""
        for arrival in arrivals:
            if self.is_connected:
                arrival.sent = self.now_ns
            self.submitted.append(arrival)

    def deliver(self) -> None:
        """Do nothing: every reply is reported as it comes."""

    def use_endpoint(self, host: str, port: int, *, cut_over: int | None) -> None:
        """Follow (there is nowhere else)."""

    def use_login(self, username: str | None, password: str | None) -> None:
        """Log in as somebody else (everybody may)."""

    async def renew_login(self, spread_s: float) -> Renewal:
        """Log in anew on open connections (there are none)."""
        return Renewal()

    async def use_certificates(self, target: Target, context: ssl.SSLContext) -> None:
        """Use other certificates (nothing is encrypted)."""

    def suspect(self, slot: int) -> None:
        """Note a slot that got no answer."""
        self.suspected.append(slot)

    def resumed_ns(self, slot: int) -> int:
        """Return when the server began to answer again after a silence."""
        return self.resumed

    def request(self, slot: int, command: bytes) -> "asyncio.Future[object]":
        """Send a command beside the load (there is none here)."""
        raise NotImplementedError

    def live_connections(self) -> dict[str, int]:
        """Return the number of connections."""
        return {"0001": 1}

    def apply(self, arrival: Arrival) -> object:
        """Do what an arrival asks for and return the reply."""
        reader = hiredis.Reader()
        reader.feed(arrival.command)
        verb, key, *rest = reader.gets()
        if verb == b"SET":
            self.values[key] = rest[0]
            return b"OK"
        assert verb == b"GET"
        return self.values.get(key)


class Answers(Store):
    """A driver that reads from its store at once; it has no place for strange keys."""

    def request(self, slot: int, command: bytes) -> "asyncio.Future[object]":
        """Read a key."""
        assert slot < SLOTS
        reader = hiredis.Reader()
        reader.feed(command)
        found: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        found.set_result(self.values.get(reader.gets()[1]))
        return found


class Bench:
    """A lane with its store, at a virtual time."""

    def __init__(
        self, *, topology: Topology = TWO, share: Any = None, **lane: Any
    ) -> None:
        plain: dict[str, Any] = {
            "workers": 4,
            "rate_per_s": 1000.0,
            "keys": 40,
            "deadline_ms": 100,
        }
        config = LaneConfig(name="tcp", **(plain | lane))
        index, count = share or (0, 1)
        self.lane = LaneRunner(
            Share(config, index, count, config.workers, config.workers),
            PROBE,
            version_base=1,
            lag=Lag(),
        )
        self.store = Store()
        self.lane.attach(self.store)
        self.lane.on_topology(topology)

    def run(self, *, from_ns: int, until_ns: int) -> list[Arrival]:
        """Issue what is due in a span, each at its due time; return it."""
        first = len(self.store.submitted)
        at = from_ns
        while at < until_ns:
            self.store.now_ns = at
            at, skipped = self.lane.issue_due(at)
            assert skipped is None
        return self.store.submitted[first:]

    def answer(self, arrival: Arrival, *, after_ns: int) -> None:
        """Let the store apply an arrival; the reply comes some time after its due."""
        self.lane.replied(arrival, self.store.apply(arrival), arrival.due + after_ns)

    def serve(self, *, from_ns: int, until_ns: int) -> list[Arrival]:
        """Issue what is due and answer each after one ms."""
        arrivals = self.run(from_ns=from_ns, until_ns=until_ns)
        for arrival in arrivals:
            self.answer(arrival, after_ns=MS)
        return arrivals

    def take(self) -> tuple[Block, list[Failure]]:
        """Return everything decided since the last call, over all scopes."""
        whole = Block()
        for block in self.lane.take_blocks():
            whole.extend(read_block(block))
        return whole, list(whole.iter_failures())
