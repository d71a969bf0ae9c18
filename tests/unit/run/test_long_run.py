"""A run that does not end: memory and disk stay, and nothing that happened is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadprobe.outputs.folder.retention import Retention
from tests.support.long_run import H, LongRun, check_what_is_left


def held(run: LongRun) -> dict[str, float]:
    """Return what the metrics say is held."""
    run.recording.upkeep.look()
    series = run.published.metrics.snapshot().values["held_items"]
    return {what: count for (what,), count in series.items()}


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


@pytest.mark.timeout(280)
def test_a_week(tmp_path: Path) -> None:
    """In a week of virtual time neither memory nor the folder grows after two days."""
    command = [sys.executable, "-m", "tests.support.long_week", str(tmp_path)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    grown = json.loads(ended.stdout)
    # Outages, events and seconds with arrivals are so rare that their bounds are far.
    assert grown["bytes"] < 200_000, grown["where"]
    before, after = grown["folder"]
    assert after < 1.1 * before
