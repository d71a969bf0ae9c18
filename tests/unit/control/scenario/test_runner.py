"""A scenario is carried out in order, with the values that its steps mean.

Everything is in virtual time: a mutation takes ten seconds, a hold what it says.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from loadprobe.control.mutations.changes import (
    FailOver,
    RotateAuth,
    SetNodeType,
    UpgradeEngine,
)
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.sizes import Scale, SetReplicas
from loadprobe.control.provider.faults import ApiRefused, ApiUnanswered
from loadprobe.control.provider.state import GroupState
from loadprobe.control.scenario.file import load_scenario
from loadprobe.core.events import TokenMade
from loadprobe.core.steps import ScenarioState, StepState
from loadprobe.errors import ControlError
from tests.support.scenario_stage import FAILOVER, Stage, group_of, step

SETTLED, FAILED = StepState.SETTLED, StepState.FAILED


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a stage with three shards of two nodes, without TLS."""
    return Stage(monkeypatch)


def test_holds_and_steps_in_order(stage: Stage) -> None:
    """Baseline, step, hold after it, hold before the next, load at the end."""
    record = stage.run(FAILOVER + step("hold", seconds=3, hold_before_s=7))
    assert stage.told_of_steps() == [
        (10, "failover", "begun"),
        (20, "failover", "settled"),
        (32, "hold", "begun"),
        (35, "hold", "settled"),
    ]
    assert stage.told_of_scenario() == [(0, "s", "begun"), (40, "s", "completed")]
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
    texts = [e.text for e in stage.events if isinstance(e, TokenMade)]
    assert texts == [f"made a new token in {path} (mode 0600)"]
    assert token not in repr(stage.events)
    assert token not in repr(stage.records)


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
