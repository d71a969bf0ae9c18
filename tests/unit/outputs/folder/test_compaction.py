"""Compacting a segment: smaller, exactly as much said, whatever comes in between."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadprobe.errors import UsageError
from loadprobe.outputs.folder.compaction import Compaction
from loadprobe.outputs.folder.documents import (
    CELLS,
    EVENTS,
    HISTOGRAMS,
    SEALED,
    SERIES,
    SERVERS,
    HistogramRow,
    SeriesRow,
)
from loadprobe.outputs.folder.files import read_lines
from loadprobe.outputs.folder.forms import MANIFEST, SegmentFiles, find_form
from loadprobe.outputs.folder.packed import kept_chunks, pack
from loadprobe.outputs.folder.reader import load_beside
from tests.support.segments import Said, write_segment


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """Return a segment as it was written."""
    return write_segment(tmp_path / "segment")


def names(path: Path) -> set[str]:
    """Return the files of a segment."""
    return {file.name for file in path.iterdir()}


def size(path: Path) -> int:
    """Return how many bytes a segment takes."""
    return sum(file.stat().st_size for file in path.iterdir())


def test_compressed_says_the_same(segment: Path) -> None:
    """A compressed segment is read as the one that was written, at a fifth of it."""
    before, full = Said(segment), size(segment)
    Compaction(segment).compact()
    assert names(segment) == {
        "cells.film",
        "events.ndjson.zst",
        "histograms.ndjson.zst",
        "manifest.json",
        "sealed.ndjson.zst",
        "series.ndjson.zst",
        "servers.ndjson.zst",
    }
    assert Said(segment) == before
    assert size(segment) < full / 5


@pytest.mark.parametrize("steps_s", [[60], [3600], [1, 60, 3600], [60, 1]])
def test_coarser_adds_up_to_the_same(segment: Path, steps_s: list[int]) -> None:
    """Longer steps add up, and merge, to exactly what the seconds did."""
    before = Said(segment)
    for step_s in steps_s:
        Compaction(segment).compact(step_s)
    longest = max(steps_s)
    assert names(segment) == {
        "cells.film",
        "events.ndjson.zst",
        f"histograms.{longest}s.ndjson.zst",
        "manifest.json",
        f"series.{longest}s.ndjson.zst",
        f"servers.{longest}s.ndjson.zst",
    }
    assert Said(segment) == before
    rows = list(read_lines(segment / SERIES, SeriesRow))
    assert {row.second % longest for row in rows} == {0}
    lines = list(read_lines(segment / HISTOGRAMS, HistogramRow))
    steps = len(range(1000 // longest, 1200 // longest + (1200 % longest > 0)))
    assert len(rows) == 2 * steps
    assert len(lines) == 4 * steps


def test_again_changes_nothing(segment: Path) -> None:
    """What is compacted stays as it is."""
    Compaction(segment).compact(60)
    before = {file: file.read_bytes() for file in segment.iterdir()}
    Compaction(segment).compact(60)
    assert {file: file.read_bytes() for file in segment.iterdir()} == before


def test_every_digest_is_right(segment: Path) -> None:
    """The manifest says of every file what it is, so that any change of it is seen."""
    Compaction(segment).compact()
    files = SegmentFiles(segment)
    for name in (EVENTS, HISTOGRAMS, SERIES, SEALED, CELLS):
        assert files.manifest().files[name].sha256
        assert files.check(name) == ""
        path = find_form(segment, name)
        assert path is not None
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        assert files.check(name) == "it is not what was written"


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the process be killed before its nth change of the disk, or tick."""
    count = 0

    def before(original: Callable[..., object]) -> Callable[..., object]:
        def changed(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            if count == step:
                raise Killed
            return original(*args, **kwargs)

        return changed

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", before(os.fsync))
        patch.setattr(Path, "replace", before(Path.replace))
        patch.setattr(Path, "unlink", before(Path.unlink))
        yield


@pytest.mark.parametrize("first_s", [0, 1])
def test_killed_at_any_step_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_s: int
) -> None:
    """Killed before any change of the disk, a segment says the same, and goes on."""
    segment = write_segment(tmp_path / "whole", seconds=80)
    if first_s:
        Compaction(segment).compact(first_s)
    expected = Said(segment)
    step, kills = 0, 0
    while step < 200:
        step += 1
        trial = tmp_path / f"trial-{step}"
        shutil.copytree(segment, trial)
        with killed_at(step, monkeypatch):
            try:
                Compaction(trial).compact(60)
            except Killed:
                kills += 1
            else:
                break
        assert Said(trial) == expected, f"before change {step}"
        Compaction(trial).compact(60)
        assert Said(trial) == expected, f"before change {step}, and again"
        assert not [name for name in names(trial) if name.endswith(".new")]
        assert not {SERIES, HISTOGRAMS, EVENTS, SEALED} & names(trial)
        shutil.rmtree(trial)
    assert kills >= 20


