"""A run whose process is gone is judged from its folder, as far as it was certain."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from loadprobe.core.judging.cells import FILM_MAGIC
from loadprobe.core.verdict.beside import Planned
from loadprobe.errors import UsageError
from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder.budget_file import BUDGETS
from loadprobe.outputs.folder.locking import LOCK, find_writer
from loadprobe.outputs.folder.reader import RunData, load_beside, load_run
from loadprobe.outputs.folder.sealed_lines import Written
from loadprobe.outputs.folder.sealed_reader import read_sealed
from loadprobe.run import sealing
from loadprobe.run.aftermath import load_any_run
from loadprobe.run.budgeting import Budgeting
from tests.support.recorded import BEGIN_NS, CLOCK, MS, Recorded, S
from tests.support.reports import as_text


@pytest.fixture(autouse=True)
def _write_every_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time is over in no time, in which nothing would be due to be written."""
    monkeypatch.setattr(sealing, "HELD_NS", 0)
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, 0, 0))


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    """Record a run; its files are closed in the end."""
    run = Recorded(tmp_path, blind=[(300 * MS, 340 * MS)])
    yield run
    run.folder.close()


def killed(run: Recorded) -> Path:
    """Return the folder as a killed process leaves it: a copy, for nobody locks it."""
    path = run.folder.path
    copy = path.with_name(f"{path.name}-killed")
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(path, copy))


def without_verdict(path: Path) -> Path:
    """Take the documents away that are written when the run is over."""
    (path / documents.SUMMARY).unlink()
    (path / documents.OUTAGES).unlink()
    return path


def essence(run: RunData) -> tuple[object, ...]:
    """Return what is said of a run, wherever it is."""
    return run.summary, run.outages, run.events, run.film, run.torn


def test_the_verdict_from_the_folder_is_that_of_the_end(recorded: Recorded) -> None:
    """A run that was judged to its end has one verdict, whoever works it out."""
    recorded.planned = [Planned("tcp", BEGIN_NS, BEGIN_NS + MS)]
    recorded.measure(3000 * MS)
    recorded.written = Written(2, is_complete=True)
    recorded.conclude(lost_writes=2)
    path = recorded.folder.path
    expected = load_run(path)
    assert expected.summary.state == "damaged"
    assert expected.summary.incidents
    assert essence(load_any_run(without_verdict(path))) == essence(expected)


def test_a_damaged_verdict_is_judged_anew(recorded: Recorded) -> None:
    """A partial report has the verdict of what was sealed, and says so; others fail."""
    recorded.measure(3000 * MS)
    recorded.written = Written(2, is_complete=True)
    recorded.conclude(lost_writes=2)
    path = recorded.folder.path
    expected = load_run(path)
    (path / "summary.json").write_bytes(b"{")
    with pytest.raises(UsageError, match=r"summary.json was not written"):
        load_any_run(path)
    run = load_any_run(path, is_partial=True)
    assert essence(run) == essence(expected)
    (said,) = run.missing
    assert said.startswith("the verdict was judged anew: ")


def test_an_interrupted_run_says_up_to_when_it_is_complete(recorded: Recorded) -> None:
    """It has a verdict, with the outage that was open then and all that was counted."""
    recorded.measure(2000 * MS)
    run = load_any_run(killed(recorded))
    summary = run.summary
    assert summary.state == "interrupted"
    until_ns = CLOCK.to_wall(BEGIN_NS + 2000 * MS)
    assert summary.complete_until_unix_ns == summary.end_unix_ns == until_ns
    assert "complete until 03:04:17.000 UTC; dark then: shard 0002" in summary.headline
    assert summary.verdict[1] == (
        "shard 0002 was dark then on lane tcp, since 03:04:16.495 UTC (500 ms)"
    )
    (outage,) = run.outages
    assert outage.open_end
    assert (outage.failed, outage.classes) == (50, {"loading": 50})
    assert outage.lower_ms <= 500 <= outage.upper_ms
    assert not summary.slo[0].is_met
    (lane,) = summary.lanes
    assert lane.arrivals == 400 - 50 - 2 * 4 + 50
    assert lane.blind_ms == 40
    assert lane.response_ms["read"].count == lane.outcomes["served"]
    assert "Verdict: interrupted - interrupted: complete until" in as_text(
        run, width=200
    )


