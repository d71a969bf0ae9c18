"""Outages that are counted while a run goes on, by cause."""

from collections import Counter
from collections.abc import Sequence

import pytest

from loadprobe.clock import ClockPair
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.judging.results import Sealed
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.measured import Changes, Measured
from loadprobe.core.verdict.verdict import Verdict, summarize
from loadprobe.outputs.http.api_documents import OutagesQuery, outage_now
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.run.causes import OutageCounter
from tests.support.http_stage import CLOCK, Stage, arrivals

MS = 1_000_000
S = 1_000_000_000
TCP = LaneInfo("tcp", False, (0,), 250 * MS)
ASLEEP = LaneInfo("tls", True, (1,), 250 * MS)


class Counting(RunMetrics):
    """Metrics that note causes, and for how long."""

    def __init__(self, aggregate: Aggregate) -> None:
        clock = ClockPair(0, 0)
        super().__init__("c", aggregate=aggregate, clock=clock)
        self.causes: list[str] = []
        self.lengths_ms: list[float] = []

    def count_outage(
        self, outage: Outage, *, cause: str, counted: Outage | None = None
    ) -> None:
        """Note the cause."""
        self.causes.append(cause)
        self.lengths_ms.append(outage.duration_ns / MS)


def judged(*dark: tuple[int, int], until_ns: int) -> tuple[Aggregate, Sealed]:
    """Return a lane that was refused in some times, and one that never began."""
    aggregate = Aggregate([TCP, ASLEEP], asleep=[1])
    aggregate.start_process(0, 0)
    block = Block()
    for due in range(0, until_ns, 10 * MS):
        if any(start <= due < end for start, end in dark):
            refused = Outcome.REFUSED, ErrorClass.CLUSTERDOWN
            block.add_failure(Failure(due, due, due + MS, *refused, due, due + MS))
        else:
            block.add_served(due, due, due + MS)
    scope = Scope("tcp", "0001", OpKind.READ)
    aggregate.add(0, {scope: block}, watermark_ns=until_ns)
    return aggregate, aggregate.seal()


def test_planned_darkness_is_counted_as_planned() -> None:
    """The plans are looked at when the outage is counted, not before.

    A lane that was not woken yet is no witness of anything.
    """
    aggregate, sealed = judged((S, 2 * S), until_ns=3 * S)
    plans: list[Planned] = []
    metrics = Counting(aggregate)
    counter = OutageCounter(aggregate, metrics, quiet_ns=S, planned=lambda: plans)
    counter.take_sealed(sealed)
    assert metrics.causes == []
    plans.append(Planned("tcp", S, 2 * S, "0001"))
    counter.conclude(3 * S)
    counter.take_sealed(sealed)
    plans.clear()
    counter.conclude(3 * S)
    assert metrics.causes == ["planned", "shard"]


def test_what_is_planned_in_part_is_counted_in_parts() -> None:
    """An accident of 4 s goes over into darkness by plan: it is told as downtime."""
    aggregate, sealed = judged((S, 11 * S), until_ns=12 * S)
    metrics = Counting(aggregate)
    plans = [Planned("tcp", 5 * S, 20 * S)]
    counter = OutageCounter(aggregate, metrics, quiet_ns=S, planned=lambda: plans)
    counter.take_sealed(sealed)
    counter.conclude(12 * S)
    assert metrics.causes == ["shard", "planned"]
    assert metrics.lengths_ms == [
        pytest.approx(4000, abs=10),
        pytest.approx(6000, abs=10),
    ]
    found = [part.attribution.cause for part in counter.so_far()]
    assert found == ["shard", "planned"]


def test_a_plan_that_is_taken_back_is_no_excuse() -> None:
    """What was counted as planned is told anew if it turns out not to have been."""
    aggregate, sealed = judged((S, 2 * S), until_ns=4 * S)
    plans = [Planned("tcp", S, 3 * S)]
    counter = OutageCounter(
        aggregate, Counting(aggregate), quiet_ns=S, planned=lambda: plans
    )
    counter.take_sealed(sealed)
    assert [part.attribution.cause for part in counter.so_far()] == ["planned"]
    plans[0] = Planned("tcp", S, 9 * S)  # it goes on, which changes nothing
    assert [part.attribution.cause for part in counter.so_far()] == ["planned"]
    plans.clear()
    assert [part.attribution.cause for part in counter.so_far()] == ["shard"]


def told_live_and_in_the_end(
    dark: dict[tuple[str, str], tuple[int, int]], planned: Sequence[Planned] = ()
) -> tuple[Stage, Verdict]:
    """Return a run of 20 s of a witness and a client, and its verdict when it ended."""
    lanes = (
        LaneInfo("tcp", False, (0,), 250 * MS),
        LaneInfo("app", False, (0,), 250 * MS, is_witness=False),
    )
    stage = Stage.of(lanes)
    stage.begin()
    stage.planned += planned
    never = (0, 0)
    blocks = {
        (lane.name, shard): arrivals(0, 20 * S, dark.get((lane.name, shard), never))
        for lane in lanes
        for shard in ("0001", "0002")
    }
    stage.add(blocks, 20 * S)
    results = stage.aggregate.finish(20 * S)
    stage.counter.take_sealed(results.last)
    stage.counter.conclude(20 * S)
    changes = Changes(planned=planned)
    return stage, summarize(Measured(results, CLOCK, S, changes=changes))


@pytest.mark.parametrize(
    ("dark", "planned", "causes"),
    [
        pytest.param(
            {("tcp", "0001"): (5 * S, 7 * S), ("app", "0001"): (5 * S, 12 * S)},
            (),
            ["shard", "shard", "client"],
            id="a client stays away longer than the shard",
        ),
        pytest.param(
            {("tcp", "0002"): (5 * S, 12 * S)},
            [Planned("tcp", 8 * S, 20 * S)],
            ["shard", "planned"],
            id="an accident goes over into a plan",
        ),
        pytest.param(
            {("tcp", "0001"): (18 * S, 20 * S), ("tcp", "0002"): (18 * S, 20 * S)},
            (),
            ["cluster", "cluster"],
            id="it goes on when the run ends",
        ),
    ],
)
def test_live_it_is_told_as_in_the_end(
    dark: dict[tuple[str, str], tuple[int, int]],
    planned: Sequence[Planned],
    causes: list[str],
) -> None:
    """Metrics, API and files have the same outages and causes, and the same state."""
    stage, verdict = told_live_and_in_the_end(dark, planned)
    rows = verdict.outages.outages
    assert [row.attribution for row in rows] == causes
    shown = stage.view.outages(OutagesQuery()).outages
    assert shown == [outage_now(row, is_open=False) for row in rows]
    counted = stage.metrics.snapshot().values["outages_total"]
    assert counted == Counter((r.lane, r.shard, r.op, r.attribution) for r in rows)
    now, summary = stage.view.verdict(), verdict.summary
    assert (now.state, now.headline) == (summary.state, summary.headline)
    assert now.downtime_ms == summary.downtime_ms
    assert now.availability == pytest.approx(
        sum(s.outcomes["served"] for s in summary.scopes)
        / sum(s.arrivals - s.planned_failed for s in summary.scopes)
    )
