"""What was counted before a process was gone is counted once, and goes on."""

from pathlib import Path

import pytest

from loadprobe.core.judging import aggregate
from loadprobe.outputs.folder import resumption, sealed_replay
from loadprobe.outputs.folder.locking import LOCK
from loadprobe.run import sealing
from loadprobe.run.aftermath import load_any_run
from tests.support.gone import DARK, again, counted, killed, outages_counted
from tests.support.recorded import BEGIN_NS, MS, Recorded


@pytest.fixture(autouse=True)
def _write_every_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time is over in no time, in which nothing would be due to be written."""
    monkeypatch.setattr(sealing, "HELD_NS", 0)
    monkeypatch.setattr(sealing, "LATENCIES_EVERY", (10, 0, 0))


@pytest.mark.parametrize("is_ended", [False, True])
def test_an_outage_that_was_just_over_counts_once(
    tmp_path: Path, is_ended: bool
) -> None:
    """A load that ends in order counts it at once, a process that goes on does not."""
    dark = (1500 * MS, 1700 * MS)
    first = Recorded(tmp_path, dark=dark)
    first.measure(2000 * MS)
    if is_ended:
        first.conclude()
    first.folder.close()
    second = again(tmp_path, 5000, dark=dark)
    assert outages_counted(second) == (1, 0.2)
    assert len(second.published.counter.so_far()) == 1


@pytest.mark.parametrize("turns", [(), (3000 * MS,)])
def test_an_outage_that_an_end_in_order_cut_counts_once_after_a_kill(
    tmp_path: Path, turns: tuple[int, ...]
) -> None:
    """It was counted by the end in order, and went on through the kill after it."""
    dark = (1500 * MS, 5000 * MS)
    first = Recorded(tmp_path, dark=dark)
    first.measure(2000 * MS)
    first.conclude()
    assert outages_counted(first) == (1, 0.5)
    second = Recorded(tmp_path, dark=dark, resume=True, turns=turns)
    second.measure(3500 * MS)
    second.folder.close()
    third = again(tmp_path, 8000, dark=dark)
    assert outages_counted(third) == (1, 2.5)


def test_what_others_count_goes_on(tmp_path: Path) -> None:
    """They begin anew with each process, and some in between: counters do not."""
    first = Recorded(tmp_path)
    first.measure(1000 * MS)
    first.published.window._dropped = 2
    lost = "folder_lost_chunks_total", ("series.ndjson",)
    told = "webhook_notices_sent_total", ("phone",)
    for value in 5, 7, 1:
        first.published.metrics.set(told[0], *told[1], value=value)
    first.published.metrics.set(lost[0], *lost[1], value=3)
    shown = counted(first)
    dropped = "cells_dropped_total", ()
    assert (shown[told], shown[lost], shown[dropped]) == (8, 3, 2)
    first.folder.close()
    second = again(tmp_path, 2500)
    second.recording.upkeep.look()
    second.published.metrics.set(told[0], *told[1], value=1)
    shown = counted(second)
    assert (shown[told], shown[lost], shown[dropped]) == (9, 3, 2)


@pytest.mark.parametrize("turns", [(), (2000 * MS,)])
def test_darkness_beyond_the_outages_that_are_kept_goes_on_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: tuple[int, ...]
) -> None:
    """Of an outage that is not kept its length is, whichever segment it was in."""
    for module in aggregate, resumption, sealed_replay:
        monkeypatch.setattr(module, "KEPT_OUTAGES", 0)
    dark = (1000 * MS, 1200 * MS)
    first = killed(tmp_path, 3000, dark=dark, turns=turns)
    before = counted(first)
    after = counted(again(tmp_path, 4000, dark=dark))
    assert before["dark_time_seconds_total", ("tcp", "0002", "read")] == 0.2
    assert {k: v for k, v in before.items() if after.get(k, 0) < v} == {}


@pytest.mark.parametrize("is_left", [False, True])
def test_an_outage_beyond_those_that_are_kept_goes_on_after_an_end_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_left: bool
) -> None:
    """It is one, though it is in no document; one that was over does not go on."""
    for module in aggregate, resumption, sealed_replay:
        monkeypatch.setattr(module, "KEPT_OUTAGES", 0)
    dark = (1500 * MS, 5000 * MS) if is_left else (1500 * MS, 1900 * MS)
    first = Recorded(tmp_path, dark=dark)
    first.measure(2000 * MS)
    first.conclude()
    first.folder.close()
    second = Recorded(tmp_path, dark=dark, resume=True)
    assert second.past is not None
    assert len(second.past.before.going_on) == is_left
    second.measure(8000 * MS)
    second.conclude()
    assert load_any_run(second.folder.path).outages == ()
    assert second.aggregate.dropped_outages == 1
    assert sum(row.outages for row in second.aggregate.scope_totals.values()) == 1
    assert outages_counted(second) == (1, 3.0 if is_left else 0.4)


@pytest.mark.parametrize("how", ["killed", "ended", "left"])
def test_an_outage_is_counted_once_however_the_process_ended(
    tmp_path: Path, how: str
) -> None:
    """Also one that was over right before: less than the quiet time."""
    first = Recorded(tmp_path, dark=DARK)
    first.measure(3000 * MS)
    if how == "ended":
        first.conclude()
    elif how == "left":
        first.recording.hand_over(first.aggregate.finish(BEGIN_NS + 3000 * MS))
    first.folder.close()
    second = again(tmp_path, 6000)
    second.conclude()
    (outage,) = load_any_run(second.folder.path).outages
    found = counted(second)
    of_outages = {key: v for key, v in found.items() if key[0] == "outages_total"}
    assert list(of_outages.values()) == [1]
    (dark_s,) = (v for key, v in found.items() if key[0] == "outage_seconds_total")
    assert dark_s == pytest.approx(outage.duration_ms / 1000, abs=0.002)


def test_an_outage_is_counted_once_when_the_next_process_is_killed(
    tmp_path: Path,
) -> None:
    """What was counted when the load ended in order stays counted."""
    first = Recorded(tmp_path, dark=DARK)
    first.measure(2000 * MS)
    first.recording.hand_over(first.aggregate.finish(BEGIN_NS + 2000 * MS))
    second = again(tmp_path, 3500)
    second.folder.close()
    (second.folder.path / LOCK).write_text("1\n")
    third = again(tmp_path, 7000)
    third.conclude()
    (outage,) = third.aggregate.outages
    found = counted(third)
    of_outages = [v for key, v in found.items() if key[0] == "outages_total"]
    assert of_outages == [1]
    (dark_s,) = (v for key, v in found.items() if key[0] == "outage_seconds_total")
    assert dark_s == pytest.approx(outage.seen_ns / 1e9, abs=0.011)
