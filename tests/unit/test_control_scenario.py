"""Scenarios are carried out in order, under abort conditions, and ended as promised.

Everything is in virtual time: a mutation takes ten seconds, a hold what it says.
"""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from loadprobe.config import Target
from loadprobe.control.faults import ApiRefused, ApiUnanswered
from loadprobe.control.lane_control import dormant_lanes
from loadprobe.control.mutation import Mutation
from loadprobe.control.mutations import (
    FailOver,
    RotateAuth,
    Scale,
    SetNodeType,
    SetReplicas,
    SetTls,
    UpgradeEngine,
)
from loadprobe.control.scenario import exceeded
from loadprobe.control.scenario_file import load_scenario
from loadprobe.control.scenario_keys import Abort
from loadprobe.control.settle import Withheld
from loadprobe.control.state import GroupState
from loadprobe.core.steps import ScenarioState, StepState
from loadprobe.errors import ControlError, ProbeCrashed, RunError
from tests.unit.scenario_stage import (
    CONFIG,
    Load,
    Stage,
    group_of,
    stage_scenario,
    step,
)

SETTLED, FAILED, SKIPPED = StepState.SETTLED, StepState.FAILED, StepState.SKIPPED
FAILOVER = step("failover", shard="0001")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a stage with three shards of two nodes, without TLS."""
    return Stage(monkeypatch)


def test_holds_and_steps_in_order(stage: Stage) -> None:
    """Baseline, step, hold after it, hold before the next, load at the end."""
    record = stage.run(FAILOVER + step("hold", seconds=3, hold_before_s=7))
    assert stage.told("step") == [
        (10, "failover", "begun"),
        (20, "failover", "settled"),
        (32, "hold", "begun"),
        (35, "hold", "settled"),
    ]
    assert stage.told("scenario") == [(0, "s", "begun"), (40, "s", "completed")]
    assert stage.ended_s == 60
    assert record.state is ScenarioState.COMPLETED
    assert [(s.name, s.state) for s in record.steps] == [
        ("failover", SETTLED),
        ("hold", SETTLED),
    ]
    phases = {name: ns / 1e9 for name, ns in record.steps[0].phases_ns.items()}
    assert phases == {"api_call": 10, "accepted": 10, "settled": 20}
    assert record.steps[0].shards == ("0001",)


def test_relative_values_and_rounds(stage: Stage) -> None:
    """A change is relative to the group as it is then; later rounds have a number."""
    record = stage.run(
        "repeat = 2\n"
        + step("scale", name="out", shards="+2")
        + step("scale", name="in", shards="-1")
        + step("replicas", count="+1")
    )
    expected: list[Mutation] = [
        Scale(5),
        Scale(4),
        SetReplicas(2),
        Scale(6),
        Scale(5),
        SetReplicas(3),
    ]
    assert [mutation for _, _, mutation in stage.mutations] == expected
    names = [s.name for s in record.steps]
    assert names == ["out", "in", "replicas", "out#2", "in#2", "replicas#2"]


def test_node_types_next_and_back(stage: Stage) -> None:
    """Next is the first that is offered; back is what it was before, in any round."""
    stage.run(
        "repeat = 2\n"
        + step("node_type", node_type="next")
        + step("node_type", node_type="back")
    )
    types = [m.node_type for _, _, m in stage.mutations if isinstance(m, SetNodeType)]
    assert types == ["large", "small", "large", "small"]


def test_the_engine_stays_the_same_unless_said(stage: Stage) -> None:
    """Without an engine the group's own is meant, without a group none is sent."""
    stage.run(step("engine", version="7.1"))
    assert stage.mutations[0][2] == UpgradeEngine("redis", "7.1")


def test_all_shards_in_turn(stage: Stage) -> None:
    """Each shard is a turn of its own, with a hold after it."""
    record = stage.run(step("failover", shard="all"))
    assert [(s, name) for s, name, _ in stage.mutations] == [
        (10, "failover/0001"),
        (25, "failover/0002"),
        (40, "failover/0003"),
    ]
    assert [m for _, _, m in stage.mutations] == [
        FailOver("0001"),
        FailOver("0002"),
        FailOver("0003"),
    ]
    assert [s.state for s in record.steps] == [SETTLED] * 3