def test_killed_while_it_writes(segment: Path) -> None:
    """What was written of a new file when the process was killed does not count."""
    expected = Said(segment)
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 300:
            raise Killed

    with pytest.raises(Killed):
        Compaction(segment, tick=tick).compact(60)
    assert [name for name in names(segment) if name.endswith(".new")]
    assert Said(segment) == expected
    Compaction(segment).compact(60)
    assert Said(segment) == expected


def flip(path: Path) -> None:
    """Change a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("name", [HISTOGRAMS, SERIES, SERVERS, EVENTS, SEALED, CELLS])
def test_a_damaged_file_is_set_aside(segment: Path, name: str) -> None:
    """A damaged file is kept under another name, and the others are compacted."""
    Compaction(segment).compact()
    path = find_form(segment, name)
    assert path is not None
    flip(path)
    content = path.read_bytes()
    Compaction(segment).compact(verify=True)
    assert (segment / f"{path.name}.damaged").read_bytes() == content
    assert find_form(segment, name) is None
    assert SegmentFiles(segment).check(name) == "it is not what was written"
    Compaction(segment).compact(60, verify=True)
    assert (segment / f"{path.name}.damaged").read_bytes() == content
    assert find_form(segment, SERIES if name != SERIES else HISTOGRAMS) is not None


@pytest.mark.parametrize("name", [HISTOGRAMS, SERIES, SERVERS])
def test_what_is_made_coarser_is_looked_at(segment: Path, name: str) -> None:
    """Nothing is made from a file that is not what was written."""
    Compaction(segment).compact()
    path = find_form(segment, name)
    assert path is not None
    flip(path)
    Compaction(segment).compact(60)
    assert find_form(segment, name) is None
    assert (segment / f"{path.name}.damaged").is_file()


def test_a_line_that_is_damaged_is_found(segment: Path) -> None:
    """Seconds that cannot be read do not go in silence: the file is set aside."""
    lines = (segment / SERIES).read_bytes().splitlines(keepends=True)
    lines[5] = b"}" + lines[5]
    (segment / SERIES).write_bytes(b"".join(lines))
    Compaction(segment).compact(60)
    assert (segment / f"{SERIES}.damaged").read_bytes() == b"".join(lines)


def test_a_torn_last_line_is_left_out(segment: Path) -> None:
    """A segment whose process was killed is compacted up to the tear."""
    with (segment / SERIES).open("ab") as file:
        file.write(b'{"lane":"tcp","sh')
    Compaction(segment).compact(60)
    assert sum(row.served for row in read_lines(segment / SERIES, SeriesRow)) > 0
    assert not list(segment.glob("*.damaged"))


def test_a_compressed_file_that_ends_too_early(segment: Path) -> None:
    """A compressed file that was cut is an error with its name, at any length."""
    Compaction(segment).compact()
    path = segment / f"{EVENTS}.zst"
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(UsageError, match=r"events.ndjson.zst"):
            load_beside(segment, set())


def test_a_file_that_swells_is_read_in_small_parts(tmp_path: Path) -> None:
    """A small file that makes a lot does not have to be held at once."""
    zeros = bytes(1024 * 1024)
    pack((zeros for _ in range(300)), tmp_path / "bomb.zst")
    largest = max(len(chunk) for chunk in kept_chunks(tmp_path / "bomb.zst"))
    assert largest <= 33 * 1024 * 1024


def test_a_manifest_that_cannot_be_read(segment: Path) -> None:
    """Without its manifest a segment is read and compacted all the same."""
    expected = Said(segment)
    Compaction(segment).compact()
    (segment / MANIFEST).write_bytes(b"{")
    assert Said(segment) == expected
    Compaction(segment).compact(60)
    assert Said(segment) == expected
