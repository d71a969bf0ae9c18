"""Properties of judging arrivals whose deadline changes while the load flows."""

from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.intervals import Interval, difference, union
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Failure
from loadprobe.core.judging.deadlines import DeadlineRanges
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.results import Results
from tests.props.core.judging.test_judging import Run, is_hit, runs
from tests.support.judged import START_NS, relaxed
from tests.support.simulation import (
    DEADLINE_NS,
    MS,
    SCOPE,
    Fault,
    Kind,
    Plan,
    Simulated,
    decided_ns,
    simulate,
    to_blocks,
)

S = 1_000 * MS
STEPS = st.tuples(st.sampled_from([30 * MS, 90 * MS, 200 * MS]), st.floats(0.0, 1.0))
"""Another deadline, and from when on: a part of the run."""


def truths(fault: Fault, from_ns: int, deadline_ns: int) -> list[Interval]:
    """Return when arrivals that were due could not be served in time."""
    if fault.kind is not Kind.FREEZE:
        return [fault.truth]
    parts = (
        (fault.start_ns, min(from_ns, fault.end_ns - DEADLINE_NS)),
        (max(fault.start_ns, from_ns), fault.end_ns - deadline_ns),
    )
    return union(part for part in parts if part[0] < part[1])


def judge(
    ended: Sequence[Simulated], from_ns: int, deadline_ns: int, batch_ns: int
) -> Results:
    """Judge arrivals batch by batch; the deadline is told of a little before."""
    processes = tuple(sorted({row.plan.process for row in ended}))
    lane = LaneInfo("tcp", False, processes, DEADLINE_NS)
    aggregate = Aggregate([lane])
    for process in processes:
        aggregate.start_process(process, START_NS)
    left = sorted(ended, key=decided_ns)
    end_ns = max(map(decided_ns, left)) + 1
    is_told = False
    for now_ns in range(START_NS + batch_ns, end_ns + batch_ns, batch_ns):
        if now_ns >= from_ns - 100 * MS and not is_told:
            aggregate.change_deadline("tcp", deadline_ns, from_ns)
            is_told = True
        told = [row for row in left if decided_ns(row) < now_ns]
        left = left[len(told) :]
        mark_ns = min([now_ns, *(row.plan.due_ns for row in left)])
        blocks = to_blocks(told)
        for process in processes:
            own = {SCOPE: blocks[process]} if process in blocks else {}
            aggregate.add(process, own, watermark_ns=mark_ns)
        aggregate.seal()
    return aggregate.finish(end_ns)


@relaxed
@given(runs(), STEPS, st.sampled_from([20 * MS, 250 * MS]))
def test_truth_is_inside_across_another_deadline(
    run: Run, step: tuple[int, float], batch_ns: int
) -> None:
    """Each arrival has the deadline of its due time; bounds are right all the while."""
    deadline_ns, part = step
    plans = [row.plan for row in run.ended]
    span_ns = max(plan.due_ns for plan in plans) - START_NS
    from_ns = START_NS + round(span_ns * part)
    ended = simulate(
        plans,
        run.faults,
        deadline_of=lambda due: DEADLINE_NS if due < from_ns else deadline_ns,
    )
    outages = judge(ended, from_ns, deadline_ns, batch_ns).outages
    hulls = union(o.hull for o in outages)
    cores = union(c for o in outages for c in o.cores)
    dark = [t for fault in run.faults for t in truths(fault, from_ns, deadline_ns)]
    assert difference(cores, union(dark)) == []
    for fault in run.faults:
        for start, end in truths(fault, from_ns, deadline_ns):
            is_seen = any(
                start <= row.plan.due_ns < end and isinstance(row.decided, Failure)
                for row in ended
            )
            if is_seen if fault.kind is Kind.FREEZE else is_hit(ended, fault):
                assert difference([(start, end)], hulls) == [], fault


def test_the_newest_is_left_alone_after_a_while() -> None:
    """Bounds are as tight again as if it had been the deadline from the start."""
    ranges = DeadlineRanges([LaneInfo("tcp", False, (0,), 50 * MS)])
    ranges.change("tcp", 200 * MS, 10 * S)
    ranges.change("tcp", 20 * MS, 11 * S)
    assert (ranges.of("tcp").least_ns, ranges.of("tcp").most_ns) == (20 * MS, 200 * MS)
    assert ranges.settle(14 * S) == []
    assert ranges.settle(14 * S + 200 * MS) == ["tcp"]
    assert (ranges.of("tcp").least_ns, ranges.of("tcp").most_ns) == (20 * MS, 20 * MS)
    assert ranges.settle(99 * S) == []


def test_an_outage_long_afterwards_has_tight_bounds() -> None:
    """As tight as those of a lane that never had another deadline."""
    at = START_NS + 6 * S
    fault = Fault(Kind.FREEZE, at, at + 300 * MS)
    rng = Random(1)
    plans = [
        Plan(due, rng.randrange(MS), MS // 5, MS // 5, 0)
        for due in range(START_NS, START_NS + 7 * S, 2 * MS)
    ]
    ended = simulate(plans, [fault])
    changed = judge(ended, START_NS + 100 * MS, DEADLINE_NS, 250 * MS)
    (outage,) = changed.outages
    never = Aggregate([LaneInfo("tcp", False, (0,), DEADLINE_NS)])
    never.start_process(0, START_NS)
    blocks = to_blocks(ended)
    never.add(0, {SCOPE: blocks[0]}, watermark_ns=START_NS + 8 * S)
    (alike,) = never.finish(START_NS + 8 * S).outages
    assert outage.hull == alike.hull
    assert outage.cores == alike.cores
