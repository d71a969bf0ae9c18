"""The report, from a synthetic run whose every number is given."""

from dataclasses import replace

import msgspec
import orjson
import pytest

from loadprobe.core.events import UnknownEvent
from loadprobe.core.verdict.quantities import Bounds
from loadprobe.outputs.folder.documents import event_line
from loadprobe.outputs.folder.reader import PastEvent, RunData
from loadprobe.outputs.report.report import SHOWN_INCIDENTS, render_json
from tests.support.reports import GOLDEN, PATHS, START, as_text, make_run


@pytest.mark.parametrize(
    ("name", "dark", "width"),
    [("report", True, 100), ("report_narrow", True, 60), ("report_clean", False, 100)],
)
def test_golden(name: str, dark: bool, width: int) -> None:
    """The report reads exactly as the kept text, which a person has looked at."""
    expected = (GOLDEN / f"{name}.txt").read_text()
    assert expected == as_text(make_run(dark=dark), width=width)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_width(width: int) -> None:
    """No line is wider than the terminal, and no number is cut off."""
    text = as_text(make_run(), width=width)
    lines = [line for line in text.splitlines() if not PATHS.match(line)]
    assert max(map(len, lines)) <= width
    assert "\u2026" not in text
    assert "2104.0" in text


def test_verdict_first() -> None:
    """What matters comes first, and every undisturbed shard is there with 0."""
    lines = as_text(make_run(), width=100).splitlines()
    assert lines[1] == "Verdict: outage - 1 incident: shard 0002, both lanes"
    assert lines[2].startswith("- shard 0002 was dark on lane tcp for 2104 ms")
    lit = [line for line in lines if " 0003 " in line and " 0  " in line]
    assert len(lit) == 2


def test_all_incidents_are_listed() -> None:
    """The table leaves none out, however many; films are of the first ones."""
    run = make_run()
    (one,) = run.summary.incidents
    many = [
        msgspec.structs.replace(one, number=n, where=f"shard {n:04d}, both lanes")
        for n in range(1, 13)
    ]
    summary = msgspec.structs.replace(run.summary, incidents=many)
    changed = RunData(run.path, run.info, summary, run.outages, run.events, run.film)
    for width in (60, 100):
        text = as_text(changed, width=width)
        assert all(f"shard {n:04d}, both lanes" in text for n in range(1, 13))
        assert text.count("Film: incident") == SHOWN_INCIDENTS


def test_availability_is_not_rounded_up() -> None:
    """One failure in ten million is not shown as 100 %."""
    run = make_run()
    scopes = [
        msgspec.structs.replace(
            scope,
            arrivals=10_000_000,
            outcomes={**scope.outcomes, "served": 9_999_999},
        )
        for scope in run.summary.scopes
    ]
    summary = msgspec.structs.replace(run.summary, scopes=scopes)
    changed = RunData(run.path, run.info, summary, run.outages, run.events, run.film)
    assert "99.9999" in as_text(changed, width=100)
    assert "100.0000" not in as_text(changed, width=100)


def test_what_was_not_seen_has_a_column() -> None:
    """How much of the bars is blind time is told beside them, only if there is some."""
    run = make_run()
    assert "unseen ms" not in as_text(run, width=100)
    first, *others = run.summary.lanes
    dark = Bounds(2104.0, 2101.0, 2607.0, unseen=500.5)
    downtime = msgspec.structs.replace(
        first.downtime_ms,
        any_shard=dark,
        shards={**first.downtime_ms.shards, "0002": dark},
    )
    lane = msgspec.structs.replace(first, downtime_ms=downtime)
    summary = msgspec.structs.replace(run.summary, lanes=[lane, *others])
    lines = as_text(replace(run, summary=summary), width=100).splitlines()
    begin = next(i for i, line in enumerate(lines) if "unseen ms" in line)
    assert lines[begin].split() == [
        *("lane", "shard", "dark", "ms", "[lower,", "upper]", "unseen", "ms"),
        *("outages", "failed", "available", "%"),
    ]
    rows = map(str.split, lines[begin + 1 : begin + 8])
    told = {tuple(row[:2]): row for row in rows}
    assert told["tcp", "0002"][2:6] == ["2104.0", "[2101.0,", "2607.0]", "500.5"]
    assert told["tls", "0002"][5] == "0"


def test_foreign_text_is_shown_as_it_is() -> None:
    """Markup, control characters and line breaks of a provider change nothing."""
    run = make_run()
    at_ns, message = run.events[0].event.mono_ns + 1, "[red]evil[/red]\x1b[2J\nnext"
    event = UnknownEvent(at_ns, "provider", "x", {"message": message})
    past = PastEvent.of(event_line(event, START.clock))
    changed = replace(run, events=(*run.events, past))
    text = as_text(changed, width=100)
    assert "provider: [red]evil[/red] [2J next" in text
    assert "\x1b" not in text


def test_json() -> None:
    """The JSON report holds the documents and says where the folder is."""
    document = orjson.loads(render_json(make_run()))
    assert document["schema_version"] == 1
    assert document["path"] == "runs/20260102T030405Z-demo"
    assert document["summary"]["lanes"][1]["downtime_ms"]["shards"]["0002"] == {
        "estimate": 2104.0,
        "lower": 2101.0,
        "upper": 2107.0,
        "unseen": 0.0,
    }
    assert len(document["outages"]) == 2
    assert document["run"]["start"]["mono_ns"] == START.mono_ns