def test_its_error_budget_is_as_it_stood_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outage that was open counts as far as it is known; null without its file."""
    clocks = Budgeting.__init__.__kwdefaults__
    assert clocks is not None
    monkeypatch.setitem(clocks, "now_ns", lambda: BEGIN_NS)
    run = Recorded(tmp_path, slo="availability = 0.9999")
    run.measure(2000 * MS)
    path = killed(run)
    live = run.published.budgeting.figures
    assert live is not None
    run.measure(3000 * MS)
    budget = load_any_run(path).summary.error_budget
    assert budget == live
    lit, dark = (place.of("month") for place in budget.places)
    assert (lit.used_s.estimate, lit.observed_s) == (0, 2)
    assert abs(dark.used_s.estimate - 0.5) < 0.02
    later = load_any_run(killed(run)).summary.error_budget
    assert later is not None
    lit, dark = (place.of("month") for place in later.places)
    assert (lit.used_s.estimate, lit.observed_s) == (0, 3)
    assert abs(dark.used_s.estimate - 0.6) < 0.02
    shutil.rmtree(tmp_path / BUDGETS)
    assert load_any_run(path).summary.error_budget is None
    run.folder.close()


def test_what_is_open_is_closed_by_the_next_line(recorded: Recorded) -> None:
    """An outage is told as it was known with the last line, whatever came of it."""
    recorded.measure(2500 * MS)
    run = load_any_run(killed(recorded))
    (outage,) = run.outages
    assert not outage.open_end
    assert outage.failed == 60
    assert "dark then" not in run.summary.headline


def test_problems_and_lost_writes_are_those_told_so_far(recorded: Recorded) -> None:
    """What failed beside the load is told; a lost write counts before all are read."""
    recorded.tell_problem("the watch failed")
    recorded.written = Written(0, is_complete=False)
    recorded.measure(1000 * MS)
    run = load_any_run(killed(recorded))
    assert run.info.problems == ("the watch failed",)
    assert run.summary.lost_writes is None
    recorded.written = Written(3, is_complete=False)
    recorded.measure(1250 * MS)
    assert load_any_run(killed(recorded)).summary.lost_writes == 3


def test_a_run_under_way_is_told_to_be_so(recorded: Recorded) -> None:
    """As long as its process lives a run is running, and its verdict that of now."""
    path = recorded.folder.path
    with pytest.raises(UsageError, match=rf"still running \(process {os.getpid()}\)"):
        load_any_run(path)
    with pytest.raises(UsageError, match="ended before anything of it was judged"):
        load_any_run(killed(recorded))
    recorded.measure(1000 * MS)
    summary = load_any_run(path).summary
    assert summary.state == "running"
    assert summary.headline.startswith("still running: judged until 03:04:16.000 UTC")
    recorded.conclude()
    assert load_any_run(path).summary.state == "blind"
    assert not (path / LOCK).exists()


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    """A process that is killed leaves the file, and no other one can seem to be it."""
    program = (
        "import sys, pathlib; from loadprobe.outputs.folder.locking import FolderLock;"
        "lock = FolderLock(pathlib.Path(sys.argv[1])); print('held', flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert find_writer(tmp_path) == process.pid
        process.kill()
        process.wait()
    (tmp_path / LOCK).write_text(f"{os.getpid()}\n")  # its number was given again
    assert find_writer(tmp_path) is None


def test_every_cut_of_what_was_sealed_is_readable(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at any byte it says what its whole lines say, and that it is torn."""
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, S, S))  # less to cut
    recorded.measure(2250 * MS, every_ns=750 * MS)
    path = killed(recorded)
    file = path / documents.SEALED
    content = file.read_bytes()
    said: dict[int, object] = {}
    for cut in range(len(content) + 1):
        file.write_bytes(content[:cut])
        torn: set[str] = set()
        replay = read_sealed(path, torn)
        lines = content[:cut].count(b"\n")
        is_torn = cut > 0 and not content[:cut].endswith(b"\n")
        assert torn == ({documents.SEALED} if is_torn else set()), cut
        now = None
        if replay is not None:
            now = replay.until_ns, replay.unfinished, replay.tails
        assert said.setdefault(lines, now) == now
        assert (now is None) == (lines < 2)


