"""The document of a page: what is in it, from where, and what is said to be missing."""

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import orjson
import pytest
import zstandard

from loadprobe.core.events import ProbeStalled
from loadprobe.core.judging.cells import FilmChunk
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.outputs.folder.documents import HISTOGRAMS, SERIES, event_line
from loadprobe.outputs.folder.reader import PastEvent, load_run
from loadprobe.outputs.page import document as documents
from loadprobe.outputs.page.document import grid_of, page_document
from loadprobe.outputs.page.seconds import (
    Coarse,
    StepSeries,
    coarse_parts,
    load_course,
    make_grid,
)
from tests.support.page_runs import planted_run
from tests.support.reports import MS, START, S, make_run
from tests.support.written_run import write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a run of 5 s on two shards, of which 0002 was dark from 2 s to 3 s."""
    return write_run(tmp_path_factory.mktemp("runs"))


def test_counts_are_those_of_the_series(folder: Path) -> None:
    """Every arrival is in one step; the dark second has its failures."""
    run = load_run(folder)
    course = load_course(folder, grid_of(run))
    told = page_document(run, course)["course"]
    (lane,) = told["counts"]
    assert told["seconds"] == [1] * 5
    assert told["at"] == [0.0, 1000.0, 2000.0, 3000.0, 4000.0]
    assert lane["refused"] == [0, 0, 1000, 0, 0]
    assert lane["served"] == [2000, 2000, 1000, 2000, 2000]
    assert course.problems == []


def test_latencies_are_of_merged_histograms(folder: Path) -> None:
    """Quantiles of a step and of a stretch are those of all its arrivals."""
    run = load_run(folder)
    told = page_document(run, load_course(folder, grid_of(run)))
    response = next(c for c in told["course"]["latencies"] if c["kind"] == "response")
    assert response["max"] == [0.4] * 5
    stretches = {row["stretch"]: row for row in told["stretches"]}
    assert list(stretches) == ["before", "meanwhile", "after"]
    assert stretches["before"]["failed"] == stretches["after"]["failed"] == 0
    assert stretches["meanwhile"]["failed"] == 1000
    assert sum(row["offered"] for row in stretches.values()) == 10_000
    assert stretches["after"]["p99"] == pytest.approx(0.4, rel=0.01)


def test_heat_has_every_response_in_its_row(folder: Path) -> None:
    """Arrivals of a column lie between the bounds of their rows, none is lost."""
    run = load_run(folder)
    heat = page_document(run, load_course(folder, grid_of(run)))["course"]["heat"]
    (lane,) = heat["lanes"]
    bounds = heat["bounds_ms"]
    row = next(n for n, bound in enumerate(bounds) if bound >= 0.4)
    served = [2000, 2000, 1000, 2000, 2000]
    assert [column["counts"][row] for column in lane["columns"]] == served
    assert [sum(column["counts"]) for column in lane["columns"]] == served
    assert [(column["at"], column["steps"]) for column in lane["columns"]] == [
        (n, 1) for n in range(5)
    ]


def test_served_seconds_reach_beyond_the_film(folder: Path) -> None:
    """Where there are no cells, the seconds say that a scope was served."""
    run = load_run(folder)
    film = page_document(run, load_course(folder, grid_of(run)))["film"]
    rows = {row["shard"]: row for row in film["rows"]}
    assert rows["0001"]["served"] == [[0.0, 5000.0]]
    assert rows["0002"]["served"] == [[0.0, 2000.0], [3000.0, 5000.0]]
    assert rows["0002"]["failing"] == []  # the film has them


def test_dark_seconds_without_a_film_are_told(folder: Path) -> None:
    """A film that lost its cells hides no darkness: the seconds still tell of it."""
    run = replace(load_run(folder), film=())
    film = page_document(run, load_course(folder, grid_of(run)))["film"]
    rows = {row["shard"]: row for row in film["rows"]}
    assert rows["0002"]["failing"] == [[2000.0, 1000, 1000, 0]]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema_version":9}\n', b"\xff\n"])
def test_what_cannot_be_read_is_named(
    folder: Path, tmp_path: Path, content: bytes
) -> None:
    """Without the seconds there is a document, which says what it lacks."""
    copy = Path(shutil.copytree(folder, tmp_path / "run"))
    (copy / SERIES).write_bytes(content)
    run = load_run(copy)
    told = page_document(run, load_course(copy, grid_of(run)))
    assert any(SERIES in text for text in told["missing"])
    assert told["course"]["counts"] == []
    assert told["course"]["latencies"]


@pytest.mark.parametrize("bucket", [[1], [-1, 5], [10**6, 1], ["a", "b"]])
def test_latencies_that_cannot_be_are_named(
    folder: Path, tmp_path: Path, bucket: list[object]
) -> None:
    """A hostile bucket costs the latencies of its file, and nothing else."""
    copy = Path(shutil.copytree(folder, tmp_path / "run"))
    header, first, *rest = (copy / HISTOGRAMS).read_bytes().splitlines()
    row = orjson.loads(first)
    row["histogram"]["buckets"] = [bucket]
    lines = [header, orjson.dumps(row), *rest]
    (copy / HISTOGRAMS).write_bytes(b"\n".join(lines) + b"\n")
    run = load_run(copy)
    told = page_document(run, load_course(copy, grid_of(run)))
    assert any(HISTOGRAMS in text for text in told["missing"])
    assert told["course"]["latencies"] == []
    assert sum(told["course"]["counts"][0]["served"]) == 9_000


def test_events_have_the_time_of_who_tells_them() -> None:
    """A provider's event stands where the provider says, not where it was seen."""
    run = make_run()
    told = page_document(run, StepSeries(grid_of(run)))
    provider = next(event for event in told["events"] if event["kind"] == "provider")
    assert provider["at"] == pytest.approx(10_000 + 2_600)
    assert told["calls"] == {"failover": "TestFailover(NodeGroupId=0002)"}
    assert [event["at"] for event in told["events"]] == sorted(
        event["at"] for event in told["events"]
    )


