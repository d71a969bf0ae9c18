"""A run folder on a disk that is really full."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from loadprobe.clock import ClockPair
from loadprobe.core.events import ProbeDied
from loadprobe.core.judging.cells import BlindSpan, read_film
from loadprobe.core.judging.results import Sealed
from loadprobe.errors import PreflightError
from loadprobe.outputs.folder.folder import RunFolder, check_writable
from tests.support.small_disk import mounted

CLOCK = ClockPair(0, 1_767_323_045_000_000_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 64 kB."""
    with mounted(tmp_path / "disk", size="64k") as path:
        yield path


def add_events(folder: RunFolder, first: int, count: int) -> None:
    """Append events numbered from ``first``."""
    for number in range(first, first + count):
        folder.take_event(ProbeDied(number, process=number, cause="x" * 80))


def event_numbers(path: Path) -> list[int]:
    """Return the numbers of all events of a folder."""
    lines = (path / "events.ndjson").read_bytes().splitlines()
    return [orjson.loads(line)["fields"]["process"] for line in lines[1:]]


def test_recovers_in_place(small_disk: Path) -> None:
    """Nothing is lost on a full disk; it is put in its place once there is space."""
    folder = RunFolder.create(small_disk, "run", clock=CLOCK)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 60_000)
    add_events(folder, 0, 100)
    folder.write_document("summary.json", {"schema_version": 1, "padding": "x" * 9_000})
    assert len(folder.problems) == 2
    assert (
        "writing events.ndjson failed (No space left on device)" in folder.problems[0]
    )
    assert "still to be written: summary.json" in folder.problems[1]
    ballast.unlink()
    add_events(folder, 100, 1)
    assert sorted(item.name for item in folder.path.iterdir()) == [
        "events.ndjson",
        "run.lock",
        "summary.json",
    ]
    path = folder.close()
    assert path.parent == small_disk
    assert event_numbers(path) == list(range(101))
    assert any("it was completed later" in text for text in folder.problems)


def test_falls_back(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that cannot be completed in its folder is whole in the temporary one."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    folder = RunFolder.create(small_disk, "run", clock=CLOCK)
    spans = [BlindSpan("tls", n, n + 1) for n in range(100)]
    add_events(folder, 0, 300)
    folder.take_sealed(Sealed(0, film=[*spans[:50]]))
    add_events(folder, 300, 1000)
    folder.take_sealed(Sealed(0, film=[*spans[50:]]))
    folder.write_document("run.json", {"schema_version": 1})
    full = folder.path
    path = folder.close()
    assert path.parent == elsewhere
    assert folder.path == path
    assert event_numbers(path) == list(range(1300))
    assert read_film((path / "cells.film").read_bytes()) == (spans, False)
    assert orjson.loads((path / "run.json").read_bytes()) == {"schema_version": 1}
    assert folder.problems[-1] == (
        f"{str(full)!r} is incomplete; the complete run is in {str(path)!r}"
    )


def test_nowhere_to_go(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing can be written anywhere, closing says so and does not raise."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    folder = RunFolder.create(small_disk, "run", clock=CLOCK)
    add_events(folder, 0, 1300)
    assert folder.close() == folder.path
    assert "saving it in the temporary folder failed too" in folder.problems[-1]


def test_preflight(small_disk: Path) -> None:
    """A disk with less than 50 MB free is refused before the run."""
    with pytest.raises(PreflightError, match=r"0 MB are free in .*, 50 MB are needed"):
        check_writable(small_disk)
