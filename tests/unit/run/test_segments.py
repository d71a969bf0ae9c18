"""A run in segments is reported as the same run in one."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import ClockPair
from loadprobe.config.file import parse_config
from loadprobe.core.events import RunProblem
from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.results import Sealed
from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder.appending import AppendFile
from loadprobe.outputs.folder.documents import Moment
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.reader import RunData, load_segments
from loadprobe.outputs.folder.removing import Removal, note_removal
from loadprobe.outputs.folder.sealed_lines import SealedLine
from loadprobe.outputs.folder.segments import SEGMENT, SegmentInfo, segment_path
from loadprobe.outputs.folder.upkeep import Order, UpkeepWork
from loadprobe.run import sealing
from loadprobe.run.aftermath import load_any_run
from loadprobe.run.plan import RunPlan
from loadprobe.run.segmenting import Segmenting
from tests.support.recorded import CLOCK, CONFIG, MS, Recorded, S

# In the blind time, in the outage (from 1500 ms on), and after it.
TURNS = (250 * MS, 500 * MS, 1750 * MS, 2000 * MS, 2750 * MS)


@pytest.fixture(autouse=True)
def _write_every_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time is over in no time, in which nothing would be due to be written."""
    monkeypatch.setattr(sealing, "HELD_NS", 0)
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, 0, 0))


def run_of(directory: Path, *turns: int) -> Recorded:
    """Return a run that is blind across a turn, and dark across two."""
    return Recorded(directory, blind=[(200 * MS, 300 * MS)], turns=turns)


def essence(run: RunData) -> tuple[object, ...]:
    """Return what is said of a run, wherever it is."""
    return run.summary, run.outages, run.events, run.film, run.torn


def without_verdict(run: Recorded) -> Path:
    """Take the documents away that are written when the run is over."""
    path = run.folder.path
    (path / documents.SUMMARY).unlink()
    (path / documents.OUTAGES).unlink()
    return path


def info_of(number: int, *, boot: str = "a", mono_ns: int = 0) -> SegmentInfo:
    """Return what is said of a segment."""
    return SegmentInfo(
        number=number,
        clock=Moment(CLOCK.wall_ns, mono_ns),
        boot_id=boot,
        config_digest="sha256:0",
        why="time",
    )


def test_segments_are_one_run(tmp_path: Path) -> None:
    """Read from six segments a run has the verdict that it has in one."""
    runs = [run_of(tmp_path / "one"), run_of(tmp_path / "six", *TURNS)]
    for run in runs:
        run.measure(3000 * MS)
        run.conclude()
    one, six = (load_any_run(run.folder.path) for run in runs)
    assert essence(six) == essence(one)
    assert len(load_segments(six.path)) == 6
    assert essence(load_any_run(without_verdict(runs[1]))) == essence(one)


@pytest.mark.parametrize("until_ms", range(250, 3000, 250))
def test_a_cut_in_any_segment(tmp_path: Path, until_ms: int) -> None:
    """Killed at any time a run in segments says what it says in one."""
    said: list[object] = []
    for run in run_of(tmp_path / "one"), run_of(tmp_path / "six", *TURNS):
        run.tell_problem("the watch failed")
        run.measure(until_ms * MS)
        run.tell_problem("the receiver is away")
        path = run.folder.path
        copy = Path(shutil.copytree(path, path.with_name("killed")))
        run.folder.close()
        said.append(essence(load_any_run(copy)))
    assert said[0] == said[1]


def test_the_last_segment_alone_has_the_verdict(tmp_path: Path) -> None:
    """What was judged before is in its first line: other segments may be gone.

    Only what single seconds held, of the last hours, is in their own files.
    """
    run = run_of(tmp_path, *TURNS)
    run.measure(3000 * MS)
    run.conclude()
    path = without_verdict(run)
    whole = load_any_run(path)
    for number in range(1, 6):
        for name in documents.SEALED, documents.SERIES, documents.HISTOGRAMS:
            (segment_path(path, number) / name).unlink(missing_ok=True)
    again = load_any_run(path)
    for name in "headline", "lanes", "scopes", "downtime_ms", "observer", "slo":
        assert getattr(again.summary, name) == getattr(whole.summary, name)
    assert [msgspec.structs.replace(o, evidence="") for o in again.outages] == [
        msgspec.structs.replace(o, evidence="") for o in whole.outages
    ]


