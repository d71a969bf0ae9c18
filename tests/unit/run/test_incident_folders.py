"""A folder of each incident: all that is known of it, and kept longest."""

from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import ClockPair
from loadprobe.core.events import MarkMade
from loadprobe.errors import UsageError
from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder.documents import (
    EventLine,
    HistogramRow,
    Moment,
    SeriesRow,
)
from loadprobe.outputs.folder.files import read_film_file, read_lines
from loadprobe.outputs.folder.incident_folder import (
    IncidentFolders,
    IncidentRecord,
    read_record,
)
from loadprobe.outputs.folder.reader import load_run
from loadprobe.outputs.folder.removing import read_removals
from loadprobe.outputs.folder.retention import Retention
from loadprobe.outputs.folder.upkeep import Order, UpkeepWork
from loadprobe.run import sealing
from loadprobe.run.segmenting import Segmenting
from tests.support.recorded import BEGIN_NS, CLOCK, MS, Recorded, S


@pytest.fixture(autouse=True)
def _write_every_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time is over in no time, in which nothing would be due to be written."""
    monkeypatch.setattr(sealing, "HELD_NS", 0)
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, 0, 0))


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Let segments begin when it is that time in the run, of which there is one."""
    begun: list[Recorded] = []

    def read_clock() -> ClockPair:
        now_ns = begun[-1]._now_ns if begun else BEGIN_NS
        return ClockPair(now_ns, CLOCK.to_wall(now_ns))

    known = Segmenting.__init__.__kwdefaults__
    assert known is not None
    monkeypatch.setitem(known, "read_clock", read_clock)
    return begun


def long_run(directory: Path, runs: list[Recorded]) -> Recorded:
    """Return a run of three minutes that was dark in the second."""
    recorded = Recorded(
        directory, dark=(90 * S, 91 * S), turns=(30 * S, 90 * S + 500 * MS, 120 * S)
    )
    runs.append(recorded)
    recorded.measure(90 * S, every_ns=2 * S)
    recorded.sinks.take_event(MarkMade(BEGIN_NS + 90 * S, "it begins", "me"))
    recorded.measure(180 * S, every_ns=2 * S)
    return recorded


def folders(run: Path) -> list[Path]:
    """Return the folders of incidents."""
    return sorted((run / "incidents").iterdir())


def test_at_the_end(tmp_path: Path) -> None:
    """At the end there is a folder that says what the documents of the run say."""
    recorded = Recorded(tmp_path)
    recorded.measure(4 * S)
    recorded.conclude()
    run = load_run(recorded.folder.path)
    [path] = folders(run.path)
    assert path.name == "20260102T030416Z-1"
    record = read_record(path)
    assert record is not None
    assert record.incident == run.summary.incidents[0]
    assert tuple(record.outages) == run.outages
    assert record.run == run.path.name
    assert tuple(read_film_file(path / documents.CELLS, set())) == run.film
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o600}
    with pytest.raises(UsageError, match="folder of an incident"):
        load_run(path)


def test_while_it_lasts(tmp_path: Path, runs: list[Recorded]) -> None:
    """A minute after an incident its folder can be made, with what was around it."""
    recorded = long_run(tmp_path, runs)
    run = recorded.folder.path
    records = recorded.recording.incidents.take(10)
    assert len(records) == 1
    order = Order(str(run), Retention(), incidents=records, now_unix_ns=CLOCK.wall_ns)
    assert UpkeepWork(order).carry_out().incidents == 1
    [path] = folders(run)
    seconds = [row.second for row in read_lines(path / documents.SERIES, SeriesRow)]
    assert (min(seconds), max(seconds)) == (10 + 30, 10 + 151)
    assert len(seconds) == 2 * (151 - 30 + 1)
    rows = list(read_lines(path / documents.HISTOGRAMS, HistogramRow))
    assert {row.second for row in rows} == set(seconds)
    events = list(read_lines(path / documents.EVENTS, EventLine))
    assert [event.kind for event in events] == ["mark"]
    film = read_film_file(path / documents.CELLS, set())
    assert film
    recorded.conclude()
    assert folders(run) == [path]
    record = read_record(path)
    assert record is not None
    assert record.incident == load_run(run).summary.incidents[0]


def test_it_is_kept_longest(tmp_path: Path, runs: list[Recorded]) -> None:
    """Segments go before the folders of incidents, also of later ones."""
    recorded = long_run(tmp_path, runs)
    recorded.conclude()
    run = recorded.folder.path
    [path] = folders(run)
    content = {file: file.read_bytes() for file in path.iterdir()}
    late = CLOCK.wall_ns + 10**18
    UpkeepWork(Order(str(run), Retention(), now_unix_ns=late)).carry_out()
    assert not (run / documents.CELLS).exists()
    assert {file: file.read_bytes() for file in path.iterdir()} == content
    order = Order(str(run), Retention(retain_gb=1e-9), now_unix_ns=late)
    assert UpkeepWork(order).carry_out().removed_incidents == 1
    assert not path.exists()
    assert read_removals(run)[-1].what == "incidents"


@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_was_removed_is_not_made_again(
    tmp_path: Path, runs: list[Recorded], *, is_restarted: bool
) -> None:
    """Neither at an end in order nor by the next process: there is no room for it."""
    recorded = long_run(tmp_path, runs)
    run = recorded.folder.path
    records = recorded.recording.incidents.take(10)
    UpkeepWork(Order(str(run), incidents=records)).carry_out()
    assert len(folders(run)) == 1
    UpkeepWork(Order(str(run), Retention(retain_gb=0))).carry_out()
    assert folders(run) == []
    later = record_at(200 * S)
    recorded.recording.incidents.add(later)
    if is_restarted:
        order = Order(str(run), incidents=[*records, later])
        UpkeepWork(order).carry_out()
    else:
        recorded.conclude()
    [record] = map(read_record, folders(run))
    assert record is not None
    assert record.start_unix_ns == later.start_unix_ns


