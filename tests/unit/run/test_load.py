"""Measuring: whose silence is whose, and where the load ends."""

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import pytest

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Config, Lane, Target
from loadprobe.core.events import Event, RunStalled
from loadprobe.core.topology.topology import Node, Shard, Topology
from loadprobe.errors import PreflightError, RunError
from loadprobe.probe.messages import (
    FromProbe,
    LaneHealth,
    ProbeSnapshot,
    ScopeBlock,
    TopologySeen,
)
from loadprobe.probe.orders import (
    UseEndpoint,
    UseLogin,
)
from loadprobe.run import gone, hearing
from loadprobe.run import load as module
from loadprobe.run.health import Health
from loadprobe.run.hearing import Listeners
from loadprobe.run.load import Measurement

S = 1_000_000_000


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ns = 100 * S

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ns


class QuietProbe:
    """A probe process that takes what it is told and says nothing."""

    def __init__(self, process: int, _plan: object, **_callbacks: object) -> None:
        self.process = process
        self.stopped_at_ns: int | None = None

    def start(self, _message: object) -> None:
        """Begin."""

    def stop(self, at_ns: int, _detours: object) -> None:
        """Note the end."""
        self.stopped_at_ns = at_ns

    def kill(self) -> None:
        """End."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock, and the probe processes."""
    clock = Clock()
    for each in (gone, hearing, module):
        monkeypatch.setattr(each, "mono_now_ns", clock)
    monkeypatch.setattr(module, "FleetProbe", QuietProbe)
    return clock


def begun(clock: Clock, events: list[Event] | None = None) -> Measurement:
    """Return a measurement of one process whose load has begun."""
    told = [] if events is None else events
    measurement = Measurement(
        Config(target=Target(host="127.0.0.1"), lanes=(Lane(name="tcp"),)),
        listeners=Listeners(emit=told.append),
    )
    clock.now_ns = measurement.begin()
    return measurement


def snapshot(watermark_ns: int) -> FromProbe:
    """Return a snapshot that says only how far everything is decided."""
    return ProbeSnapshot(
        process=0,
        seq=0,
        taken_ns=watermark_ns,
        watermark_ns=watermark_ns,
        blocks=[],
        lanes=[],
        stalls=[],
        lag_ns=b"",
        gc_ns=[],
        cpu_ns=0,
        rss_bytes=0,
    )


def look_for(measurement: Measurement, clock: Clock, seconds: int) -> None:
    """Seal four times a second, as a supervisor does."""
    for _ in range(4 * seconds):
        clock.now_ns += S // 4
        measurement.seal()


def blind_ns(measurement: Measurement, end_ns: int) -> int:
    """Return how long the lane was blind, all in all."""
    return measurement.aggregate.finish(end_ns).lane_totals["tcp"].blind_ns


def test_a_silent_process_is_blind(clock: Clock) -> None:
    """Sealing goes on without a process that says nothing for five seconds."""
    measurement = begun(clock)
    start_ns = clock.now_ns
    look_for(measurement, clock, 20)
    assert measurement.aggregate.sealed_until_ns == start_ns + 15 * S


def test_a_stopped_supervisor_does_not_make_data_blind(clock: Clock) -> None:
    """What the probes said while nobody looked is judged when it is heard."""
    measurement = begun(clock)
    look_for(measurement, clock, 1)
    clock.now_ns += 3600 * S
    look_for(measurement, clock, 1)
    measurement.hearing.take(snapshot(clock.now_ns))
    measurement.seal()
    assert measurement.aggregate.sealed_until_ns == clock.now_ns
    assert blind_ns(measurement, clock.now_ns) == 0


def test_a_stopped_supervisor_says_so(clock: Clock) -> None:
    """When nobody looked is told: what the controller saw then, it saw late."""
    events: list[Event] = []
    measurement = begun(clock, events)
    look_for(measurement, clock, 1)
    looked_ns = measurement.hearing._looked_ns
    clock.now_ns += 9 * S
    look_for(measurement, clock, 1)
    (event,) = events
    assert isinstance(event, RunStalled)
    assert event.mono_ns == looked_ns
    health = Health()
    health.take_event(event)
    ((start_ns, end_ns),) = health.course.controller.away
    assert start_ns == looked_ns
    assert 9 * S <= end_ns - start_ns <= 10 * S


def test_silence_counts_again_after_a_pause(clock: Clock) -> None:
    """A process that stays silent after the supervisor is back is blind."""
    measurement = begun(clock)
    start_ns = clock.now_ns
    look_for(measurement, clock, 1)
    clock.now_ns += 60 * S
    look_for(measurement, clock, 7)
    assert measurement.aggregate.sealed_until_ns > start_ns + 60 * S