def test_stalls_are_the_first_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many events the phases stay, and what is left out is counted."""
    monkeypatch.setattr(documents, "MOST_EVENTS", 6)
    run = make_run()
    stalls = [
        ProbeStalled(START.mono_ns + n * MS, process=0, duration_ms=30.0)
        for n in range(10)
    ]
    past = [PastEvent.of(event_line(stall, START.clock)) for stall in stalls]
    run = replace(run, events=(*past, *run.events))
    told = page_document(run, StepSeries(grid_of(run)))
    assert [event["kind"] for event in told["events"]].count("stall") == 1
    assert told["events_left_out"] == 9


def test_the_longest_outages_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many outages the longest are told, by time, and the others counted."""
    monkeypatch.setattr(documents, "MOST_OUTAGES", 2)
    run = make_run()
    first = run.outages[0]
    rows = [
        msgspec.structs.replace(first, upper_ms=ms, start_unix_ns=n)
        for n, ms in enumerate((30.0, 10.0, 20.0))
    ]
    told = page_document(replace(run, outages=tuple(rows)), StepSeries(grid_of(run)))
    assert [row["upper_ms"] for row in told["outages"]] == [30.0, 20.0]
    assert told["outages_left_out"] == 1


def test_the_configuration_is_a_file_again() -> None:
    """Null is left out: what is shown can be run."""
    run = make_run()
    config = {"name": "x", "control": None, "lanes": [{"name": "tcp", "keys": None}]}
    info = msgspec.structs.replace(run.info, config=config)
    told = page_document(replace(run, info=info), StepSeries(grid_of(run)))
    expected = 'name = "x"\nlanes = [\n    { name = "tcp" },\n]\n'
    assert told["run"]["config_toml"] == expected


def test_a_grid_has_seconds_where_something_happened() -> None:
    """Ten hours are steps of 24 s, and single seconds round an incident."""
    grid = make_grid(0, 36_000, [(10_000, 10_005)], most=1_500)
    lengths = [b - a for a, b in zip(grid.edges, grid.edges[1:], strict=False)]
    assert (grid.edges[0], grid.edges[-1]) == (0, 36_000)
    assert max(lengths) == 24
    at = grid.step(10_002)
    assert at is not None
    assert set(lengths[at - 15 : at + 15]) == {1}
    assert (grid.step(-1), grid.step(36_000)) == (None, None)
    assert len(make_grid(5, 5, [])) == 1


def test_darkness_by_plan_is_that_of_connections_too() -> None:
    """What was planned for a shard on a lane was planned for connections to it."""
    run = make_run()
    planned = [
        msgspec.structs.replace(row, attribution="planned") for row in run.outages
    ]
    chunks = [
        FilmChunk(lane, shard, OpKind.CONNECT, START.mono_ns // MS, [0], unsent=[1])
        for lane, shard in (("tcp", "0002"), ("tcp", "0001"))
    ]
    run = replace(run, outages=tuple(planned), film=tuple(chunks))
    film = page_document(run, StepSeries(grid_of(run)))["film"]
    spans = {
        (row["lane"], row["shard"], row["op"]): row["planned"] for row in film["rows"]
    }
    assert spans["tcp", "0002", "write"] == [[10_000.0, 12_104.0]]
    assert spans["tcp", "0002", "connect"] == [[10_000.0, 12_104.0]]
    assert spans["tcp", "0001", "connect"] == []


def test_no_step_is_shorter_than_what_is_kept() -> None:
    """Minutes are shown as minutes: in a step of a second they would be a peak."""
    coarse = Coarse(0, 1_000, 60, shift_s=7)
    grid = make_grid(130, 2_000, [(500, 505), (1_500, 1_505)], coarse=[coarse], most=90)
    early = [edge for edge in grid.edges if 130 < edge < 1_000]
    assert early
    assert {(edge - 7) % 60 for edge in early} == {0}
    at = grid.step(1_502)
    assert at is not None
    assert grid.edges[at + 1] - grid.edges[at] == 1
    assert grid.step(127, 60) == 0  # its minute reaches into the run
    assert grid.step(70, 60) is None


def test_minutes_of_a_segment_are_found(tmp_path: Path) -> None:
    """Whichever of the two files is coarser says how long its steps are."""
    run = planted_run(tmp_path / "run", length_s=600, dark_at_ms=300_000)
    series = run.path / SERIES
    header, *rows = series.read_bytes().splitlines()
    minutes = [row for row in rows if orjson.loads(row)["second"] % 60 == 0]
    packed = zstandard.compress(b"\n".join([header, *minutes]) + b"\n")
    (run.path / "series.60s.ndjson.zst").write_bytes(packed)
    series.unlink()
    parts = coarse_parts(run.path)
    course = load_course(run.path, grid_of(run, parts))
    told = page_document(run, course)["course"]
    assert [part.step_s for part in parts] == [60]
    assert min(told["seconds"][1:-1]) == 60
    assert sum(told["counts"][0]["served"]) == len(minutes) * 100


def test_a_course_counts_every_outcome() -> None:
    """Columns are named after the outcomes of the run folder."""
    run = make_run()
    told = page_document(run, StepSeries(grid_of(run)))
    assert told["film"]["outcomes"] == [outcome.label for outcome in Outcome]
    assert told["length_ms"] == 60_000.0
    assert told["zero_unix_ns"] == START.wall_ns // MS * MS
    assert START.wall_ns % S == 0
