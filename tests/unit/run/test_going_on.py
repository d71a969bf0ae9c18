"""A process goes on with the run of another one that is gone."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import ClockPair
from loadprobe.config.keys import Config, Lane
from loadprobe.core.events import RunContinued, RunProblem, TunnelBroken
from loadprobe.core.intervals import Interval
from loadprobe.core.judging import aggregate
from loadprobe.core.load.remembered import Remembered
from loadprobe.outputs.folder import documents, resumption, sealed_replay
from loadprobe.outputs.folder.budget_file import find_budget
from loadprobe.outputs.folder.ledger_file import LedgerFile, read_ledger
from loadprobe.outputs.folder.locking import LOCK
from loadprobe.outputs.folder.reader import load_segments
from loadprobe.outputs.folder.segments import SEGMENT, SegmentInfo, segment_path
from loadprobe.run import going_on, sealing
from loadprobe.run.aftermath import load_any_run
from loadprobe.run.budgeting import Budgeting
from loadprobe.run.crew import Crew
from loadprobe.run.going_on import find_past
from loadprobe.run.wall_watch import WallWatch
from tests.support.recorded import BEGIN_NS, CLOCK, MS, Recorded, S

DARK = (1500 * MS, 2600 * MS)


@pytest.fixture(autouse=True)
def _write_every_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time is over in no time, in which nothing would be due to be written."""
    monkeypatch.setattr(sealing, "LINE_EVERY_NS", 0)
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, 0, 0))


def killed(directory: Path, until_ms: int = 2000, **more: object) -> Recorded:
    """Return a run whose process is gone after a time."""
    run = Recorded(directory, **{"dark": DARK, **more})  # type: ignore[arg-type]
    run.measure(until_ms * MS)
    run.folder.close()
    (run.folder.path / LOCK).write_text("1\n")
    return run


def again(
    directory: Path, until_ms: int = 4000, dark: Interval = DARK, lane: str = "tcp"
) -> Recorded:
    """Return a process that has gone on with it, half a second later."""
    run = Recorded(directory, dark=dark, resume=True, lane=lane)
    run.measure(until_ms * MS)
    return run


def counted(run: Recorded) -> dict[tuple[str, object], float]:
    """Return the counters that the run shows."""
    return {
        (metric, labels): value
        for metric, series in run.published.metrics.snapshot().values.items()
        if metric.endswith("_total")
        for labels, value in series.items()
    }


def outages_counted(run: Recorded) -> tuple[float, float]:
    """Return how many outages the counters have, and how long these were, in s."""
    shown = counted(run)
    number, length_s = (
        sum(value for (name, _), value in shown.items() if name == metric)
        for metric in ("outages_total", "outage_seconds_total")
    )
    return number, round(length_s, 1)


@pytest.mark.parametrize("is_ended", [False, True])
def test_it_is_one_run_with_one_outage(tmp_path: Path, is_ended: bool) -> None:
    """The report is of both processes, and the time between them is blind."""
    first = Recorded(tmp_path, dark=DARK)
    first.measure(2000 * MS)
    before = counted(first)
    if is_ended:
        first.conclude()
    first.folder.close()
    second = again(tmp_path, 2750)
    shown = [counted(second)]
    before_it_is_said = load_any_run(second.folder.path).summary.state
    assert before_it_is_said == ("outage" if is_ended else "running")
    second.recording.refresh(None, BEGIN_NS + 2750 * MS)
    running = load_any_run(second.folder.path)
    assert running.summary.state == "running"
    second.measure(4000 * MS)
    shown.append(counted(second))
    second.conclude()
    path = second.folder.path
    assert path == first.folder.path
    for after in shown:
        assert {k: v for k, v in before.items() if after.get(k, 0) < v} == {}
        before = after
    run = load_any_run(path)
    assert run.info.start.mono_ns == BEGIN_NS
    (lane,) = run.summary.lanes
    assert lane.blind_ms == 500
    assert lane.arrivals == 2 * 350
    (outage,) = run.outages
    assert outage.unseen_ms == 500
    assert outage.failed == 50 + 10
    assert outage.lower_ms <= 600
    assert 1090 <= outage.duration_ms <= 1110
    continued = [p.event for p in run.events if isinstance(p.event, RunContinued)]
    assert [(e.segment, e.blind_ms, e.was_killed) for e in continued] == [
        (2, 500, not is_ended)
    ]
    assert sum(v for k, v in before.items() if k[0] == "outages_total") == 1
    (path / documents.SUMMARY).unlink()
    assert load_any_run(path).outages == run.outages


