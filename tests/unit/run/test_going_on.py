"""A process goes on with the run of another one that is gone."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.config.keys import Config, Lane
from loadprobe.core.events import RunContinued, RunProblem, TunnelBroken
from loadprobe.core.load.remembered import Remembered
from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder.budget_file import find_budget
from loadprobe.outputs.folder.ledger_file import LedgerFile, read_ledger
from loadprobe.outputs.folder.reader import load_segments
from loadprobe.outputs.folder.segments import segment_path
from loadprobe.run import sealing
from loadprobe.run.aftermath import load_any_run
from loadprobe.run.budgeting import Budgeting
from loadprobe.run.crew import Crew
from loadprobe.run.going_on import find_past
from tests.support.gone import DARK, again, counted, killed
from tests.support.recorded import BEGIN_NS, CLOCK, MS, Recorded, S


@pytest.fixture(autouse=True)
def _write_every_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time is over in no time, in which nothing would be due to be written."""
    monkeypatch.setattr(sealing, "HELD_NS", 0)
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, 0, 0))


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
