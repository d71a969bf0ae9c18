"""What follows a run: all is ready before, or nothing changes."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.config.changes import changes
from loadprobe.config.file import parse_config
from loadprobe.config.keys import Config, Lane, Tunnel
from loadprobe.control.provider.iam_token import TokenMaker
from loadprobe.control.provider.shared import SharedApi
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.run import preparing, succession
from loadprobe.run.checks import Check
from loadprobe.run.plan import RunOptions, RunPlan
from loadprobe.run.succession import Present, Succession
from tests.support.scenario_stage import stage_scenario, step

TEXT = """
[target]
host = "h"
[http]
listen = "127.0.0.1:0"
[[lanes]]
name = "tcp"
"""
CONFIG = parse_config(TEXT, where="test")
MORE = msgspec.structs.replace(CONFIG, lanes=(*CONFIG.lanes, Lane("more")))
TCP = LaneInfo("tcp", False, (0,), 1)


class Waiting:
    """Processes that are there, until they are ended."""

    def __init__(self) -> None:
        self.is_there = True

    async def end(self) -> None:
        """End them."""
        self.is_there = False


class Unprobed:
    """A measurement without processes."""

    problem: RunError | None = None

    def __init__(self, config: Config, **_more: object) -> None:
        self.tuning = self
        self.config = config
        self.nodes: Mapping[str, str] = {}
        self.standby = Waiting()
        self.login: tuple[str | None, str | None] | None = None

    def use_login(self, username: str | None, password: str | None) -> None:
        """Log in as somebody from then on."""
        assert not self.nodes, "it is too late"
        self.login = username, password

    async def make_ready(self, nodes: Mapping[str, str], *, within_s: float) -> None:
        """Be ready at once, unless there is a problem."""
        self.nodes = nodes
        if self.problem is not None:
            raise self.problem


class Stage:
    """A run that may go over.

    Attributes:
        looked_at: where HTTP was to be served, by the checks.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looked_at: list[str] = []
        self.check = Check("all", passed=True, detail="")
        monkeypatch.setattr(succession, "Measurement", Unprobed)
        monkeypatch.setattr(preparing, "preflight", self._preflight)
        monkeypatch.setattr(Unprobed, "problem", None)
        self.next = Succession(CONFIG, RunOptions(), SharedApi())

    async def _preflight(self, config: Config, _shared: object, **_more: object) -> Any:
        self.looked_at.append(config.http.listen)
        yield Check("dns", passed=False, detail="an outage", may_come=True)
        yield self.check

    async def prepare(
        self,
        config: Config = MORE,
        plan: RunPlan | None = None,
        lanes: tuple[LaneInfo, ...] = (TCP,),
    ) -> None:
        """Prepare a configuration."""
        present = Present(plan or RunPlan(CONFIG), lanes, {"node": "0001"})
        await self.next.prepare(config, changes(CONFIG, config), present)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a run that may go over."""
    return Stage(monkeypatch)


async def nothing() -> None:
    """Send nothing."""


async def test_what_follows(stage: Stage, tmp_path: Path) -> None:
    """It is taken once, when the run was left; the port that was taken is kept."""
    stage.next.begin(10 * NS_PER_S, 60.0)
    stage.next.address = ("127.0.0.1", 4321)
    await stage.prepare()
    assert await stage.next.take() is None, "nothing was left"
    await stage.prepare()
    stage.next.leave(tmp_path, nothing())
    found = await stage.next.take()
    assert found is not None
    assert (found.plan.config, found.as_read) == (MORE, MORE)
    measurement: Any = found.measurement
    assert measurement.nodes == {"node": "0001"}
    assert stage.next.measurement is measurement
    assert stage.next.as_read == MORE
    assert stage.next.http(MORE.http).listen == "127.0.0.1:4321"
    # Any port will do to look at the rest: this one is taken by ourselves.
    assert stage.looked_at == ["127.0.0.1:0"] * 2
    stage.next.begin(90 * NS_PER_S, 60.0)
    assert stage.next.until_ns == 70 * NS_PER_S
    assert await stage.next.take() is None
    await stage.next.end()


async def test_an_iam_user(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """New probes log in by a token of now: the one of the run may be stale soon."""
    monkeypatch.setattr(TokenMaker, "make", lambda _maker: "a token")
    target = msgspec.structs.replace(
        CONFIG.target, iam_user="me", iam_cache="c", iam_region="r"
    )
    await stage.prepare(msgspec.structs.replace(MORE, target=target))
    assert stage.next.next is not None
    measurement: Any = stage.next.next.measurement
    assert measurement.login == ("me", "a token")


async def test_another_address(stage: Stage, tmp_path: Path) -> None:
    """It has to be free, and is served at then."""
    stage.next.address = ("::1", 4321)
    elsewhere = msgspec.structs.replace(CONFIG.http, listen="[::1]:5")
    await stage.prepare(msgspec.structs.replace(CONFIG, http=elsewhere))
    assert stage.looked_at == ["[::1]:5"]
    assert stage.next.http(CONFIG.http).listen == "[::1]:4321"
    stage.next.leave(tmp_path, nothing())
    assert await stage.next.take() is not None
    assert stage.next.http(elsewhere).listen == "[::1]:5"
    await stage.next.end()


async def test_processes_that_have_ended_meanwhile(
    stage: Stage, tmp_path: Path
) -> None:
    """Then others are started when the load goes on."""
    await stage.prepare()
    following: Any = stage.next.next
    following.measurement.standby.is_there = False
    stage.next.leave(tmp_path, nothing())
    assert await stage.next.take() is not None
    assert stage.next.measurement is None
    await stage.next.end()


async def test_a_run_that_ends_instead(stage: Stage) -> None:
    """What was prepared is let go."""
    await stage.prepare()
    following: Any = stage.next.next
    await stage.next.give_up()
    assert not following.measurement.standby.is_there
    assert stage.next.next is None
    await stage.next.give_up()


async def test_a_run_that_has_ended_when_all_is_ready(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing follows, and nobody is left."""
    waiting: list[Waiting] = []

    async def end_meanwhile(self: Unprobed, *_: object, **_more: object) -> None:
        waiting.append(self.standby)
        await stage.next.give_up()

    monkeypatch.setattr(Unprobed, "make_ready", end_meanwhile)
    with pytest.raises(UsageError, match="the run has ended meanwhile"):
        await stage.prepare()
    assert stage.next.next is None
    assert [each.is_there for each in waiting] == [False]