def test_the_tls_migration_leads_the_lanes(stage: Stage) -> None:
    """Lanes go where they are served, are dark by plan, and get their endpoint back."""
    record = stage.run(load_scenario("tls-migration"))
    assert record.state is ScenarioState.COMPLETED
    assert [m for _, _, m in stage.mutations] == [
        SetTls("preferred"),
        SetTls("required"),
        SetTls("preferred"),
        SetTls("none"),
    ]
    assert stage.lanes.asked == [
        (20, "tls to tls.example.com:6380"),
        (30, "tcp all dark"),
        (40, "tls to tls.example.com:6380"),
        (60, "tls to tls.example.com:6380"),
        (60, "tcp to plain.example.com:6379"),
        (60, "tcp all lit"),
        (70, "tls all dark"),
        (80, "tcp to plain.example.com:6379"),
    ]
    assert [(w.name, w.is_tls) for w in stage.watches] == [
        ("plain.example.com:6379", False),
        ("tls.example.com:6380", True),
    ]
    ends = [s.phases_ns.get("endpoint_refused") for s in record.steps]
    assert ends == [None, 40 * 10**9, None, 80 * 10**9]


def test_a_repeated_tls_migration_is_lit_again(stage: Stage) -> None:
    """Darkness of one round ends in the next."""
    scenario = load_scenario("tls-migration")
    stage.run(replace(scenario, repeat=2))
    tls = [(s, what) for s, what in stage.lanes.asked if what.startswith("tls all")]
    assert tls == [(70, "tls all dark"), (95, "tls all lit"), (145, "tls all dark")]


def test_darkness_of_one_shard_and_lane(stage: Stage) -> None:
    """An expectation may be about a lane by name and about one shard."""
    stage.run(
        FAILOVER
        + '[[expected]]\ndark = ["tls"]\nshard = "0001"\nfrom_step = "failover"\n'
        + 'until_step = "failover"\n'
    )
    assert stage.lanes.asked == [(10, "tls 0001 dark"), (20, "tls 0001 lit")]


def test_darkness_without_a_call_begins_with_its_step(stage: Stage) -> None:
    """A step that was not needed still begins what it stands for."""
    stage.unneeded = {"failover"}
    record = stage.run(
        FAILOVER + '[[expected]]\ndark = ["all"]\nfrom_step = "failover"\n'
    )
    assert stage.lanes.asked == [(10, "tcp all dark"), (10, "tls all dark")]
    assert record.steps[0].state is StepState.UNNEEDED


def test_a_call_that_was_refused_darkens_nothing(stage: Stage) -> None:
    """Whatever is dark after it is no part of the plan."""
    stage.refuses["required"] = ApiRefused("not now", code="InvalidParameterValue")
    stage.run(load_scenario("tls-migration"))
    dark = [(s, what) for s, what in stage.lanes.asked if what.startswith("tcp all")]
    assert dark == [(30, "tcp all dark"), (30, "tcp all lit")]


def test_a_step_that_fails_ends_its_darkness(stage: Stage) -> None:
    """It was to be dark on account of the step, which came to nothing."""
    stage.breaks["required"] = ControlError("not settled")
    record = stage.run(load_scenario("tls-migration"))
    assert record.state is ScenarioState.FAILED
    dark = [(s, what) for s, what in stage.lanes.asked if what.startswith("tcp all")]
    assert dark == [(30, "tcp all dark"), (40, "tcp all lit")]


def test_plaintext_that_ended_stays_dark_when_a_later_step_fails(stage: Stage) -> None:
    """The way back has failed, so the lanes are where the plan had brought them."""
    stage.breaks["preferred-again"] = ControlError("not settled")
    stage.run(load_scenario("tls-migration"))
    dark = [(s, what) for s, what in stage.lanes.asked if what.startswith("tcp all")]
    assert dark == [(30, "tcp all dark")]


