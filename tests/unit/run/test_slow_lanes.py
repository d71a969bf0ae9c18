"""What was dark when a process ended is over when it has been seen lit, not before.

A slow lane may not look at a shard for a long time after the run has gone on.
"""

from pathlib import Path

import pytest

from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.before import Before
from loadprobe.core.verdict.occasions import OccasionKind
from loadprobe.run import sealing
from tests.support.aggregating import ONE, begun, refuse, served
from tests.support.gone import killed
from tests.support.recorded import BEGIN_NS, MS, SCOPES, Recorded, S
from tests.support.told import Told


@pytest.fixture(autouse=True)
def _write_every_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time is over in no time, in which nothing would be due to be written."""
    monkeypatch.setattr(sealing, "HELD_NS", 0)
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, 0, 0))


def look(run: Recorded, from_s: int, until_s: int, *, at_dark: bool) -> None:
    """Have all shards looked at, or all but the one that was dark, and be served."""
    for second in range(from_s, until_s):
        due_ms = (BEGIN_NS + second * S) / MS
        scopes = SCOPES if at_dark else SCOPES[:1]
        run.aggregate.add(
            0,
            {scope: served(due_ms) for scope in scopes},
            watermark_ns=BEGIN_NS + (second + 1) * S,
        )
        run.sinks.take_sealed(run.aggregate.seal())


def test_an_incident_that_nobody_looked_at_again_has_no_folder_yet(
    tmp_path: Path,
) -> None:
    """Though its last failure was minutes ago, in the process before."""
    killed(tmp_path, 2000)
    run = Recorded(tmp_path, resume=True, after_ns=298 * S)
    kept = run.recording.incidents
    # Another outage is over, so that it is looked for incidents.
    row = refuse(served((BEGIN_NS + 300 * S) / MS), (BEGIN_NS + 300.2 * S) / MS)
    run.aggregate.add(0, {SCOPES[0]: row}, watermark_ns=BEGIN_NS + 301 * S)
    look(run, 301, 400, at_dark=False)
    assert kept.waiting == 0
    look(run, 400, 480, at_dark=True)
    (record,) = kept.take(5)
    dark = record.outages[0]
    assert (dark.shard, len(record.outages)) == ("0002", 2)
    assert dark.end_unix_ns is not None
    assert not dark.open_end
    assert dark.upper_ms > 390_000


def test_what_is_never_looked_at_again_does_not_stay_for_ever(tmp_path: Path) -> None:
    """Its shard may be gone."""
    killed(tmp_path, 2000)
    run = Recorded(tmp_path, resume=True, after_ns=298 * S)
    row = refuse(served((BEGIN_NS + 300 * S) / MS), (BEGIN_NS + 300.2 * S) / MS)
    run.aggregate.add(0, {SCOPES[0]: row}, watermark_ns=BEGIN_NS + 301 * S)
    look(run, 301, 1000, at_dark=False)
    assert run.recording.incidents.waiting > 0


def kinds(run: Told) -> list[OccasionKind]:
    """Return what waits for the receiver, in order."""
    return [notice.kind for notice in run.waiting()]


def dark_at_the_end(folder: Path, end_ms: int = 7000, *, is_ended: bool) -> Told:
    """Return a run whose process is gone; its last arrival, at 3 s, failed."""
    run = Told(folder, begun(ONE))
    run.until(1000)
    run.until(3000, dark=True)
    run.see(end_ms)
    if is_ended:
        run.telling.take_sealed(run.aggregate.finish(end_ms * MS).last)
        run.telling.leave()
    return run


def test_what_a_slow_lane_last_saw_dark_is_left_open(tmp_path: Path) -> None:
    """Nobody has seen it lit, so nobody is told that it is over."""
    left = kinds(dark_at_the_end(tmp_path, is_ended=True))
    assert left == [OccasionKind.OPENED, OccasionKind.LEFT]


def test_a_run_that_goes_on_looks_before_it_is_over(tmp_path: Path) -> None:
    """However long its lane takes to look at the shard again."""
    first = dark_at_the_end(tmp_path, is_ended=False)
    before = Before(
        until_ns=first.aggregate.sealed_until_ns,
        lane_totals=first.aggregate.lane_totals,
        scope_totals=first.aggregate.scope_totals,
        going_on=first.aggregate.unfinished(),
    )
    first.waiting()
    aggregate = Aggregate([ONE])
    aggregate.go_on(before)
    aggregate.start_process(0, 20_000 * MS)
    again = Told(tmp_path, aggregate, 20_000)
    again.telling.go_on([])
    told = again.offered
    again.see(40_000)
    assert again.offered == told
    again.until(45_000)
    assert kinds(again)[-1] is OccasionKind.CLOSED


def test_the_time_between_the_runs_is_not_waiting(tmp_path: Path) -> None:
    """It is the receiver's file that knows it, and half an hour has passed."""
    first = dark_at_the_end(tmp_path, 3000, is_ended=True)
    first.waiting()
    before = Before(
        until_ns=first.aggregate.sealed_until_ns,
        lane_totals=first.aggregate.lane_totals,
        scope_totals=first.aggregate.scope_totals,
    )
    aggregate = Aggregate([ONE])
    aggregate.go_on(before)
    aggregate.start_process(0, 2_000_000 * MS)
    again = Told(tmp_path, aggregate, 2_000_000)
    again.telling.go_on([])
    told = again.offered
    again.see(2_020_000)
    assert again.offered == told
    again.until(2_025_000)
    assert kinds(again)[-1] is OccasionKind.CLOSED


