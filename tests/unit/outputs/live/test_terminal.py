"""The live view and its plain lines."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from loadprobe.core.events import RoleChanged, UnknownEvent
from loadprobe.core.judging.results import Sealed
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.texts import duration_text
from loadprobe.outputs.live.terminal import (
    LiveView,
)
from loadprobe.outputs.wording import event_text
from tests.support.events import phase
from tests.support.live_view import CLOCK, S, make_state
from tests.support.outages import MS, outage

DARK = outage(20_000, 22_900, lane="tls", shard="0002")


def test_plain_lines() -> None:
    """Without a terminal there is a line per lane every 5 s and one per transition."""
    console = Console(file=io.StringIO(), width=80)
    state = make_state()
    state.problems.clear()
    with LiveView(console, clock=CLOCK, is_full=True) as view:
        for tenth in range(210, 265):
            now_ns = tenth * S // 10
            if tenth == 212:
                view.take_sealed(Sealed(20 * S, opened=[DARK]))
            if tenth == 221:
                view.take_event(phase(22 * S, "accepted"))
            if tenth == 230:
                view.take_sealed(Sealed(23 * S, closed=[DARK]))
            view.refresh(state, now_ns)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        (
            "03:04:26.000 +11.0 s  tcp  offered 1000/s  served 1000/s  errors 0/s  "
            "p50 0.40 ms  p99 1.25 ms  conns 300"
        ),
        (
            "03:04:26.000 +11.0 s  tls  offered 1000/s  served 660/s  errors 340/s  "
            "p50 0.50 ms  p99 250.00 ms  conns 200  (clusterdown 300, reset 40)  "
            "0002 dark for 1.000 s"
        ),
        "03:04:25.000 outage opened: tls 0002 read",
        "03:04:27.000 controller: failover 0002 accepted call_ms=150.0 attempts=1",
        "03:04:27.900 outage closed: tls 0002 read was dark for 2900 ms [2898, 2902]",
        (
            "03:04:31.000 +16.0 s  tcp  offered 1000/s  served 1000/s  errors 0/s  "
            "p50 0.40 ms  p99 1.25 ms  conns 300"
        ),
        (
            "03:04:31.000 +16.0 s  tls  offered 1000/s  served 660/s  errors 340/s  "
            "p50 0.50 ms  p99 250.00 ms  conns 200  (clusterdown 300, reset 40)  "
            "0002 dark for 6.000 s"
        ),
    ]


@pytest.mark.parametrize(
    ("plan", "opened", "closed"),
    [
        pytest.param((20_000, 23_000), ", by plan", ", by plan", id="all of it"),
        pytest.param((21_500, 40_000), "", ", 1400 ms of it by plan", id="in part"),
        pytest.param((30_000, 40_000), "", "", id="before the plan"),
    ],
)
def test_darkness_by_plan_is_said_to_be_so(
    plan: tuple[int, int], opened: str, closed: str
) -> None:
    """Lines of a run without a terminal tell what was planned from what was not."""
    console = Console(file=io.StringIO(), width=80)
    begun = replace(DARK, end_ns=20_010 * MS, open_end=True)
    plans = [Planned("tls", plan[0] * MS, plan[1] * MS)]
    with LiveView(console, clock=CLOCK, planned=lambda: plans, is_full=True) as view:
        view.take_sealed(Sealed(20 * S, opened=[begun]))
        view.take_sealed(Sealed(23 * S, closed=[DARK]))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        f"03:04:25.000 outage opened: tls 0002 read{opened}",
        "03:04:27.900 outage closed: tls 0002 read was dark for 2900 ms [2898, 2902]"
        + closed,
    ]


def test_plain_problems() -> None:
    """Without a terminal every problem is told once."""
    console = Console(file=io.StringIO(), width=80)
    state = make_state()
    with LiveView(console, clock=CLOCK, is_full=True) as view:
        view.refresh(state, 20 * S)
        view.refresh(state, 30 * S)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("No space left on device") == 1


@pytest.mark.parametrize("is_terminal", [True, False])
def test_without_a_terminal_the_state_is_worked_out_once_a_second(
    is_terminal: bool,
) -> None:
    """Who looks at a table sees it renew itself; a sidecar does no work for nobody."""
    console = Console(file=io.StringIO(), force_terminal=is_terminal, _environ={})
    with LiveView(console, clock=CLOCK) as view:
        assert view.is_due(20 * S)
        view.refresh(make_state(), 20 * S)
        assert view.is_due(20_999 * MS) == is_terminal
        assert view.is_due(21 * S)


def shown(*, width: int, by_plan: bool = False) -> str:
    """Return what a terminal of the given width was sent.

    Args:
        width: in columns.
        by_plan: whether the shard that is dark is so by plan.
    """
    state = make_state()
    if by_plan:
        state.lanes[1].by_plan = {"0002"}
    console = Console(
        file=io.StringIO(),
        width=width,
        height=40,
        force_terminal=True,
        color_system=None,
        _environ={},
    )
    with LiveView(console, clock=CLOCK, is_full=True) as view:
        view.take_event(
            UnknownEvent(22 * S, "provider", "x", {"message": "[b]Failover[/b]"})
        )
        view.take_sealed(Sealed(S, closed=[outage(993, 1000, lane="tls")]))
        view.refresh(state, 21_234 * MS)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_live_table() -> None:
    """A terminal shows rates, open and past outages, events, health and problems."""
    text = shown(width=100)
    for expected in (
        "demo  11.2 s of 1 min 30 s  127.0.0.1:7000",
        "clusterdown 300, reset 40",
        "DARK  tls 0002 dark for 1.234 s",
        "tls 0001 read was dark for 7.0 ms [5.0, 9.0]",
        "03:04:27.000 provider: [b]Failover[/b]",
        "observer  lag max 4.2 ms  lateness p99 0.80 ms  blind 0 ms  CPU 0.35 cores",
        "PROBLEM  writing events.ndjson failed",
    ):
        assert expected in text


def test_live_table_in_a_narrow_terminal() -> None:
    """On 50 columns the open outage can still be read."""
    assert "DARK  tls 0002 dark for 1.234 s" in shown(width=50)


def test_darkness_by_plan_does_not_alarm() -> None:
    """It is told as what it is."""
    text = shown(width=50, by_plan=True)
    assert "plan  tls 0002 dark by plan for 1.234 s" in text
    assert "DARK" not in text


def test_durations() -> None:
    """Lengths are worded in the unit a person would choose."""
    worded = [duration_text(s * S) for s in (0, 59, 60, 3599, 3600, 90_061)]
    assert worded == [
        "0.0 s",
        "59.0 s",
        "1 min 00 s",
        "59 min 59 s",
        "1 h 00 min",
        "25 h 01 min",
    ]
    assert duration_text(59_990 * MS) == "1 min 00 s"


def test_event_details() -> None:
    """Fields without a wording of their own are shown as name=value."""
    text = event_text(RoleChanged(0, "0001", "a -> b"), {"from": None, "later": 1})
    assert text == "topology: role_change shard=0001 detail=a -> b later=1"
