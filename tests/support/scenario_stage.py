"""A scenario on a stage: a group, lanes and load that are made up, in virtual time.

The event loop's clock jumps to whatever comes next, so that hours take milliseconds and
every time is exact.
"""

import asyncio
import selectors
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from loadprobe.clock import NS_PER_S, read_clock_pair
from loadprobe.config.keys import Config, Control, Lane, Target
from loadprobe.control.mutations.mutate import Caller, TimeLimits, Withheld
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.provider.faults import ApiRefused
from loadprobe.control.provider.replies import (
    CacheCluster,
    Call,
    Endpoint,
    Group,
    NodeGroup,
    UpdateAction,
)
from loadprobe.control.provider.state import ABSENT, AVAILABLE, GroupState
from loadprobe.control.scenario import (
    observing,
    step_runner,
    transferring,
    transports,
)
from loadprobe.control.scenario import runner as scenario_module
from loadprobe.control.scenario.file import Scenario, parse_scenario
from loadprobe.control.scenario.runner import run_scenario
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.control.watch.endpoint import WatchedEndpoint
from loadprobe.core.events import (
    Emit,
    Event,
    ScenarioBegun,
    ScenarioEnded,
    StepBegun,
    StepEnded,
)
from loadprobe.core.steps import ScenarioRecord, StepRecord, StepState, WentOver
from loadprobe.errors import ControlError
from tests.support.events import DETAILS

PLAIN, TLS = Endpoint("plain.example.com", 6379), Endpoint("tls.example.com", 6380)
CONFIG = Config(
    target=Target("plain.example.com", tls_port=6380),
    lanes=(Lane("tcp"), Lane("tls", tls=True)),
    control=Control("rg"),
)


class _JumpingSelector(selectors.SelectSelector):
    """Waits for nothing, and says how long it would have waited."""

    waited_s = 0.0

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everybody waits, and nothing will ever happen")
        self.waited_s += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual seconds since the loop began."""
        return self._jumping.waited_s


def now_ns() -> int:
    """Return the virtual time; 0 outside of a loop."""
    return round(asyncio.get_running_loop().time() * 1000) * NS_PER_S // 1000


def group_of(shards: int, *, size: int = 2, tls_mode: str = "none") -> Group:
    """Return an available group."""
    now = read_clock_pair()
    ids = [f"{number:04d}" for number in range(1, shards + 1)]
    return Group(
        id="rg",
        status=AVAILABLE,
        pending={},
        shards={
            id_: NodeGroup(
                id_,
                AVAILABLE,
                slots=(),
                members=tuple(f"rg-{id_}-{n:03d}" for n in range(1, size + 1)),
            )
            for id_ in ids
        },
        endpoint=PLAIN if tls_mode == "none" else TLS,
        tls_mode=tls_mode,
        call=Call("DescribeReplicationGroups", now, now, "", None),
    )


def state_of(group: Group) -> GroupState:
    """Return a state with what all steps may need."""
    nodes = [
        CacheCluster(m, AVAILABLE, "small", "redis", "7.0.15") for m in group.members
    ]
    return GroupState(
        group,
        tuple(nodes),
        updates=(UpdateAction("update-1", "not-applied", "low"),),
        node_types=("large", "huge"),
        records=(),
        seen_unix_ns=0,
    )


class DirectWays:
    """Every node is reached by its address, always."""

    async def ask_way(self, host: str, port: int) -> None:
        """Need nothing."""

    def was_blocked(self, since_ns: int) -> bool:
        """Tell that it was not."""
        del since_ns
        return False


class Api:
    """The group, as the provider tells it."""

    def __init__(self, state: GroupState) -> None:
        self.group_id = state.group.id
        self.state = state
        self.faults: list[ControlError] = []

    @property
    def provider_now_ns(self) -> int:
        """Return the provider's time."""
        return 1_000 * NS_PER_S

    async def describe_state(
        self, needs: object = (), *, missing_ok: bool = False
    ) -> GroupState:
        """Return the state, or raise the next fault."""
        if self.faults:
            raise self.faults.pop(0)
        return self.state

    async def describe_group(self) -> Group:
        """Return the group."""
        return self.state.group


