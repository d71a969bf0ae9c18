"""What a scenario is told of the load: planned darkness hides nothing else."""

from contextlib import nullcontext
from typing import Any

import pytest

from loadprobe.config.keys import Config, Lane, Target
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind
from loadprobe.errors import RunError
from loadprobe.run.load_control import Steering
from tests.support.outages import outage

S = 1_000_000_000


class Judged:
    """What was judged of one lane: outages, and counts of arrivals."""

    def __init__(self) -> None:
        self.aggregate = self
        self.outages: list[Outage] = []
        self.scope_totals: dict[Scope, Any] = {}

    def current(self) -> dict[str, Outage]:
        """Return nothing: all outages are over."""
        return {}

    def count(self, arrivals: int, failed: int) -> None:
        """Set the totals."""
        self.scope_totals = {
            Scope("tcp", "0001", OpKind.READ): Totals(arrivals, failed),
            Scope("tcp", "0001", OpKind.CONNECT): Totals(arrivals, arrivals),
        }


class Totals:
    """Totals of a scope."""

    def __init__(self, arrivals: int, failed: int) -> None:
        self.arrivals, self.failed = arrivals, failed


@pytest.fixture
def judged() -> Judged:
    """Return a lane without any arrival."""
    return Judged()


@pytest.fixture
def steering(judged: Judged) -> Steering:
    """Return the steering of that lane, dark by plan from 10 s to 40 s."""
    measurement: Any = judged
    config = Config(target=Target("127.0.0.1"), lanes=(Lane("tcp"),))
    watch: Any = None
    result = Steering(
        config,
        measurement,
        watch,
        on_woken=lambda *_: None,
    )
    result.expect_dark(lane="tcp", shard=None, start_ns=10 * S)
    result.expect_lit(lane="tcp", shard=None, end_ns=40 * S)
    return result


class Told:
    """Who logs in, and was told of it."""

    def __init__(self) -> None:
        self.aggregate: Any = None
        self.tuning = self
        self.told: list[tuple[str | None, str | None]] = []

    def use_login(
        self, username: str | None, password: str | None, **_: float | None
    ) -> None:
        """Note it."""
        self.told.append((username, password))

    async def go_over(self, **_: object) -> list[object]:
        """Be there at once, as lanes are; but for what happens meanwhile."""
        await self.meanwhile()
        return []

    async def meanwhile(self) -> None:
        """Let nothing happen."""


class Watch:
    """A watch that follows the lanes."""

    def __init__(self) -> None:
        self.told: list[tuple[str | None, str | None]] = []

    def go_over(self, target: Target, password: str | None, *, tls: bool) -> None:
        """Note where it is led."""
        del tls
        self.told.append((target.host, password))


async def test_a_password_alone_is_that_of_whoever_logs_in() -> None:
    """By name, as servers that stay open beside it want one; probes and watch alike."""
    measurement, watch = Told(), Told()
    config = Config(target=Target("127.0.0.1"), lanes=(Lane("tcp"),))
    probes: Any = measurement
    topology: Any = watch
    steering = Steering(config, probes, topology, on_woken=lambda *_: None)
    await steering.use_password("first")
    steering.use_login("somebody", "second")
    await steering.use_password("third")
    assert measurement.told == [
        ("default", "first"),
        ("somebody", "second"),
        ("somebody", "third"),
    ]
    assert watch.told == measurement.told


async def test_who_looks_after_logins_is_told_of_another_cluster() -> None:
    """After the lanes and the watch are there."""
    measurement, watch = Told(), Watch()
    config = Config(target=Target("127.0.0.1"), lanes=(Lane("tcp"),))
    probes: Any = measurement
    topology: Any = watch
    steering = Steering(config, probes, topology, on_woken=lambda *_: None)
    gone: list[Target] = []

    async def on_gone_over(target: Target) -> None:
        assert watch.told == [("there", "secret")]
        gone.append(target)

    steering.on_gone_over = on_gone_over
    there = Target("there")
    await steering.go_over(tls=False, target=there, password="secret", within_s=1.0)
    assert gone == [there]


@pytest.mark.parametrize("are_there", [True, False])
async def test_a_login_of_the_old_cluster_is_none_at_the_new_one(
    *, are_there: bool
) -> None:
    """A token that is due while lanes go over is told to them only if they stay."""
    measurement, watch = Told(), Watch()
    config = Config(target=Target("127.0.0.1"), lanes=(Lane("tcp"),))
    probes: Any = measurement
    topology: Any = watch
    topology.use_login = lambda *_: None
    steering = Steering(config, probes, topology, on_woken=lambda *_: None)

    async def renew() -> None:
        steering.use_login("app", "token of the old cluster", renew_s=3600.0)
        assert measurement.told == []
        if not are_there:
            raise RunError("not connected in time")

    probes.meanwhile = renew
    with nullcontext() if are_there else pytest.raises(RunError):
        await steering.go_over(
            tls=False, target=Target("there"), password="secret", within_s=1.0
        )
    stays = [("app", "token of the old cluster")]
    assert measurement.told == ([] if are_there else stays)
    measurement.told.clear()
    steering.use_login("app", "later")
    assert measurement.told == [("app", "later")]


@pytest.mark.parametrize(
    ("dark", "unplanned_ms"),
    [
        (outage(10_000, 40_000), 0.0),
        (outage(4_000, 40_000), 6_000.0),
        (outage(10_000, 47_000), 7_000.0),
        (outage(50_000, 52_000), 2_000.0),
    ],
)
def test_what_lies_beyond_the_plan_counts(
    judged: Judged, steering: Steering, dark: Outage, unplanned_ms: float
) -> None:
    """Also of an outage that is planned for the most part."""
    judged.outages = [dark, outage(20_000, 30_000, op=OpKind.WRITE)]
    assert steering.longest_outage_ms() == pytest.approx(unplanned_ms)


def test_errors_beyond_the_plan_count(judged: Judged, steering: Steering) -> None:
    """Those of planned time are left out of both numbers."""
    judged.count(100, 20)
    steering.begin(on_endpoint=lambda _host, _port: None)
    assert steering.error_ratio() == 0.0
    judged.count(200, 22)
    judged.outages = [outage(10_000, 40_000)]
    assert steering.error_ratio() == 0.0
    judged.outages = [outage(10_000, 70_000)]
    assert steering.error_ratio() == pytest.approx(1 / 99)


def test_darkness_that_was_revoked_is_none(steering: Steering) -> None:
    """A lane whose step was refused was never dark by plan."""
    before = steering.planned(60 * S)
    steering.expect_dark(lane="tcp", shard=None, start_ns=50 * S)
    assert len(steering.planned(60 * S)) == 2
    assert steering.closed == ["tcp"]
    steering.expect_lit(lane="tcp", shard=None, end_ns=50 * S)
    assert steering.planned(60 * S) == before
    assert steering.closed == []
