"""Which incidents get a folder of their own."""

from loadprobe.clock import ClockPair
from loadprobe.core.events import MaintenanceOver, RunProblem
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.run.incident_keeping import IncidentKeeping

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
