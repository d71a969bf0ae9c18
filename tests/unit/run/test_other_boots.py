"""A run that goes on after a start of the machine, or a step of its wall clock."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import ClockPair
from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder.segments import SEGMENT, SegmentInfo, segment_path
from loadprobe.run import going_on, sealing
from loadprobe.run.aftermath import load_any_run
from loadprobe.run.going_on import find_past
from loadprobe.run.wall_watch import WallWatch
from tests.support.gone import DARK, killed, outages_counted
from tests.support.recorded import BEGIN_NS, MS, Recorded, S


@pytest.fixture(autouse=True)
def _write_every_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time is over in no time, in which nothing would be due to be written."""
    monkeypatch.setattr(sealing, "HELD_NS", 0)
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, 0, 0))


def test_another_boot_is_mapped_by_the_wall_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times of before are told in the clock of now, and it is said."""
    run = killed(tmp_path, 2000)
    path = run.folder.path / SEGMENT
    said = msgspec.json.decode(path.read_bytes(), type=SegmentInfo)
    other = msgspec.structs.replace(said, boot_id="another")
    path.write_bytes(msgspec.json.encode(other))
    clock = ClockPair(said.clock.mono_ns - 100 * S, said.clock.wall_ns + 5 * S)
    monkeypatch.setattr(going_on, "read_clock_pair", lambda: clock)
    second = Recorded(tmp_path, dark=DARK, resume=True)
    past = second.past
    assert past is not None
    assert (past.is_other_boot, past.shift_ns) == (True, -105 * S)
    assert past.before.until_ns == BEGIN_NS + 2000 * MS - 105 * S
    assert past.wall_step_ms is None
    (outage,) = past.before.going_on.values()
    assert outage.first_due_ns == BEGIN_NS + 1500 * MS - 105 * S
    assert [p.line.mono_ns for p in past.events] == [BEGIN_NS - 105 * S]


def of_another_boot(run: Recorded) -> SegmentInfo:
    """Have a run be of another start of the machine; return what it said before."""
    path = run.folder.path / SEGMENT
    said = msgspec.json.decode(path.read_bytes(), type=SegmentInfo)
    clock = documents.Moment(said.clock.wall_ns, BEGIN_NS)
    other = msgspec.structs.replace(said, boot_id="another", clock=clock)
    path.write_bytes(msgspec.json.encode(other))
    return said


def test_a_wall_clock_that_is_behind_after_a_boot_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was judged before lies before now, so what comes is judged at once."""
    run = killed(tmp_path, 2000)
    said = of_another_boot(run)
    clock = ClockPair(100 * S + 7, said.clock.wall_ns - 3600 * S)
    monkeypatch.setattr(going_on, "read_clock_pair", lambda: clock)
    past = find_past(run.plan.config)
    assert past is not None
    until_ns = past.before.until_ns
    assert clock.mono_ns - MS < until_ns <= clock.mono_ns
    assert past.shift_ns % MS == 0
    assert [p.line.mono_ns for p in past.events] == [until_ns - 2000 * MS]
    (problem,) = past.problems
    assert problem.startswith("when the machine was started anew its wall clock was")
    past.lock.release()


def test_a_clock_that_began_anew_is_that_of_another_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing has a name for a start of the machine."""
    monkeypatch.setattr(going_on, "read_boot_id", lambda: "another")
    run = killed(tmp_path, 2000)
    said = of_another_boot(run)
    clock = ClockPair(BEGIN_NS + S, said.clock.wall_ns + 60 * S)
    monkeypatch.setattr(going_on, "read_clock_pair", lambda: clock)
    past = find_past(run.plan.config)
    assert past is not None
    assert (past.is_other_boot, past.shift_ns) == (True, -59 * S)
    assert past.problems == []
    past.lock.release()


def test_a_process_that_was_gone_at_once_after_a_boot_shifts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was judged by it: events are told in the clock of what was."""
    run = killed(tmp_path, 2000)
    said = of_another_boot(run)
    clock = ClockPair(500 * S, said.clock.wall_ns + 60 * S)
    begun = msgspec.structs.replace(
        said, number=2, clock=documents.Moment(said.clock.wall_ns + 20 * S, 460 * S)
    )
    path = segment_path(run.folder.path, 2)
    path.mkdir(parents=True)
    (path / SEGMENT).write_bytes(msgspec.json.encode(begun))
    report = load_any_run(run.folder.path)
    assert [p.line.mono_ns for p in report.events] == [BEGIN_NS]
    monkeypatch.setattr(going_on, "read_clock_pair", lambda: clock)
    past = find_past(run.plan.config)
    assert past is not None
    assert [p.line.mono_ns for p in past.events] == [past.before.until_ns - 2000 * MS]
    past.lock.release()


def test_a_step_of_the_wall_clock_is_noticed() -> None:
    """What is more than any clock is slewed by is told, once."""
    watch = WallWatch(ClockPair(0, 100 * S))
    readings = [
        ClockPair(S // 2, 101 * S),
        ClockPair(S, 101 * S + 20 * MS),
        ClockPair(2 * S, 162 * S + 20 * MS),
        ClockPair(3 * S, 163 * S + 20 * MS),
        ClockPair(4 * S, 103 * S + 20 * MS),
    ]
    told = [watch.look(lambda now=now: now) for now in readings]  # type: ignore[misc]
    assert told == [None, None, 60_000, None, -61_000]


def test_an_outage_that_an_end_in_order_cut_counts_once_after_a_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known in whichever clock."""
    first = Recorded(tmp_path, dark=(1500 * MS, 5000 * MS))
    first.measure(2000 * MS)
    first.conclude()
    said = of_another_boot(first)
    clock = ClockPair(BEGIN_NS + 1000 * S, said.clock.wall_ns + 5 * S)
    monkeypatch.setattr(going_on, "read_clock_pair", lambda: clock)
    dark = (1500 * MS + 995 * S, 5000 * MS + 995 * S)
    second = Recorded(tmp_path, dark=dark, resume=True)
    second.measure(995 * S + 8 * S)
    assert outages_counted(second) == (1, 3.0)
