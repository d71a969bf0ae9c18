"""At which rate lanes go, given what goes on and what suffers; in virtual time."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import NS_PER_S, ClockPair
from loadprobe.config.keys import Lane
from loadprobe.config.load import Load
from loadprobe.core.events import (
    Event,
    LoadRestrained,
    MaintenanceBegun,
    MaintenanceOver,
    MarkMade,
    RoleChanged,
    StepBegun,
    StepEnded,
    UpdateSeen,
)
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.latency import SecondP99
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.core.judging.results import Sealed
from loadprobe.core.load.occupancy import Occupancy, ServerLoad
from loadprobe.core.steps import StepState
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.probe.rates import LaneRates
from loadprobe.run.machine import read_steal
from loadprobe.run.pacing import Pacing
from loadprobe.run.straining import Straining
from tests.support.outages import outage

LANES = (
    Lane(name="tcp", rate_per_s=100.0, incident_rate_per_s=3000.0),
    Lane(name="tls", tls=True, rate_per_s=40.0),
    Lane(name="full", loop="closed"),
)
LOAD = Load(
    quiet_s=10, longest_s=100, max_cpu_ratio=0.5, max_steal_ratio=0.1, max_p99_ms=20
)


class Stage:
    """A pacing in virtual time, whose probes do what they are told."""

    def __init__(self, load: Load = LOAD) -> None:
        self.now_ns = 1_000 * NS_PER_S
        self.cpu_ns = 0
        self.busy = 0.1
        self.stolen = 0
        self.ticks = 0
        self.occupancy = Occupancy(60, elsewhere=["tls"])
        self.rates = LaneRates(LANES)
        self.rates.begin([lane.name for lane in LANES], self.now_ns)
        self.changes: list[tuple[str, float, str]] = []
        self.events: list[Event] = []
        self.metrics = RunMetrics("c", aggregate=Aggregate([]), clock=ClockPair(0, 0))
        self.pacing = Pacing(
            LANES,
            load,
            self,
            straining=Straining(
                load,
                cpu_ns=lambda: self.cpu_ns,
                occupancy=self.occupancy,
                steal=lambda: (self.stolen, self.ticks),
                cores=2,
            ),
            metrics=self.metrics,
            emit=self.events.append,
            now_ns=lambda: self.now_ns,
        )

    def change_rate(
        self, lane: str, to_per_s: float, *, reason: str, ramp_s: float = 0.0
    ) -> None:
        """Change it, and take note."""
        self.changes.append((lane, to_per_s, reason))
        self.rates.change(lane, to_per_s, ramp_s=ramp_s, now_ns=self.now_ns)

    def shown(self, metric: str, *labels: str) -> float:
        """Return what a metric shows."""
        return self.metrics.snapshot().values[metric][labels]

    def pass_time(self, seconds: float) -> list[tuple[str, float, str]]:
        """Look four times a second; return what was changed."""
        before = len(self.changes)
        for _ in range(round(seconds * 4)):
            self.now_ns += NS_PER_S // 4
            self.cpu_ns += round(self.busy * NS_PER_S / 4)
            self.ticks += 50
            self.pacing.look()
        return self.changes[before:]


def test_nothing_goes_on_and_nothing_changes() -> None:
    """Lanes stay at the rate that they are configured with."""
    stage = Stage()
    assert stage.pass_time(100) == []
    assert stage.shown("lane_rate_per_second", "tcp") == 100
    assert stage.shown("load_share") == 1


def test_an_outage_raises_the_load_until_quiet_after_it() -> None:
    """The lane with an incident rate goes up at once and comes back, with reasons."""
    stage = Stage()
    stage.pacing.take_sealed(Sealed(0, opened=[outage(1, 2)]))
    assert stage.pass_time(30) == [("tcp", 3000.0, "outage")]
    assert stage.shown("lane_rate_per_second", "tcp") == 3000
    stage.pacing.take_sealed(Sealed(0, closed=[outage(1, 2)]))
    assert stage.pass_time(9.5) == []
    assert stage.pass_time(1) == [("tcp", 100.0, "quiet")]


def test_a_maintenance_raises_the_load_until_quiet_after_it() -> None:
    """From its first sign until it is over, whether anything was dark or not."""
    stage = Stage()
    stage.pacing.take_event(MaintenanceBegun(stage.now_ns, 1, "update", 0))
    assert stage.pass_time(60) == [("tcp", 3000.0, "maintenance")]
    over = MaintenanceOver(
        stage.now_ns, 1, "update", 0, 1, 3, 0, 0.0, 0.0, 0.0, "nobody noticed"
    )
    stage.pacing.take_event(over)
    assert stage.pass_time(9.5) == []
    assert stage.pass_time(1) == [("tcp", 100.0, "quiet")]


def test_what_went_on_before_the_process_began_holds_the_load_high() -> None:
    """An outage that had not ended until it does, and a maintenance likewise."""
    stage = Stage()
    begun_ns = stage.now_ns - 20 * NS_PER_S
    since = begun_ns // 1_000_000
    left = outage(since, since + 2, lane="left")
    stage.pacing.go_on([outage(since, since + 2), left], [])
    assert stage.pass_time(30) == [("tcp", 3000.0, "outage")]
    stage.pacing.take_sealed(Sealed(0, closed=[outage(since, since + 2)]))
    assert stage.pass_time(9.5) == []
    assert stage.pass_time(1) == [("tcp", 100.0, "quiet")]

    stage = Stage()
    first = MaintenanceBegun(begun_ns, 1, "update", 0)
    over = MaintenanceOver(
        begun_ns + 5, 1, "update", 0, 1, 3, 0, 0.0, 0.0, 0.0, "nobody noticed"
    )
    stage.pacing.go_on([], [first, over, MaintenanceBegun(begun_ns, 2, "update", 0)])
    assert stage.pass_time(30) == [("tcp", 3000.0, "maintenance")]
    stage.pacing.take_event(msgspec.structs.replace(over, number=2))
    assert stage.pass_time(10.5) == [("tcp", 100.0, "quiet")]


def test_what_is_over_holds_the_load_high_no_more() -> None:
    """Nothing is left of a maintenance of long ago, or of an outage for too long."""
    stage = Stage()
    long_ago_ns = stage.now_ns - 500 * NS_PER_S
    since = long_ago_ns // 1_000_000
    begun = MaintenanceBegun(long_ago_ns, 1, "update", 0)
    stage.pacing.go_on([outage(since, since + 2)], [begun])
    assert stage.pass_time(5) == []


def test_an_announced_update_raises_the_load_for_a_while() -> None:
    """It has no length: the load is high for quiet_s."""
    stage = Stage()
    update = UpdateSeen(stage.now_ns, "u", "critical", "waiting", "", None)
    stage.pacing.take_event(update)
    assert stage.pass_time(5) == [("tcp", 3000.0, "maintenance")]
    assert stage.pass_time(6) == [("tcp", 100.0, "quiet")]


def test_an_outage_without_an_end_holds_it_for_so_long_only() -> None:
    """A cluster that is gone for days is not asked at the high rate for days."""
    stage = Stage()
    stage.pacing.take_sealed(Sealed(0, opened=[outage(1, 2)]))
    assert stage.pass_time(109) == [("tcp", 3000.0, "outage")]
    assert stage.pass_time(2) == [("tcp", 100.0, "quiet")]
    assert stage.pass_time(500) == []


def test_new_connections_are_no_reason() -> None:
    """What failed was no arrival of the load."""
    stage = Stage()
    failed = outage(1, 2, op=OpKind.CONNECT)
    stage.pacing.take_sealed(Sealed(0, opened=[failed], closed=[failed]))
    assert stage.pass_time(5) == []


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (MarkMade(0, "deploy", by="me"), "mark"),
        (RoleChanged(0, "0001", "a is primary"), "role_change"),
        (StepBegun(0, "f", "failover"), "step"),
    ],
)
def test_events_raise_the_load(event: Event, reason: str) -> None:
    """A mark, another primary and a step are reasons of their own."""
    stage = Stage()
    stage.pacing.take_event(event)
    assert stage.pass_time(1) == [("tcp", 3000.0, reason)]
    stage.pacing.take_event(StepEnded(0, "f", "failover", StepState.SETTLED, ""))
    assert stage.pass_time(11) == [("tcp", 100.0, "quiet")]


def test_the_load_spares_the_machine_and_comes_back() -> None:
    """Too much CPU lowers all open loops step by step; the event says why and when."""
    stage = Stage()
    stage.busy = 1.5
    changes = stage.pass_time(30)
    assert [c for c in changes if c[0] == "tcp"] == [
        ("tcp", 50.0, "strain"),
        ("tcp", 25.0, "strain"),
        ("tcp", 12.5, "strain"),
    ]
    assert [c for c in changes if c[0] == "tls"][-1] == ("tls", 5.0, "strain")
    first = stage.events[0]
    assert isinstance(first, LoadRestrained)
    assert (first.share, first.strains) == (0.5, ("cpu",))
    assert stage.pacing.problem == (
        "the load is at 12.5% of its rate to spare others (cpu)"
    )
    stage.busy = 0.1
    assert stage.pass_time(120)[-1] == ("tls", 40.0, "strain_over")
    assert stage.pacing.problem is None


def test_steal_and_latency_are_strains() -> None:
    """Time that other guests take, and slow answers, lower the load as well."""
    stage = Stage()
    for _ in range(10):
        stage.stolen += 30
        stage.pass_time(1)
    assert stage.rates.target_per_s("tcp") == 50
    stage = Stage()
    for _ in range(10):
        second = stage.now_ns // NS_PER_S
        slow = SecondP99("tcp", "0001", second, 30_000_000)
        stage.pacing.take_sealed(Sealed(0, p99=[slow]))
        stage.pass_time(1)
    assert stage.rates.target_per_s("tcp") == 50
    event = stage.events[-1]
    assert isinstance(event, LoadRestrained)
    assert event.strains == ("latency",)


def _after(clients: int, most: int | None, ops_per_s: int, sent: int) -> Stage:
    """Return a stage whose one server told this for ten seconds."""
    stage = Stage(Load(max_connections_ratio=0.25, max_operations_ratio=0.5))
    for _ in range(10):
        second = stage.now_ns // NS_PER_S
        rows = []
        for lane in ("tcp", "tls"):  # "tls" reads elsewhere
            row = SecondCounts(Scope(lane, "0001", OpKind.READ), second)
            row.counts[Outcome.SERVED], row.counts[Outcome.UNSENT] = sent, 10_000
            rows.append(row)
        stage.pacing.take_sealed(Sealed(0, seconds=rows))
        told = ServerLoad(clients, most, ops_per_s)
        stage.occupancy.take_server("0001", told, stage.now_ns)
        stage.pass_time(1)
    return stage


@pytest.mark.parametrize(
    ("clients", "most", "ops_per_s", "sent", "strains"),
    [
        (61, 300, 250, 100, None),
        (61, 240, 250, 100, None),
        (61, 239, 250, 100, ("connections",)),
        (285, 300, 250, 100, ("connections",)),
        (284, 300, 250, 100, None),
        (61, None, 250, 100, None),
        (61, 300, 200, 100, None),
        (61, 300, 199, 100, ("operations",)),
        (61, 300, 0, 100, ("operations",)),
        (61, 300, 0, 0, None),
        (300, 300, 0, 100, ("connections", "operations")),
    ],
)
def test_servers_are_spared(
    clients: int,
    most: int | None,
    ops_per_s: int,
    sent: int,
    strains: tuple[str, ...] | None,
) -> None:
    """Our share of connections and operations has ceilings; nearly full is too much."""
    stage = _after(clients, most, ops_per_s, sent)
    told = [e.strains for e in stage.events if isinstance(e, LoadRestrained)]
    assert set(told) == ({strains} if strains else set())
    assert stage.rates.target_per_s("tcp") == (50 if strains else 100)


def test_a_server_that_tells_nothing_any_more_is_no_reason() -> None:
    """What it told is too old after ten seconds; the load comes back."""
    stage = _after(300, 300, 1000, 100)
    stage.pass_time(120)
    assert stage.rates.target_per_s("tcp") == 100


def test_without_ceilings_nothing_is_spared() -> None:
    """What is not configured is not looked at."""
    stage = Stage(Load())
    stage.busy, stage.stolen = 2.0, 10_000
    assert stage.pass_time(60) == []


def test_other_rates_are_taken_over() -> None:
    """After a reload the next look goes by the new rates."""
    stage = Stage()
    stage.pacing.use((Lane(name="tcp", rate_per_s=70.0), *LANES[1:]), LOAD)
    assert stage.pass_time(1) == [("tcp", 70.0, "quiet")]


def test_steal_is_read_as_the_system_tells_it(tmp_path: Path) -> None:
    """The eighth time of the first line is stolen; without the file nothing is."""
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 0 5 100 1 0 2 7 3 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    assert read_steal(stat) == (7, 125)
    assert read_steal(tmp_path / "none") == (0, 0)
