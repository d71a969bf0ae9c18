"""Reading run folders: what a run writes is read back, anything else is refused."""

from pathlib import Path

import orjson
import pytest

from loadprobe.core.events import RunEnded, RunStarted
from loadprobe.core.judging.cells import FilmChunk
from loadprobe.core.judging.histogram import Histogram
from loadprobe.errors import UsageError
from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder.files import read_lines
from loadprobe.outputs.folder.reader import load_run
from loadprobe.outputs.wording import event_text
from tests.support.written_run import CLOCK, MS, S, write_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a run of 5 s at 1,000/s on two shards, 0002 dark from 2 s to 3 s."""
    return write_run(tmp_path)


def test_round_trip(folder: Path) -> None:
    """Everything that was judged is there again, to the last count."""
    run = load_run(folder)
    assert run.info.start.clock == CLOCK
    assert run.info.config_digest.startswith("sha256:")
    assert run.summary.state == "outage"
    assert [(row.shard, row.failed) for row in run.outages] == [("0002", 1000)]
    assert [past.event for past in run.events] == [
        RunStarted(S, "run"),
        RunEnded(5 * S, "outage"),
    ]
    assert run.events[1].line.wall_ns == CLOCK.to_wall(5 * S)
    chunks = [frame for frame in run.film if isinstance(frame, FilmChunk)]
    dark = [c for chunk in chunks for c in chunk.cells() if c.state == "dark"]
    assert sorted(cell.ms for cell in dark) == list(range(2000, 3000))


def test_series_and_histograms(folder: Path) -> None:
    """Second lines add up to the totals, and histograms merge to the same quantiles."""
    summary = load_run(folder).summary
    rows = list(read_lines(folder / documents.SERIES, documents.SeriesRow))
    assert sum(row.served for row in rows) == 9000
    assert sum(row.refused for row in rows) == 1000
    assert {(row.shard, row.second, row.dark_ms) for row in rows if row.dark_ms} == {
        ("0002", 2, 1000)
    }
    for kind, expected in (
        ("response", summary.lanes[0].response_ms["read"]),
        ("service", summary.lanes[0].service_ms["read"]),
    ):
        merged = Histogram()
        for line in read_lines(folder / documents.HISTOGRAMS, documents.HistogramRow):
            if line.kind == kind:
                merged.merge(Histogram.from_sparse(line.histogram))
        assert merged.count == expected.count == 9000
        assert merged.quantile(0.5) == pytest.approx((expected.p50 or 0) * MS)


def test_torn_files(folder: Path) -> None:
    """A last line or frame torn by a crash is left out, what is before it is read."""
    for name in (documents.EVENTS, documents.CELLS):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-3])
    run = load_run(folder)
    assert [past.event for past in run.events] == [RunStarted(S, "run")]


def replace(path: Path, **changes: object) -> None:
    """Change some keys of a JSON document."""
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **changes}))


def test_refusals(folder: Path, tmp_path: Path) -> None:
    """Each way not to be a run folder has its own words."""
    with pytest.raises(UsageError, match=r"is not a run folder: it has no run.json"):
        load_run(tmp_path)
    with pytest.raises(UsageError, match=r"is not a run folder"):
        load_run(tmp_path / "missing")
    summary = (folder / "summary.json").read_bytes()
    (folder / "summary.json").unlink()
    with pytest.raises(UsageError, match=r"has no summary.json: the run has not ended"):
        load_run(folder)
    (folder / "summary.json").write_bytes(summary)
    replace(folder / "summary.json", schema_version=7)
    with pytest.raises(UsageError, match=r"schema_version 7, expected 1"):
        load_run(folder)
    (folder / "summary.json").write_bytes(b'{"name": "something else"}')
    with pytest.raises(
        UsageError, match=r"was not written by loadprobe, or is damaged"
    ):
        load_run(folder)
    (folder / "summary.json").write_bytes(summary)
    replace(folder / "outages.json", outages="none")
    with pytest.raises(UsageError, match=r"outages.json is damaged: Expected `array`"):
        load_run(folder)


@pytest.mark.parametrize("name", ["events.ndjson", "cells.film", "outages.json"])
@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe\n", b"[]\n", b'{"a":1}\nx\n']
)
def test_damaged_files(folder: Path, name: str, content: bytes | None) -> None:
    """A file that is missing or damaged is named in one line, never a traceback."""
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(UsageError, match=name):
        load_run(folder)


def test_damaged_line(folder: Path) -> None:
    """A damaged line inside a file is named by its number."""
    path = folder / documents.EVENTS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{torn\n", *lines[1:]]))
    with pytest.raises(UsageError, match=r"line 2 is damaged"):
        load_run(folder)


def add_event(folder: Path, source: str, kind: str, **fields: object) -> None:
    """Append a line to the journal."""
    line = documents.EventLine(CLOCK.to_wall(6 * S), 6 * S, source, kind, fields)
    with (folder / documents.EVENTS).open("ab") as file:
        file.write(documents.encode_json(line) + b"\n")


def test_events_of_another_version(folder: Path) -> None:
    """A kind, or a field, that is not known is kept and shown."""
    add_event(folder, "run", "rested", seconds=7)
    add_event(folder, "run", "ended", state="outage", mood="good")
    rested, ended = load_run(folder).events[-2:]
    assert event_text(rested.event, rested.unknown) == "run: rested seconds=7"
    shown = event_text(ended.event, ended.unknown)
    assert shown == "run: ended state=outage mood=good"


def test_an_event_that_lacks_a_field(folder: Path) -> None:
    """A line that does not hold what its kind needs is named, with what it lacks."""
    add_event(folder, "probe", "died", process=1)
    problem = "line 4 is damaged: event 'died' of 'probe': Object missing required "
    with pytest.raises(UsageError, match=problem + "field `cause`"):
        load_run(folder)
