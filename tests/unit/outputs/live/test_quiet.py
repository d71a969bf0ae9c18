"""What a run says while it lasts, if no more is asked for."""

import io
from dataclasses import replace

from rich.console import Console

from loadprobe.core.events import (
    EpochRaised,
    MarkMade,
    ReloadRefused,
    RunProblem,
    ScenarioBegun,
    ScenarioEnded,
    StepBegun,
    StepEnded,
)
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.judging.results import Sealed
from loadprobe.core.steps import ScenarioState, StepState
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.live.quiet import QuietLines
from loadprobe.outputs.live.terminal import LiveView
from tests.support.events import phase, provider_told
from tests.support.live_view import CLOCK, S, make_state
from tests.support.outages import MS, outage


def told(
    lines: QuietLines, *, opened: list[Outage] | None = None, closed: list[Outage]
) -> list[str]:
    """Return what is said of outages that open and close."""
    sealed = Sealed(99 * S, opened=opened or [], closed=closed)
    return [text for _, text in lines.take_sealed(sealed, ())]


def test_a_line_a_step() -> None:
    """Steps are counted; phases, rates and what else goes on is not told."""
    lines = QuietLines(2)
    events = (
        ScenarioBegun(S, "demo"),
        StepBegun(2 * S, "preferred", "tls"),
        phase(3 * S, "accepted"),
        EpochRaised(3 * S, 7, 6),
        provider_told(3 * S, "told", date_unix_ns=0, seen_unix_ns=0),
        StepEnded(4 * S, "preferred", "tls", StepState.SETTLED, ""),
        StepBegun(5 * S, "failover", "failover"),
        StepEnded(6 * S, "failover", "failover", StepState.FAILED, "refused\x1b"),
        RunProblem(7 * S, "the disk is full"),
        ScenarioEnded(8 * S, "demo", ScenarioState.FAILED, "why"),
    )
    assert [line for event in events for line in lines.take_event(event)] == [
        (2 * S, "step 1 of 2: preferred (tls)"),
        (5 * S, "step 2 of 2: failover"),
        (6 * S, "step failover failed: refused "),
        (7 * S, "PROBLEM  the disk is full"),
        (8 * S, "scenario demo failed: why"),
    ]


def test_a_step_over_many_shards_is_not_miscounted() -> None:
    """Where there are more begins than steps, their number is not told."""
    lines = QuietLines(1)
    names = [f"failover/{n:04d}" for n in (1, 2)]
    begun = [
        line for name in names for line in lines.take_event(StepBegun(S, name, "f"))
    ]
    assert [text for _, text in begun] == [
        "step 1 of 1: failover/0001 (f)",
        "step 2: failover/0002 (f)",
    ]


def test_what_the_provider_says_matters_where_nothing_is_done() -> None:
    """In a run that only watches it is why something happens."""
    event = provider_told(S, "Recovering", date_unix_ns=0, seen_unix_ns=0)
    assert QuietLines().take_event(event) == [(S, "the provider says: Recovering")]


def test_what_people_do_to_the_run_is_told() -> None:
    """A mark, a restart and another configuration are changes as well."""
    made = MarkMade(S, "node 2 is stopped", by="ann")
    assert QuietLines(3).take_event(made) == [(S, "operator: node 2 is stopped")]
    assert QuietLines(3).take_event(ReloadRefused(S, "no host", "SIGHUP")) != []


def test_a_shard_is_down_once() -> None:
    """Reads and writes of all clients together are one time of one shard."""
    ops = (OpKind.READ, OpKind.WRITE)
    own = [
        outage(20_000 + 10 * n, 22_900 + 10 * n, lane=lane, op=op)
        for n, (lane, op) in enumerate((x, y) for x in ("tcp", "tls") for y in ops)
    ]
    lines = QuietLines()
    assert told(lines, opened=own, closed=[]) == ["shard 0001 is down"]
    assert told(lines, closed=own[:1]) == []
    assert told(lines, closed=own[1:]) == ["shard 0001 is served again after 2,930 ms"]
    # And again, from its own begin.
    again = outage(30_000, 30_500)
    assert told(lines, opened=[again], closed=[again]) == [
        "shard 0001 is down",
        "shard 0001 is served again after 500 ms",
    ]