def test_a_step_of_the_wall_clock_makes_no_second_folder(tmp_path: Path) -> None:
    """The next process shows the same instant as another time: the folder says so."""
    run = Recorded(tmp_path).folder.path
    first = at_clock(record_at(100 * S), ClockPair(0, CLOCK.wall_ns))
    path = IncidentFolders(run).write(first)
    stepped = record_at(100 * S + 3600 * S)
    same = at_clock(stepped, ClockPair(0, CLOCK.wall_ns + 3600 * S))
    assert IncidentFolders(run).write(same) == path
    assert path is not None
    assert read_record(path) == same
    other = at_clock(stepped, ClockPair(0, CLOCK.wall_ns))
    assert IncidentFolders(run).write(other) != path
    assert len(folders(run)) == 2


def test_a_new_incident_in_the_second_of_an_old_one_is_another(tmp_path: Path) -> None:
    """The wall clock was set back in between."""
    run = Recorded(tmp_path).folder.path
    old = at_clock(record_at(100 * S), ClockPair(0, CLOCK.wall_ns))
    new = at_clock(record_at(100 * S), ClockPair(0, CLOCK.wall_ns - 3600 * S))
    paths = [IncidentFolders(run).write(record) for record in (old, new)]
    assert [path.name[-2:] for path in paths if path] == ["-1", "-2"]
    assert [read_record(path) for path in paths if path] == [old, new]


def test_after_a_start_of_the_machine_the_wall_clock_tells(tmp_path: Path) -> None:
    """What is in the folder stays in the clock of then."""
    run = Recorded(tmp_path).folder.path
    old = at_clock(record_at(100 * S), ClockPair(0, CLOCK.wall_ns))
    new = at_clock(record_at(100 * S), ClockPair(0, CLOCK.wall_ns + 50 * S), "b")
    path = IncidentFolders(run).write(old)
    assert IncidentFolders(run).write(new) == path
    assert path is not None
    assert read_record(path) == old


def test_something_else_is_an_incident(tmp_path: Path, runs: list[Recorded]) -> None:
    """What was no outage has a folder as well, with what is told of it."""
    recorded = long_run(tmp_path, runs)
    start = CLOCK.to_wall(BEGIN_NS + 100 * S)
    record = IncidentRecord(
        run="r",
        kind="maintenance",
        start_unix_ns=start,
        end_unix_ns=start + 10 * S,
        about={"update": "elasticache-redis-6-2-6-update-1"},
    )
    recorded.recording.incidents.add(record)
    recorded.conclude()
    found = [read_record(path) for path in folders(recorded.folder.path)]
    assert sorted(r.kind for r in found if r) == ["maintenance", "outage"]
    [own] = [r for r in found if r and r.kind == "maintenance"]
    assert own.about == record.about


def test_a_damaged_segment_does_not_matter(
    tmp_path: Path, runs: list[Recorded]
) -> None:
    """What of a segment can be read is in the folder, and the others are."""
    recorded = long_run(tmp_path, runs)
    run = recorded.folder.path
    film = run / "segments" / "0003" / documents.CELLS
    film.write_bytes(b"x" * 100)
    records = recorded.recording.incidents.take(10)
    path = IncidentFolders(run).write(records[0])
    assert path is not None
    assert path.is_dir()


def test_half_a_folder_is_made_anew(tmp_path: Path, runs: list[Recorded]) -> None:
    """What a process left behind that was killed is not taken for a folder."""
    recorded = long_run(tmp_path, runs)
    run = recorded.folder.path
    [record] = recorded.recording.incidents.take(10)
    path = IncidentFolders(run).write(record)
    assert path is not None
    path.rename(path.with_name(f".{path.name}.new"))
    assert UpkeepWork(Order(str(run))).carry_out().incidents == 0
    assert IncidentFolders(run).write(record) == path
    assert folders(run) == [path]


def test_many_incidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of one is found without a look at those of all others."""
    run = Recorded(tmp_path).folder.path
    for number in range(60):
        directory = run / "incidents" / f"20260102T0304{number:02d}Z-1"
        directory.mkdir(parents=True)
        record = record_at(number * 10 * S)
        (directory / "incident.json").write_bytes(msgspec.json.encode(record))
    compared: list[IncidentRecord] = []
    is_same = IncidentRecord.is_same

    def counted(self: IncidentRecord, other: IncidentRecord) -> bool:
        compared.append(other)
        return is_same(self, other)

    monkeypatch.setattr(IncidentRecord, "is_same", counted)
    made = IncidentFolders(run)
    for number in range(60):
        for shift_ns in (-S, 0, S):  # seen better, it began a little earlier or later
            assert made.is_known(record_at(number * 10 * S + shift_ns))
        assert not made.is_known(record_at(number * 10 * S + 5 * S))
    assert len(compared) <= 4 * 60


def record_at(since_ns: int) -> IncidentRecord:
    """Return an incident of a second."""
    start_ns = CLOCK.wall_ns + since_ns
    return IncidentRecord(run="run", start_unix_ns=start_ns, end_unix_ns=start_ns + S)


def at_clock(
    record: IncidentRecord, clock: ClockPair, boot_id: str = "a"
) -> IncidentRecord:
    """Return an incident as a process with a clock has it."""
    moment = Moment(clock.wall_ns, clock.mono_ns)
    return msgspec.structs.replace(record, clock=moment, boot_id=boot_id)
