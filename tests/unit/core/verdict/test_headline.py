"""The headline: one, the worst first, and the exit code that goes with it."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from loadprobe.core.steps import Expectation, ScenarioState
from loadprobe.core.verdict.headline import (
    BLIND_RATIO,
    Findings,
    ended_badly,
    find_missed,
)
from loadprobe.core.verdict.places import where_text
from loadprobe.core.verdict.scenario_document import ScenarioSummary
from loadprobe.core.verdict.summary import SloResult, State

EVERYTHING = Findings(
    lost_writes=233,
    stale_reads=1,
    wrong=2,
    incidents=1,
    where="shard 0002, both lanes",
    void="lane x had no arrival to judge",
    scenario=("migration", ScenarioState.FAILED),
    problems=1,
    missed=("no lost writes", "max_outage_ms"),
    blind_ratio=0.023,
)


def test_the_worst_comes_first() -> None:
    """Whatever is taken away, what is left is told in the same order."""
    assert EVERYTHING.headline == (
        "233 acknowledged writes lost; 2 wrong replies; 1 stale read; "
        "1 incident: shard 0002, both lanes; lane x had no arrival to judge; "
        "scenario migration failed; 1 problem of the run itself; "
        "missed: no lost writes, max_outage_ms; "
        "the probe was blind for 2.3% of the time"
    )
    left = EVERYTHING
    found = [left.state]
    less: tuple[Callable[[Findings], Findings], ...] = (
        lambda f: replace(f, lost_writes=0, stale_reads=0, wrong=0),
        lambda f: replace(f, incidents=0),
        lambda f: replace(f, void=""),
        lambda f: replace(f, scenario=None, problems=0),
        lambda f: replace(f, missed=()),
        lambda f: replace(f, blind_ratio=BLIND_RATIO),
    )
    for take_away in less:
        left = take_away(left)
        found.append(left.state)
    assert tuple(found) == get_args(State)


@pytest.mark.parametrize(
    "found", [Findings(lost_writes=1), Findings(stale_reads=1), Findings(wrong=1)]
)
def test_damaged_data_is_never_clean(found: Findings) -> None:
    """One damaged value is enough."""
    assert found.state == "damaged"


@pytest.mark.parametrize("state", [s for s in ScenarioState if s != "completed"])
def test_a_scenario_that_did_not_end_is_never_clean(state: ScenarioState) -> None:
    """Also one that was merely stopped."""
    scenario = ScenarioSummary("s", state, "", [], [], 0)
    found = Findings(scenario=ended_badly(scenario))
    assert found.state == "failed"
    assert found.headline.startswith("scenario s ")


def test_what_is_missed() -> None:
    """What could not be told is missed only if the scenario got to its end."""
    expectations = [
        Expectation("a", is_met=True),
        Expectation("b", is_met=False),
        Expectation("c", is_met=None),
    ]
    checks = [
        SloResult("p99_ms", 1, 2, is_met=False),
        SloResult("x", 1, 0, is_met=True),
    ]
    done = ScenarioSummary("s", ScenarioState.COMPLETED, "", [], expectations, 0)
    cut = ScenarioSummary("s", ScenarioState.STOPPED, "", [], expectations, 0)
    assert find_missed(done, checks) == ["b", "c", "p99_ms"]
    assert find_missed(cut, checks) == ["b", "p99_ms"]
    assert find_missed(None, []) == []


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ("tcp 0002", "shard 0002, lane tcp"),
        ("tcp 0002,tls 0002", "shard 0002, both lanes"),
        ("tcp 0001,tcp 0002", "shards 0001, 0002, lane tcp"),
        (
            "tcp 0001,tls 0002,tcp 0003,tls 0004,tcp 0005,tcp 0006",
            "all 6 shards, both lanes",
        ),
        ("tcp 0001,tcp 0002,tcp 0003,tcp 0004,tls 0005", "5 of 6 shards, both lanes"),
    ],
)
def test_places_are_told_briefly(places: str, text: str) -> None:
    """Few are named, and all are called so."""
    pairs = [tuple(place.split()) for place in places.split(",")]
    found = [(lane, shard) for lane, shard in pairs]
    shards = [f"000{n}" for n in range(1, 7)]
    assert where_text(found, lanes=["tcp", "tls"], shards=shards) == text


def test_a_single_lane_is_not_named() -> None:
    """There is nothing to tell it from."""
    assert where_text([("tcp", "1")], lanes=["tcp"], shards=["1", "2"]) == "shard 1"
