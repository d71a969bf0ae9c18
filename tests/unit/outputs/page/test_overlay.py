"""Runs laid over each other: from which moment on, and what is shown of each."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from loadprobe.core.judging.cells import FilmChunk
from loadprobe.core.judging.outcome import OpKind
from loadprobe.errors import UsageError
from loadprobe.outputs.page.overlay import overlaid_run
from tests.support.compared_page import (
    LENGTH_S,
    TO_ERROR_MS,
    TO_SETTLED_MS,
    failed_over_run,
)
from tests.support.reports import START, make_lane, make_run, make_scope


@pytest.mark.parametrize("call_at_ms", [2_000, 7_300])
def test_a_run_is_shown_from_its_first_call_on(tmp_path: Path, call_at_ms: int) -> None:
    """Whenever it was called, phases and ends are counted from that moment."""
    run = failed_over_run(tmp_path, call_at_ms=call_at_ms, dark_ms=1_500)
    shown = overlaid_run(run)
    assert shown["counts_from"] == "the first API call"
    assert shown["zero_ms"] == call_at_ms
    assert shown["from_ms"] == -call_at_ms
    assert shown["until_ms"] == LENGTH_S * 1000 - call_at_ms
    assert shown["last_ms"] == TO_SETTLED_MS
    assert {tick["phase"]: tick["at"] for tick in shown["ticks"]} == {
        "api_call": 0,
        "first_error": TO_ERROR_MS,
        "first_served": TO_ERROR_MS + 1_500,
        "settled": TO_SETTLED_MS,
    }


def test_the_last_thing_that_happened_may_be_an_outage(tmp_path: Path) -> None:
    """An outage that is longer than the change is not cut off."""
    run = failed_over_run(tmp_path, call_at_ms=2_000, dark_ms=9_000)
    assert overlaid_run(run)["last_ms"] == TO_ERROR_MS + 9_000


def test_a_run_without_a_call_is_shown_from_its_beginning() -> None:
    """The load itself is what it began with; without an outage nothing was last."""
    shown = overlaid_run(make_run(dark=False))
    assert shown["counts_from"] == "the beginning of the load"
    assert (shown["zero_ms"], shown["from_ms"]) == (0, 0)
    assert shown["last_ms"] is None
    assert shown["ticks"] == []


def test_what_is_missing_is_told() -> None:
    """A run without its seconds is shown by its cells, and says what is not there."""
    (told,) = overlaid_run(make_run())["missing"]
    assert "cannot be read" in told or "not there" in told


def test_only_what_witnesses_saw_is_shown() -> None:
    """Client libraries beside them and new connections are no part of the picture."""
    run = make_run()
    at_ms = START.mono_ns // 1_000_000 + 100
    others = [
        FilmChunk("tcp", "0001", int(OpKind.CONNECT), at_ms, [0], unknown=[1]),
        FilmChunk("redis-py", "0001", int(OpKind.WRITE), at_ms, [0], unknown=[1]),
    ]
    scopes = [*run.summary.scopes, make_scope("redis-py", "0001", failed=3)]
    lanes = [
        *run.summary.lanes,
        make_lane("redis-py", shards={"0001": run.summary.downtime_ms.any_shard}),
    ]
    summary = msgspec.structs.replace(
        run.summary, scopes=scopes, lanes=lanes, witnesses=["tcp", "tls"]
    )
    shown = overlaid_run(replace(run, summary=summary, film=(*run.film, *others)))
    rows = {(row["lane"], row["op"]) for row in shown["film"]["rows"]}
    assert rows == {("tcp", "write"), ("tls", "write")}


def test_cells_that_are_alike_are_left_out_and_changes_stay(tmp_path: Path) -> None:
    """Many runs share a page: of each the film is short, with its edges."""
    run = failed_over_run(tmp_path, call_at_ms=5_000, dark_ms=100)
    shown = overlaid_run(run)
    ((_, _, cells, *_),) = shown["film"]["chunks"]
    assert shown["film"]["is_thinned"]
    assert cells < 20


def test_a_damaged_film_is_said() -> None:
    """A folder that holds what is never written is named, and nothing is made up."""
    run = make_run()
    torn = FilmChunk("tcp", "0001", 1, 100_000, [0, 1], served=[1])
    with pytest.raises(UsageError, match="cannot be shown on a page"):
        overlaid_run(replace(run, film=(torn,)))
