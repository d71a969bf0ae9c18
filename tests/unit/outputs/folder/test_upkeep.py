"""Keeping a run folder small: old segments go, and the one that is written never."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from loadprobe.outputs.folder.documents import SERIES
from loadprobe.outputs.folder.forms import find_form, step_of
from loadprobe.outputs.folder.removing import read_removals
from loadprobe.outputs.folder.retention import Retention
from loadprobe.outputs.folder.upkeep import Order, Report, Throttle, UpkeepWork, size_of
from tests.support.segments import write_segment

H = 3600 * 1_000_000_000
START = 1_767_323_045 * 1_000_000_000
HOURS = 12


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run of twelve segments, an hour each."""
    folder = tmp_path / "run"
    template = write_segment(tmp_path / "template", seconds=70)
    for number in range(1, HOURS + 1):
        path = folder if number == 1 else folder / "segments" / f"{number:04d}"
        shutil.copytree(template, path)
        begun = {"clock": {"wall_ns": START + (number - 1) * H, "mono_ns": 0}}
        (path / "segment.json").write_bytes(msgspec.json.encode(begun))
    (folder / "run.json").write_text("{}")
    return folder


def upkeep(
    run: Path,
    retention: Retention,
    *,
    hours: float = HOURS,
    ratios: Sequence[float] = (),
) -> Report:
    """Keep the folder, so many hours after its begin."""
    left = list(ratios)

    def disk_ratio(path: Path) -> float:
        return left.pop(0) if left else 0.0

    order = Order(str(run), retention, now_unix_ns=START + round(hours * H))
    return UpkeepWork(order, disk_ratio=disk_ratio).carry_out()


def segment(run: Path, number: int) -> Path:
    """Return the folder of a segment."""
    return run if number == 1 else run / "segments" / f"{number:04d}"


def steps(run: Path) -> list[int | None]:
    """Return the steps of the series of all segments; None of those that are gone."""
    found = [find_form(segment(run, n), SERIES) for n in range(1, HOURS + 1)]
    return [None if path is None else step_of(path) for path in found]


def test_by_age(run: Path) -> None:
    """Older segments have longer steps, and the last one is left as it is written."""
    last = {path: path.read_bytes() for path in segment(run, HOURS).iterdir()}
    report = upkeep(run, Retention(seconds_hours=3, minutes_days=8 / 24))
    assert steps(run) == [3600] * 4 + [60] * 5 + [1] * 3
    assert {path: path.read_bytes() for path in last} == last
    assert (report.segments, report.damaged, report.problem) == (HOURS - 1, 0, "")


def test_what_may_still_grow(run: Path) -> None:
    """A segment whose last lines still wait to be written is left alone."""
    order = Order(str(run), Retention(), first_growing=10, now_unix_ns=START + 99 * H)
    assert UpkeepWork(order).carry_out().segments == 9
    assert steps(run) == [60] * 9 + [1] * 3
    assert (segment(run, 10) / SERIES).is_file()


def test_too_old(run: Path) -> None:
    """Segments that are too old go; documents and the last segment stay."""
    (run / "notes.txt").write_text("mine")
    report = upkeep(run, Retention(retain_days=4.5 / 24))
    assert steps(run) == [None] * 7 + [1] * 5
    assert (run / "run.json").read_text() == "{}"
    assert (run / "notes.txt").read_text() == "mine"
    assert report.removed_segments == 7
    removed = read_removals(run)
    assert [(r.what, r.count, r.why) for r in removed] == [
        ("segments", 7, "retain_days")
    ]
    assert removed[0].from_unix_ns == START
    assert removed[0].until_unix_ns == START + 7 * H
    assert not segment(run, 2).exists()


def test_far_too_old(run: Path) -> None:
    """However old everything is, the last segment stays."""
    upkeep(run, Retention(retain_days=1), hours=10_000)
    assert steps(run) == [None] * 11 + [1]
    assert (segment(run, HOURS) / SERIES).is_file()


def test_what_is_not_ours_stays(run: Path) -> None:
    """A file that loadprobe did not write is not removed with its segment."""
    (segment(run, 2) / "series.txt").write_text("mine")
    (segment(run, 2) / "events.ndjson.damaged").write_text("was ours")
    upkeep(run, Retention(retain_days=1), hours=10_000)
    assert [path.name for path in segment(run, 2).iterdir()] == ["series.txt"]


def test_a_full_disk_makes_room(run: Path) -> None:
    """Fine data goes first, then segments, until there is room; no more than that."""
    full, room = 0.95, 0.5
    upkeep(run, Retention(), ratios=[full, full, full, room])
    assert steps(run)[:4] == [3600, 3600, 3600, 60]
    upkeep(run, Retention(), ratios=[full, *[full] * HOURS, room])
    assert steps(run) == [None, None] + [3600] * 9 + [1]
    assert read_removals(run)[-1].why == "max_disk_ratio"


def test_too_many_bytes(run: Path) -> None:
    """A folder is no larger than retain_gb, as far as its last segment allows it."""
    report = upkeep(run, Retention())
    wanted = report.segments_bytes * 0.8
    last_bytes = size_of(segment(run, HOURS))
    again = upkeep(run, Retention(retain_gb=(wanted + last_bytes) / 1e9))
    assert 0 < again.segments_bytes <= wanted
    assert again.problem == ""
    last = upkeep(run, Retention(retain_gb=1e-9))
    assert steps(run) == [None] * 11 + [1]
    assert last.problem == "there is more than retain_gb allows"


def test_a_damaged_segment_is_told(run: Path) -> None:
    """Damage in one segment is told, and the others are kept as always."""
    upkeep(run, Retention())
    path = segment(run, 3) / "events.ndjson.zst"
    path.write_bytes(path.read_bytes()[:-9])
    order = Order(str(run), Retention(), verify=True, now_unix_ns=START + HOURS * H)
    report = UpkeepWork(order).carry_out()
    assert report.damaged == 1
    assert path.with_name("events.ndjson.zst.damaged").is_file()
    assert steps(run) == [60] * 6 + [1] * 6


@pytest.mark.timeout(300)  # of the lowest priority: on a busy machine it gets little
def test_as_a_process(run: Path) -> None:
    """The process does what its order says, and tells what it found."""
    for number in range(4, HOURS):
        shutil.rmtree(segment(run, number))
    order = Order(str(run), Retention(), now_unix_ns=START + HOURS * H)
    done = subprocess.run(
        [sys.executable, "-m", "loadprobe.outputs.folder.upkeep"],
        input=msgspec.json.encode(order),
        capture_output=True,
        check=True,
    )
    report = msgspec.json.decode(done.stdout, type=Report)
    assert (report.segments, report.problem) == (3, "")
    assert steps(run) == [60, 60, 1] + [None] * 8 + [1]


def test_little_at_a_time() -> None:
    """It works some milliseconds, and rests three times as long."""
    now, rested = 0, 0.0

    def sleep(seconds: float) -> None:
        nonlocal now, rested
        now += round(seconds * 1e9)
        rested += seconds

    pace = Throttle(lambda: now, sleep)
    for _ in range(1000):
        now += 1_000_000
        pace()
    assert rested == pytest.approx(3.0, rel=0.05)