def test_every_line_is_a_verdict(recorded: Recorded) -> None:
    """Cut behind any line there is a verdict, each complete up to a later time."""
    recorded.measure(2250 * MS)
    path = killed(recorded)
    file = path / documents.SEALED
    lines = file.read_bytes().splitlines(keepends=True)
    until: list[int] = []
    for count in range(2, len(lines) + 1):
        file.write_bytes(b"".join(lines[:count]))
        summary = load_any_run(path).summary
        assert summary.state == "interrupted"
        assert summary.complete_until_unix_ns is not None
        until.append(summary.complete_until_unix_ns)
    assert until == sorted(set(until))
    assert len(until) == 9


@pytest.mark.parametrize(
    "name", [documents.EVENTS, documents.CELLS, documents.SERIES, documents.HISTOGRAMS]
)
def test_every_cut_of_the_other_files_is_readable(
    recorded: Recorded, name: str
) -> None:
    """Cut at any byte, or not there at all, a file costs what it held and no more."""
    recorded.measure(2250 * MS)
    recorded.tell_problem("a line of events")
    path = killed(recorded)
    file = path / name
    content = file.read_bytes() if file.exists() else FILM_MAGIC
    for cut in range(0, len(content), 1 if len(content) < 1000 else 31):
        file.write_bytes(content[:cut])
        torn: set[str] = set()
        load_beside(path, torn, is_whole=False)
        replay = read_sealed(path, torn)
        assert replay is not None
        assert torn <= {name}
    file.unlink()
    run = load_any_run(path)
    assert run.summary.state == "interrupted"
    assert run.torn == ()


def test_damage_is_told_or_torn(recorded: Recorded) -> None:
    """A flipped bit is found wherever it is: before the last line it is an error."""
    recorded.measure(1750 * MS)
    path = killed(recorded)
    file = path / documents.SEALED
    content = file.read_bytes()
    header = content.index(b"\n") + 1
    last = content.rindex(b"\n", 0, -1) + 1
    for at in range(header, len(content), 7):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        file.write_bytes(damaged)
        torn: set[str] = set()
        if at >= last - 1:  # with the end of the line before it is one line
            assert read_sealed(path, torn) is not None
            assert torn == {documents.SEALED}
        else:
            with pytest.raises(UsageError, match=r"sealed.ndjson, line \d+ is damaged"):
                read_sealed(path, torn)


def test_a_count_that_cannot_be_is_refused(recorded: Recorded) -> None:
    """A second with more arrivals than any counter holds belongs to no run."""
    recorded.measure(1750 * MS)
    path = killed(recorded)
    file = path / documents.SERIES
    header, first, *rest = file.read_bytes().splitlines(keepends=True)
    row = msgspec.json.decode(first) | {"unsent": 10**15}
    file.write_bytes(b"".join([header, msgspec.json.encode(row) + b"\n", *rest]))
    with pytest.raises(UsageError, match="does not belong to this run"):
        load_any_run(path)


def test_lines_that_do_not_fit_are_refused(recorded: Recorded) -> None:
    """Whole lines of another run, or without their beginning, are no run."""
    recorded.measure(1000 * MS)
    path = killed(recorded)
    file = path / documents.SEALED
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], *lines[2:]]))
    with pytest.raises(UsageError, match="does not say what was run"):
        load_any_run(path)
    file.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    load_any_run(path)  # a line that lacks is not noticed, if what is new is not in it
    header = msgspec.json.encode({"schema_version": 7, "file": "sealed"}) + b"\n"
    file.write_bytes(header + b"".join(lines[1:]))
    with pytest.raises(UsageError, match="schema_version 7, expected 1"):
        load_any_run(path)
