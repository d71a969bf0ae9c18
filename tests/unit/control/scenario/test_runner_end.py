"""A scenario ends as promised: completed, aborted, failed or stopped.

Everything is in virtual time: a mutation takes ten seconds, a hold what it says.
"""

import pytest

from loadprobe.control.mutations.mutate import Withheld
from loadprobe.control.scenario.file import load_scenario
from loadprobe.control.scenario.keys import Abort
from loadprobe.control.scenario.runner import exceeded
from loadprobe.core.steps import ScenarioState, StepState
from loadprobe.errors import ControlError, ProbeCrashed
from tests.support.scenario_stage import FAILOVER, Load, Stage, step

SETTLED, FAILED, SKIPPED = StepState.SETTLED, StepState.FAILED, StepState.SKIPPED


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a stage with three shards of two nodes, without TLS."""
    return Stage(monkeypatch)


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


def test_an_abort_ends_a_hold(stage: Stage) -> None:
    """A condition that comes true is seen within a quarter of a second."""
    stage.load.outages_ms = {4: 2500.0}
    record = stage.run(FAILOVER + "[abort]\nmax_outage_ms = 2000\n")
    reason = "an outage of 2500 ms that was not expected (abort.max_outage_ms = 2000)"
    assert stage.told_of_scenario() == [(0, "s", "begun"), (4, "s", "aborted")]
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
    assert stage.told_of_scenario()[-1] == (20, "s", "aborted")
    assert stage.ended_s == 40


def test_an_abort_cuts_a_hold_step_short(stage: Stage) -> None:
    """A hold that was cut short says so."""
    stage.load.outages_ms = {30: 9000.0}
    text = step("hold", seconds=600) + "[abort]\nmax_outage_ms = 8000\n"
    (hold,) = stage.run(text).steps
    assert hold.state is SKIPPED
    assert hold.reason.startswith("cut short by an outage of 9000 ms")


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


def test_a_watch_can_be_aborted(stage: Stage) -> None:
    """Conditions count also where nothing is changed."""
    stage.load.outages_ms = {3600: 60_000.0}
    record = stage.run("[abort]\nmax_outage_ms = 10000\n")
    assert record.state is ScenarioState.ABORTED
    assert stage.ended_s == 3620


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
        (
            "the run was stopped before the scenario ended; left undone: failover "
            "(under way), scale"
        ),
    )
    (failed, reason, phases), skipped = [
        (s.state, s.reason, list(s.phases_ns)) for s in record.steps
    ]
    assert skipped == (SKIPPED, "the run was stopped before it began", [])
    assert (failed, phases) == (FAILED, ["api_call", "accepted"])
    assert reason == "the run ended while it was under way"
    assert stage.told_of_scenario()[-1] == (13, "s", "stopped")


def test_a_stop_before_the_first_step_leaves_all_undone(stage: Stage) -> None:
    """Every turn that was not begun is named, of many the first ones."""
    steps = (
        "repeat = 2\n" + FAILOVER + step("hold", seconds=1) + step("hold", seconds=2)
    )
    record = stage.run(steps, stop_at_s=1)
    assert record.state is ScenarioState.STOPPED
    assert [s.state for s in record.steps] == [SKIPPED] * 6
    undone = ", ".join(s.name for s in record.steps[:5])
    assert record.reason.endswith(f"left undone: {undone} and 1 more")


def test_a_stop_after_the_last_step_changes_nothing(stage: Stage) -> None:
    """A scenario whose steps are done stays completed."""
    record = stage.run(FAILOVER, stop_at_s=30)
    assert record.state is ScenarioState.COMPLETED


def test_a_scenario_without_steps_watches(stage: Stage) -> None:
    """It lasts until it is stopped, and was complete all the time."""
    record = stage.run(load_scenario("watch"), stop_at_s=7200)
    assert (record.state, record.steps) == (ScenarioState.COMPLETED, ())
    assert stage.lanes.asked == []


def test_a_defect_is_not_part_of_the_record(stage: Stage) -> None:
    """What nothing expects comes out, and so does the crash of a probe."""
    stage.refuses["failover"] = ProbeCrashed("gone")  # type: ignore[assignment]
    with pytest.raises(ProbeCrashed):
        stage.run(FAILOVER)
    stage.load.ratio = None  # type: ignore[assignment]
    with pytest.raises(ExceptionGroup):
        stage.run("[abort]\nmax_error_ratio = 0.5\n")