def test_darkness_ends_with_a_step_that_settled_and_failed_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plaintext is served again; lanes that cannot go there are not dark by plan."""
    use_endpoint = stage.lanes.use_endpoint

    async def refuse_tcp(*, tls: bool, host: str, port: int, replace: bool) -> None:
        if not tls:
            raise RunError("no route")
        await use_endpoint(tls=tls, host=host, port=port, replace=replace)

    monkeypatch.setattr(stage.lanes, "use_endpoint", refuse_tcp)
    record = stage.run(load_scenario("tls-migration"))
    assert [s.state for s in record.steps] == [SETTLED, SETTLED, FAILED, SKIPPED]
    dark = [(s, what) for s, what in stage.lanes.asked if what.startswith("tcp all")]
    assert dark == [(30, "tcp all dark"), (60, "tcp all lit")]


def test_a_mutation_that_an_abort_withheld_is_skipped(stage: Stage) -> None:
    """It darkens nothing, and the scenario is aborted, not failed."""
    stage.refuses["failover"] = Withheld("failover of shard 0001: not begun: x")
    stage.load.outages_ms = {10: 9000.0}
    record = stage.run(
        FAILOVER
        + '[[expected]]\ndark = ["tcp"]\nfrom_step = "failover"\n'
        + "[abort]\nmax_outage_ms = 8000\n"
    )
    assert record.state is ScenarioState.ABORTED
    assert [s.state for s in record.steps] == [SKIPPED]
    assert stage.lanes.asked == [(10, "tcp all dark"), (10, "tcp all lit")]


def test_a_migration_moves_the_lanes_at_the_cut_over(stage: Stage) -> None:
    """Until then they stay at the source; then it is another cluster."""
    record = stage.run(load_scenario("migration", {"source_host": "source"}))
    assert record.state is ScenarioState.COMPLETED
    assert stage.lanes.asked == [
        (60, "tcp to plain.example.com:6379, another cluster"),
    ]


def test_a_token_is_made_used_and_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A missing file is made; the lanes log in with it after each change."""
    stage = Stage(monkeypatch, group_of(1, tls_mode="required"))
    path = tmp_path / "token"
    stage.run(load_scenario("auth-rotation", {"token_file": str(path)}))
    token = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(token) == 32
    rotations = [m for _, _, m in stage.mutations if isinstance(m, RotateAuth)]
    assert [(m.strategy, m.token.reveal()) for m in rotations] == [
        ("rotate", token),
        ("set", token),
    ]
    assert (20, "password of 32") in stage.lanes.asked
    texts = [e.fields["text"] for e in stage.events if e.kind == "token"]
    assert texts == [f"made a new token in {path} (mode 0600)"]
    assert token not in repr(stage.events)
    assert token not in repr(stage.records)


def test_an_abort_ends_a_hold(stage: Stage) -> None:
    """A condition that comes true is seen within a quarter of a second."""
    stage.load.outages_ms = {4: 2500.0}
    record = stage.run(FAILOVER + "[abort]\nmax_outage_ms = 2000\n")
    reason = "an outage of 2500 ms that was not expected (abort.max_outage_ms = 2000)"
    assert stage.told("scenario") == [(0, "s", "begun"), (4, "s", "aborted")]
    assert (record.state, record.reason) == (ScenarioState.ABORTED, reason)
    assert [(s.state, s.reason) for s in record.steps] == [(SKIPPED, reason)]
    assert stage.mutations == []
    assert stage.ended_s == 24


def test_an_abort_lets_a_mutation_end(stage: Stage) -> None:
    """What was begun is observed to its end; nothing further is begun."""
    stage.load.outages_ms = {12: 9000.0}
    text = FAILOVER + step("hold", seconds=1) + "[abort]\nmax_outage_ms = 8000\n"
    record = stage.run(text)
    assert [s.state for s in record.steps] == [SETTLED, SKIPPED]
    assert "settled" in record.steps[0].phases_ns
    assert stage.told("scenario")[-1] == (20, "s", "aborted")
    assert stage.ended_s == 40


def test_an_abort_cuts_a_hold_step_short(stage: Stage) -> None:
    """A hold that was cut short says so."""
    stage.load.outages_ms = {30: 9000.0}
    text = step("hold", seconds=600) + "[abort]\nmax_outage_ms = 8000\n"
    (hold,) = stage.run(text).steps
    assert hold.state is SKIPPED
    assert hold.reason.startswith("cut short by an outage of 9000 ms")


