"""Dark time and outages: while they go on, when they are over, and by plan."""

from functools import partial

import pytest

from loadprobe.clock import ClockPair
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from tests.support.metric_pages import MS, S, Scrape, make_metrics, page_of


def test_open_outage() -> None:
    """An outage that is going on is active, with its length so far and no end."""
    lane = LaneInfo("tcp", tls=False, processes=(0,), deadline_ns=250 * MS)
    aggregate = Aggregate([lane])
    aggregate.start_process(0, S)
    block = Block()
    for due in range(S, S + 100 * MS, MS):
        block.add_served(due, due, due + 1000)
    for due in range(S + 100 * MS, S + 600 * MS, MS):
        row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
        block.add_failure(Failure(*row, due, due + 1000))
    scope = Scope("tcp", "0001", OpKind.READ)
    aggregate.add(0, {scope: block}, watermark_ns=S + 600 * MS)
    aggregate.seal()
    metrics = RunMetrics("c", aggregate=aggregate, clock=ClockPair(0, 0))
    scrape = Scrape(page_of(metrics)[0])
    find = partial(scrape.find, cluster="c", lane="tcp", shard="0001", op="read")
    assert find("outage_active") == 1
    assert find("outage_current_seconds") == pytest.approx(0.5, abs=0.002)
    assert find("outage_last_start_timestamp_seconds") == pytest.approx(1.1, abs=0.002)
    assert find("outage_last_end_timestamp_seconds") is None


def test_the_dark_time_never_shrinks() -> None:
    """While an outage goes on its certain part counts, and at its end the estimate."""
    lane = LaneInfo("tcp", tls=False, processes=(0,), deadline_ns=250 * MS)
    aggregate = Aggregate([lane])
    aggregate.start_process(0, S)
    metrics = RunMetrics("c", aggregate=aggregate, clock=ClockPair(0, 0))
    scope = Scope("tcp", "0001", OpKind.READ)
    seen: list[float] = []
    for start in range(S, 3 * S, 100 * MS):
        block = Block()
        for due in range(start, start + 100 * MS, 20 * MS):
            if 1300 * MS <= due < 2200 * MS:
                row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                block.add_failure(Failure(*row, due, due + 1000))
            else:
                block.add_served(due, due, due + 1000)
        aggregate.add(0, {scope: block}, watermark_ns=start + 100 * MS)
        aggregate.seal()
        scrape = Scrape(page_of(metrics)[0])
        dark_s = scrape.find(
            "dark_time_seconds_total", cluster="c", lane="tcp", shard="0001", op="read"
        )
        assert dark_s is not None
        seen.append(dark_s)
    assert seen == sorted(seen)
    assert seen[7] == pytest.approx(0.48, abs=0.002)
    assert seen[-1] == pytest.approx(0.9, abs=0.002)


