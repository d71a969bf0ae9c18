"""What a soak came to: slopes, what was missed and what was false."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.chaos.judging import Truth
from benchmarks.soak.comparing import _false, _missed
from benchmarks.soak.doing import ADDED, SHARDS, Course, known_as
from benchmarks.soak.figures import BEGIN, END, Soaked, slope_of, with_soak
from benchmarks.soak.sampling import Sample, _sizes
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome

MS = 1_000_000
S = 1_000 * MS
BOTH = ("tcp", "tls")


def sample(at_s: float, rss_mb: float) -> Sample:
    """Return one second."""
    rss = round(rss_mb * 1e6)
    return Sample(at_s, rss, rss // 2, 60, 8, 5, round(at_s * 1_000), 20.0, 40)


def outage(lane: str, op: OpKind, start_ns: int, end_ns: int) -> Outage:
    """Return an outage with bounds of 2 ms to either side."""
    return Outage(
        Scope(lane, "0001", op),
        *(start_ns - MS, start_ns, start_ns + MS, end_ns - MS, end_ns, end_ns + MS),
        first_due_ns=start_ns + MS,
        last_due_ns=end_ns - MS,
        failed=9,
        classes={ErrorClass.TIMEOUT: 9},
        outcomes={Outcome.UNKNOWN: 9},
        probe_gap_ns=MS,
        open_start=False,
        open_end=False,
    )


STOP = Truth((10 * S, 11 * S), (9 * S, 12 * S), "shard", BOTH, ("0001",))
ALL = [
    outage(lane, op, 10 * S, 11 * S)
    for lane in BOTH
    for op in (OpKind.READ, OpKind.WRITE)
]


def test_what_grows_is_told_from_what_is_flat() -> None:
    """The line through a figure, without what it takes to get warm; its interval."""

    def read(each: Sample) -> float:
        return each.rss_bytes / 1e6

    warm = [sample(at, 50 + at / 10) for at in range(100)]
    flat = [sample(at, 60 + (at * 7919 % 13) / 10) for at in range(100, 400)]
    slope = slope_of(warm + flat, read, 100)
    assert slope is not None
    assert slope.is_flat
    assert slope.mean == pytest.approx(60.6, abs=0.1)
    growing = [sample(at, 60 + at / 100) for at in range(400)]
    slope = slope_of(growing, read, 100)
    assert slope is not None
    assert not slope.is_flat
    assert slope.per_hour == pytest.approx(36)
    assert slope_of(growing[:130], read, 100) is None
    assert slope_of(growing, lambda _: None, 100) is None


def test_a_stop_has_to_be_told_unless_nobody_saw_it() -> None:
    """Of every witness, by reads and by writes."""
    course = Course(stops=[STOP])
    assert _missed(course, ALL, {}) == ([], 0)
    missed, unseen = _missed(course, ALL[:3], {})
    assert missed == ["tls 0001 write: 1000 ms of 1000 ms"]
    assert unseen == 0
    blind = {"tls": [(10 * S - 100 * MS, 11 * S)]}
    assert _missed(course, ALL[:3], blind) == ([], 1)


def test_an_outage_where_nothing_was_done_is_false() -> None:
    """Unless a server did not get to run."""
    course = Course(stops=[STOP])
    other = outage("tcp", OpKind.READ, 20 * S, 21 * S)
    assert _false(course, ALL, []) == ([], 0)
    false, _ = _false(course, [*ALL, other], [])
    assert false == ["tcp 0001 read: 998 ms (timeout)"]
    course.slow.append(("0001", (20 * S, 20 * S + 200 * MS)))
    assert _false(course, [*ALL, other], []) == ([], 1)
    change = Truth(None, (19 * S, 20 * S), "failovers", BOTH, ("0001",))
    assert _false(Course(stops=[STOP], changes=[change]), [*ALL, other], []) == ([], 0)


def test_a_shard_that_was_added_is_known_by_whatever_name() -> None:
    """Lanes number shards by when they saw them, servers by which number is free."""
    assert [known_as(shard) for shard in SHARDS] == [*SHARDS]
    late = outage("tcp", OpKind.READ, 20 * S, 21 * S)
    late = replace(late, scope=Scope("tcp", "0008", OpKind.READ))
    change = Truth(None, (19 * S, 20 * S), "reshardings", BOTH, (*SHARDS, ADDED))
    assert _false(Course(changes=[change]), [late], []) == ([], 0)
    slow = known_as("0004"), (20 * S, 20 * S + 200 * MS)
    assert _false(Course(slow=[slow]), [late], []) == ([], 1)
    assert _false(Course(), [late], []) == (["tcp 0008 read: 998 ms (timeout)"], 0)


def test_folders_that_go_while_they_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run renames and removes parts of its folder: what is left is added up."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(10))
    scan = os.scandir

    def scanned(path: str) -> object:
        if str(path).endswith("b"):
            raise FileNotFoundError(path)
        return scan(path)

    assert sum(_sizes(tmp_path)) == 20
    monkeypatch.setattr(os, "scandir", scanned)
    assert sum(_sizes(tmp_path)) == 10


def test_the_page(tmp_path: Path) -> None:
    """What was done, what was told, what grew."""
    found = Soaked(
        {"cores": "2"},
        seconds=1_200,
        done={"stops": 1, "failovers": 2},
        failed=(),
        stops=4,
        missed=("tls 0001 write: 1000 ms of 1000 ms",),
        unseen=0,
        false=(),
        strained=0,
        outages={"tcp": 2},
        blind_ms={"tcp": 1_500.0},
        data={"lost writes": 0, "stale reads": None},
        samples=tuple(sample(at, 60) for at in range(1_200)),
        reloaded=3,
        refused=1,
        reload_problems=("no answer: TimeoutError",),
    )
    page = with_soak(f"{BEGIN}\n{END}\n", found)
    assert "Done: 1 stops, 2 failovers." in page
    assert "* missed: tls 0001 write" in page
    assert "| data | lost writes 0, stale reads not checked |" in page
    assert "| run folder | 1.2 MB, 1.0 kB/s |" in page
    assert "| configurations read again | 3 good ones, 1 with an error; 1 went" in page
    assert "* reload: no answer: TimeoutError" in page
    assert "after the first 16 minutes" in page
    assert "| tasks of the event loops | 40.0 | +0.00 [+0.00, +0.00] | flat |" in page
    assert "| open files | 60.0 | +0.00 [+0.00, +0.00] | flat |" in page
    assert not found.is_good
