"""Runs for integration tests, as a measurement in this process.

Probes and servers are real processes; the command itself is in ``run_command``.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from loadprobe.clock import ClockPair, read_clock_pair
from loadprobe.config.keys import Config, Http, Lane, Probe, Target
from loadprobe.core.events import Event
from loadprobe.core.intervals import Interval, union
from loadprobe.core.judging.activity import Activity
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.latency import P99Log
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.core.judging.results import Results, Sealed
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.measured import (
    Changes,
    Course,
    DataFound,
    Measured,
    ObserverHealth,
)
from loadprobe.core.verdict.verdict import Verdict, summarize
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from loadprobe.probe.messages import ProbeSnapshot
from loadprobe.run.health import work_of
from loadprobe.run.hearing import Listeners, Prefilled
from loadprobe.run.load import Measurement

_Kind = TypeVar("_Kind", bound=Event)

_SEAL_S = 0.1
_READY_S = 30.0
# A shared machine stalls a probe now and then: that is blind time, and told apart.
PATIENT = Probe(stall_ms=50, settle_ms=500)


def named_target(plane: ControlPlane, group: str, **more: Any) -> Target:
    """Return the target of a group of a control plane: by name, if it has names."""
    endpoints = plane.endpoints(group)
    names: dict[str, Any] = {}
    if endpoints is not None:
        names = {"host": endpoints.primary, "name_server": plane.name_server}
    return target_of(plane.cluster(group), **(names | more))


def target_of(cluster: LocalCluster, **more: Any) -> Target:
    """Return the target of a local cluster."""
    plain: dict[str, Any] = {
        "host": cluster.host,
        "port": cluster.port,
        "tls_port": cluster.tls_port,
        "ca_file": str(cluster.ca_file) if cluster.ca_file else None,
        "cluster": cluster.cluster_mode,
    }
    return Target(**(plain | more))


def small_lane(name: str = "tcp", **more: Any) -> Lane:
    """Return a lane that is no burden for a small machine, without new connections."""
    plain: dict[str, Any] = {"workers": 20, "rate_per_s": 300.0, "keys": 600}
    if more.get("driver", "wire") == "wire":
        plain["connect_rate_per_s"] = 0.0
    return Lane(name=name, **(plain | more))


def config_of(target: Target, *lanes: Lane, **more: Any) -> Config:
    """Return a configuration without an HTTP server."""
    plain: dict[str, Any] = {"http": Http(listen=""), "probe": PATIENT}
    return Config(target=target, lanes=lanes, **(plain | more))


async def until(
    is_true: Callable[[], bool], *, what: str, within_s: float = 20.0
) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it does not hold in time.
    """
    try:
        async with asyncio.timeout(within_s):
            while not is_true():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(
            f"after {within_s:g} s there is still not: {what}"
        ) from None


async def until_true(
    is_true: Callable[[], Awaitable[bool]], *, within_s: float = 20.0
) -> None:
    """Wait until something that has to be asked for holds.

    Raises:
        TimeoutError: it does not hold in time.
    """
    async with asyncio.timeout(within_s):
        while not await is_true():
            await asyncio.sleep(0.02)