def test_a_failed_step_ends_the_scenario(stage: Stage) -> None:
    """The rest is skipped for its reason, and the load goes on."""
    stage.refuses["failover"] = ControlError("no replica")
    record = stage.run(FAILOVER + step("scale", shards="+1"))
    assert (record.state, record.reason) == (
        ScenarioState.FAILED,
        "step failover: no replica",
    )
    assert [(s.state, s.reason) for s in record.steps] == [
        (FAILED, "no replica"),
        (SKIPPED, "step failover: no replica"),
    ]
    assert list(record.steps[0].phases_ns) == ["api_call"]
    assert stage.ended_s == 30


def test_a_group_that_cannot_be_described_fails_the_step(stage: Stage) -> None:
    """Also where the shards were to be asked for."""
    stage.api.faults = [ControlError("throttled")]
    record = stage.run(step("failover", shard="all"))
    assert record.state is ScenarioState.FAILED
    assert record.reason == "step failover: throttled"
    assert [s.state for s in record.steps] == [SKIPPED]


def test_a_stop_is_recorded_before_it_is_passed_on(stage: Stage) -> None:
    """The step under way has failed with the run, with what was seen of it."""
    record = stage.run(FAILOVER + step("scale", shards="+1"), stop_at_s=13)
    assert stage.ended_s == 13
    assert (record.state, record.reason) == (
        ScenarioState.STOPPED,
        "the run ended before the scenario did",
    )
    ((failed, reason, phases),) = [
        (s.state, s.reason, list(s.phases_ns)) for s in record.steps
    ]
    assert (failed, phases) == (FAILED, ["api_call", "accepted"])
    assert reason == "the run ended while it was under way"
    assert stage.told("scenario")[-1] == (13, "s", "stopped")


def test_a_stop_after_the_last_step_changes_nothing(stage: Stage) -> None:
    """A scenario whose steps are done stays completed."""
    record = stage.run(FAILOVER, stop_at_s=30)
    assert record.state is ScenarioState.COMPLETED


def test_a_scenario_without_steps_watches(stage: Stage) -> None:
    """It lasts until it is stopped, and was complete all the time."""
    record = stage.run(load_scenario("watch"), stop_at_s=7200)
    assert (record.state, record.steps) == (ScenarioState.COMPLETED, ())
    assert stage.lanes.asked == []


def test_a_watch_can_be_aborted(stage: Stage) -> None:
    """Conditions count also where nothing is changed."""
    stage.load.outages_ms = {3600: 60_000.0}
    record = stage.run("[abort]\nmax_outage_ms = 10000\n")
    assert record.state is ScenarioState.ABORTED
    assert stage.ended_s == 3620


@pytest.mark.parametrize("until", ["settled", "available"])
def test_waiting_for_a_status(stage: Stage, until: str) -> None:
    """A wait ends with the status; what is pending counts for "settled" only."""
    group = replace(stage.api.state.group, pending={"AuthTokenStatus": "ROTATING"})
    stage.api.state = replace(stage.api.state, group=group)
    (wait,) = stage.run(step("wait", until=until, deadline_s=30)).steps
    if until == "available":
        assert wait.state is SETTLED
    else:
        assert wait.state is FAILED
        assert wait.reason == (
            "step wait: the group rg is 'available', pending: AuthTokenStatus after "
            "30 s, not 'settled'; raise deadline_s, or see its events for the reason"
        )


def test_a_wait_bears_what_passes(stage: Stage) -> None:
    """A provider that does not answer for a moment ends no wait of an hour."""
    hold = step("hold", seconds=1)
    lost = ApiUnanswered("no reply came")
    describe = stage.api.describe_state
    asked: list[int] = []

    async def describe_state(
        needs: object = (), *, missing_ok: bool = False
    ) -> GroupState:
        asked.append(1)
        if len(asked) in (3, 4):  # the first is of the hold, then the wait's own
            raise lost
        return await describe(needs, missing_ok=missing_ok)

    stage.api.describe_state = describe_state  # type: ignore[method-assign]
    record = stage.run(hold + step("wait", until="settled"))
    assert [s.state for s in record.steps] == [SETTLED, SETTLED]


