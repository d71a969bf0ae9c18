"""What is written reaches the disk beside the writing, and failures are told."""

import os
import threading
from pathlib import Path

import pytest

from loadprobe.clock import NS_PER_S, ClockPair
from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.results import Sealed
from loadprobe.outputs.folder import syncing
from loadprobe.outputs.folder.appending import AppendFile
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.syncing import Syncing
from loadprobe.run import budgeting, run, sealing


def test_only_what_was_written_since_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are synced in their order, and not again while nothing was written."""
    first, second, third = (
        AppendFile(tmp_path / name, header=b"h\n") for name in ("a", "b", "c")
    )
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    beside = Syncing(tmp_path, [first, second, third])
    beside.sync()
    assert synced == []
    second.append(b"1\n")
    first.append(b"1\n")
    beside.sync()
    beside.sync()
    assert [Path(f"/proc/self/fd/{fd}").readlink() for fd in synced] == [
        tmp_path / "a",
        tmp_path / "b",
    ]
    second.append(b"2\n")
    beside.sync()
    assert synced[2:] == [synced[1]]
    assert beside.error is None
    for file in first, second:
        file.close()


def test_a_thread_syncs_until_the_folder_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never the thread that writes; what is written last is synced, too."""
    monkeypatch.setattr(syncing, "SYNC_EVERY_S", 0.01)
    threads: list[int] = []
    seen = threading.Event()
    real = os.fdatasync

    def sync(fd: int) -> None:
        threads.append(threading.get_ident())
        real(fd)
        seen.set()

    monkeypatch.setattr(os, "fdatasync", sync)
    folder = RunFolder.create(tmp_path, "run", clock=ClockPair(0, 0))
    folder.take_sealed(Sealed(0, film=[BlindSpan("tcp", 0, 1)]))
    folder.keep_on_disk()
    assert seen.wait(10)
    seen.clear()
    folder.take_sealed(Sealed(0, film=[BlindSpan("tcp", 1, 2)]))
    folder.close()
    assert seen.is_set()
    assert threading.get_ident() not in threads
    assert folder.problems == []


def test_a_disk_that_refuses_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on, and its report says what a power cut may cost."""

    def refuse(fd: int) -> None:
        raise OSError(5, "Input/output error")

    folder = RunFolder.create(tmp_path, "run", clock=ClockPair(0, 0))
    folder.keep_on_disk()
    monkeypatch.setattr(os, "fdatasync", refuse)
    folder.take_sealed(Sealed(0, film=[BlindSpan("tcp", 0, 1)]))
    folder.close()
    (problem,) = folder.problems
    assert problem == (
        "what was written did not reach the disk (Input/output error): a power cut may "
        "cost more than the last 5 s"
    )


def test_the_promised_bounds_add_up() -> None:
    """What is written so often, and synced so often, is there as early as is promised.

    A second after it was sealed with the kernel, five seconds after it on the disk.
    """
    written_s = sealing.HELD_NS / NS_PER_S + run.LOOK_S
    assert written_s < 1
    assert budgeting.DARK_EVERY_NS / NS_PER_S + run.LOOK_S < 1
    assert written_s + syncing.SYNC_EVERY_S + syncing.SLOW_S < 5
