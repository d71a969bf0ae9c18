"""Where a scenario is, as the live view tells it."""

import io

from rich.console import Console

from loadprobe.core.events import (
    EpochRaised,
    ExecLine,
    HoldBegun,
    ScenarioBegun,
    ScenarioEnded,
    StepBegun,
    StepEnded,
)
from loadprobe.core.steps import ScenarioState, StepState
from loadprobe.outputs.live.progress import ScenarioProgress
from loadprobe.outputs.live.terminal import LiveView
from tests.support.events import phase
from tests.support.live_view import CLOCK, make_state

S = 1_000_000_000
STEPS = ("preferred", "failover", "required")


def begun(second: int, step: str, operation: str) -> StepBegun:
    """Return the start of a step."""
    return StepBegun(second * S, step, operation)


def test_a_scenario_from_begin_to_end() -> None:
    """Holds count down, steps tell their phase and their time, and what is next."""
    progress = ScenarioProgress(STEPS)
    lines = [progress.line(0)]
    for second, event in (
        (1, ScenarioBegun(0, "tls")),
        (1, HoldBegun(0, 10.0)),
        (12, begun(10, "preferred", "tls")),
        (30, phase(15 * S, "modifying", step="preferred")),
        (42, StepEnded(40 * S, "preferred", "tls", StepState.SETTLED, "")),
        (52, begun(50, "failover/0001", "failover")),
        (62, begun(60, "failover/0002", "failover")),
        (71, begun(70, "required", "tls")),
        (82, ScenarioEnded(80 * S, "tls", ScenarioState.ABORTED, "why")),
    ):
        progress.take(event)
        lines.append(progress.line(second * S))
    assert lines == [
        "",
        "scenario tls  next: preferred",
        "scenario tls  hold, 9.0 s left  next: preferred",
        "scenario tls  step 1 of 3  preferred (tls)  begun for 2.0 s  next: failover",
        (
            "scenario tls  step 1 of 3  preferred (tls)  modifying for 15.0 s  "
            "20.0 s in all  next: failover"
        ),
        "scenario tls  next: failover",
        (
            "scenario tls  step 2 of 3  failover/0001 (failover)  begun for 2.0 s  "
            "next: required"
        ),
        (
            "scenario tls  step 2 of 3  failover/0002 (failover)  begun for 2.0 s  "
            "next: required"
        ),
        "scenario tls  step 3 of 3  required (tls)  begun for 1.0 s  next: the end",
        "scenario tls  aborted",
    ]


def test_later_rounds_have_names_of_their_own() -> None:
    """The second round of a step is told apart from the first."""
    progress = ScenarioProgress(("failover", "failover#2"))
    progress.take(ScenarioBegun(0, "f"))
    progress.take(begun(1, "failover/0001#2", "failover"))
    assert "step 2 of 2" in progress.line(2 * S)


def test_other_events_change_nothing() -> None:
    """What the provider, the topology or a program tells is no progress."""
    progress = ScenarioProgress(STEPS)
    progress.take(EpochRaised(0, 7, 6))
    progress.take(ExecLine(0, "x", "stdout", "hello"))
    assert progress.line(S) == ""


def shown(*, is_terminal: bool) -> str:
    """Return what a view writes while a scenario holds."""
    console = Console(
        file=io.StringIO(),
        width=100,
        height=40,
        force_terminal=is_terminal,
        color_system=None,
        _environ={},
    )
    with LiveView(console, clock=CLOCK, steps=STEPS, is_full=True) as view:
        view.take_event(ScenarioBegun(20 * S, "tls"))
        view.take_event(HoldBegun(20 * S, 5))
        view.refresh(make_state(), 21 * S)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_views() -> None:
    """A terminal has a line for it, and so have the plain lines every 5 s."""
    line = "scenario tls  hold, 4.0 s left  next: preferred"
    assert line in shown(is_terminal=True)
    plain = shown(is_terminal=False).splitlines()
    assert plain[0] == "03:04:25.000 controller: scenario tls begun"
    assert plain[1] == "03:04:25.000 controller: hold seconds=5"
    assert plain[4] == f"03:04:26.000 {line}"
