"""A run that does not end: memory and disk stay, and nothing that happened is lost."""

import tracemalloc
from pathlib import Path

import pytest

from loadprobe.outputs.folder.holding import segment_paths
from loadprobe.outputs.folder.retention import Retention
from loadprobe.run.aftermath import load_any_run
from tests.support.long_run import DAY, H, LongRun


def held(run: LongRun) -> dict[str, float]:
    """Return what the metrics say is held."""
    run.recording.upkeep.look()
    series = run.published.metrics.snapshot().values["held_items"]
    return {what: count for (what,), count in series.items()}


def check_what_is_left(run: LongRun, *, kept_h: int) -> None:
    """See that what is left is what is to be kept, and that the verdict has it all."""
    path = run.folder.path
    there = len(segment_paths(path))
    assert kept_h <= there <= kept_h + 2
    assert len(list(path.rglob("histograms.ndjson.zst"))) <= 2 + 1 + run.incidents
    assert len(list(path.rglob("series.ndjson.zst"))) <= 6 + 1 + run.incidents
    assert len(list(path.glob("incidents/2*"))) >= run.incidents - 1
    report = load_any_run(path)
    dark = report.summary.downtime_ms.any_shard
    assert dark.lower <= 500 * run.incidents <= dark.upper
    assert len(report.outages) == run.incidents
    run.conclude()
    report = load_any_run(path)
    assert len(report.outages) == run.incidents
    assert len(list(path.glob("incidents/2*"))) == run.incidents


def test_ten_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours are kept as they are to be, and the verdict has what happened in all."""
    run = LongRun(tmp_path, Retention(retain_days=4 / 24), monkeypatch)
    held(run)
    run.run_until(8 * H)
    before = held(run)
    run.run_until(10 * H)
    after = held(run)
    assert after["outages"] == run.incidents == 2
    same = ("scopes", "series", "provider_events", "planned", "incidents")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    check_what_is_left(run, kept_h=4)


@pytest.mark.alone
@pytest.mark.timeout(280)
def test_a_week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a week of virtual time neither memory nor the folder grows after two days."""
    run = LongRun(tmp_path, Retention(retain_days=2), monkeypatch)
    run.run_until(round(5.5 * DAY))
    bytes_before = run.last.segments_bytes
    tracemalloc.start()  # makes everything five times as slow
    run.run_until(6 * DAY)  # until then what is forgotten was not traced
    memory_before = tracemalloc.get_traced_memory()[0]
    run.run_until(7 * DAY)
    per_day = tracemalloc.get_traced_memory()[0] - memory_before
    tracemalloc.stop()
    # Outages, events and seconds with arrivals are so rare that their bounds are far.
    assert per_day < 200_000, f"memory grows by {per_day} bytes a day"
    assert run.last.segments_bytes < 1.1 * bytes_before
    check_what_is_left(run, kept_h=48)
