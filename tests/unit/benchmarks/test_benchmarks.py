"""The benchmarks' table, document and page: no miss hides, no loss is silent."""

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from benchmarks import memtier
from benchmarks.blocks import run_blocks
from benchmarks.child import run_child
from benchmarks.document import Curve, Document, Found, Section, decode, encode
from benchmarks.measurement import (
    BenchmarkError,
    Case,
    Measurement,
    Target,
    less_startup,
)
from benchmarks.page import BEGIN, END, verdict, with_tables
from benchmarks.plots import draw_all, file_name
from benchmarks.processes import read_usage
from benchmarks.rows import Limit, Row, render
from benchmarks.run import FIGURES, NAMES, PAGE, PICTURES

_MET = Row.of("cost", "x", [0.9, 0.8, 1.3], Limit(1.0))
_MISSED = Row.of("gain", "x", [4.0, 4.998, 9.0], Limit(5.0, is_floor=True))
_LOST = Row("gone", "us", (), Limit(1.0), "ValueError: no")
_CURVE = Curve("cost", "TCP, 32 B", "wire", ((50.0, 12.5), (200.0, 13.0)))
_DOCUMENT = Document(
    False,
    3,
    {"cores": "2"},
    (
        Section("cost", Found((_MET, _MISSED), (_CURVE,)), 1.5),
        Section("hour", Found(()), 0.1, "OSError: no"),
    ),
)


def test_a_row_is_judged_by_its_median() -> None:
    """The median decides, on the side that the target says."""
    assert (_MET.value, _MET.lowest, _MET.highest) == (0.9, 0.8, 1.3)
    assert [row.verdict for row in (_MET, _MISSED, _LOST)] == [
        "met",
        "MISSED",
        "NOT MEASURED",
    ]
    assert Row.of("seen", "", [1]).verdict == ""
    assert not _LOST.is_missed


def test_the_table_says_what_was_missed_and_what_was_lost() -> None:
    """Every target stands beside its verdict, and a reason below the table."""
    lines = render([_MET, _MISSED, _LOST]).splitlines()
    assert lines[1].split()[:5] == ["cost", "0.9", "0.8", "-", "1.3"]
    assert lines[1].split()[5:] == ["3", "x", "<=", "1", "met"]
    assert lines[2].endswith(">= 5    MISSED")
    assert lines[2].split()[1] == "4.998"  # not rounded to the target
    assert lines[3].endswith("NOT MEASURED")
    assert lines[4] == "NOT MEASURED gone: ValueError: no"


def test_the_verdict_counts_all_targets_and_names_the_missed() -> None:
    """A target that could not be measured is one of those that are not met."""
    assert verdict([_MET, _MISSED, _LOST]).splitlines() == [
        "1 of 3 targets are met, 1 are MISSED, 1 could not be measured.",
        "* MISSED gain: 4.998, target >= 5",
        "* NOT MEASURED gone: ValueError: no",
    ]


def test_a_failed_job_costs_its_own_rows_only() -> None:
    """Others go on in the same block, and a later block can make up for it."""
    answers = iter([0.0, 4.0])

    def unsteady() -> float:
        answer = next(answers)
        if not answer:
            raise BenchmarkError("busy")
        return answer

    def broken() -> float:
        raise ValueError("no")

    said: list[str] = []
    jobs = {"unsteady": unsteady, "broken": broken, "steady": lambda: 2.0}
    blocks = run_blocks(jobs, repeats=2, say=said.append)
    assert blocks.row_of("steady", "s", "", float).values == (2.0, 2.0)
    ratio = blocks.row("r", "x", lambda b: b["unsteady"] / b["steady"], Limit(1.5))
    assert (ratio.values, ratio.is_missed) == ((2.0,), True)
    lost = blocks.row("l", "x", lambda b: b["broken"] / b["unsteady"])
    assert lost.failure == "broken: ValueError: no"
    assert said == [
        "block 1/2  steady: 2.0",
        "block 2/2  unsteady: 4.0",
        "block 2/2  steady: 2.0",
    ]


def test_start_up_that_hides_the_work_is_an_error() -> None:
    """A short run that took longer than the long one is no measurement."""
    long, short = Measurement(1000, 2.0, 1.0), Measurement(100, 0.2, 0.1)
    assert less_startup(long, short).cpu_us_per_op == pytest.approx(1000)
    with pytest.raises(BenchmarkError, match="start-up cannot be subtracted"):
        less_startup(long, Measurement(100, 0.2, 1.1))