SCENARIO = stage_scenario(step("failover", shard="0001"))
BY_TUNNEL = msgspec.structs.replace(
    CONFIG, target=msgspec.structs.replace(CONFIG.target, tunnel=Tunnel("bastion"))
)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (
            {"plan": RunPlan(CONFIG, scenario=SCENARIO)},
            "lanes.more: cannot change in a run with a scenario",
        ),
        ({"config": BY_TUNNEL}, "target.tunnel: cannot change while nodes are reached"),
        (
            {"lanes": (TCP, LaneInfo("more", True, (), 1))},
            "lanes.more: this run had another lane of that name",
        ),
    ],
)
async def test_what_cannot_follow(stage: Stage, more: Any, why: str) -> None:
    """It is named, before anything is done."""
    with pytest.raises(UsageError, match=why):
        await stage.prepare(**more)
    assert stage.looked_at == []
    assert stage.next.next is None


async def test_what_cannot_be_prepared(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said why, and nothing follows; what an outage can prevent is left out."""
    stage.check = Check("http", passed=False, detail="port 5 is in use")
    with pytest.raises(PreflightError, match="port 5 is in use"):
        await stage.prepare()
    assert stage.next.next is None
    stage.check = Check("receiver", passed=False, detail="away", is_needed=False)
    monkeypatch.setattr(Unprobed, "problem", RunError("nobody is there"))
    with pytest.raises(UsageError, match="more: nothing was changed, for nobody is"):
        await stage.prepare()
    assert stage.next.next is None
    await asyncio.sleep(0)