def test_another_run_looks_before_it_is_over(tmp_path: Path) -> None:
    """It knows of the incident from the receiver's file alone."""
    dark_at_the_end(tmp_path, 3000, is_ended=True).waiting()
    again = Told(tmp_path, begun(ONE, 20_000), 20_000)
    told = again.offered
    again.see(40_000)
    assert again.offered == told
    again.until(45_000)
    assert kinds(again)[-1] is OccasionKind.CLOSED


def test_a_shard_that_is_gone_is_waited_for_ten_minutes(tmp_path: Path) -> None:
    """Nobody will ever look at it."""
    dark_at_the_end(tmp_path, 3000, is_ended=True).waiting()
    again = Told(tmp_path, begun(ONE, 20_000), 20_000)
    told = again.offered
    again.see(610_000)
    assert again.offered == told
    again.see(630_000)
    assert kinds(again)[-1] is OccasionKind.CLOSED


@pytest.mark.parametrize(("at_ms", "goes_on"), [(3000, True), (1000, False)])
def test_an_end_in_order_ends_no_outage(
    tmp_path: Path, at_ms: int, *, goes_on: bool
) -> None:
    """Not on a lane that seldom looks: it goes on until it is seen lit.

    Of a shard that used to be looked at much more often it is not believed.
    """
    first = Recorded(tmp_path)
    for due_ms in range(0, 60_000, at_ms):
        lit = served(BEGIN_NS / MS + due_ms)
        first.aggregate.add(
            0, {SCOPES[1]: lit}, watermark_ns=BEGIN_NS + (due_ms + at_ms) * MS
        )
        first.sinks.take_sealed(first.aggregate.seal())
    dark = refuse(served(BEGIN_NS / MS + 60_000), BEGIN_NS / MS + 60_100)
    first.aggregate.add(0, {SCOPES[1]: dark}, watermark_ns=BEGIN_NS + 75 * S)
    first.sinks.take_sealed(first.aggregate.seal())
    first._now_ns = BEGIN_NS + 75 * S
    first.conclude()
    first.folder.close()
    second = Recorded(tmp_path, resume=True)
    assert second.past is not None
    assert (SCOPES[1] in second.past.before.going_on) == goes_on