@pytest.mark.parametrize("is_ended", [False, True])
def test_an_outage_that_was_just_over_counts_once(
    tmp_path: Path, is_ended: bool
) -> None:
    """A load that ends in order counts it at once, a process that goes on does not."""
    dark = (1500 * MS, 1700 * MS)
    first = Recorded(tmp_path, dark=dark)
    first.measure(2000 * MS)
    if is_ended:
        first.conclude()
    first.folder.close()
    second = again(tmp_path, 5000, dark=dark)
    assert outages_counted(second) == (1, 0.2)
    assert len(second.published.counter.so_far()) == 1


@pytest.mark.parametrize("turns", [(), (3000 * MS,)])
def test_an_outage_that_an_end_in_order_cut_counts_once_after_a_kill(
    tmp_path: Path, turns: tuple[int, ...]
) -> None:
    """It was counted by the end in order, and went on through the kill after it."""
    dark = (1500 * MS, 5000 * MS)
    first = Recorded(tmp_path, dark=dark)
    first.measure(2000 * MS)
    first.conclude()
    assert outages_counted(first) == (1, 0.5)
    second = Recorded(tmp_path, dark=dark, resume=True, turns=turns)
    second.measure(3500 * MS)
    second.folder.close()
    third = again(tmp_path, 8000, dark=dark)
    assert outages_counted(third) == (1, 2.5)


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


def test_an_incident_of_before_has_its_folder_soon(tmp_path: Path) -> None:
    """A process that was gone within a minute of its end made none."""
    dark = (1000 * MS, 1200 * MS)
    first = killed(tmp_path, 3000, dark=dark)
    assert first.recording.incidents.waiting == 0
    second = Recorded(tmp_path, dark=dark, resume=True)
    second.measure(61 * S, every_ns=S)
    assert second.recording.incidents.waiting == 0
    second.measure(66 * S, every_ns=S)
    (record,) = second.recording.incidents.take(2)
    assert [outage.shard for outage in record.outages] == ["0002"]


def test_what_others_count_goes_on(tmp_path: Path) -> None:
    """They begin anew with each process, and some in between: counters do not."""
    first = Recorded(tmp_path)
    first.measure(1000 * MS)
    first.published.window._dropped = 2
    lost = "folder_lost_chunks_total", ("series.ndjson",)
    told = "webhook_notices_sent_total", ("phone",)
    for value in 5, 7, 1:
        first.published.metrics.set(told[0], *told[1], value=value)
    first.published.metrics.set(lost[0], *lost[1], value=3)
    shown = counted(first)
    dropped = "cells_dropped_total", ()
    assert (shown[told], shown[lost], shown[dropped]) == (8, 3, 2)
    first.folder.close()
    second = again(tmp_path, 2500)
    second.recording.upkeep.look()
    second.published.metrics.set(told[0], *told[1], value=1)
    shown = counted(second)
    assert (shown[told], shown[lost], shown[dropped]) == (9, 3, 2)


