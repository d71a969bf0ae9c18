"""A run whose folder was kept small is reported as before, and says what lacks."""

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder.reader import RunData
from loadprobe.outputs.folder.retention import Retention
from loadprobe.outputs.folder.segments import segment_path
from loadprobe.outputs.folder.upkeep import Order, UpkeepWork
from loadprobe.outputs.report.report import render_text
from loadprobe.run import sealing
from loadprobe.run.aftermath import load_any_run
from tests.support.recorded import CLOCK, MS, Recorded, S

TURNS = (500 * MS, 1750 * MS, 2000 * MS, 2750 * MS)
HOUR_NS = 3600 * S


@pytest.fixture(autouse=True)
def _write_every_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time is over in no time, in which nothing would be due to be written."""
    monkeypatch.setattr(sealing, "HELD_NS", 0)
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, 0, 0))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run of five segments that was killed."""
    recorded = Recorded(tmp_path, turns=TURNS)
    recorded.measure(4 * S)
    recorded.conclude()
    path = recorded.folder.path
    (path / documents.SUMMARY).unlink()
    (path / documents.OUTAGES).unlink()
    return path


def keep(run: Path, retention: Retention, *, hours: float = 0.0) -> None:
    """Keep the folder small, so many hours after the run."""
    # Segments of a test begin when it runs, whatever the time in it is.
    segments = (segment_path(run, number) / "segment.json" for number in range(1, 6))
    latest = max(path.stat().st_mtime_ns for path in segments)
    now_unix_ns = latest + round(hours * HOUR_NS)
    report = UpkeepWork(Order(str(run), retention, now_unix_ns=now_unix_ns)).carry_out()
    assert report.problem == ""


def essence(run: RunData) -> tuple[object, ...]:
    """Return what is said of a run."""
    return run.summary, run.outages, run.events, run.film, run.torn, run.missing


def test_compressed_is_the_same_run(run: Path) -> None:
    """The verdict of a run is that of its segments before they were compressed."""
    before = load_any_run(run)
    keep(run, Retention())
    assert not (run / documents.SERIES).exists()
    assert essence(load_any_run(run)) == essence(before)
    assert before.missing == ()


def verdict(run: RunData) -> tuple[object, ...]:
    """Return what does not need the seconds of the last hours."""
    said = run.summary
    figures = said.state, said.headline, said.downtime_ms, said.incidents, said.scopes
    return figures, [msgspec.structs.replace(o, evidence="") for o in run.outages]


def test_coarse_has_the_same_verdict(run: Path) -> None:
    """Minutes and hours change nothing of the verdict, its events and its film."""
    before = load_any_run(run)
    keep(run, Retention(), hours=24 * 30)
    assert (run / "series.3600s.ndjson.zst").exists()
    assert not list(run.glob("sealed*"))
    after = load_any_run(run)
    assert verdict(after) == verdict(before)
    assert (after.events, after.film) == (before.events, before.film)
    assert after.missing == ()


def test_removed_segments_are_told(run: Path) -> None:
    """What was removed is missing, with its time and reason; the verdict stays."""
    before = load_any_run(run)
    keep(run, Retention(retain_days=1), hours=25)
    assert not (run / documents.EVENTS).exists()
    after = load_any_run(run)
    assert verdict(after) == verdict(before)
    assert len(after.events) < len(before.events)
    [missing] = after.missing
    assert missing.startswith("4 segments were removed, from 20")
    assert missing.endswith("(see retain_days)")
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as printed:
        console.print(render_text(after))
    assert f"Missing: {missing}" in printed.get()


def test_a_segment_that_is_gone_is_told(run: Path) -> None:
    """A segment that somebody took away is missing, and the rest is read."""
    before = load_any_run(run)
    third = segment_path(run, 3)
    third.rename(run / "elsewhere")
    after = load_any_run(run)
    assert verdict(after) == verdict(before)
    assert after.missing == ("1 segment is not there, and nothing says why",)


def test_damage_before_it_is_set_aside(run: Path) -> None:
    """A damaged file of an earlier segment is left out and named; no error ends it."""
    before = load_any_run(run)
    keep(run, Retention())
    path = segment_path(run, 2) / "events.ndjson.zst"
    for name in ("series", "sealed", "events"):
        path = segment_path(run, 2) / f"{name}.ndjson.zst"
        path.write_bytes(path.read_bytes()[:-7])
    after = load_any_run(run)
    assert after.outages == before.outages
    assert len(after.missing) == 3
    assert all("is damaged: it ends too early" in text for text in after.missing)
    order = Order(str(run), Retention(), verify=True, now_unix_ns=CLOCK.wall_ns)
    assert UpkeepWork(order).carry_out().damaged == 3
    assert load_any_run(run).missing == tuple(
        f"segments/0002/{name}.ndjson was damaged, and is set aside: "
        "it is not what was written"
        for name in ("events", "series", "sealed")
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"schema_version":1,"removed":[{"what":"x","count":-3}]}'],
)
def test_a_damaged_note_of_removals(run: Path, content: bytes) -> None:
    """A note of what was removed that cannot be read changes nothing else."""
    before = load_any_run(run)
    (run / "removed.json").write_bytes(content)
    assert essence(load_any_run(run)) == essence(before)