def test_a_segment_that_was_only_begun_is_left_out(tmp_path: Path) -> None:
    """Killed before the first line of a segment, a run is what it was before."""
    run = run_of(tmp_path, 1000 * MS)
    run.measure(2000 * MS)
    run.folder.close()
    path = run.folder.path
    before = load_any_run(path)
    further = segment_path(path, 3)
    further.mkdir()
    assert essence(load_any_run(path)) == essence(before)
    (further / documents.SEALED).write_bytes(b'{"schema_')
    again = load_any_run(path)
    assert again.torn == ("segments/0003/sealed.ndjson",)
    assert again.summary == before.summary


def test_a_segment_that_cannot_be_begun_lets_the_old_one_go_on(tmp_path: Path) -> None:
    """Without its folder nothing is lost: the one before goes on, and it is said."""
    run = run_of(tmp_path)
    run.measure(1000 * MS)
    path = run.folder.path
    (path / "segments").write_bytes(b"")
    assert not run.recording.begin_segment("time")
    run.measure(2000 * MS)
    assert "writing a document failed" in run.folder.problems[0]
    (path / "segments").unlink()
    assert run.recording.begin_segment("time")
    run.measure(3000 * MS)
    run.conclude()
    plain = run_of(tmp_path / "plain")
    plain.measure(3000 * MS)
    plain.conclude()
    assert load_any_run(path).outages == load_any_run(plain.folder.path).outages


def test_what_could_not_be_written_follows_its_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits of a segment that has ended is written to it when that can be done."""
    folder = RunFolder.create(tmp_path, "run", clock=CLOCK)
    folder.begin_segment(info_of(1))
    write = os.write

    def refuse(fd: int, chunk: bytes) -> int:
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "write", refuse)
    folder.take_event(RunProblem(1, "first"))
    folder.begin_segment(info_of(2))
    folder.take_event(RunProblem(2, "second"))
    assert [text.split(" failed")[0] for text in folder.problems] == [
        "writing events.ndjson",
        "writing histograms.ndjson",
        "writing series.ndjson",
        "writing cells.film",
        "writing sealed.ndjson",
        "writing segments/0002/events.ndjson",
    ]
    monkeypatch.setattr(os, "write", write)
    folder.begin_segment(info_of(3))
    folder.close()
    for number, text in (1, b"first"), (2, b"second"):
        assert (
            text in (segment_path(folder.path, number) / "events.ndjson").read_bytes()
        )


def test_what_was_judged_stays_until_the_next_segment_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk no segment is made smaller that alone says it on the disk."""
    folder = RunFolder.create(tmp_path, "run", clock=CLOCK)
    for number in 1, 2:
        folder.begin_segment(info_of(number))
        folder.add_sealed(SealedLine(until_ns=number))
    write = os.write

    def refuse(fd: int, chunk: bytes) -> int:
        raise OSError(28, "no space left")

    folder.begin_segment(info_of(3))
    monkeypatch.setattr(os, "write", refuse)
    folder.add_sealed(SealedLine(until_ns=3))
    files = [segment_path(folder.path, n) / documents.SEALED for n in (1, 2)]

    def make_room() -> list[bool]:
        order = Order(str(folder.path), first_growing=folder.first_growing)
        UpkeepWork(order, disk_ratio=lambda _: 1.0).carry_out()
        return [file.is_file() for file in files]

    assert make_room() == [False, True]
    monkeypatch.setattr(os, "write", write)
    assert folder.retry()
    assert make_room() == [False, False]
    folder.close()


