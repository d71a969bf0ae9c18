"""The report that fits a screen."""

import re
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from loadprobe.core.steps import Expectation, ScenarioState
from loadprobe.core.verdict.headline import SILENT, Findings
from loadprobe.core.verdict.quantities import NO_DOWNTIME, NO_TIME, Bounds
from loadprobe.core.verdict.summary import ConnectSummary, SloResult, Summary
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.report.brief import SHOWN_PLACES, SHOWN_PROBLEMS, SHOWN_STEPS
from loadprobe.outputs.report.plain import SHOWN_INCIDENTS, plain_verdict
from loadprobe.outputs.wording import plain_words
from tests.support.reports import (
    GOLDEN,
    PATHS,
    QUANTILES,
    START,
    as_brief,
    as_text,
    make_lane,
    make_run,
    make_scope,
)
from tests.support.scenario_run import aborted, reported, tls_migration

SCREEN_LINES = 40
STRANGE = re.compile(r"\b(lanes?|arrivals?|witness|dark|band)\b", re.IGNORECASE)
"""Words that a newcomer has not met."""

RUNS: dict[str, Callable[[], RunData]] = {
    "brief": make_run,
    "brief_clean": lambda: make_run(dark=False),
    "brief_tls_migration": lambda: reported(tls_migration()),
    "brief_aborted": lambda: reported(aborted()),
}


def changed(run: RunData, **summary: object) -> RunData:
    """Return a run of which other things are to be said."""
    return replace(run, summary=msgspec.structs.replace(run.summary, **summary))


def said(run: RunData) -> list[str]:
    """Return the sentences of the verdict."""
    return plain_verdict(run.summary, run.outages)


@pytest.mark.parametrize("name", RUNS)
def test_golden(name: str) -> None:
    """The report reads exactly as the kept text, which a person has looked at."""
    assert (GOLDEN / f"{name}.txt").read_text() == as_brief(RUNS[name](), width=100)


@pytest.mark.parametrize("name", RUNS)
def test_it_fits_a_screen_in_plain_words(name: str) -> None:
    """What was done and who was down is there, without a word of the glossary."""
    text = as_brief(RUNS[name](), width=100)
    assert len(text.splitlines()) <= SCREEN_LINES
    assert STRANGE.findall(text) == []


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    """No number is cut off, however narrow it is; paths go on in the next line."""
    text = as_brief(RUNS[name](), width=width)
    lines = [line for line in text.splitlines() if not PATHS.match(line)]
    assert max(map(len, lines)) <= width
    assert "\u2026" not in text


@pytest.mark.parametrize("name", RUNS)
def test_the_verdict_and_the_folder_come_last(name: str) -> None:
    """When it has scrolled by, these are what is seen; the state is as ever."""
    run = RUNS[name]()
    lines = as_brief(run, width=100).splitlines()
    assert lines[-1] == f"Run folder: {run.path}"
    assert lines[-2] == f"All the rest: loadprobe report {run.path} --full"
    (verdict,) = [n for n, line in enumerate(lines) if line.startswith("Verdict: ")]
    assert lines[verdict].startswith(f"Verdict: {run.summary.state} - ")
    assert "" not in lines[verdict:]


