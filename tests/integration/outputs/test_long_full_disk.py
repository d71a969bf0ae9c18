"""A run on a disk that is full for longer than there is memory for what waits."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder.documents import SeriesRow
from loadprobe.outputs.folder.files import read_lines
from loadprobe.outputs.folder.reader import read_info
from loadprobe.run import sealing
from loadprobe.run.aftermath import load_any_run
from tests.support.recorded import MS, Recorded, S
from tests.support.small_disk import mounted


@pytest.fixture(autouse=True)
def _write_every_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time is over in no time, in which nothing would be due to be written."""
    monkeypatch.setattr(sealing, "HELD_NS", 0)
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, 0, 0))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MB."""
    with mounted(tmp_path / "disk", size="1m") as path:
        yield path


def lost(run: Recorded) -> dict[str, float]:
    """Return what the metrics say is lost, by file."""
    run.recording.upkeep.look()
    metrics = run.recording._published.metrics
    series = metrics.snapshot().values["folder_lost_chunks_total"]
    return {file: count for (file,), count in series.items()}


def test_it_goes_on_and_recovers(small_disk: Path) -> None:
    """Judging goes on, losses are counted, and with room the verdict is whole again."""
    run = Recorded(small_disk, dark=(9000 * MS, 9600 * MS))
    for room in (run.folder._rooms.verdict, run.folder._rooms.others):
        room.limit_bytes = 20_000
    run.measure(4 * S)
    assert set(lost(run).values()) == {0}
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while shutil.disk_usage(small_disk).free:
            file.write(b"x" * 4096)
    run.measure(40 * S)
    counts = lost(run)
    assert counts["sealed.ndjson"] > 0
    assert counts["histograms.ndjson"] > 0
    rooms = run.folder._rooms
    assert max(rooms.verdict.used_bytes, rooms.others.used_bytes) <= 20_000
    assert run.folder.segment == 1
    assert run.folder.problems

    ballast.unlink()
    run.measure(50 * S)
    assert run.folder.retry()
    assert lost(run)["events.ndjson"] == 0
    assert run.folder.segment == 2
    info = read_info(run.folder.path / "segments" / "0002")
    assert info is not None
    assert info.why == "loss"

    while_running = load_any_run(run.folder.path)
    arrivals = sum(t.arrivals for t in run.aggregate.scope_totals.values())
    assert sum(lane.arrivals for lane in while_running.summary.lanes) == arrivals
    assert len(while_running.outages) == 1

    run.conclude()
    after = load_any_run(run.folder.path)
    assert run.folder.path.parent == small_disk
    assert len(after.outages) == 1
    texts = run.folder.problems
    assert any("histograms.ndjson lacks" in text for text in texts), texts
    path = run.folder.path / "segments" / "0002" / documents.SERIES
    seconds = {row.second for row in read_lines(path, SeriesRow)}
    assert max(seconds) >= 10 + 48