def test_a_folder_that_cannot_be_completed_is_saved_with_its_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written elsewhere in the end is all there was, in segments as before."""
    folder = RunFolder.create(tmp_path, "run", clock=CLOCK)
    folder.begin_segment(info_of(1))
    folder.take_event(RunProblem(1, "first"))
    folder.begin_segment(info_of(2))
    monkeypatch.setattr(AppendFile, "flush", lambda _file: False)
    span = BlindSpan("tls", 10 * MS, 20 * MS)
    folder.take_sealed(Sealed(0, film=[span]))
    path = folder.close()
    assert path.parent != tmp_path
    assert [s.path for s in load_segments(path)] == [path, path / "segments/0002"]
    assert b"first" in (path / "events.ndjson").read_bytes()
    assert (path / "segments/0002/cells.film").stat().st_size > len("LPFILM01")
    shutil.rmtree(path)


def test_what_is_saved_elsewhere_has_what_was_made_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that are compressed, incidents and what was removed are part of a run."""
    run = run_of(tmp_path, 1000 * MS, 2000 * MS)
    run.measure(3000 * MS)
    path = run.folder.path
    run.tell_problem("third")
    UpkeepWork(Order(str(path), first_growing=3)).carry_out()
    assert not (path / documents.EVENTS).exists()
    note_removal(path, Removal("incidents", 1, 0, 1, "retain_gb"))
    (path / "incidents" / "one").mkdir(parents=True)
    (path / "incidents" / "one" / "incident.json").write_text("{}")
    before = load_any_run(path)
    monkeypatch.setattr(AppendFile, "flush", lambda _file: False)
    saved = run.folder.close()
    assert saved.parent != tmp_path
    after = load_any_run(saved)
    assert essence(after)[1:] == essence(before)[1:]
    assert after.missing == before.missing != ()
    assert (saved / "incidents" / "one" / "incident.json").is_file()
    assert not (saved / "run.lock").exists()
    shutil.rmtree(saved)


def test_times_of_another_boot_are_told_in_the_last_clock(tmp_path: Path) -> None:
    """The wall clocks of both say what was when; on one boot nothing is shifted."""
    for number, (boot, mono_ns) in enumerate(
        [("a", 900 * S), ("a", 950 * S), ("b", 7 * S), ("b", 8 * S)], start=1
    ):
        path = segment_path(tmp_path, number)
        path.mkdir(parents=True, exist_ok=True)
        info = info_of(number, boot=boot, mono_ns=mono_ns)
        (path / SEGMENT).write_bytes(msgspec.json.encode(info))
    assert [s.shift_ns for s in load_segments(tmp_path)] == [-943 * S, -943 * S, 0, 0]
    assert [s.begun_ns for s in load_segments(tmp_path)] == [
        -43 * S,
        7 * S,
        7 * S,
        8 * S,
    ]


def test_a_clock_that_goes_back_is_that_of_another_boot(tmp_path: Path) -> None:
    """Also where nothing has a name for a start of the machine."""
    for number, mono_ns in (1, 900 * S), (2, 7 * S):
        path = segment_path(tmp_path, number)
        path.mkdir(parents=True, exist_ok=True)
        info = info_of(number, boot="", mono_ns=mono_ns)
        (path / SEGMENT).write_bytes(msgspec.json.encode(info))
    assert [s.shift_ns for s in load_segments(tmp_path)] == [-893 * S, 0]


def test_a_segment_of_an_unknown_clock_hides_no_other_boot(tmp_path: Path) -> None:
    """Its process was gone before it said anything: those around it are what counts."""
    for number, boot, mono_ns in [(1, "a", 900 * S), (3, "b", 7 * S)]:
        path = segment_path(tmp_path, number)
        path.mkdir(parents=True, exist_ok=True)
        info = info_of(number, boot=boot, mono_ns=mono_ns)
        (path / SEGMENT).write_bytes(msgspec.json.encode(info))
    segment_path(tmp_path, 2).mkdir()
    assert [s.shift_ns for s in load_segments(tmp_path)] == [-893 * S, 0, 0]


def test_only_a_run_without_an_end_has_more_than_one(tmp_path: Path) -> None:
    """A segment ends by itself after its hours, and never in a run with a length."""
    config = parse_config(CONFIG, where="run.toml")
    assert RunPlan(config).segment_ns == 3600 * S
    assert RunPlan(config, duration_s=7200.0).segment_ns is None
    folder = RunFolder.create(tmp_path, "run", clock=CLOCK)
    now = [5 * S]
    segments = Segmenting(
        folder,
        "sha256:0",
        length_ns=3600 * S,
        now_ns=lambda: now[0],
        read_clock=lambda: ClockPair(now[0], CLOCK.to_wall(now[0])),
    )
    assert segments.begin("start")
    now[0] += 3600 * S - 1
    assert not segments.is_due
    now[0] += 1
    assert segments.is_due
    assert segments.begin("time")
    assert not segments.is_due
    assert folder.segment == 2
