"""What is decided before a run, and what becomes of a group that it created."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from loadprobe.config.keys import Config, Control, Http, Lane, Target
from loadprobe.control.created import markers
from loadprobe.control.created.markers import Marker
from loadprobe.control.provider import shared as shared_api
from loadprobe.control.provider.faults import ApiRefused
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.provider.state import GroupState
from loadprobe.control.scenario.file import load_scenario
from loadprobe.control.scenario.lanes import begins_with_group
from loadprobe.errors import RunError, UsageError
from loadprobe.run import launch, preparing
from loadprobe.run.checks import Check
from loadprobe.run.launch import RunOptions, run_load
from loadprobe.run.plan import RunPlan
from loadprobe.run.preparing import for_created
from loadprobe.signals import Stopping
from tests.support.scenario_stage import group_of, stage_scenario, state_of, step

CONTROL = Control("made", endpoint_url="http://127.0.0.1:1")
WHERE = "made at http://127.0.0.1:1"
LEFT = "made is left behind and costs; delete it: loadprobe cleanup"
CREATE = step("create", node_type="cache.t4g.micro")
TCP, TLS = Lane(name="tcp"), Lane(name="tls", tls=True)


def config_of(*lanes: Lane, target: Target | None = None) -> Config:
    """Return a configuration that names a group and no endpoint."""
    return Config(
        target=target or Target(),
        lanes=lanes or (TCP,),
        control=CONTROL,
        http=Http(listen=""),
    )


class Launched:
    """A launch in which neither API nor load exist.

    Attributes:
        plans: what was to be run.
        does: what the run does instead; it returns its exit code.
        deletes: what the deletion does instead.
        deleted: markers whose groups were deleted.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._text = io.StringIO()
        self.plans: list[RunPlan] = []
        self.stopping: Stopping | None = None
        self.does: Callable[[], int] = lambda: 0
        self.deletes: Callable[[], None] = lambda: None
        self.deleted: list[Marker] = []
        self.asked: list[bool] = []
        monkeypatch.setenv("XDG_STATE_HOME", str(folder))
        monkeypatch.setattr(launch, "Run", self._run)
        monkeypatch.setattr(shared_api, "open_api", self._open)
        monkeypatch.setattr(preparing, "preflight", self._preflight)
        monkeypatch.setattr(launch, "delete_created", self._delete)

    @property
    def text(self) -> str:
        """Return what was printed."""
        return self._text.getvalue()

    async def launch(self, text: str) -> int:
        """Launch a run with a scenario; return the exit code."""
        console = Console(file=self._text, width=160)
        options = RunOptions(scenario=stage_scenario(text))
        return await run_load(config_of(), options, console=console)

    def create(self) -> int:
        """Do what the step does before its call."""
        markers.write(CONTROL, now_ns=1, mark="7f3a")
        return 0

    def _run(
        self,
        plan: RunPlan,
        api: object,
        console: Console,
        stopping: Stopping,
        _service: object,
        **_more: object,
    ) -> "Launched":
        assert api is (self if plan.config.control is not None else None)
        self.plans.append(plan)
        self.stopping = stopping
        return self

    async def describe_state(self, _needs: object, *, missing_ok: bool) -> GroupState:
        """Return a group whose provider does not tell its engines."""
        assert missing_ok, "the group is yet to be created"
        return state_of(group_of(1))

    async def run(self) -> int:
        """Be the run."""
        return self.does()

    @asynccontextmanager
    async def _open(
        self, control: Control, *, must_exist: bool
    ) -> AsyncIterator["Launched"]:
        assert control == CONTROL
        self.asked.append(must_exist)
        yield self

    async def _preflight(
        self,
        config: Config,
        shared: SharedApi,
        *,
        dormant: frozenset[str],
        must_exist: bool,
    ) -> AsyncIterator[Check]:
        if config.control is not None:
            api: object = await shared.open(config.control)
            assert api is self, "it was opened again"
        self.asked.append(must_exist)
        yield Check("all", passed=True, detail=f"{config.name} {dormant}")
        # No run waits for what it does not need.
        yield Check("receiver", passed=False, detail="away", is_needed=False)

    async def _delete(
        self, api: object, marker: Marker, *, tell: Callable[[str], None]
    ) -> None:
        assert api is self
        self.deletes()
        self.deleted.append(marker)
        tell("deleted")
        markers.remove(marker.control)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Launched:
    """Return a launch without API and load."""
    return Launched(monkeypatch, tmp_path)


async def test_a_group_is_deleted_after_the_run(launched: Launched) -> None:
    """The run's exit code is kept; what happens is told."""
    launched.does = lambda: launched.create() + 3
    assert await launched.launch(CREATE) == 3
    (marker,) = launched.deleted
    assert marker.control == CONTROL
    assert launched.text == (
        f"{WHERE}: this run created it, so it is deleted now (a second signal leaves "
        "it to loadprobe cleanup)\ndeleted\n"
    )
    assert launched.asked == [False, False]


async def test_a_run_that_created_nothing(launched: Launched) -> None:
    """Without a note of this process there is nothing to delete."""
    assert await launched.launch(CREATE) == 0
    assert launched.deleted == []
    assert launched.text == ""