async def test_the_read_back_is_not_blind(clock: Clock) -> None:
    """After the end of the load silence is no blind time, and nothing is sealed."""
    measurement = begun(clock)
    look_for(measurement, clock, 2)
    end_ns = clock.now_ns
    reading_back = asyncio.Event()

    def meanwhile() -> None:
        if measurement.aggregate.watermark_ns(0) != end_ns + S:
            measurement.hearing.take(snapshot(end_ns + S))
        clock.now_ns += 4 * S
        assert measurement.seal().until_ns <= end_ns
        if clock.now_ns > end_ns + 10 * S:
            reading_back.set()

    async def probe() -> None:
        await reading_back.wait()

    ended_ns = await measurement.end(
        [asyncio.create_task(probe())], meanwhile=meanwhile
    )
    assert ended_ns == measurement.end_ns == end_ns
    assert measurement.aggregate.sealed_until_ns == end_ns // 1_000_000 * 1_000_000
    assert blind_ns(measurement, end_ns) == 0


# --- lanes that begin later, and shards by one name -----------------------------------

TLS = Lane(name="tls", tls=True)
TCP = Lane(name="tcp")


class Talking(QuietProbe):
    """A probe process that is made to say things; it is ready at once."""

    made: ClassVar[list["Talking"]] = []

    def __init__(self, process: int, plan: Any, **callbacks: Any) -> None:
        super().__init__(process, plan)
        self.plan = plan
        self.say = callbacks["on_message"]
        self.told: list[object] = []
        self.ready = asyncio.Event()
        self.has_begun = False
        self.ended = asyncio.Event()
        self.made.append(self)

    async def run(self) -> None:
        """Say what has to be said at the start, and run until killed."""
        self.plan(True)
        self.say(topology_seen(self.process, "tls" if self.process else "tcp", "ab"))
        self.ready.set()
        await self.ended.wait()

    def start(self, _message: object) -> None:
        """Begin."""
        self.has_begun = True

    def tell(self, message: object) -> None:
        """Note what was told."""
        self.told.append(message)

    def kill(self) -> None:
        """End."""
        self.ended.set()

    def stop(self, at_ns: int, detours: object) -> None:
        """End in order."""
        super().stop(at_ns, detours)
        self.ended.set()


class Refused(Talking):
    """A probe process that cannot connect."""

    async def run(self) -> None:
        """Fail if it is not the first one."""
        if self.process:
            raise PreflightError("connecting to h:1 by TLS failed")
        await super().run()


class Slow(Talking):
    """A probe process that, if it is not the first one, is connected when told so."""

    connected: ClassVar[asyncio.Event]

    async def run(self) -> None:
        """Make its plan, and be ready later."""
        if self.process:
            self.plan(True)
            await self.connected.wait()
        await super().run()


def topology_seen(
    process: int, lane: str, primaries: str, cut_over: int = 0
) -> TopologySeen:
    """Return what a process tells of shards, named in the order of the letters."""
    shards = tuple(
        Shard(f"{i + 1:04d}", ((ord(n), ord(n)),), Node(n, "h", ord(n)), (), 1)
        for i, n in enumerate(primaries)
    )
    return TopologySeen(process, lane, Topology(shards, len(shards)), cut_over)


@asynccontextmanager
async def running(
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Talking] = Talking,
    listeners: Listeners | None = None,
) -> AsyncIterator[Measurement]:
    """Measure with processes of a kind; the TLS lane is dormant."""
    Talking.made.clear()
    monkeypatch.setattr(module, "FleetProbe", kind)
    measurement = Measurement(
        Config(target=Target(host="h"), lanes=(TCP, TLS)),
        dormant={"tls"},
        listeners=listeners,
    )
    async with asyncio.TaskGroup() as group:
        tasks = measurement.spawn(group)
        await measurement.wait_until_ready()
        measurement.begin()
        yield measurement
        await measurement.end(tasks, meanwhile=lambda: None)
    for probe in measurement.probes:
        assert isinstance(probe, Talking)
        assert probe.stopped_at_ns is not None


async def test_a_dormant_lane_begins_when_it_is_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not hold up the others before, and its process is ended with them."""
    async with running(monkeypatch) as measurement:
        assert measurement.dormant == {"tls"}
        assert [probe.has_begun for probe in measurement.probes] == [True, False]
        target = Target(host="other", tls_port=6380)
        await measurement.wake(["tls"], target)
        assert measurement.dormant == frozenset()
        assert [probe.has_begun for probe in measurement.probes] == [True, True]
        plan = measurement._plans.plan(1, is_first=True)
        assert plan.targets == {"tls": target}
        assert plan.gently
        await measurement.wake(["tls"])  # nothing is left to do
    assert all(task.done() for task in measurement._tasks)
    assert len(measurement._tasks) == 2


async def test_what_changes_while_a_lane_wakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told to its process, which has an older plan; it has one process only."""
    Slow.connected = asyncio.Event()
    async with running(monkeypatch, Slow) as measurement:
        waking = [asyncio.create_task(measurement.wake(["tls"])) for _ in range(2)]
        await asyncio.sleep(0.01)
        measurement.tuning.use_login("default", "new")
        await measurement.use_endpoint(tls=True, host="h2", port=7)
        Slow.connected.set()
        await asyncio.gather(*waking)
        probe = measurement.probes[1]
        assert isinstance(probe, Talking)
        assert probe.told == [
            UseLogin("default", "new"),
            UseEndpoint(True, "h2", 7, None),
        ]
        assert len(measurement._tasks) == 2