def test_many_are_cut_and_counted() -> None:
    """However many shards, incidents, steps and problems: their number is told."""
    run = make_run()
    shards = {f"{n:04d}": Bounds(n, n - 0.5, n + 0.5) for n in range(1, 41)}
    scopes = [make_scope("tcp", shard, failed=9) for shard in shards]
    (one,) = run.summary.incidents
    many = [msgspec.structs.replace(one, number=n) for n in range(1, 30)]
    scenario = reported(tls_migration()).summary.scenario
    assert scenario is not None
    steps = [scenario.steps[0]] * 30
    run = changed(
        run,
        lanes=[make_lane("tcp", shards=shards)],
        scopes=scopes,
        incidents=many,
        scenario=msgspec.structs.replace(scenario, steps=steps),
    )
    problems = tuple(f"problem {n}" for n in range(9))
    run = replace(run, info=msgspec.structs.replace(run.info, problems=problems))
    text = as_brief(run, width=100)
    assert len(text.splitlines()) <= SCREEN_LINES
    assert f"and {40 - SHOWN_PLACES} more shards and clients that saw failures" in text
    assert f"and {29 - SHOWN_INCIDENTS} more times" in text
    assert f"and {30 - SHOWN_STEPS} more steps" in text
    assert f"and {9 - SHOWN_PROBLEMS} more problems" in text
    # The worst are those that are shown.
    assert "  0040 " in text
    assert "  0001 " not in text


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"lost_writes": 3}, "3 writes were acknowledged and are lost"),
        ({"wrong": 2}, "2 replies were wrong"),
        ({"stale_reads": 1}, "1 reads found an older value than was written"),
        ({"state": "invalid"}, "nothing was measured"),
        (
            {"complete_until_unix_ns": START.wall_ns},
            (
                "what follows is complete until 03:04:05.000 UTC; nothing is known of "
                "later"
            ),
        ),
        (
            {"slo": [SloResult("p99_ms", 1.0, 2.5, is_met=False)]},
            "limit p99_ms MISSED: 2.5, limit 1",
        ),
        (
            {"slo": [SloResult("max_outage_ms", 9.0, 2.0, is_met=True, possible=12)]},
            "limit max_outage_ms met: 2, limit 9, at most 12 with what was not seen",
        ),
        (
            {"slo": [SloResult("p99_ms", 1.0, None, is_met=False)]},
            "limit p99_ms MISSED: no value, limit 1",
        ),
        (
            {"lost_writes": None, "stale_reads": 0},
            "no reply was wrong, none was out of date",
        ),
    ],
)
def test_all_that_matters_is_said(more: dict[str, object], sentence: str) -> None:
    """Whatever the verdict is about, a plain sentence says it."""
    assert sentence in said(changed(make_run(dark=False), **more))


def test_damaged_data_is_not_called_well() -> None:
    """Nothing good is said of the data where something of it is bad."""
    told = said(changed(make_run(dark=False), lost_writes=3))
    assert not any("no reply was wrong" in sentence for sentence in told)


def test_silence_is_told() -> None:
    """Clients of which nothing is known are named, beside an outage, too."""
    run = make_run()
    lanes = [run.summary.lanes[0], msgspec.structs.replace(run.summary.lanes[1])]
    lanes[1] = msgspec.structs.replace(lanes[1], arrivals=0)
    run = changed(run, lanes=lanes, headline=f"1 incident; lane tls {SILENT}")
    assert "not one request of tls clients could be judged" in said(run)


def test_new_connections_are_told_but_for_those_by_plan() -> None:
    """Only failures that nobody planned are counted."""
    scope = msgspec.structs.replace(make_scope("tcp", "0001", failed=9))
    scope = msgspec.structs.replace(scope, planned_failed=4)
    found = ConnectSummary(
        lane="tcp",
        arrivals=60,
        outcomes={"served": 50},
        classes={},
        availability=None,
        response_ms=QUANTILES,
        service_ms=QUANTILES,
        downtime_ms=NO_DOWNTIME,
        planned_ms=NO_DOWNTIME,
        scopes=[scope],
    )
    told = said(changed(make_run(dark=False), connects=[found]))
    assert "new connections that failed, and are not counted: tcp 6" in told


