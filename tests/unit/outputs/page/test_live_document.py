"""What a page that watches is told, in the form of a page's document."""

from pathlib import Path
from typing import Any

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.outputs.page.live_document import (
    Now,
    first_document,
    grown_document,
    zero_at,
)
from loadprobe.outputs.page.recent import LaneSecond, RecentPart
from tests.support.reports import START, make_run

READS = Scope("tcp", "0002", OpKind.READ)
WRITES = Scope("tcp", "0002", OpKind.WRITE)
BASE_S = START.mono_ns // 1_000_000_000
ZERO = zero_at(START.clock, BASE_S)


def second(scope: Scope, at: int, *, served: int, refused: int = 0) -> SecondCounts:
    """Return a second; every failed arrival is a dark millisecond."""
    counts = [0] * len(Outcome)
    counts[Outcome.SERVED], counts[Outcome.REFUSED] = served, refused
    return SecondCounts(scope, BASE_S + at, counts, served + refused, refused)


def now() -> Now:
    """Return how a made-up run stands."""
    run = make_run()
    return Now(
        state="running",
        summary=run.summary,
        outages=run.outages,
        outages_left_out=0,
        scopes=[READS, WRITES],
        lanes=[],
        problems=["the disk is full"],
    )


def grown(part: RecentPart) -> dict[str, Any]:
    """Return what is told of a part."""
    return grown_document(part, now(), ZERO)


def test_served_seconds_are_spans() -> None:
    """Of each row the seconds that served it are joined."""
    part = RecentPart(BASE_S, BASE_S + 4)
    part.seconds = [second(READS, n, served=5) for n in (0, 1, 3)]
    rows = grown(part)["film"]["rows"]
    assert [row["op"] for row in rows] == ["read", "write"]
    assert [row["served"] for row in rows] == [[[0, 2000], [3000, 4000]], []]


def test_failures_without_cells_are_whole_seconds() -> None:
    """Only of seconds whose cells would be there by now."""
    part = RecentPart(BASE_S + 8, BASE_S + 9)
    part.seconds = [second(READS, 8, served=0, refused=3)]
    part.settled = [second(READS, 2, served=1, refused=7)]
    rows = grown(part)["film"]["rows"]
    assert rows[0]["failing"] == [[2000, 1000, 7, 0]]


def test_every_second_has_a_place() -> None:
    """Counts and latencies are columns of the same length, null without a value."""
    part = RecentPart(BASE_S, BASE_S + 2)
    part.seconds = [second(READS, 1, served=4), second(WRITES, 1, served=2)]
    figures: dict[str, float | None] = {"p50": 1.5, "max": 2.0}
    part.latencies = [LaneSecond("tcp", BASE_S + 1, figures, figures, [6])]
    course = grown(part)["course"]
    assert course["at"] == [0, 1000]
    assert course["counts"][0]["served"] == [0, 6]
    assert [each["kind"] for each in course["latencies"]] == ["response", "service"]
    assert course["latencies"][0]["p50"] == [None, 1.5]
    assert course["heat"]["lanes"][0]["columns"] == [
        {"at": 1, "steps": 1, "counts": [6]}
    ]


def test_a_page_is_told_what_it_does_not_show() -> None:
    """A run that is older than the page's beginning is said to be so."""
    run = make_run()
    late = zero_at(START.clock, BASE_S + 3600)

    def missing(zero: Any, *, is_short: bool) -> list[str]:
        part = RecentPart(BASE_S, BASE_S + 1)
        about = run.info, Path("runs/x")
        told = first_document(about, part, now(), zero, is_short=is_short)
        assert told["run"]["folder"] == "x"
        assert told["problems"] == ["the disk is full"]
        return list(told["missing"])

    assert missing(ZERO, is_short=False) == []
    assert "last minutes" in missing(late, is_short=False)[0]
    assert "whole seconds" in missing(ZERO, is_short=True)[0]