@dataclass
class Lanes:
    """The lanes, and what was asked of them: (virtual seconds, what)."""

    lanes: Sequence[Lane] = CONFIG.lanes
    asked: list[tuple[float, str]] = field(default_factory=list)
    passwords: list[str | None] = field(default_factory=list)
    is_held: bool = False

    async def wake(self, *, tls: bool, host: str, port: int) -> bool:
        """Note it."""
        assert tls, "only TLS is waited for"
        self.asked.append((now_ns() / NS_PER_S, f"wake tls at {host}:{port}"))
        return True

    async def use_endpoint(
        self, *, tls: bool, host: str, port: int, replace: bool = False
    ) -> None:
        """Note it."""
        how = ", another cluster" if replace else ""
        self._note(f"{'tls' if tls else 'tcp'} to {host}:{port}{how}")

    async def go_over(
        self, *, tls: bool, target: Target, password: str | None, within_s: float
    ) -> Sequence[WentOver]:
        """Note it; one key of two is lost."""
        del within_s
        self._note(f"{'tls' if tls else 'tcp'} over to {target.host}:{target.port}")
        self.passwords.append(password)
        return [
            WentOver(lane.name, now_ns(), checked=2, lost=1, overwritten=0, unread=0)
            for lane in self.lanes
            if lane.tls == tls
        ]

    async def hold_writes(self, *, within_s: float) -> int:
        """Note it."""
        del within_s
        self._note("writes held")
        self.is_held = True
        return now_ns()

    def release_writes(self) -> int:
        """Note it, if they are held."""
        if self.is_held:
            self._note("writes go on")
        self.is_held = False
        return now_ns()

    async def use_password(self, password: str) -> None:
        """Note it."""
        self._note(f"password of {len(password)}")

    def expect_dark(self, *, lane: str, shard: str | None, start_ns: int) -> None:
        """Note it, as of the time that was given."""
        self.asked.append((start_ns / NS_PER_S, f"{lane} {shard or 'all'} dark"))

    def expect_lit(self, *, lane: str, shard: str | None, end_ns: int) -> None:
        """Note it, as of the time that was given."""
        self.asked.append((end_ns / NS_PER_S, f"{lane} {shard or 'all'} lit"))

    def _note(self, what: str) -> None:
        self.asked.append((now_ns() / NS_PER_S, what))


@dataclass
class Load:
    """The measurement: what it shows from which virtual second on."""

    outages_ms: dict[float, float] = field(default_factory=dict)
    ratio: float = 0.0
    wrong_replies: int = 0

    def longest_outage_ms(self) -> float:
        """Return the outage of now."""
        now_s = now_ns() / NS_PER_S
        return max((ms for s, ms in self.outages_ms.items() if s <= now_s), default=0.0)

    def error_ratio(self) -> float:
        """Return the ratio."""
        return self.ratio

    def wrong(self) -> int:
        """Return the number."""
        return self.wrong_replies


class Watch:
    """An endpoint that ends with the step."""

    def __init__(self, watched: WatchedEndpoint, emit: Emit) -> None:
        self.name = f"{watched.endpoint.host}:{watched.endpoint.port}"
        self.is_tls = watched.context is not None
        self.refused_ns: int | None = None
        self.cut_ns: int | None = None

    async def run(self) -> None:
        """Watch for ever."""
        await asyncio.Event().wait()

    async def wait_refused(self, deadline_s: float) -> bool:
        """Note the end, now."""
        self.refused_ns = self.cut_ns = now_ns()
        return True


class Scout:
    """Finds TLS served after some virtual seconds, or never.

    Args:
        after_s: how long it takes; None is for ever.
    """

    def __init__(self, after_s: float | None) -> None:
        self._after_s = after_s

    async def first_served(self) -> tuple[Endpoint, int]:
        """Return where, and when."""
        if self._after_s is None:
            await asyncio.Event().wait()
        await asyncio.sleep(self._after_s or 0)
        return Endpoint("db", 7777), now_ns()