@dataclass(slots=True)
class Trial:
    """A measurement that runs, and what it found once it has ended."""

    config: Config
    dormant: Collection[str] = ()
    clock: ClockPair = field(default_factory=read_clock_pair)
    events: list[Event] = field(default_factory=list)
    prefills: list[Prefilled] = field(default_factory=list)
    seconds: list[SecondCounts] = field(default_factory=list)
    activity: Activity = field(default_factory=Activity)
    p99: P99Log = field(default_factory=P99Log)
    redirects: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    stale: int = 0
    absent: Counter[str] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)
    renewed: Counter[str] = field(default_factory=Counter)
    snapshots: int = 0
    rss_bytes: dict[int, int] = field(default_factory=dict)
    begun_ns: int = 0
    ended_ns: int = 0
    _measurement: Measurement | None = None
    _results: Results | None = None

    @property
    def measurement(self) -> Measurement:
        """Return the measurement."""
        assert self._measurement is not None
        return self._measurement

    @property
    def results(self) -> Results:
        """Return what was judged."""
        assert self._results is not None
        return self._results

    @property
    def pids(self) -> list[int]:
        """Return the process ids of the probes."""
        return [probe.pid for probe in self.measurement.probes if probe.pid]

    def start(self) -> Measurement:
        """Make the measurement."""
        self._measurement = Measurement(
            self.config,
            dormant=self.dormant,
            listeners=Listeners(
                emit=self.events.append,
                on_snapshot=self._take_snapshot,
                on_prefill=self.prefills.append,
            ),
        )
        return self._measurement

    def _take_snapshot(self, snapshot: ProbeSnapshot) -> None:
        self.snapshots += 1
        self.rss_bytes[snapshot.process] = snapshot.rss_bytes
        for lane in snapshot.lanes:
            self.activity.add_work(lane.lane, snapshot.taken_ns, work_of(lane))
            self.redirects.update(lane.redirects)
            self.skipped += lane.skipped
            self.stale += sum(lane.stale.values())
            self.absent[lane.lane] += sum(lane.absent.values())
            self.expired[lane.lane] += sum(lane.expired.values())
            self.renewed[lane.lane] += lane.renewed

    def seal(self) -> None:
        """Judge what came in."""
        self._take_sealed(self.measurement.seal())

    def _take_sealed(self, sealed: Sealed) -> None:
        self.seconds += sealed.seconds
        self.activity.add_seconds(sealed.seconds)
        self.activity.add_histograms(sealed.histograms)
        self.p99.add(sealed.p99)

    async def seal_for_ever(self) -> None:
        """Judge what comes in, as a supervisor does."""
        while True:
            self.seal()
            await asyncio.sleep(_SEAL_S)

    def finish(self, end_ns: int) -> None:
        """Judge the rest."""
        self.ended_ns = end_ns
        self._results = self.measurement.aggregate.finish(end_ns)
        self._take_sealed(self._results.last)

    def verdict(
        self,
        planned: Sequence[Planned] = (),
        *,
        scenario: ScenarioRecord | None = None,
    ) -> Verdict:
        """Return what would be said about it, given what was done and planned."""
        return summarize(
            Measured(
                self.results,
                self.clock,
                quiet_ns=self.config.probe.quiet_ms * 1_000_000,
                observer=ObserverHealth(skipped=self.skipped),
                data=DataFound(
                    stale_reads=self.stale,
                    absent_reads=self.absent,
                    lost_writes=self.measurement.lost_writes,
                ),
                course=Course(self.p99, self.activity),
                changes=Changes(scenario, planned),
            )
        )

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def count(self, outcome: Outcome, *, lane: str | None = None) -> int:
        """Return the number of arrivals that ended in one way."""
        return sum(
            totals.counts[outcome]
            for scope, totals in self.results.scope_totals.items()
            if lane in (None, scope.lane)
        )

    @property
    def failed(self) -> int:
        """Return the number of failed arrivals."""
        return sum(totals.failed for totals in self.results.scope_totals.values())

    @property
    def served(self) -> int:
        """Return the number of served arrivals."""
        return self.count(Outcome.SERVED)

    @property
    def classes(self) -> Counter[ErrorClass]:
        """Return the failed arrivals by class."""
        counted: Counter[ErrorClass] = Counter()
        for totals in self.results.scope_totals.values():
            counted.update(totals.classes)
        return counted

    def outages(self, lane: str, shard: str) -> list[Outage]:
        """Return the outages of a shard on a lane, of all op kinds."""
        return [o for o in self.results.outages if o.scope[:2] == (lane, shard)]

    def blind(self, lane: str) -> list[Interval]:
        """Return when a lane was blind."""
        spans = self.results.lane_totals[lane].blind
        return union((span.start_ns, span.end_ns) for span in spans)

    @property
    def scopes(self) -> Sequence[Scope]:
        """Return all scopes."""
        return list(self.results.scope_totals)


@asynccontextmanager
async def measuring(
    config: Config, *, dormant: Collection[str] = ()
) -> AsyncIterator[Trial]:
    """Measure while the block runs; results are there after it."""
    trial = Trial(config, dormant)
    measurement = trial.start()
    try:
        async with asyncio.TaskGroup() as group:
            probing = measurement.spawn(group)
            try:
                async with asyncio.timeout(_READY_S):
                    await measurement.wait_until_ready()
                trial.begun_ns = measurement.begin()
                sealing = group.create_task(trial.seal_for_ever())
                await until(lambda: trial.snapshots > 0, what="a snapshot")
                yield trial
                sealing.cancel()
                trial.ended_ns = await measurement.end(probing, meanwhile=trial.seal)
            except BaseException:
                measurement.kill()
                raise
    except BaseExceptionGroup as group_error:
        raise _first(group_error) from group_error
    trial.finish(trial.ended_ns)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def open_slots(
    slots: Sequence[int], cluster: LocalCluster, old: LocalNode, new: LocalNode
) -> None:
    """Make slots migrate, and move their keys: the old node answers ASK from now on."""
    await new.pipeline(
        [("CLUSTER", "SETSLOT", s, "IMPORTING", old.node_id) for s in slots]
    )
    await old.pipeline(
        [("CLUSTER", "SETSLOT", s, "MIGRATING", new.node_id) for s in slots]
    )
    found = await old.pipeline([("CLUSTER", "GETKEYSINSLOT", s, 1000) for s in slots])
    # Servers that talk TLS among themselves (tls-cluster) do so for MIGRATE, too.
    port = new.ports.tls if cluster.tls else new.ports.plain
    replies = await old.pipeline(
        [
            ("MIGRATE", new.host, port, "", 0, 5000, "KEYS", *names)
            for names in found
            if names
        ]
    )
    assert set(replies) <= {"OK", "NOKEY"}


async def close_slots(
    slots: Sequence[int], cluster: LocalCluster, old: LocalNode, new: LocalNode
) -> None:
    """Give slots to their new owner; all nodes are told at once, not by gossip."""
    others = [node for node in cluster.nodes if node not in (old, new)]
    for node in (new, old, *others):
        await node.pipeline(
            [("CLUSTER", "SETSLOT", s, "NODE", new.node_id) for s in slots]
        )
