"""What a bench is and how far it is, on disk."""

import os
from pathlib import Path

import msgspec
import pytest

from loadprobe.bench.axes import Axis
from loadprobe.bench.groups import groups_of_bench
from loadprobe.bench.manifest import (
    CELLS,
    BenchManifest,
    Ended,
    add_ended,
    read_ended,
    read_manifest,
    write_manifest,
)
from loadprobe.bench.places import check_axes
from loadprobe.bench.runner import ASIDE, set_aside_unended
from loadprobe.errors import PreflightError, UsageError
from loadprobe.outputs.comparing.reading import RunReader

MANIFEST = BenchManifest(
    config="[[lanes]]\nname = 'a'\n",
    config_name="bench.toml",
    scenario="",
    scenario_name="",
    axes=[Axis("shards", ["2", "3"])],
    repeats=2,
    seed=1,
    duration="1s",
    where="local",
    node_type="",
    versions={"loadprobe": "0.1.0"},
)
ENDED = [Ended("shards=2", 1, "shards=2/a", 0, 9.5), Ended("shards=3", 1, "x", 3, 1.0)]


def test_it_is_read_back(tmp_path: Path) -> None:
    """Manifest and ended cells are as they were written."""
    write_manifest(tmp_path / "b", MANIFEST)
    add_ended(tmp_path / "b", ENDED)
    assert read_manifest(tmp_path / "b") == MANIFEST
    assert read_ended(tmp_path / "b") == ENDED


def test_a_bench_is_never_overwritten(tmp_path: Path) -> None:
    """A second one in the same folder is told how to go on with the first."""
    write_manifest(tmp_path, MANIFEST)
    with pytest.raises(UsageError, match="--resume"):
        write_manifest(tmp_path, MANIFEST)


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    """A last line that was cut short is a cell that has not ended."""
    add_ended(tmp_path, ENDED)
    whole = (tmp_path / CELLS).read_bytes()
    (tmp_path / CELLS).write_bytes(whole[:-5])
    assert read_ended(tmp_path) == ENDED[:1]
    for damaged in (b"{}\n", b'{"label": "\xff"}\n'):
        (tmp_path / CELLS).write_bytes(damaged + whole)
        with pytest.raises(UsageError, match="line 1 is damaged"):
            read_ended(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "holds no bench"),
        (b"{", "is damaged"),
        (b"[]", "is damaged"),
        (b'{"config": "\xff"}', "is damaged"),
    ],
)
def test_no_bench(tmp_path: Path, content: bytes | None, said: str) -> None:
    """A folder without one, and a damaged one, are errors that name the file."""
    if content is not None:
        (tmp_path / "bench.json").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read_manifest(tmp_path)


def test_another_format(tmp_path: Path) -> None:
    """A bench of another version is refused."""
    write_manifest(tmp_path, MANIFEST)
    path = tmp_path / "bench.json"
    path.write_text(
        path.read_text().replace('"schema_version": 1', '"schema_version": 9')
    )
    with pytest.raises(UsageError, match="schema_version 9, expected 1"):
        read_manifest(tmp_path)


def test_what_was_killed_is_set_aside(tmp_path: Path) -> None:
    """A run folder of a cell that has not ended is kept where it is not counted."""
    for name in ("a", "b"):
        run = tmp_path / "shards=2" / name
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
    add_ended(tmp_path, ENDED[:1])
    set_aside_unended(tmp_path, MANIFEST)
    assert [p.name for p in (tmp_path / "shards=2").iterdir()] == ["a"]
    assert [p.name for p in (tmp_path / ASIDE).iterdir()] == ["shards=2-b"]


@pytest.mark.parametrize(
    ("axis", "where", "said"),
    [
        (Axis("shards", ["2", "3"]), "given", "stays as it is"),
        (Axis("shards", ["two"]), "local", "is not a number"),
        (Axis("engine", ["keydb-6"]), "local", "redis-7.0 or valkey-9.1"),
        (Axis("engine", ["redis-99.9"]), "local", "looking for redis 99.9"),
    ],
)
def test_axes_that_cannot_be_varied(axis: Axis, where: str, said: str) -> None:
    """What the place of a bench cannot vary is refused before anything is run."""
    manifest = msgspec.structs.replace(MANIFEST, axes=[axis], where=where)
    with pytest.raises((UsageError, PreflightError), match=said):
        check_axes(manifest)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """In a bench of somebody else a pipe is not waited for, and depth is damage."""
    os.mkfifo(tmp_path / CELLS)
    with pytest.raises(UsageError, match="cells.ndjson.*: it is no regular file"):
        read_ended(tmp_path)
    (tmp_path / CELLS).unlink()
    (tmp_path / CELLS).symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="cells.ndjson.*: it is a link, not a file"):
        read_ended(tmp_path)
    deep = b'{"more": ' + b"[" * 100_000
    (tmp_path / CELLS).unlink()
    (tmp_path / CELLS).write_bytes(deep + b"\n")
    with pytest.raises(UsageError, match="line 1 is damaged"):
        read_ended(tmp_path)
    (tmp_path / "bench.json").write_bytes(deep)
    with pytest.raises(UsageError, match="is damaged"):
        read_manifest(tmp_path)


def test_a_cell_that_the_bench_does_not_have(tmp_path: Path) -> None:
    """It is named, with its file."""
    write_manifest(tmp_path, MANIFEST)
    add_ended(tmp_path, [msgspec.structs.replace(ENDED[0], label="shards=99")])
    reader = RunReader(lambda _: pytest.fail("no run is read"), has_page=False)
    with pytest.raises(UsageError, match="'shards=99'.*which this bench does not have"):
        groups_of_bench(tmp_path, None, reader, print)