@pytest.mark.parametrize(
    "error", [RunError("no probe"), ZeroDivisionError(), asyncio.CancelledError()]
)
async def test_a_run_that_breaks_down(launched: Launched, error: BaseException) -> None:
    """The group is deleted also then, and the error goes on to whoever reports it."""

    def break_down() -> int:
        launched.create()
        raise error

    launched.does = break_down
    with pytest.raises(type(error)):
        await launched.launch(CREATE)
    assert len(launched.deleted) == 1


@pytest.mark.parametrize("does_break", [False, True])
async def test_a_group_that_cannot_be_deleted(
    launched: Launched, *, does_break: bool
) -> None:
    """It is a problem that names the group and the way out; the note of it stays."""

    def refuse() -> None:
        raise ZeroDivisionError if does_break else ApiRefused("not allowed")

    launched.does = launched.create
    launched.deletes = refuse
    assert await launched.launch(CREATE) == 1
    reason = "ZeroDivisionError" if does_break else "not allowed"
    assert launched.text.endswith(f"PROBLEM  {LEFT} (deleting it failed: {reason})\n")
    assert markers.own(CONTROL) is not None


async def test_a_run_that_is_urged_says_what_is_left(launched: Launched) -> None:
    """Deleting is given up, the exit code is that of a hard end, the group is named."""

    def urge() -> None:
        assert launched.stopping is not None
        launched.stopping.urged.set()

    launched.does = launched.create
    launched.deletes = urge
    assert await launched.launch(CREATE) == 130
    assert LEFT in launched.text.splitlines()


async def test_a_group_to_keep(launched: Launched) -> None:
    """It stays, which is said, and the note of it goes."""
    launched.does = launched.create
    assert await launched.launch(CREATE + "keep = true\n") == 0
    assert launched.deleted == []
    assert markers.own(CONTROL) is None
    assert launched.text == (
        f"{WHERE}: stays, as the scenario says (keep = true), and costs until you "
        "delete it\n"
    )


async def test_lanes_of_a_group_to_come(launched: Launched) -> None:
    """All are asleep, at no endpoint: whatever was there before is not the target."""
    await launched.launch(CREATE)
    (plan,) = launched.plans
    assert plan.dormant == {"tcp"}
    assert plan.config.target.host == ""


async def test_watching_without_an_api(launched: Launched) -> None:
    """All lanes begin at once: nothing has to be created or changed for them."""
    config = Config(target=Target("127.0.0.1"), lanes=(TCP, TLS))
    console = Console(file=io.StringIO())
    options = RunOptions(scenario=load_scenario("watch"))
    assert await run_load(config, options, console=console) == 0
    assert launched.plans[0].dormant == frozenset()


@pytest.mark.parametrize(("shards", "is_cluster"), [(0, False), (1, True)])
def test_the_scenario_decides_on_cluster_mode(*, shards: int, is_cluster: bool) -> None:
    """An endpoint of before is forgotten, and so is how it was to be used."""
    target = Target("old.example.com", port=7000, cluster=not is_cluster)
    scenario = stage_scenario(f"{CREATE}shards = {shards}\n")
    found = for_created(config_of(target=target), scenario).target
    assert found == Target(port=7000, cluster=is_cluster)


@pytest.mark.parametrize(
    ("text", "lane"),
    [
        (CREATE, TLS),
        (f'{CREATE}mode = "required"\n', TCP),
        (f'{CREATE}mode = "required"\n' + step("tls", mode="preferred"), TCP),
    ],
)
def test_a_lane_that_is_never_served(text: str, lane: Lane) -> None:
    """It is refused before a group is paid for."""
    with pytest.raises(UsageError) as caught:
        for_created(config_of(TCP, TLS), stage_scenario(text))
    word = "TLS" if lane.tls else "plaintext"
    assert str(caught.value) == (
        f"scenario s creates a group that never serves lane {lane.name} ({word}); "
        'remove the lane, or set the mode of the "create" step'
    )


def test_lanes_that_are_served_in_their_time() -> None:
    """Both transports, if the scenario brings both."""
    both = stage_scenario(CREATE + step("tls", mode="preferred"))
    assert for_created(config_of(TCP, TLS), both).lanes == (TCP, TLS)
    only = stage_scenario(f'{CREATE}mode = "required"\n')
    assert for_created(config_of(TLS), only).lanes == (TLS,)


def test_a_password_of_a_group_without_one() -> None:
    """The new group would refuse it, and every lane with it."""
    target = Target(password_env="PASSWORD")
    with pytest.raises(UsageError, match="creates a group without a password"):
        for_created(config_of(target=target), stage_scenario(CREATE))


def test_a_group_that_takes_over_data() -> None:
    """The lanes begin at the source, which has to be named."""
    scenario = stage_scenario(
        CREATE
        + step("migrate_start", source_host="old.example.com")
        + step("migrate_complete")
    )
    assert not begins_with_group(scenario)
    config = config_of(target=Target("old.example.com", cluster=False))
    assert for_created(config, scenario) is config
    with pytest.raises(UsageError, match="set target.host to it"):
        for_created(config_of(), scenario)