def test_what_is_dark_by_plan_has_series_of_its_own() -> None:
    """At every scrape it is a part of the dark time; only an accident is beside it.

    The lane is dark by plan from 1.3 to 5.3 s, of which 1.5 s are beyond the plan; then
    there is an accident of 0.6 s.
    """
    lane = LaneInfo("tcp", tls=False, processes=(0,), deadline_ns=250 * MS)
    aggregate = Aggregate([lane])
    aggregate.start_process(0, S)
    plans: list[Planned] = []
    metrics = RunMetrics(
        "c",
        aggregate=aggregate,
        clock=ClockPair(0, 0),
        planned=lambda: plans,
    )
    scope = Scope("tcp", "0001", OpKind.READ)
    dark: list[float] = []
    planned: list[float] = []
    going_on: dict[int, tuple[float, float]] = {}
    for start in range(S, 7 * S, 100 * MS):
        end = start + 100 * MS
        # Announced when it begins, and over when it is over.
        plans[:] = [Planned("tcp", 1200 * MS, min(end, 3800 * MS))]
        block = Block()
        for due in range(start, end, 10 * MS):
            if 1300 * MS <= due < 5300 * MS or 6 * S <= due < 6600 * MS:
                row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                block.add_failure(Failure(*row, due, due + 1000))
            else:
                block.add_served(due, due, due + 1000)
        aggregate.add(0, {scope: block}, watermark_ns=end)
        metrics.take_ended(aggregate.seal().closed)
        scrape = Scrape(page_of(metrics)[0])
        find = partial(scrape.find, cluster="c", lane="tcp", shard="0001", op="read")
        dark.append(find("dark_time_seconds_total") or 0.0)
        planned.append(find("planned_dark_seconds_total") or 0.0)
        length_s = find("outage_current_seconds")
        planned_s = find("outage_current_planned_seconds")
        assert length_s is not None
        assert planned_s is not None
        going_on[end // MS] = length_s, planned_s
    assert planned == sorted(planned)
    assert all(part <= whole for part, whole in zip(planned, dark, strict=True))
    in_plan = slice(0, 28)  # until 3.8 s
    assert planned[in_plan] == dark[in_plan]
    assert max(dark[in_plan]) == pytest.approx(2.5, abs=0.02)
    assert planned[-1] == pytest.approx(2.5, abs=0.02)
    assert dark[-1] - planned[-1] == pytest.approx(1.5 + 0.6, abs=0.02)
    assert going_on[1300] == (0, 0)
    for ms in (1400, 3000, 3800, 4700):
        assert going_on[ms][0] == going_on[ms][1] > 0, ms
    length_s, planned_s = going_on[5200]
    assert length_s == pytest.approx(3.9, abs=0.02)
    assert planned_s == pytest.approx(2.5, abs=0.02)
    length_s, planned_s = going_on[6500]
    assert length_s == pytest.approx(0.5, abs=0.02)
    assert planned_s == 0


def test_the_latest_outage_is_the_latest_that_was_not_by_plan() -> None:
    """Darkness by plan after it moves neither its beginning nor its end, open or over.

    Dark from 1.5 to 2 s, by plan from 3 to 5 s, and from 6 to 6.5 s again.
    """
    aggregate = Aggregate([LaneInfo("tcp", False, (0,), 50 * MS)])
    aggregate.start_process(0, S)
    plans = [Planned("tcp", 2900 * MS, 5100 * MS)]
    clock = ClockPair(0, 0)
    metrics = RunMetrics("c", aggregate=aggregate, clock=clock, planned=lambda: plans)
    scope = Scope("tcp", "0001", OpKind.READ)
    dark = [(1500, 2000), (3000, 5000), (6000, 6500)]
    began: dict[int, float | None] = {}
    ended: dict[int, float | None] = {}
    for start in range(S, 7 * S, 100 * MS):
        block = Block()
        for due in range(start, start + 100 * MS, 10 * MS):
            if any(first * MS <= due < last * MS for first, last in dark):
                row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                block.add_failure(Failure(*row, due, due + 1000))
            else:
                block.add_served(due, due, due + 1000)
        aggregate.add(0, {scope: block}, watermark_ns=start + 100 * MS)
        metrics.take_ended(aggregate.seal().closed)
        find = partial(Scrape(page_of(metrics)[0]).find, cluster="c", lane="tcp")
        place = {"shard": "0001", "op": "read"}
        began[start // MS] = find("outage_last_start_timestamp_seconds", **place)
        ended[start // MS] = find("outage_last_end_timestamp_seconds", **place)
    first, last = pytest.approx(1.5, abs=0.02), pytest.approx(2.0, abs=0.02)
    assert ended[1800] is None
    for ms in (1800, 2500, 4000, 5500):
        assert began[ms] == first, ms
    for ms in (2500, 4000, 5500, 6300):
        assert ended[ms] == last, ms
    assert began[6300] == pytest.approx(6.0, abs=0.02)
    assert ended[6900] == pytest.approx(6.5, abs=0.02)


def test_darkness_by_plan_adds_no_rounded_millisecond() -> None:
    """While darkness by plan grows, what is left of all darkness stays as it was."""
    aggregate = Aggregate([LaneInfo("tcp", False, (0,), 50 * MS)])
    aggregate.start_process(0, 0)
    plans: list[Planned] = []
    metrics = RunMetrics(
        "c", aggregate=aggregate, clock=ClockPair(0, 0), planned=lambda: plans
    )
    scope = Scope("tcp", "0001", OpKind.READ)
    left: set[float] = set()
    dues = range(0, 6 * S, 10_370_000)  # no whole milliseconds
    for start in range(0, 6 * S, 100 * MS):
        end = start + 100 * MS
        block = Block()
        for due in (due for due in dues if start <= due < end):
            if S <= due < 1500 * MS or due >= 3 * S:
                row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                block.add_failure(Failure(*row, due, due + 1000))
            else:
                block.add_served(due, due, due + 1000)
        plans[:] = [Planned("tcp", 2900 * MS, end)] if end > 2900 * MS else []
        aggregate.add(0, {scope: block}, watermark_ns=end)
        metrics.take_ended(aggregate.seal().closed)
        find = partial(Scrape(page_of(metrics)[0]).find, cluster="c", lane="tcp")
        whole = find("dark_time_seconds_total", shard="0001", op="read") or 0.0
        planned = find("planned_dark_seconds_total", shard="0001", op="read") or 0.0
        if end > 2 * S:
            left.add(round(whole - planned, 6))
    assert planned > 2.5
    assert len(left) == 1
    assert left.pop() == pytest.approx(0.5, abs=0.02)


def test_a_plan_for_another_shard_excuses_nothing() -> None:
    """Neither does one for another lane."""
    metrics = make_metrics(
        Planned("tls", S, 9 * S, "0001"), Planned("tcp", S, 9 * S, None)
    )
    find = partial(Scrape(page_of(metrics)[0]).find, cluster="demo")
    dark = partial(find, lane="tls", shard="0002", op="write")
    assert dark("planned_dark_seconds_total") == 0
    metrics = make_metrics(Planned("tls", S, 9 * S, "0002"))
    find = partial(Scrape(page_of(metrics)[0]).find, cluster="demo")
    dark = partial(find, lane="tls", shard="0002", op="write")
    assert dark("planned_dark_seconds_total") == dark("dark_time_seconds_total")
