"""The ways to migrate: their scenarios, and the rows that their runs become."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import migrations
from benchmarks.migrations import Way, row, scenario_of, ways
from loadprobe.control.scenario.transfer_keys import CutoverStep


def all_ways(folder: Path) -> list[Way]:
    """Return the ways from a source that nobody runs."""
    source: Any = SimpleNamespace(host="127.0.0.1", port=7000)
    return list(ways(folder, source))


def test_every_way_ends_with_a_cut_over(tmp_path: Path) -> None:
    """Its scenario can be read, and has the step whose latency is told."""
    for way in all_ways(tmp_path):
        steps = scenario_of(way).steps
        assert isinstance(steps[-1], CutoverStep)
        assert way.copies in {step.label for step in steps}


def test_the_page_has_them_all(tmp_path: Path) -> None:
    """As they were measured, in their order, and none of them failed."""
    page = migrations.PAGE.read_text()
    table = page.partition(migrations.BEGIN)[2].partition(migrations.END)[0]
    found = [line.split(" | ")[:2] for line in table.splitlines()[3:]]
    wanted = [[f"| {way.name}", way.writes] for way in all_ways(tmp_path)]
    assert found == wanted
    assert "FAILED" not in page


def step(name: str, at_ns: int, **phases_ns: int) -> dict[str, Any]:
    """Return a step of a summary."""
    lane = {"lane": "tcp", "p99_ms": {"baseline": 1.25, "worst": 9.0}}
    there = {"lost": 3, "checked": 1_000, "overwritten": 20}
    return {
        "name": name,
        "start_unix_ns": at_ns,
        "phases": [{"phase": p, "at_unix_ns": at} for p, at in phases_ns.items()],
        "lanes": [lane],
        "went_over": [there],
    }


def summary(*steps: dict[str, Any], state: str = "completed") -> dict[str, Any]:
    """Return a summary of a run of one lane."""
    return {
        "scenario": {"state": state, "reason": "no\nroom", "steps": list(steps)},
        "lanes": [{"downtime_ms": {"any_shard": {"estimate": 12.4}}}],
        "stale_reads": 7,
    }


def test_a_row() -> None:
    """Writes pause from the first step that holds them until the lanes are there."""
    way = Way("w", "stopped", (), "copy")
    second = 1_000_000_000
    drain = step("drain", second, begun=second, writes_held=second + 5)
    copy = step("copy", 2 * second, begun=2 * second)
    cutover = step("cutover", 4 * second, begun=4 * second, lanes_moved=5 * second)
    assert row(way, summary(drain, copy, cutover)) == (
        "| w | stopped | 12 ms | 4,000 ms | 3 of 1,020 | 7 | 1.2 / 9.0 ms | 4.0 s |\n"
    )
    assert " | 0 ms | 3 of 1,020 " in row(way, summary(copy, cutover))


def test_a_way_that_failed() -> None:
    """It is told why, in its row."""
    way = Way("w", "go on", (), "copy")
    assert "FAILED: no room" in row(way, summary(state="failed"))
