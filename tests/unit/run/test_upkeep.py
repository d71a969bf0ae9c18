"""What the supervisor does to keep its folder small, and what it shows of that."""

from pathlib import Path

import pytest

from loadprobe.clock import ClockPair
from loadprobe.config.keys import Output
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.outputs.folder.documents import EVENTS, SERIES
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.retention import Retention
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.run.upkeep import FolderUpkeep, retention_of
from tests.support.aggregating import ONE

S = 1_000_000_000


class Kept:
    """An upkeep with a clock of its own."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.now_ns = 0
        self.folder = RunFolder(path, clock=ClockPair(0, 0))
        self.metrics = RunMetrics(
            "c", aggregate=Aggregate([ONE]), clock=ClockPair(0, 0)
        )
        self.upkeep = FolderUpkeep(
            self.folder, Retention(), self.metrics, now_ns=lambda: self.now_ns
        )

    def values(self, metric: str) -> dict[tuple[str, ...], float]:
        """Return the series of a metric."""
        return dict(self.metrics.snapshot().values[metric])


def test_the_keys_are_those_of_the_configuration() -> None:
    """What is not configured is kept as the configuration says by default."""
    assert retention_of(Output()) == Retention()
    assert retention_of(Output(retain_days=3.0)) == Retention(retain_days=3.0)


def test_when_it_is_due(tmp_path: Path) -> None:
    """It is due every hour, when a segment has ended, and while the disk is full."""
    kept = Kept(tmp_path / "run")
    assert not kept.upkeep.is_due()
    kept.folder.segment = 2
    assert kept.upkeep.is_due()
    kept.folder.segment = 1
    kept.now_ns = 3599 * S
    assert not kept.upkeep.is_due()
    kept.now_ns = 3600 * S
    assert kept.upkeep.is_due()
    kept.now_ns = 61 * S
    assert not kept.upkeep.is_due()
    kept.upkeep.retention = Retention(max_disk_ratio=0.0)
    assert kept.upkeep.is_due()
    kept.now_ns = 59 * S
    assert not kept.upkeep.is_due()


async def test_a_process_keeps_it(tmp_path: Path) -> None:
    """The process is asked, and what it found is shown."""
    kept = Kept(tmp_path / "run")
    kept.folder.segment = 2
    await kept.upkeep.keep()
    assert kept.upkeep.problems == []
    assert not kept.upkeep.is_due()
    assert kept.values("folder_damaged_files") == {(): 0}
    assert set(kept.values("folder_bytes")) == {
        ("open",),
        ("segments",),
        ("incidents",),
    }
    assert kept.values("folder_lost_chunks_total")[SERIES,] == 0
    assert 0 < kept.values("folder_disk_used_ratio")[()] <= 1


async def test_a_process_that_fails_is_told(tmp_path: Path) -> None:
    """What the process cannot do is a problem that is shown, and no more."""
    kept = Kept(tmp_path / "run")
    (tmp_path / "run" / "upkeep.lock").mkdir()
    await kept.upkeep.keep()
    [problem] = kept.upkeep.problems
    assert "upkeep.lock" in problem


def test_what_waits_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a full disk refuses is shown as waiting, and then as lost."""
    kept = Kept(tmp_path / "run")
    file = kept.folder._growing[EVENTS]
    file._room.limit_bytes = 1000
    (tmp_path / "run").rename(tmp_path / "gone")
    for _ in range(30):
        file.append(b"x" * 99 + b"\n")
    kept.upkeep.look()
    assert 700 < kept.values("folder_waiting_bytes")[EVENTS,] <= 1000
    assert kept.values("folder_lost_chunks_total")[EVENTS,] >= 20