def test_what_is_down_at_the_end_is_told() -> None:
    """An outage that had no end is said to have none, but not a place that was left."""
    run = make_run()
    end_ns = run.summary.end_unix_ns
    down = "still down at the end: shard 0002 was down for tcp clients"
    first, second = run.outages
    last = msgspec.structs.replace(first, end_unix_ns=end_ns, open_end=True)
    left = msgspec.structs.replace(second, open_end=True)  # no more arrivals after it
    assert said(replace(run, outages=(last, left)))[0] == down
    assert down not in said(replace(run, outages=(first, left)))
    connects = msgspec.structs.replace(last, op="connect")
    planned = msgspec.structs.replace(last, attribution="planned")
    assert not any(
        sentence.startswith("still down")
        for sentence in said(replace(run, outages=(connects, planned)))
    )


def test_outages_that_were_not_kept_are_counted() -> None:
    """An outage of which only the number is known is one."""
    run = make_run(dark=False)
    observer = msgspec.structs.replace(run.summary.observer, dropped_outages=1234)
    told = said(changed(run, state="outage", observer=observer))
    assert told[0] == "1,234 outages were too many to keep"


def test_how_the_scenario_ended_is_told() -> None:
    """Its reason, and what was expected in vain, is in the verdict."""
    scenario = reported(tls_migration()).summary.scenario
    assert scenario is not None
    scenario = msgspec.structs.replace(
        scenario,
        state=ScenarioState.FAILED,
        reason="the call was refused\x1b[2J",
        expectations=[
            Expectation("lane tcp is dark by plan", is_met=False, detail="0 arrivals"),
            Expectation("no lost writes", is_met=None),
            Expectation("no wrong replies", is_met=True),
        ],
    )
    told = said(changed(make_run(dark=False), scenario=scenario))
    assert told[:3] == [
        "scenario tls-migration failed: the call was refused [2J",
        "not as expected: tcp clients are down by plan (0 requests)",
        "not to be told: no lost writes",
    ]


def test_own_stalls_are_told() -> None:
    """What the probe could not see is told as its own."""
    run = make_run(dark=False)
    observer = msgspec.structs.replace(
        run.summary.observer, blind_ms=54.2, unseen_arrivals=85
    )
    run = changed(run, observer=observer)
    assert (
        "loadprobe itself stalled for 54 ms, which counts neither as up nor as down"
        in (said(run))
    )
    assert "none failed that loadprobe could see; 85 it could not" in as_brief(
        run, width=100
    )


def test_a_busy_machine_is_told() -> None:
    """If it was stalled for too long to measure well, the part of the time is told."""
    part = Findings(blind_ratio=0.125).headline
    told = said(changed(make_run(dark=False), state="blind", headline=f"x; {part}"))
    assert told[-1] == (
        "loadprobe itself stalled for 12.5% of the time, too much to measure well: is "
        "the machine busy, or was it off?"
    )


def test_a_run_without_a_request() -> None:
    """There is a report of nothing, too."""
    run = make_run(dark=False)
    empty: Summary = msgspec.structs.replace(
        run.summary, lanes=[], scopes=[], state="invalid", downtime_ms=NO_DOWNTIME
    )
    text = as_brief(replace(run, summary=empty), width=100)
    assert "never: 0 requests" in text
    assert "- nothing was measured" in text


def test_planned_darkness_has_a_column_only_if_there_is_some() -> None:
    """It is neither shown nor meant where nothing was planned."""
    assert "as planned" not in as_brief(make_run(), width=100)
    assert "as planned ms" in as_brief(reported(tls_migration()), width=100)
    assert NO_TIME.upper == 0


def test_nothing_is_lost() -> None:
    """The whole report still begins with the same line and has all of its parts."""
    run = reported(tls_migration())
    whole = as_text(run, width=100)
    assert whole.splitlines()[0] == as_brief(run, width=100).splitlines()[0]
    for part in ("Timeline: ", "Film: ", "Latency in ms", "The probe itself", "Dark"):
        assert part in whole


def test_words() -> None:
    """Our own sentences are put plainly; names and other texts stay as they are."""
    assert plain_words("2 arrivals of lane tcp, dark on lane tls") == (
        "2 requests of clients tcp, down for clients tls"
    )
    assert plain_words("planet darkness\n") == "planet darkness "