async def test_a_lane_that_is_woken_logs_in_as_all_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """User and certificates that were changed before it began are its own, too."""
    there = Target(host="other", tls_port=6380)
    async with running(monkeypatch) as measurement:
        measurement.tuning.use_login("somebody", "new")
        measurement.tuning.use_certificates(Target(host="h", ca_file="new.pem"))
        await measurement.wake(["tls"], there)
        plan = measurement._plans.plan(1, is_first=True)
    expected = msgspec.structs.replace(there, username="somebody", ca_file="new.pem")
    assert plan.targets == {"tls": expected}
    assert plan.password == "new"


async def test_a_lane_that_cannot_be_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again for a while; then the reason is told, and the run goes on."""
    async with running(monkeypatch, Refused) as measurement:
        with pytest.raises(RunError, match="waking lanes tls failed: connecting to"):
            await measurement.wake(["tls"], within_s=0.6)
        assert len([p for p in Talking.made if p.process == 1]) >= 1 + 2
        assert measurement.dormant == {"tls"}
    with pytest.raises(RunError, match="the load ended before"):
        await measurement.wake(["tls"])


def block(process: int, lane: str, shard: str) -> ProbeSnapshot:
    """Return a snapshot with one served arrival."""
    now = array("q", [mono_now_ns()]).tobytes()
    health = LaneHealth(
        lane, {shard: 7}, {}, {}, [], 0, 0, 0, 0, 0, 0, {shard: 1}, {}, {}
    )
    row = ScopeBlock(lane, shard, 0, now, now, now, b"")
    plain = snapshot(0)
    assert isinstance(plain, ProbeSnapshot)
    return msgspec.structs.replace(
        plain, process=process, blocks=[row, row], lanes=[health]
    )


async def test_processes_that_name_shards_differently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arrivals and health are counted by one name, whatever a process calls a shard."""
    told: list[ProbeSnapshot] = []
    listeners = Listeners(on_snapshot=told.append)
    async with running(monkeypatch, listeners=listeners) as measurement:
        await measurement.wake(["tls"])
        tcp, tls = measurement.probes
        assert isinstance(tcp, Talking)
        assert isinstance(tls, Talking)
        tcp.say(topology_seen(0, "tcp", "abcd"))
        tls.say(topology_seen(1, "tls", "abdc"))
        tcp.say(block(0, "tcp", "0003"))
        tls.say(block(1, "tls", "0003"))
        with pytest.raises(KeyError):
            tls.say(block(1, "tls", "0005"))
    shards = {scope.lane: scope.shard for scope in measurement.aggregate._scopes}
    assert shards == {"tcp": "0003", "tls": "0004"}
    assert [message.lanes[0].connections for message in told] == [
        {"0003": 7},
        {"0004": 7},
    ]
    assert told[1].lanes[0].acknowledged == {"0004": 1}


async def test_a_restart_goes_where_the_lane_was_told_to_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Endpoint, password and topology of a restart are the newest ones."""
    async with running(monkeypatch) as measurement:
        (probe, _) = measurement.probes
        assert isinstance(probe, Talking)
        plan = measurement._plans.plan(0, is_first=False)
        assert list(plan.known) == ["tcp"]
        measurement.tuning.use_login("default", "new")
        await measurement.use_endpoint(tls=False, host="h2", port=7)
        going = asyncio.create_task(
            measurement.use_endpoint(tls=False, host="h3", port=8, replace=True)
        )
        await asyncio.sleep(0)
        assert probe.told == [
            UseLogin("default", "new"),
            UseEndpoint(False, "h2", 7, None),
            UseEndpoint(False, "h3", 8, 1),
        ]
        probe.say(topology_seen(0, "tcp", "ba"))  # the old cluster, once more
        plan = measurement._plans.plan(0, is_first=False)
        assert (plan.known, plan.cut_overs, plan.password) == ({}, {"tcp": 1}, "new")
        assert plan.targets == {"tcp": Target(host="h3", port=8, username="default")}
        assert not going.done()
        probe.say(topology_seen(0, "tcp", "xy", cut_over=1))
        await going
        known = measurement._plans.plan(0, is_first=False).known["tcp"]
        assert {shard.primary.id for shard in known.shards} == {"x", "y"}
        with pytest.raises(RunError, match="lanes tcp are not connected to the clu"):
            await measurement.use_endpoint(
                tls=False, host="h4", port=9, replace=True, within_s=0.05
            )
