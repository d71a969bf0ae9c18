"""Outages that are counted while a run goes on, by cause."""

from loadprobe.core.judging.aggregate import Aggregate, LaneInfo
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.run.causes import OutageCounter

MS = 1_000_000
S = 1_000_000_000
TCP = LaneInfo("tcp", False, (0,), 250 * MS)
ASLEEP = LaneInfo("tls", True, (1,), 250 * MS)


class Counting(RunMetrics):
    """Metrics that only note causes."""

    def __init__(self) -> None:
        self.causes: list[str] = []

    def count_outage(self, *_: object, cause: str) -> None:
        """Note the cause."""
        self.causes.append(cause)


def test_planned_darkness_is_counted_as_planned() -> None:
    """The plans are looked at when the outage is counted, not before.

    A lane that was not woken yet is no witness of anything.
    """
    aggregate = Aggregate([TCP, ASLEEP], asleep=[1])
    aggregate.start_process(0, 0)
    block = Block()
    for due in range(0, 3 * S, 10 * MS):
        if S <= due < 2 * S:
            refused = Outcome.REFUSED, ErrorClass.CLUSTERDOWN
            block.add_failure(Failure(due, due, due + MS, *refused, due, due + MS))
        else:
            block.add_served(due, due, due + MS)
    aggregate.add(0, {Scope("tcp", "0001", OpKind.READ): block}, watermark_ns=3 * S)
    sealed = aggregate.seal()
    plans: list[Planned] = []
    metrics = Counting()
    counter = OutageCounter(aggregate, metrics, quiet_ns=S, planned=lambda: plans)
    counter.take_sealed(sealed)
    assert metrics.causes == []
    plans.append(Planned("tcp", S, 2 * S, "0001"))
    counter.count(None)
    counter.take_sealed(sealed)
    plans.clear()
    counter.count(None)
    assert metrics.causes == ["planned", "shard"]
