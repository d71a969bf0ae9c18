"""A scenario is told from its beginning on, from the journal and the load so far."""

from typing import Any

from loadprobe.core.events import (
    CallBegun,
    Event,
    PhaseEntered,
    PrimaryPromoted,
    ProviderTold,
    ScenarioBegun,
    ScenarioEnded,
    StepBegun,
    StepEnded,
)
from loadprobe.core.phase_names import Phase
from loadprobe.core.steps import ScenarioState, StepState
from loadprobe.core.verdict.controller_log import ControllerLog
from loadprobe.core.verdict.scenario_document import ScenarioSummary
from loadprobe.core.verdict.so_far import still
from loadprobe.core.verdict.steps_so_far import StepsSoFar, summarize_steps
from tests.support.http_stage import CLOCK, MS, S, Stage, arrivals

CALL_NS = S + 200 * MS


def phase(at_ns: int, details: Any, *, step: str = "failover") -> PhaseEntered:
    """Return a phase of a failover of shard 0002."""
    return PhaseEntered(at_ns, step, "failover", "0002", details)


BEGUN: list[Event] = [
    ScenarioBegun(S, "failover"),
    StepBegun(S, "failover", "failover"),
    phase(CALL_NS, CallBegun("TestFailover(NodeGroupId=0002)")),
]


def steps(*events: Event) -> StepsSoFar:
    """Return what is known after some events."""
    known = StepsSoFar()
    for event in events:
        known.take_event(event)
    return known


def told(known: StepsSoFar, *provider: ProviderTold) -> ScenarioSummary:
    """Return what is said of it; 0002 was dark from 1.3 s to 1.9 s, and 3 s passed."""
    stage = Stage.make()
    stage.begin()
    blocks = {
        ("tcp", "0001"): arrivals(0, 3 * S),
        ("tcp", "0002"): arrivals(0, 3 * S, (S + 300 * MS, S + 900 * MS)),
    }
    stage.add(blocks, 3 * S)
    assert known.scenario is not None
    return summarize_steps(
        known.scenario,
        still(*stage.view.judged()),
        controller=ControllerLog(),
        events=provider,
        clock=CLOCK,
    )


def test_without_a_scenario_there_is_nothing() -> None:
    """Phases of nobody are nobody's."""
    assert steps().scenario is None
    assert steps(phase(S, CallBegun("x"))).scenario is None


def test_a_step_that_goes_on() -> None:
    """Its phases are there as they come, and what the load saw of it."""
    known = steps(*BEGUN, phase(S + 700 * MS, PrimaryPromoted("a", "b")))
    assert known.scenario is not None
    assert known.scenario.going_on == {"failover"}
    assert not known.scenario.is_over
    date_ns = CLOCK.to_wall(S + 500 * MS)
    said = ProviderTold(
        S + 600 * MS,
        message="Failover from master node a to replica node b completed",
        date_unix_ns=date_ns,
        seen_unix_ns=date_ns,
        source_identifier="rg",
        source_type="replication-group",
        meaning="failover_completed",
        node_group="0002",
    )
    (step,) = told(known, said).steps
    assert step.shards == ["0002"]
    found = {each.phase: round(each.offset_ms) for each in step.phases}
    assert found[Phase.API_CALL] == 0
    assert found[Phase.PROMOTED] == 500
    assert found[Phase.FIRST_ERROR] in range(90, 121)
    assert found[Phase.FIRST_SERVED] in range(690, 721)
    (lane,) = step.lanes
    assert lane.lane == "tcp"
    assert lane.dark_ms is not None
    assert lane.p99_ms is None
    assert [moment.offset_ms for moment in step.provider] == [300]


def test_a_step_and_a_scenario_that_ended() -> None:
    """They are as their ends say, and nothing goes on."""
    ended = StepEnded(3 * S, "failover", "failover", StepState.SETTLED, "")
    known = steps(*BEGUN, ended)
    assert known.scenario is not None
    assert known.scenario.going_on == frozenset()
    over = ScenarioEnded(3 * S, "failover", ScenarioState.COMPLETED, "")
    known.take_event(over)
    assert known.scenario.is_over
    summary = told(known)
    assert summary.state is ScenarioState.COMPLETED
    assert [step.state for step in summary.steps] == [StepState.SETTLED]