def test_a_way_that_was_blocked_does_not_stay_so(tmp_path: Path) -> None:
    """A process that finds it open says nothing of it: what is dark is the shard."""
    dark = (3500 * MS, 3700 * MS)
    first = Recorded(tmp_path, dark=dark)
    first.measure(1000 * MS)
    broken = TunnelBroken(BEGIN_NS + 500 * MS, "bastion", "it was killed", 0.0)
    first.sinks.take_event(broken)
    first.folder.close()
    second = again(tmp_path, 6000, dark=dark)
    (blocked,) = second.published.health.blocked.spans
    assert (blocked.start_ns, blocked.end_ns) == (BEGIN_NS + 500 * MS, BEGIN_NS + S)
    second.folder.close()
    for _ in range(2):
        (outage,) = load_any_run(second.folder.path).outages
        assert outage.attribution == "shard"
        again(tmp_path, 9000, dark=dark).conclude()


def test_the_error_budget_has_seen_what_lanes_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that is gone has seen nothing since, one that is new nothing before."""
    opened_ns = iter([BEGIN_NS, BEGIN_NS + 5 * S])
    defaults = {"now_ns": lambda: next(opened_ns)}
    monkeypatch.setattr(Budgeting.__init__, "__kwdefaults__", defaults)
    slo = "availability = 0.999"
    first = Recorded(tmp_path, slo=slo)
    first.measure(4 * S)
    first.published.budgeting.close()
    first.folder.close()
    second = Recorded(tmp_path, slo=slo, resume=True, lane="new", after_ns=60 * S)
    second.measure(70 * S)
    second.conclude()
    second.published.budgeting.close()
    accounts = find_budget(tmp_path, "run", "h:6379", CLOCK.to_wall(BEGIN_NS + 70 * S))
    assert accounts is not None
    shards = "0001", "0002"
    assert {
        place: sum(s.seen_ns for s in accounts.sums(place, [0])) / S
        for place in accounts.places
    } == {("tcp", each): 4.0 for each in shards} | {
        ("new", each): 6.0 for each in shards
    }


@pytest.mark.parametrize("turns", [(), (2000 * MS,)])
def test_darkness_beyond_the_outages_that_are_kept_goes_on_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: tuple[int, ...]
) -> None:
    """Of an outage that is not kept its length is, whichever segment it was in."""
    for module in aggregate, resumption, sealed_replay:
        monkeypatch.setattr(module, "KEPT_OUTAGES", 0)
    dark = (1000 * MS, 1200 * MS)
    first = killed(tmp_path, 3000, dark=dark, turns=turns)
    before = counted(first)
    after = counted(again(tmp_path, 4000, dark=dark))
    assert before["dark_time_seconds_total", ("tcp", "0002", "read")] == 0.2
    assert {k: v for k, v in before.items() if after.get(k, 0) < v} == {}


def test_an_outage_that_begins_at_once_reaches_back(tmp_path: Path) -> None:
    """It may have begun when nobody looked."""
    killed(tmp_path, 1000)
    second = again(tmp_path, 3000, dark=(1500 * MS, 1700 * MS))
    second.conclude()
    (outage,) = load_any_run(second.folder.path).outages
    assert not outage.open_start
    assert outage.unseen_ms == 500
    assert outage.upper_ms >= 700
    assert outage.lower_ms <= 200


def test_it_can_be_gone_again_and_again(tmp_path: Path) -> None:
    """Each process adds its part, wherever the one before was."""
    killed(tmp_path, 700)
    for number in range(1, 4):
        run = again(tmp_path, 700 + 1000 * number)
        run.folder.close()
    path = run.folder.path
    assert [s.number for s in load_segments(path)] == [1, 2, 3, 4]
    summary = load_any_run(path).summary
    (lane,) = summary.lanes
    assert lane.blind_ms == 1500
    assert sum(o.failed for o in load_any_run(path).outages) <= lane.arrivals


def test_a_lane_that_is_gone_stays_as_it_was(tmp_path: Path) -> None:
    """It is neither dark nor blind later; if it comes back it goes on."""
    killed(tmp_path, 2000)
    other = again(tmp_path, 4000, lane="other")
    other.conclude()
    path = other.folder.path
    run = load_any_run(path)
    tcp, new = sorted(run.summary.lanes, key=lambda lane: lane.name, reverse=True)
    assert (tcp.name, tcp.blind_ms, tcp.arrivals) == ("tcp", 0, 2 * 200)
    assert (new.name, new.blind_ms, new.arrivals) == ("other", 0, 2 * 150)
    by_lane = {outage.lane: outage for outage in run.outages}
    assert by_lane.keys() == {"tcp", "other"}
    assert (by_lane["tcp"].failed, by_lane["tcp"].open_end) == (50, True)
    assert (by_lane["tcp"].unseen_ms, by_lane["tcp"].duration_ms) == (0, 500)
    (path / documents.SUMMARY).unlink()
    assert load_any_run(path).outages == run.outages
    back = again(tmp_path, 6000)
    back.conclude()
    run = load_any_run(path)
    lanes = {lane.name: lane for lane in run.summary.lanes}
    assert lanes["other"].arrivals == new.arrivals
    assert lanes["tcp"].arrivals == 2 * (200 + 150)
    # When it was not wanted it was not blind.
    assert lanes["tcp"].blind_ms == 500
    assert len(run.outages) == 2


def test_only_a_run_that_nobody_writes_goes_on(tmp_path: Path) -> None:
    """With a process, of another configuration, or of nothing there is none."""
    assert Recorded(tmp_path / "empty", resume=True).past is None
    first = Recorded(tmp_path)
    first.measure(1000 * MS)
    assert Recorded(tmp_path, resume=True).past is None
    first.folder.close()
    for folder in tmp_path.glob("*-2"):  # that of the second one
        (folder / documents.RUN).unlink()
    config = first.plan.config

    def found(config: Config) -> bool:
        past = find_past(config)
        if past is not None:
            past.lock.release()
        return past is not None

    elsewhere = msgspec.structs.replace(config.target, port=7)
    assert not found(msgspec.structs.replace(config, target=elsewhere))
    assert not found(msgspec.structs.replace(config, name="other"))
    # What a reload could take over goes on.
    changed = (*config.lanes, Lane("more"))
    assert found(msgspec.structs.replace(config, lanes=changed))
    path = first.folder.path / documents.RUN
    said = msgspec.json.decode(path.read_bytes())
    said["config"]["of_another_version"] = 1
    path.write_bytes(msgspec.json.encode(said))
    assert found(config)
    assert not found(msgspec.structs.replace(config, lanes=changed))


def test_a_run_that_was_reloaded_goes_on(tmp_path: Path) -> None:
    """By what it was told last, and by what it could have been told."""
    first = Recorded(tmp_path)
    first.measure(1000 * MS)
    config = first.plan.config
    (lane,) = config.lanes
    faster = msgspec.structs.replace(lane, rate_per_s=7.0)
    changed = msgspec.structs.replace(config, lanes=(faster,))
    first.recording.use_config(changed)
    first.folder.close()
    for each in (changed, config):
        past = find_past(each)
        assert past is not None
        assert past.path == first.folder.path
        past.lock.release()


@pytest.mark.parametrize("is_flipped", [False, True])
def test_a_damaged_segment_is_not_the_end(tmp_path: Path, is_flipped: bool) -> None:
    """Torn or damaged, it is kept aside; the run goes on from what can be read."""
    run = killed(tmp_path, 3000, turns=(1000 * MS,))
    file = segment_path(run.folder.path, 2) / documents.SEALED
    content = bytearray(file.read_bytes())
    content[-10 if not is_flipped else len(content) // 2] ^= 1
    file.write_bytes(content)
    second = again(tmp_path, 4000)
    second.conclude()
    path = second.folder.path
    report = load_any_run(path)
    assert [s.number for s in load_segments(path)] == [1, 2, 3]
    texts = [p.event.text for p in report.events if isinstance(p.event, RunProblem)]
    assert [text[:20] for text in texts] == (
        ["segment 2 is damaged"] if is_flipped else []
    )
    assert file.with_name(f"{file.name}.damaged").exists() == is_flipped
    assert second.past is not None
    until_ns = BEGIN_NS + (1000 if is_flipped else 2750) * MS
    assert second.past.before.until_ns == until_ns


def test_nothing_that_can_be_read_begins_another_run(tmp_path: Path) -> None:
    """A run of which nothing is left is left alone."""
    run = killed(tmp_path, 2000)
    file = run.folder.path / documents.SEALED
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    second = Recorded(tmp_path, resume=True)
    assert second.past is None
    assert second.folder.path != run.folder.path


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


def test_starts_that_come_to_nothing_leave_one_segment(tmp_path: Path) -> None:
    """Each takes the place of the one before, and no segment is missing later."""
    run = killed(tmp_path, 2000)
    for _ in range(3):
        past = find_past(run.plan.config)
        assert past is not None
        past.lock.release()
    second = again(tmp_path, 4000)
    second.conclude()
    report = load_any_run(second.folder.path)
    assert [s.number for s in load_segments(report.path)] == [1, 2]
    assert report.missing == ()


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


def test_what_a_lane_wrote_that_has_gone_is_not_looked_for(tmp_path: Path) -> None:
    """A lane that comes back by its name may have other values, or another TTL."""
    first = killed(tmp_path)
    written = {7: Remembered(version=1, set_ns=1)}
    LedgerFile(first.folder.path, {"tcp": written, "gone": written}).close()
    past = find_past(first.plan.config)
    assert past is not None
    assert past.remembered.keys() == {"tcp", "gone"}
    crew = Crew(first.plan, None, past, on_prefill=lambda _done: None)
    crew.ledger.begin(past.path)
    crew.ledger.close()
    assert read_ledger(past.path) == {"tcp": written}


def test_an_incident_right_before_the_end_gets_its_folder(tmp_path: Path) -> None:
    """Though nothing is dark any more: nobody knows when it will be."""
    killed(tmp_path, until_ms=4000)
    run = Recorded(tmp_path, dark=DARK, resume=True)
    run.measure(60 * S, every_ns=2 * S)
    assert run.recording.incidents.waiting == 0
    run.measure(70 * S, every_ns=2 * S)
    (record,) = run.recording.incidents.take(5)
    assert record.incident is not None
    assert len(record.outages) == 1


@pytest.mark.parametrize("how", ["killed", "ended", "left"])
def test_an_outage_is_counted_once_however_the_process_ended(
    tmp_path: Path, how: str
) -> None:
    """Also one that was over right before: less than the quiet time."""
    first = Recorded(tmp_path, dark=DARK)
    first.measure(3000 * MS)
    if how == "ended":
        first.conclude()
    elif how == "left":
        first.recording.hand_over(first.aggregate.finish(BEGIN_NS + 3000 * MS))
    first.folder.close()
    second = again(tmp_path, 6000)
    second.conclude()
    (outage,) = load_any_run(second.folder.path).outages
    found = counted(second)
    of_outages = {key: v for key, v in found.items() if key[0] == "outages_total"}
    assert list(of_outages.values()) == [1]
    (dark_s,) = (v for key, v in found.items() if key[0] == "outage_seconds_total")
    assert dark_s == pytest.approx(outage.duration_ms / 1000, abs=0.002)


def test_an_outage_is_counted_once_when_the_next_process_is_killed(
    tmp_path: Path,
) -> None:
    """What was counted when the load ended in order stays counted."""
    first = Recorded(tmp_path, dark=DARK)
    first.measure(2000 * MS)
    first.recording.hand_over(first.aggregate.finish(BEGIN_NS + 2000 * MS))
    second = again(tmp_path, 3500)
    second.folder.close()
    (second.folder.path / LOCK).write_text("1\n")
    third = again(tmp_path, 7000)
    third.conclude()
    (outage,) = third.aggregate.outages
    found = counted(third)
    of_outages = [v for key, v in found.items() if key[0] == "outages_total"]
    assert of_outages == [1]
    (dark_s,) = (v for key, v in found.items() if key[0] == "outage_seconds_total")
    assert dark_s == pytest.approx(outage.seen_ns / 1e9, abs=0.011)
