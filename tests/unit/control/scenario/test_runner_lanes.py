"""A scenario leads the lanes where they are served, and says when they are dark.

Everything is in virtual time: a mutation takes ten seconds, a hold what it says.
"""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from loadprobe.config.keys import Target
from loadprobe.control.mutations.changes import SetTls
from loadprobe.control.provider.faults import ApiRefused
from loadprobe.control.scenario.file import load_scenario
from loadprobe.control.scenario.lanes import dormant_lanes
from loadprobe.core.events import LanesBegun
from loadprobe.core.steps import ScenarioState, StepState
from loadprobe.errors import ControlError, RunError
from tests.support.scenario_stage import (
    CONFIG,
    FAILOVER,
    Stage,
    group_of,
    stage_scenario,
    step,
)

SETTLED, FAILED, SKIPPED = StepState.SETTLED, StepState.FAILED, StepState.SKIPPED


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a stage with three shards of two nodes, without TLS."""
    return Stage(monkeypatch)


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


def test_a_migration_moves_the_lanes_at_the_cut_over(stage: Stage) -> None:
    """Until then they stay at the source; then it is another cluster."""
    record = stage.run(load_scenario("migration", {"source_host": "source"}))
    assert record.state is ScenarioState.COMPLETED
    assert stage.lanes.asked == [
        (60, "tcp to plain.example.com:6379, another cluster"),
    ]


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


def test_lanes_begin_before_the_change_has_settled(stage: Stage) -> None:
    """When TLS is served, the lanes that wait for it begin, and the journal says so."""
    stage.tls_after_s = 4.0
    stage.run(step("tls", mode="preferred"))
    woken = [at_s for at_s, what in stage.lanes.asked if what == "wake tls at db:7777"]
    ((called_s, *_),) = stage.mutations
    assert woken == [called_s + 4.0]
    (begun,) = [event for event in stage.events if isinstance(event, LanesBegun)]
    assert "before they began they observed nothing" in begun.text