class Stage:
    """All of it, and how mutations go: each takes ten seconds.

    Attributes:
        mutations: what was carried out: (virtual seconds, step, mutation).
        refuses: name of a step -> what its mutation fails with.
        breaks: the same, ten seconds after it was accepted.
        unneeded: names of steps whose target is there already.
        on_call: called with the mutation at its call.
        tls_after_s: TLS is served so long after the call that switches it on; None
            is when that has settled.
        config: where the lanes are at first.
        withheld: environment variables with secrets.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, group: Group | None = None
    ) -> None:
        self.api = Api(state_of(group or group_of(3)))
        self.config = CONFIG
        self.lanes = Lanes()
        self.load = Load()
        self.events: list[Event] = []
        self.records: list[ScenarioRecord] = []
        self.mutations: list[tuple[float, str, Mutation]] = []
        self.watches: list[Watch] = []
        self.refuses: dict[str, ControlError] = {}
        self.breaks: dict[str, ControlError] = {}
        self.unneeded: set[str] = set()
        self.on_call: Callable[[Mutation], None] = lambda _: None
        self.tls_after_s: float | None = None
        self.withheld: frozenset[str] = frozenset()
        monkeypatch.setattr(step_runner, "mutate", self._mutate)
        monkeypatch.setattr(
            transports, "TlsScout", lambda _target, **_: Scout(self.tls_after_s)
        )
        monkeypatch.setattr(transports, "EndpointWatch", self._watch)
        modules = observing, scenario_module, step_runner, transferring, transports
        for module in modules:
            monkeypatch.setattr(module, "mono_now_ns", now_ns)

    def around(self) -> Surroundings:
        """Return the run around a scenario."""
        return Surroundings(
            self.config,
            self.api,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            lanes=self.lanes,
            load=self.load,
            emit=self.events.append,
            ways=DirectWays(),
            withheld=self.withheld,
        )

    def run(
        self, text: str | Scenario, *, stop_at_s: float | None = None
    ) -> ScenarioRecord:
        """Carry a scenario out; return the last record, also after a stop."""
        scenario = text if isinstance(text, Scenario) else stage_scenario(text)

        async def carry_out() -> None:
            try:
                async with asyncio.timeout(stop_at_s):
                    await run_scenario(
                        scenario, self.around(), on_record=self.records.append
                    )
            except TimeoutError:
                assert stop_at_s is not None
            self.ended_s = asyncio.get_running_loop().time()

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(carry_out())
        return self.records[-1]

    def told_of_steps(self) -> list[tuple[float, str, str]]:
        """Return (virtual seconds, name, state) of what is told of steps."""
        return [
            (event.mono_ns / NS_PER_S, event.step, event.state)
            for event in self.events
            if isinstance(event, StepBegun | StepEnded)
        ]

    def told_of_scenario(self) -> list[tuple[float, str, str]]:
        """Return (virtual seconds, name, state) of what is told of the scenario."""
        return [
            (event.mono_ns / NS_PER_S, event.name, event.state)
            for event in self.events
            if isinstance(event, ScenarioBegun | ScenarioEnded)
        ]

    def _watch(self, watched: WatchedEndpoint, emit: Emit) -> Watch:
        self.watches.append(Watch(watched, emit))
        return self.watches[-1]

    async def _mutate(
        self,
        api: object,
        mutation: Mutation,
        phases: Phases,
        *,
        topology: object,
        pace: TimeLimits,
        caller: Caller,
    ) -> StepRecord:
        """Do what ``mutations.mutate`` does: phases, time, another state."""
        step = phases.step
        phases.shards = ("0001",)
        self.mutations.append((now_ns() / NS_PER_S, step, mutation))

        def enter(name: str) -> None:
            phases.enter(DETAILS[name], mono_ns=now_ns())

        state = StepState.UNNEEDED
        if step not in self.unneeded:
            state = StepState.SETTLED
            caller.before_call(now_ns())
            enter("api_call")
            self.on_call(mutation)
            if step in self.refuses:
                if isinstance(self.refuses[step], ApiRefused | Withheld):
                    caller.not_applied()
                raise self.refuses[step]
            enter("accepted")
            await asyncio.sleep(10)
            if step in self.breaks:
                raise self.breaks[step]
            after = mutation.after(self.api.state)
            mode = after.group.tls_mode
            group = replace(after.group, endpoint=PLAIN if mode == "none" else TLS)
            if group.status == ABSENT:
                group = replace(group, endpoint=None)
            self.api.state = replace(after, group=group, node_types=("large", "huge"))
            enter("settled")
        return phases.record(state)


def stage_scenario(text: str) -> Scenario:
    """Return a scenario with holds of seconds, written down shortly."""
    head = 'description = "x"\nbaseline_s = 10\nafter_s = 20\n'
    return parse_scenario(f"{head}{text}", where="s.toml", name="s")


def step(operation: str, **keys: object) -> str:
    """Return a [[steps]] section with a hold of 5 s after it."""
    lines = [f"{key} = {_toml(value)}" for key, value in keys.items()]
    return "\n".join(["[[steps]]", f'operation = "{operation}"', *lines, ""])


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


FAILOVER = step("failover", shard="0001")
