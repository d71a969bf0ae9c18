"""Runs that are compared are read once, and lead to their own pages."""

from pathlib import Path
from typing import Any

import pytest

from loadprobe.core.comparing.comparison import Group, compare_groups
from loadprobe.core.judging.histogram import Histogram
from loadprobe.errors import UsageError
from loadprobe.outputs.comparing import reading
from loadprobe.outputs.comparing.markdown import render_markdown
from loadprobe.outputs.comparing.page import comparison_page_document
from loadprobe.outputs.comparing.reading import RunReader
from loadprobe.outputs.comparing.steady import steady_lanes
from loadprobe.outputs.folder.documents import (
    HISTOGRAMS,
    PAGE,
    HistogramRow,
    encode_json,
)
from loadprobe.outputs.folder.reader import RunData
from tests.support.page_runs import empty_run, planted_run
from tests.support.reports import START, S


def steady_run(path: Path, *, response_ms: float, seconds: int = 40) -> RunData:
    """Return a run in which nothing happened; every second takes about as long."""
    run = empty_run(path)
    first = START.mono_ns // S
    with (path / HISTOGRAMS).open("wb") as file:
        file.write(b'{"schema_version":1,"file":"histograms"}\n')
        for at in range(seconds):
            histogram = Histogram()
            # Whole seconds go up and down, the first and the last are not whole.
            odd = 50.0 if at in (0, seconds - 1) else (at * 7 % 5) / 100
            histogram.record(round((response_ms + odd) * 1_000_000))
            rows = [
                HistogramRow("tcp", "read", first + at, kind, histogram.to_sparse())
                for kind in ("response", "service")
            ]
            file.write(b"".join(encode_json(row) + b"\n" for row in rows))
    return run


def test_every_run_is_read_once(tmp_path: Path) -> None:
    """For figures and page together; a run with a page of its own is linked."""
    runs = {
        tmp_path / name: planted_run(tmp_path / name, length_s=20, dark_at_ms=9_000)
        for name in ("a:b <c>", "d")
    }
    (tmp_path / "a:b <c>" / PAGE).touch()
    read: list[Path] = []

    def load(path: Path) -> RunData:
        read.append(path)
        return runs[path]

    reader = RunReader(load, has_page=True)
    for path in runs:
        reader.read(path)
    (tmp_path / "pages").mkdir()
    shown = reader.shown_on(tmp_path / "pages" / "compare.html")
    assert read == list(runs)
    links = [shown[str(path)]["page"] for path in runs]
    # A colon would make a scheme of what stands before it.
    assert links == ["./../a%3Ab%20%3Cc%3E/report.html", None]


def test_a_run_that_cannot_be_shown_costs_the_page_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison is there all the same."""

    def refused(run: RunData) -> dict[str, Any]:
        raise UsageError(f"{run.path} cannot be shown")

    monkeypatch.setattr(reading, "overlaid_run", refused)
    run = planted_run(tmp_path / "run", length_s=20, dark_at_ms=9_000)
    reader = RunReader(lambda _: run, has_page=True)
    assert reader.read(run.path).figures
    with pytest.raises(UsageError, match="cannot be shown"):
        reader.shown_on(tmp_path / "compare.html")


def test_seconds_of_a_steady_run(tmp_path: Path) -> None:
    """Their mean has an error of its own; the first and the last are left out."""
    (lane,) = steady_lanes(steady_run(tmp_path / "run", response_ms=2.0)).values()
    assert lane.count == 38
    assert lane.mean == pytest.approx(2.02, abs=0.003)
    assert 0 < lane.error < 0.02
    assert 0 < lane.effective <= 38


def test_no_steady_seconds(tmp_path: Path) -> None:
    """A run in which something happened has none, nor has a very short one."""
    short = steady_run(tmp_path / "short", response_ms=2.0, seconds=10)
    dark = planted_run(tmp_path / "dark", length_s=40, dark_at_ms=9_000)
    assert steady_lanes(short) == steady_lanes(dark) == {}
    (short.path / HISTOGRAMS).write_bytes(b"}\n")
    assert steady_lanes(short) == {}


def test_two_single_runs_are_laid_beside_each_other(tmp_path: Path) -> None:
    """A clear difference of two runs is told, and what their seconds are worth."""
    runs = {
        tmp_path / name: steady_run(tmp_path / name, response_ms=response_ms)
        for name, response_ms in (("old", 2.0), ("new", 2.5))
    }
    reader = RunReader(runs.__getitem__, has_page=False)
    groups = [Group(path.name, [reader.read(path)]) for path in runs]
    document = compare_groups(groups)
    old, new = document.steady
    assert (old.p, old.group, old.lane, old.seconds) == (None, "old", "tcp", 38)
    assert new.p is not None
    assert new.p < 0.001
    page = comparison_page_document(document, [], {})
    assert [row[:3] for row in page["steady"]["rows"]] == [
        ["old", "tcp", "38"],
        ["new", "tcp", "38"],
    ]
    text = render_markdown(document, [])
    assert "only repeats say" in text
    assert "| new | tcp | 38 |" in text
    repeated = compare_groups([groups[0], Group("new", [*groups[1].runs] * 2)])
    assert [each.p for each in repeated.steady] == [None] * 3
