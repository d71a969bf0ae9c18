"""Expectations of a scenario, judged."""

from collections.abc import Sequence
from dataclasses import replace

from loadprobe.core.judging.latency import P99Log
from loadprobe.core.judging.outages import Outage
from loadprobe.core.steps import Expectation
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.expected import Expected, judge_expected
from loadprobe.core.verdict.step_phases import LoadSeen
from tests.support.outages import outage

S = 1_000_000_000
TO_THE_END = Planned("tcp", 10 * S, 60 * S)


def judged(
    expected: Expected,
    *spans: Planned,
    dark: Sequence[Outage] = (),
    outages: Sequence[Outage] = (),
    lost_writes: int | None = 0,
    wrong: int = 0,
) -> list[Expectation]:
    """Return the expectations about a minute on one lane of two shards."""
    shards = {"tcp": ("0001", "0002"), "tls": ()}
    load = LoadSeen(shards, outages, dark, P99Log(), 0, 60 * S)
    return judge_expected(expected, load, spans, lost_writes=lost_writes, wrong=wrong)


def test_numbers() -> None:
    """Lost writes and wrong replies are compared with what is allowed."""
    strict = Expected(max_lost_writes=0, max_wrong=0)
    assert judged(strict, lost_writes=2) == [
        Expectation("no lost writes", False, "2 lost writes"),
        Expectation("no wrong replies", True, "0 wrong replies"),
    ]
    lax = Expected(max_lost_writes=1_000)
    assert judged(lax, lost_writes=1_000, wrong=7) == [
        Expectation("at most 1,000 lost writes", True, "1,000 lost writes")
    ]


def test_what_was_not_looked_up_is_open() -> None:
    """Lost writes that were not looked up are neither met nor missed."""
    (found,) = judged(Expected(max_lost_writes=0), lost_writes=None)
    assert (found.is_met, found.detail) == (None, "not looked up")


def test_darkness_came() -> None:
    """A lane that all its shards are dark on until the end was dark by plan."""
    dark = [outage(12_000, 60_000), outage(12_000, 60_000, shard="0002")]
    (found,) = judged(Expected(), TO_THE_END, dark=dark)
    assert found == Expectation(
        "lane tcp is dark by plan",
        True,
        "dark for 48000 ms [47998, 48002], mostly reset",
    )


def test_a_glitch_is_no_darkness() -> None:
    """Connections that were cut and came back do not prove that plaintext ended."""
    dark = [outage(12_000, 60_000), outage(12_000, 12_050, shard="0002")]
    (found,) = judged(Expected(), TO_THE_END, dark=dark)
    assert found.is_met is False
    assert found.detail == "still served at the end: shard 0002"


def test_darkness_that_ends() -> None:
    """Where a step ends the darkness, it is enough that there was some."""
    span = Planned("tcp", 10 * S, 20 * S, "0001")
    dark = [outage(12_000, 15_000), outage(30_000, 31_000, shard="0002")]
    (found,) = judged(Expected(), span, dark=dark)
    assert (found.what, found.is_met) == (
        "shard 0001 of lane tcp is dark by plan",
        True,
    )
    (found,) = judged(Expected(), replace(span, shard="0002"), dark=dark)
    assert (found.is_met, found.detail) == (False, "never dark: shard 0002")


def test_darkness_beyond_the_plan_is_told() -> None:
    """An outage that is planned for the most part does not hide the rest."""
    span = Planned("tcp", 10 * S, 40 * S, "0001")
    (found,) = judged(Expected(), span, dark=[outage(10_000, 40_900)])
    assert found.is_met
    for dark in (outage(5_000, 40_000), outage(10_000, 45_000)):
        (found,) = judged(Expected(), span, dark=[dark])
        assert found.is_met is False
        assert found.detail.endswith("; 5000 ms of that were not by plan")
    later = Planned("tcp", 40 * S, 60 * S)
    found, _ = judged(Expected(), span, later, dark=[outage(10_000, 45_000)])
    assert found.is_met


def test_lanes_that_were_not_probed() -> None:
    """Of a lane without arrivals nothing can be told."""
    span = replace(TO_THE_END, lane="tls")
    found = judged(Expected(calm_lanes=("tls",)), span)
    assert [e.is_met for e in found] == [None, None]


def test_calm_lanes() -> None:
    """A lane that may have no outage has none, or its darkness is told."""
    calm = Expected(calm_lanes=("tcp",))
    assert judged(calm)[0].is_met
    (found,) = judged(calm, outages=[outage(100, 200)])
    assert (found.is_met, found.detail) == (
        False,
        "1 outage, dark for 100 ms [98, 102]",
    )