def test_a_defect_is_not_part_of_the_record(stage: Stage) -> None:
    """What nothing expects comes out, and so does the crash of a probe."""
    stage.refuses["failover"] = ProbeCrashed("gone")  # type: ignore[assignment]
    with pytest.raises(ProbeCrashed):
        stage.run(FAILOVER)
    stage.load.ratio = None  # type: ignore[assignment]
    with pytest.raises(ExceptionGroup):
        stage.run("[abort]\nmax_error_ratio = 0.5\n")


def test_created_groups_are_marked_and_deleted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The marker is there at the call and gone with the group; lanes go there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    marked: list[int] = []
    stage.on_call = lambda _: marked.append(len(list(tmp_path.rglob("*.json"))))
    record = stage.run(
        step("create", node_type="cache.t4g.micro") + FAILOVER + step("delete")
    )
    assert record.state is ScenarioState.COMPLETED
    assert marked == [1, 1, 1]
    assert list(tmp_path.rglob("*.json")) == []
    assert stage.lanes.asked[0] == (10, "tcp to plain.example.com:6379")
    # The baseline can only be measured once the group is there.
    assert [s for s, _, _ in stage.mutations] == [0, 25, 40]


def test_a_new_group_whose_lanes_cannot_wake(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The step has failed, with the reason; nothing is changed without load."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    async def refuse(**_: object) -> None:
        raise RunError("waking lanes tcp failed: no route")

    monkeypatch.setattr(stage.lanes, "use_endpoint", refuse)
    record = stage.run(step("create", node_type="cache.t4g.micro") + FAILOVER)
    assert record.state is ScenarioState.FAILED
    assert record.reason == "step create: waking lanes tcp failed: no route"
    assert [s.state for s in record.steps] == [FAILED, SKIPPED]


def test_a_group_that_is_created_with_tls(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its plaintext endpoint is not known before it is described."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stage.config = msgspec.structs.replace(CONFIG, target=Target())
    stage.run(
        step("create", node_type="cache.t4g.micro", mode="required")
        + step("tls", mode="preferred")
        + step("tls", mode="none")
    )
    assert [what for _, what in stage.lanes.asked] == [
        "tls to tls.example.com:6380",
        "tls to tls.example.com:6380",
        "tcp to plain.example.com:6379",
    ]


def test_a_group_that_was_refused_leaves_no_marker(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was not created must not be deleted later; what may have been, must."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stage.refuses["create"] = ApiRefused("it exists")
    stage.run(step("create", node_type="cache.t4g.micro"))
    assert list(tmp_path.rglob("*.json")) == []
    stage.refuses["create"] = ControlError("no answer")
    stage.run(step("create", node_type="cache.t4g.micro"))
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_abort_conditions_tell_their_numbers() -> None:
    """Each condition has its own text; none is no reason."""
    conditions = Abort(max_outage_ms=5000.0, max_error_ratio=0.25, max_wrong=0)

    class Calm(Load):
        def longest_outage_ms(self) -> float:
            return 4999.0

    assert exceeded(conditions, Calm()) == ""
    assert exceeded(conditions, Calm(ratio=0.5)) == (
        "a ratio of errors of 0.5000 (abort.max_error_ratio = 0.25)"
    )
    assert exceeded(conditions, Calm(wrong_replies=1)) == (
        "1 wrong replies (abort.max_wrong = 0)"
    )


@pytest.mark.parametrize(
    ("name", "tls_mode", "dormant"),
    [
        ("tls-migration", "none", {"tls"}),
        ("tls-migration", "preferred", set()),
        ("tls-migration", "required", {"tcp"}),
        ("failover", "none", set()),
    ],
)
def test_lanes_that_are_served_later(
    name: str, tls_mode: str, dormant: set[str]
) -> None:
    """Only a scenario that changes TLS lets lanes wait for their transport."""
    group = group_of(1, tls_mode=tls_mode)
    assert dormant_lanes(load_scenario(name), group, CONFIG.lanes) == dormant


def test_lanes_of_a_group_to_come() -> None:
    """All wait for it, unless they begin at the source of its data."""
    create = step("create", node_type="cache.t4g.micro")
    scenario = stage_scenario(create)
    assert dormant_lanes(scenario, None, CONFIG.lanes) == {"tcp", "tls"}
    scenario = stage_scenario(create + step("migrate_complete"))
    assert dormant_lanes(scenario, None, CONFIG.lanes) == frozenset()