def test_a_child_that_fails_is_quoted() -> None:
    """The reason is the last line that names an error, without the way to Python."""
    with pytest.raises(BenchmarkError) as failure:
        run_child(["/bin/sh", "-c", "echo 'ValueError: no' >&2; echo bye; exit 3"])
    assert str(failure.value).startswith("sh -c ")
    assert "ended with status 3 after" in str(failure.value)
    assert str(failure.value).endswith(": ValueError: no")


def test_a_child_that_hangs_is_ended() -> None:
    """One tool that never ends does not cost the others."""
    with pytest.raises(BenchmarkError, match=r"it may take 0\.2 s"):
        run_child(["/bin/sh", "-c", "exec sleep 60"], timeout_s=0.2)


def test_operations_of_memtier_are_those_it_counted() -> None:
    """Sets and gets together; another shape of its file is an error."""
    counted = {"ALL STATS": {"Sets": {"Count": 3}, "Gets": {"Count": 4}, "Waits": {}}}
    assert memtier.read_ops(msgspec.json.encode(counted)) == 7
    with pytest.raises(BenchmarkError, match="no count of Sets and Gets"):
        memtier.read_ops(b'{"ALL STATS": {"Sets": {}}}')


_MEMTIER = """#!/bin/sh
echo "$@" >"$(dirname "$0")/arguments"
while [ "$1" != --json-out-file ]; do shift; done
echo '{"ALL STATS": {"Sets": {"Count": 330}, "Gets": {"Count": 330}}}' >"$2"
"""


def test_memtier_gets_a_third_of_the_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """66 clients are the like of 200 workers; operations that are missing are told."""
    program = tmp_path / "memtier_benchmark"
    program.write_text(_MEMTIER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    target = Target("127.0.0.1", 1, 2, "ca.pem", "none", 0)
    assert memtier._run(target, Case(tls=True), ops=660).ops == 660
    arguments = (tmp_path / "arguments").read_text()
    assert "--port 2 " in arguments
    assert "--clients 66 --requests 10 " in arguments
    assert arguments.endswith("--tls --cacert ca.pem\n")
    with pytest.raises(BenchmarkError, match="660 of 1,980 operations"):
        memtier._run(target, Case(), ops=1_980)


def test_usage_is_that_of_the_whole_tree() -> None:
    """A child counts with its parent, and a tree that is gone is an error."""
    command = "sleep 60 & echo up; wait"
    shell = subprocess.Popen(
        ["/bin/sh", "-c", command], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"up\n"
        usage = read_usage(shell.pid)
        assert usage.processes == 2
        assert usage.rss_bytes >= usage.pss_bytes > 0
    finally:
        os.killpg(shell.pid, 9)
        shell.communicate()
    with pytest.raises(BenchmarkError, match="it has ended"):
        read_usage(shell.pid)


def test_figures_are_kept_whole() -> None:
    """What is read back equals what was written; medians are there for others."""
    text = encode(_DOCUMENT)
    assert decode(text) == _DOCUMENT
    row = msgspec.json.decode(text)["sections"][0]["found"]["rows"][1]
    assert (row["median"], row["verdict"]) == (4.998, "MISSED")
    with pytest.raises(msgspec.ValidationError, match="schema version 1"):
        decode(text.replace(b'"schema_version": 2', b'"schema_version": 1'))


def test_the_page_is_made_from_the_figures_alone() -> None:
    """Only the part between the markers changes, and twice is as good as once."""
    page = with_tables(f"before\n{BEGIN}\nold\n{END}\nafter\n", _DOCUMENT)
    assert page == with_tables(page, _DOCUMENT)
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "| gain | 4.998 | 4 - 9 | 3 | x | >= 5 | MISSED |" in page
    assert "* NOT MEASURED all of hour: OSError: no" in page
    assert "![cost](img/performance-cost.svg)" in page
    for wrong in ("", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"):
        with pytest.raises(ValueError, match="the page"):
            with_tables(wrong, _DOCUMENT)


def test_the_same_curves_make_the_same_picture(tmp_path: Path) -> None:
    """A picture changes only if its figures do."""
    for name in ("a", "b"):
        assert draw_all(_DOCUMENT.curves, tmp_path / name) == ["cost"]
    first, second = (
        (tmp_path / name / file_name("cost")).read_bytes() for name in ("a", "b")
    )
    assert first == second


def test_the_page_of_the_docs_is_that_of_the_kept_figures() -> None:
    """docs/performance.md shows docs/performance.json, and its pictures are there."""
    document = decode(FIGURES.read_bytes())
    assert [section.name for section in document.sections] == list(NAMES)
    page = PAGE.read_text()
    assert page == with_tables(page, document)
    for curve in document.curves:
        assert (PICTURES / file_name(curve.figure)).is_file()
