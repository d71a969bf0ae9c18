"""Writing a run folder."""

import errno
import os
from pathlib import Path

import orjson
import pytest

from loadprobe.clock import ClockPair
from loadprobe.config.file import parse_config
from loadprobe.core.events import ProbeDied
from loadprobe.core.judging.cells import BlindSpan, read_film
from loadprobe.core.judging.results import Sealed
from loadprobe.errors import PreflightError
from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder import folder as run_folder
from loadprobe.outputs.folder.appending import AppendFile, WaitingMemory
from loadprobe.outputs.folder.folder import RunFolder, check_writable

# 2026-01-02 03:04:05 UTC
CLOCK = ClockPair(1_000, 1_767_323_045_000_000_000)


def read_lines(path: Path) -> list[dict[str, object]]:
    """Return the lines of an ndjson file after its header."""
    header, *lines = (orjson.loads(line) for line in path.read_bytes().splitlines())
    assert header == {"schema_version": 1, "file": path.name.removesuffix(".ndjson")}
    return lines


def test_name(tmp_path: Path) -> None:
    """A folder is named by UTC time and run, and a taken name is never reused."""
    paths = [RunFolder.create(tmp_path, "nightly", clock=CLOCK).path for _ in range(3)]
    assert [path.name for path in paths] == [
        "20260102T030405Z-nightly",
        "20260102T030405Z-nightly-2",
        "20260102T030405Z-nightly-3",
    ]


def test_files(tmp_path: Path) -> None:
    """Lines are readable at once, documents are replaced whole, films end up last."""
    folder = RunFolder.create(tmp_path, "run", clock=CLOCK)
    folder.take_event(ProbeDied(1_500, 1, "signal 9"))
    assert read_lines(folder.path / "events.ndjson") == [
        {
            "wall_ns": CLOCK.wall_ns + 500,
            "mono_ns": 1_500,
            "source": "probe",
            "kind": "died",
            "fields": {"process": 1, "cause": "signal 9"},
        }
    ]
    folder.write_document("summary.json", {"schema_version": 1, "verdict": ["old"]})
    folder.write_document("summary.json", {"schema_version": 1, "verdict": ["new"]})
    span = BlindSpan("tls", 10, 20)
    folder.take_sealed(Sealed(0, film=[span]))
    assert folder.close() == folder.path
    assert folder.problems == []
    assert orjson.loads((folder.path / "summary.json").read_bytes())["verdict"] == [
        "new"
    ]
    assert read_film((folder.path / documents.CELLS).read_bytes()) == ([span], False)
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "cells.film",
        "events.ndjson",
        "histograms.ndjson",
        "sealed.ndjson",
        "series.ndjson",
        "summary.json",
    ]


def test_owner_alone(tmp_path: Path) -> None:
    """Nobody else reads a run folder, even where the umask would let them."""
    umask = os.umask(0)
    try:
        folder = RunFolder.create(tmp_path, "run", clock=CLOCK)
        folder.take_event(ProbeDied(1_500, 1, "signal 9"))
        folder.write_document("summary.json", {"schema_version": 1})
        folder.take_sealed(Sealed(0, film=[BlindSpan("tls", 10, 20)]))
        during = set(folder.path.iterdir())
        folder.close()
    finally:
        os.umask(umask)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    found = {path for path in during | set(folder.path.iterdir()) if path.exists()}
    assert {path.stat().st_mode & 0o777 for path in found} == {0o600}
    assert {"events.ndjson", "summary.json"} <= {path.name for path in found}


def test_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of a run folder holds the password, only where it comes from."""
    monkeypatch.setenv("PROBE_PASSWORD", "correct-horse")
    config = parse_config(
        '[target]\nhost = "h"\npassword_env = "PROBE_PASSWORD"\n'
        '[[lanes]]\nname = "tcp"\n',
        where="run.toml",
    )
    assert config.target.read_password() == "correct-horse"
    info = documents.describe_run(
        config, start=documents.moment(CLOCK, 1_000), scenario=None
    )
    folder = RunFolder.create(tmp_path, "run", clock=CLOCK)
    folder.write_document(documents.RUN, info)
    folder.close()
    text = b"".join(path.read_bytes() for path in folder.path.iterdir())
    assert b"PROBE_PASSWORD" in text
    assert b"correct-horse" not in text


def test_digest() -> None:
    """The digest of a configuration depends on its values, not on their order."""
    assert documents.digest({"a": 1, "b": 2}) == documents.digest({"b": 2, "a": 1})
    assert documents.digest({"a": 1}) != documents.digest({"a": 2})


def test_check_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A usable folder passes (and is made); a file or a full disk are told apart."""
    check_writable(tmp_path / "a" / "runs")
    (tmp_path / "file").write_text("")
    with pytest.raises(
        PreflightError, match=r"cannot write run folders in '.*/file/x'"
    ):
        check_writable(tmp_path / "file" / "x")
    with pytest.raises(PreflightError, match=r"cannot make the run folder"):
        RunFolder.create(tmp_path / "file", "run", clock=CLOCK)
    monkeypatch.setattr(run_folder, "FREE_BYTES_NEEDED", 1 << 62)
    with pytest.raises(
        PreflightError, match=r"MB are free .* MB are needed; free some"
    ):
        check_writable(tmp_path)


def test_append_keeps_order_and_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused is written later in order; what exceeds the bound is counted."""
    room = 10
    real_write = os.write

    def write(fd: int, content: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real_write(fd, content[:room])
        room -= taken
        return taken

    monkeypatch.setattr(os, "write", write)
    file = AppendFile(tmp_path / "f", header=b"head\n", room=WaitingMemory(25))
    file.append(b"first-line\n")
    file.append(b"second\n")
    file.append(b"third-does-not-fit\n")
    file.append(b"fits\n")
    assert (tmp_path / "f").read_bytes() == b"head\nfirst"
    assert (file.pending_count, file.dropped) == (3, 1)
    assert file.error is not None
    file.copy_to(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"head\nfirst-line\nsecond\nfits\n"
    room = 1000
    assert file.flush()
    file.close()
    assert (tmp_path / "f").read_bytes() == b"head\nfirst-line\nsecond\nfits\n"
