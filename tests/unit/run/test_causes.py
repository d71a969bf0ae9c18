"""Outages that are counted while a run goes on, by cause."""

import pytest

from loadprobe.clock import ClockPair
from loadprobe.core.judging.aggregate import Aggregate, LaneInfo, Sealed
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.run.causes import OutageCounter

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

    def count_outage(self, outage: Outage, *, cause: str) -> None:
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
    counter.count(None)
    counter.take_sealed(sealed)
    plans.clear()
    counter.count(None)
    assert metrics.causes == ["planned", "shard"]


def test_what_is_planned_in_part_is_counted_in_parts() -> None:
    """An accident of 4 s goes over into darkness by plan: it is told as downtime."""
    aggregate, sealed = judged((S, 11 * S), until_ns=12 * S)
    metrics = Counting(aggregate)
    plans = [Planned("tcp", 5 * S, 20 * S)]
    counter = OutageCounter(aggregate, metrics, quiet_ns=S, planned=lambda: plans)
    counter.take_sealed(sealed)
    counter.count(None)
    assert metrics.causes == ["shard", "planned"]
    assert metrics.lengths_ms == [
        pytest.approx(4000, abs=10),
        pytest.approx(6000, abs=10),
    ]
    assert [attribution.cause for _, attribution in counter.so_far()] == ["planned"]
