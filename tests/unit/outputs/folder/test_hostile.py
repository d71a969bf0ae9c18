"""A run folder of somebody else is read or refused; it holds up nothing."""

import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import orjson
import pytest
import zstandard

from loadprobe.core.judging.cells import (
    FILM_MAGIC,
    MOST_FILM_BYTES,
    FilmChunk,
    encode_frames,
    read_film,
)
from loadprobe.errors import UsageError
from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder.forms import MANIFEST
from loadprobe.outputs.folder.packed import kept_chunks, kept_lines
from loadprobe.outputs.folder.regular import MOST_BYTES
from loadprobe.outputs.folder.removing import REMOVED
from loadprobe.outputs.folder.sealed_lines import decode_line, decode_seconds
from loadprobe.outputs.report.report import render_json
from loadprobe.run.aftermath import load_any_run
from tests.support.written_run import write_run

NAMES = [documents.SUMMARY, documents.OUTAGES, documents.EVENTS, documents.CELLS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a run."""
    return write_run(tmp_path)


def _link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _link_to_file(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.write_bytes(b"{}")
    path.symlink_to(target)


def _link_to_removals(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.write_bytes(
        b'{"removed": [{"what": "segments", "count": 1, "from_unix_ns": 0, '
        b'"until_unix_ns": 1, "why": "output.keep"}]}'
    )
    path.symlink_to(target)


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # it takes no room on the disk


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("put", "reason"),
    [
        (os.mkfifo, "it is no regular file"),
        (_link, "it is a link, not a file"),
        (_link_to_file, "it is a link, not a file"),
    ],
)
def test_what_is_no_regular_file(
    folder: Path, name: str, put: Callable[[Path], None], reason: str
) -> None:
    """A pipe is not waited for, a device not read, a link not followed."""
    (folder / name).unlink()
    put(folder / name)
    if name == documents.SUMMARY and put in {os.mkfifo, _link}:
        return  # as if it were not there
    with pytest.raises(UsageError, match=f"{name}.*{reason}"):
        load_any_run(folder)


@pytest.mark.parametrize("put", [os.mkfifo, _link, _link_to_removals])
def test_what_was_removed_is_no_regular_file(
    folder: Path, put: Callable[[Path], None]
) -> None:
    """The rest is shown, as if nothing were said of removals."""
    put(folder / REMOVED)
    assert load_any_run(folder).missing == ()


@pytest.mark.parametrize("name", [documents.SUMMARY, documents.CELLS])
def test_what_is_too_large(folder: Path, name: str) -> None:
    """It is refused by its size."""
    _large(folder / name)
    with pytest.raises(UsageError, match="has more than 512 MiB"):
        load_any_run(folder)


def test_a_frame_that_unpacks_to_much() -> None:
    """It is not unpacked any further, and what there is takes little memory."""
    body = zlib.compress(bytes(300 * 1024 * 1024))
    content = FILM_MAGIC + struct.pack(">I", len(body)) + body
    tracemalloc.start()
    with pytest.raises(ValueError, match="unpacks to more than 16 MiB"):
        read_film(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 1024 * 1024


def test_a_window_that_takes_much_memory(tmp_path: Path) -> None:
    """A decompressor would make room for all that a file says it looks back on."""
    path = tmp_path / "events.ndjson.zst"
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    path.write_bytes(packer.compress(b"{}\n") + packer.flush())
    with pytest.raises(ValueError, match="cannot be decompressed"):
        list(kept_chunks(path))


def test_what_unpacks_to_much_comes_in_pieces(tmp_path: Path) -> None:
    """A file of some kilobytes may hold gigabytes: a line of that is refused early."""
    path = tmp_path / "events.ndjson.zst"
    packer = zstandard.ZstdCompressor().compressobj()
    parts = [packer.compress(bytes(1 << 20)) for _ in range(200)]
    path.write_bytes(b"".join([*parts, packer.flush()]))
    assert path.stat().st_size < 20_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="a line is longer than"):
        list(kept_lines(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 1024 * 1024


def test_a_film_that_unpacks_to_much() -> None:
    """So many frames are read as fit; that there are more is told."""
    cells = [1] * 50_000
    frame = FilmChunk("tcp", "0001", 0, 0, cells, served=cells)
    each = len(msgspec.msgpack.encode(frame))
    content = FILM_MAGIC + encode_frames([frame]) * 20
    frames, goes_on = read_film(content, most_bytes=5 * each)
    assert (len(frames), goes_on) == (5, True)
    frames, goes_on = read_film(content)
    assert (len(frames), goes_on) == (20, False)
    assert 600 * each < MOST_FILM_BYTES


def test_a_line_without_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not kept longer than any line is."""
    monkeypatch.setattr("loadprobe.outputs.folder.files.LONGEST_LINE_BYTES", 5_000)
    with (folder / documents.EVENTS).open("ab") as file:
        file.write(b"x" * 10_000)
    with pytest.raises(UsageError, match="line 4 is damaged: it is longer than any"):
        load_any_run(folder)


def test_more_events_than_any_run_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small compressed file may hold a great many."""
    monkeypatch.setattr("loadprobe.outputs.folder.reader._MOST_EVENTS", 2)
    with pytest.raises(UsageError, match="has more than 2 events"):
        load_any_run(folder)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**40])
def test_integers_of_more_than_64_bits(folder: Path, number: int) -> None:
    """None is ever written; the file and the key are named."""
    path = folder / documents.OUTAGES
    document = orjson.loads(path.read_bytes())
    document["outages"][0]["failed"] = "HERE"
    path.write_bytes(orjson.dumps(document).replace(b'"HERE"', str(number).encode()))
    with pytest.raises(UsageError) as caught:
        load_any_run(folder)
    assert str(caught.value) == (
        f"{path} is damaged: outages[0].failed is an integer of more than 64 bits"
    )


def test_an_event_with_a_large_integer(folder: Path) -> None:
    """Its line is named."""
    path = folder / documents.EVENTS
    line = path.read_bytes().splitlines()[-1]
    document = orjson.loads(line)
    document["fields"]["more"] = [1, "HERE"]
    with path.open("ab") as file:
        file.write(orjson.dumps(document).replace(b'"HERE"', b"9" * 30) + b"\n")
    with pytest.raises(UsageError, match=r"line 4 is damaged: fields\.more\[1\] is an"):
        load_any_run(folder)


def test_the_largest_integers_of_64_bits(folder: Path) -> None:
    """They are read, and written again."""
    path = folder / documents.OUTAGES
    document = orjson.loads(path.read_bytes())
    document["outages"][0]["failed"] = 2**64 - 1
    path.write_bytes(orjson.dumps(document))
    shown = orjson.loads(render_json(load_any_run(folder)))
    assert shown["outages"][0]["failed"] == 2**64 - 1


@pytest.mark.parametrize("depth", [300, 100_000])
def test_what_is_too_deep(folder: Path, depth: int) -> None:
    """It is refused where it is read, or where it is shown."""
    path = folder / documents.EVENTS
    nested = b"[" * depth + b"]" * depth
    document = orjson.loads(path.read_bytes().splitlines()[-1])
    document["fields"]["more"] = "HERE"
    with path.open("ab") as file:
        file.write(orjson.dumps(document).replace(b'"HERE"', nested) + b"\n")
    with pytest.raises(UsageError):
        render_json(load_any_run(folder))


@pytest.mark.parametrize("name", [REMOVED, MANIFEST])
def test_what_is_too_deep_beside_the_run(folder: Path, name: str) -> None:
    """What says what was removed or set aside is left out; the rest is shown."""
    (folder / name).write_bytes(b'{"more": ' + b"[" * 100_000)
    assert load_any_run(folder).missing == ()


def test_a_sealed_line_that_is_too_deep() -> None:
    """It is damaged, as one that is torn."""
    content = b'{"more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    line = b"[%d,%b]\n" % (zlib.crc32(content), content)
    for decode in (decode_line, decode_seconds):
        with pytest.raises(ValueError, match="recursion"):
            decode(line)
