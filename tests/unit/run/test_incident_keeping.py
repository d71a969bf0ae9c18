"""Which incidents get a folder of their own."""

from pathlib import Path

import pytest

from loadprobe.clock import ClockPair
from loadprobe.core.events import MaintenanceOver, RunProblem
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.outputs.folder.incident_folder import IncidentRecord, read_record
from loadprobe.outputs.folder.retention import Retention
from loadprobe.run.incident_keeping import IncidentKeeping
from tests.support import long_run
from tests.support.long_run import LongRun

S = 1_000_000_000
WALL_NS = 1_767_323_045 * S


def keeping(run: str = "run") -> IncidentKeeping:
    """Return a keeping of a run in which nothing was measured."""
    return IncidentKeeping(
        run, Aggregate([]), ClockPair(0, WALL_NS), outages=list, quiet_ns=S
    )


def test_a_maintenance_has_a_folder_whether_dark_or_not() -> None:
    """When it is over its verdict is kept, also if nobody noticed."""
    kept = keeping()
    kept.take_event(RunProblem(S, "something else"))
    over = MaintenanceOver(
        90 * S, 2, "update", WALL_NS, WALL_NS + 60 * S, 3, 0, 0, 0, 0, "nobody noticed"
    )
    kept.take_event(over)
    (record,) = kept.take(5)
    assert (record.kind, record.incident, record.outages) == ("maintenance", None, [])
    assert (record.start_unix_ns, record.end_unix_ns) == (WALL_NS, WALL_NS + 60 * S)
    assert record.about == {
        "number": 2,
        "reason": "update",
        "signs": 3,
        "outages": 0,
        "verdict": "nobody noticed",
    }
    assert kept.waiting == 0


def test_incidents_are_over_though_others_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One every half a minute: each is kept a minute later, and none waits for the end.

    Folders of all of them at the end would take minutes.
    """
    monkeypatch.setattr(long_run, "STEP_NS", 30 * S)
    monkeypatch.setattr(long_run, "INCIDENT_EVERY_NS", 30 * S)
    run = LongRun(tmp_path, Retention(), monkeypatch)
    kept = run.recording.incidents
    taken: list[IncidentRecord] = []
    for minute in range(1, 11):
        run.run_until(minute * 60 * S)
        taken += kept.take(20)
        assert len(taken) >= 2 * (minute - 2)
    starts = [record.start_unix_ns for record in taken]
    assert starts == sorted(set(starts))
    assert run.incidents == 20
    run.conclude()
    records = [read_record(path) for path in (run.folder.path / "incidents").iterdir()]
    assert len(records) == 20
    assert all(record is not None and len(record.outages) == 1 for record in records)
