"""Arrivals of a simulation, judged."""

from collections.abc import Callable, Sequence

from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.results import Results, Sealed
from tests.support.examples import examples
from tests.support.simulation import (
    DEADLINE_NS,
    MS,
    SCOPE,
    SETTLE_NS,
    Simulated,
    decided_ns,
    to_blocks,
)

START_NS = 1_000 * MS
OnSeal = Callable[[Aggregate, Sealed], None]
relaxed = examples(40)


def judge(
    ended: Sequence[Simulated],
    *,
    batch_ns: int | None = None,
    stalls: Sequence[tuple[int, int, int]] = (),
    lane_processes: int = 3,
    on_seal: OnSeal | None = None,
) -> Results:
    """Run arrivals through the aggregate, in batches by time or all at once.

    ``on_seal`` is told of every seal, also of the last one.
    """
    lane = LaneInfo("tcp", False, tuple(range(lane_processes)), DEADLINE_NS)
    aggregate = Aggregate([lane])
    end_ns = max(row.plan.due_ns for row in ended) + 1
    for process in range(lane_processes):
        aggregate.start_process(process, START_NS)
    if batch_ns is not None:
        rest = sorted(ended, key=decided_ns)
        now = START_NS
        while now < end_ns:
            now += batch_ns
            ready = [row for row in rest if decided_ns(row) <= now]
            rest = rest[len(ready) :]
            blocks = to_blocks(ready)
            for process in range(lane_processes):
                aggregate.add(
                    process,
                    {SCOPE: blocks[process]} if process in blocks else {},
                    watermark_ns=now - DEADLINE_NS - SETTLE_NS,
                    stalls=[
                        (a, b)
                        for p, a, b in stalls
                        if p == process and b <= now and b > now - batch_ns
                    ],
                )
            sealed = aggregate.seal()
            if on_seal is not None:
                on_seal(aggregate, sealed)
        ended = rest
        stalls = [s for s in stalls if s[2] > now]
    blocks = to_blocks(ended)
    for process in range(lane_processes):
        aggregate.add(
            process,
            {SCOPE: blocks.get(process, Block())},
            watermark_ns=end_ns,
            stalls=[(a, b) for p, a, b in stalls if p == process],
        )
    results = aggregate.finish(end_ns)
    if on_seal is not None:
        on_seal(aggregate, results.last)
    return results


def essence(results: Results) -> object:
    """Return what must not depend on how arrivals came in."""
    lane = results.lane_totals["tcp"]
    return (
        results.outages,
        [
            (
                s,
                t.counts,
                t.classes,
                t.unseen,
                t.lost_ns,
                t.observed_ms,
                t.dark_ms,
                t.grey_ms,
            )
            for s, t in results.scope_totals.items()
        ],
        lane.response,
        lane.service,
        lane.lateness,
        lane.blind,
    )