def test_one_that_lasts_is_said_to_last() -> None:
    """At the end of a run, nobody served it again."""
    lines, lasting = QuietLines(), replace(outage(1, 9), open_end=True)
    told(lines, opened=[lasting], closed=[])
    assert told(lines, closed=[lasting]) == ["shard 0001 is still down at the end"]


def test_new_connections_and_plans_do_not_alarm() -> None:
    """What is planned is told once for all shards; new connections are not."""
    lines = QuietLines()
    assert told(lines, opened=[outage(1, 9, op=OpKind.CONNECT)], closed=[]) == []
    plans = [Planned("tcp", 0, 99 * S)]
    own = [outage(5, 9, shard=f"000{n}") for n in (1, 2, 3)]
    sealed = Sealed(99 * S, opened=own, closed=own)
    assert list(lines.take_sealed(sealed, plans)) == [
        (5 * MS, "tcp clients are cut off, as planned")
    ]


def test_the_view_is_quiet_unless_asked() -> None:
    """Without a terminal there are no rates; problems are told once, with times."""
    console = Console(file=io.StringIO(), width=80)
    with LiveView(console, clock=CLOCK, steps=("failover",)) as view:
        view.take_event(StepBegun(20 * S, "failover", "failover"))
        view.take_event(phase(21 * S, "accepted"))
        view.take_sealed(Sealed(22 * S, opened=[outage(20_500, 22_000)]))
        for second in range(20, 60):
            view.refresh(make_state(), second * S)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "03:04:25.000 step 1 of 1: failover",
        "03:04:25.500 shard 0001 is down",
        (
            "03:04:25.000 problem: writing events.ndjson failed "
            "(No space left on device)"
        ),
    ]


def test_a_terminal_is_plain_unless_asked() -> None:
    """What happened is told in the same lines, and nothing in words of ours."""
    console = Console(
        file=io.StringIO(),
        width=100,
        height=40,
        force_terminal=True,
        color_system=None,
        _environ={},
    )
    said = "1 incident: shard 0002, both lanes"
    state = replace(make_state(), verdict="outage", headline=said)
    with LiveView(console, clock=CLOCK, steps=("failover",)) as view:
        view.take_event(StepBegun(20 * S, "failover", "failover"))
        view.take_event(phase(21 * S, "accepted"))
        view.take_sealed(Sealed(22 * S, opened=[outage(20_500, 22_000)]))
        view.refresh(state, 22 * S)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for expected in (
        "clients  offered/s",
        "so far: outage - 1 incident: shard 0002, both kinds of clients",
        "DOWN  tls 0002 down for 2.000 s",
        "03:04:25.000 step 1 of 1: failover",
        "03:04:25.500 shard 0001 is down",
        "loadprobe itself: stalled for 0 ms, CPU 0.35 cores",
        "PROBLEM  writing events.ndjson failed",
    ):
        assert expected in text
    assert "accepted call_ms" not in text
    for strange in ("lane", "dark", "DARK", "blind", "observer"):
        assert strange not in text


def test_an_outage_of_before_is_told_to_end() -> None:
    """Its beginning was told; a view that is left says nothing of its end."""
    dark = outage(1000, 3000, shard="0002")
    connects = replace(dark, scope=dark.scope._replace(op=OpKind.CONNECT))
    lines = QuietLines()
    lines.go_on([dark, connects])
    assert told(lines, closed=[dark]) == [
        "shard 0002 is served again after 2,000 ms",
    ]
    out = io.StringIO()
    left = LiveView(Console(file=out, width=80), clock=CLOCK)
    left.go_on([dark])
    left.leave()
    left.take_sealed(Sealed(99 * S, closed=[replace(dark, open_end=True)]))
    assert out.getvalue() == ""
