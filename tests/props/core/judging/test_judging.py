"""Properties of the judging, against a simulated target whose downtime is known."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.intervals import difference, union
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outage_tracker import OutageTracker
from loadprobe.core.judging.outages import Outage, Served
from tests.support.judged import START_NS, essence, judge, relaxed
from tests.support.simulation import (
    DEADLINE_NS,
    MS,
    SCOPE,
    SETTLE_NS,
    US,
    Fault,
    Kind,
    Nap,
    Plan,
    Simulated,
    simulate,
    to_blocks,
)


class Run(NamedTuple):
    """Arrivals by due, and the faults they met; its repr is short."""

    ended: list[Simulated]
    faults: list[Fault]

    def __repr__(self) -> str:
        return f"Run({len(self.ended)} arrivals, {self.faults})"


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Draw one to three faults under load of one to three processes, awake or not."""
    rng = Random(draw(st.integers(0, 2**32)))
    period_ns = draw(st.integers(200 * US, 4 * MS))
    processes = draw(st.integers(1, 3))
    late_ns = draw(st.sampled_from([0, 100 * US, 3 * MS, 15 * MS]))
    delay_ns = draw(st.sampled_from([20 * US, 200 * US, 2 * MS]))
    nap_ns = draw(st.sampled_from([0, 3 * MS, 12 * MS]))
    faults: list[Fault] = []
    at = START_NS + 60 * MS
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(list(Kind)))
        start = at + draw(st.integers(0, 20 * MS))
        length = draw(st.integers(300 * US, 30 * MS))
        if kind is Kind.FREEZE:
            length = rng.randint(300 * US, draw(st.sampled_from([2 * MS, 30 * MS])))
            length += draw(st.sampled_from([0, DEADLINE_NS, 4 * DEADLINE_NS]))
        faults.append(Fault(kind, start, start + length))
        at = start + length + DEADLINE_NS + SETTLE_NS + 50 * MS
    naps = [
        Nap(rng.randrange(processes), nap, nap + rng.randint(500 * US, nap_ns))
        for fault in faults
        for nap in (fault.end_ns - rng.randint(0, nap_ns) for _ in range(2))
        if nap_ns
    ]
    # A slow process sends everything late for a while, the others do not.
    lateness = [rng.randrange(late_ns + 1) for _ in range(processes)]
    plans = []
    for number, due in enumerate(range(START_NS, at, period_ns)):
        process = number % processes
        if rng.random() < 0.05:
            lateness[process] = rng.randrange(late_ns + 1)
        due_ns = due + rng.randrange(period_ns // 4)
        woke_ns = max(
            (
                nap.end_ns
                for nap in naps
                if nap.process == process and nap.start_ns <= due_ns < nap.end_ns
            ),
            default=due_ns,
        )
        plans.append(
            Plan(
                due_ns=due_ns,
                late_ns=max(lateness[process], woke_ns - due_ns),
                out_ns=rng.randint(delay_ns // 2, delay_ns),
                back_ns=rng.randint(delay_ns // 2, delay_ns),
                process=process,
            )
        )
    return Run(simulate(plans, faults, naps), faults)


def track(ended: Sequence[Simulated]) -> list[Outage]:
    """Return the outages of arrivals that are given by due."""
    tracker = OutageTracker(SCOPE, deadline_ns=DEADLINE_NS, begin_ns=START_NS)
    rows = [row.decided for row in ended]
    tracker.feed(
        [r for r in rows if isinstance(r, Served)],
        [r for r in rows if isinstance(r, Failure)],
    )
    tracker.close(max(row.due_ns for row in rows) + 1)
    return tracker.drain()[1]


def is_hit(ended: Sequence[Simulated], fault: Fault) -> bool:
    """Tell whether an arrival met the fault in a way that tells something about it."""
    start, end = fault.truth
    if fault.kind is Kind.FREEZE:
        # A process that was not looking takes what it reads then for an answer in time.
        return any(
            start <= row.plan.due_ns < end and isinstance(row.decided, Failure)
            for row in ended
        )
    if fault.kind is Kind.BLACKHOLE:
        slowest = max(row.plan.late_ns + row.plan.out_ns for row in ended)
        return any(start <= row.plan.due_ns < end - slowest for row in ended)
    return any(row.fault is fault for row in ended)


@relaxed
@given(runs())
def test_truth_is_inside_bounds(run: Run) -> None:
    """Each fault lies within the hulls, and each core within a fault."""
    ended, faults = run
    outages = track(ended)
    hulls = union((o.hull_start_ns, o.hull_end_ns) for o in outages)
    cores = union((o.core_start_ns, o.core_end_ns) for o in outages)
    truths = [fault.truth for fault in faults]
    assert difference(cores, truths) == []
    for fault in faults:
        if is_hit(ended, fault):
            assert difference([fault.truth], hulls) == [], fault


@relaxed
@given(runs())
def test_single_outage_has_true_length_inside(
    run: Run,
) -> None:
    """A fault that was seen as one outage has a length between lower and upper."""
    ended, faults = run
    outages = track(ended)
    for fault in faults:
        start, end = fault.truth
        seen = [
            o
            for o in outages
            if o.first_due_ns < end + MS * 40 and o.last_due_ns > start - MS * 40
        ]
        if len(seen) == 1 and is_hit(ended, fault):
            assert seen[0].lower_ns <= end - start <= seen[0].upper_ns


@relaxed
@given(runs())
def test_outages_partition_failures(
    run: Run,
) -> None:
    """Every failed arrival is in exactly one outage, and outages do not overlap."""
    ended, _ = run
    outages = track(ended)
    failures = [r.decided for r in ended if isinstance(r.decided, Failure)]
    for failure in failures:
        homes = [
            o for o in outages if o.first_due_ns <= failure.due_ns <= o.last_due_ns
        ]
        assert len(homes) == 1
    assert sum(o.failed for o in outages) == len(failures)
    counted: Counter[object] = Counter()
    for outage in outages:
        counted.update(outage.classes)
        assert sum(outage.classes.values()) == outage.failed
        assert sum(outage.outcomes.values()) == outage.failed
        assert (
            outage.hull_start_ns
            <= outage.start_ns
            <= outage.core_start_ns
            <= outage.core_end_ns
            <= outage.end_ns
            <= outage.hull_end_ns
        )
    assert counted == Counter(f.error for f in failures)
    for left, right in pairwise(outages):
        assert left.last_due_ns < right.first_due_ns
        assert left.end_ns <= right.start_ns


@relaxed
@given(runs(), st.integers(0, 2**32))
def test_order_and_split_do_not_matter(run: Run, seed: int) -> None:
    """Any order of completion and any split over processes gives the same results."""
    ended, _ = run
    rng = Random(seed)
    shuffled = list(ended)
    rng.shuffle(shuffled)
    moved = [
        Simulated(Plan(*_five(row.plan, rng.randrange(3))), row.decided, row.fault)
        for row in shuffled
    ]
    assert essence(judge(ended)) == essence(judge(moved))


def _five(plan: Plan, process: int) -> tuple[int, int, int, int, int]:
    return plan.due_ns, plan.late_ns, plan.out_ns, plan.back_ns, process


@relaxed
@given(runs(), st.integers(1 * MS, 700 * MS))
def test_batches_do_not_matter(run: Run, batch_ns: int) -> None:
    """Sealing step by step gives the same results as judging once at the end."""
    ended, _ = run
    assert essence(judge(ended, batch_ns=batch_ns)) == essence(judge(ended))


def shifted(row: Simulated, by_ns: int) -> Simulated:
    """Return the arrival with all its times moved."""
    s = row.decided
    plan = Plan(row.plan.due_ns + by_ns, *_five(row.plan, row.plan.process)[1:])
    if isinstance(s, Failure):
        done = s.done_ns + by_ns if s.done_ns >= 0 else -1
        s = s._replace(
            due_ns=s.due_ns + by_ns,
            sent_ns=s.sent_ns + by_ns,
            done_ns=done,
            evidence_start_ns=s.evidence_start_ns + by_ns,
            evidence_end_ns=s.evidence_end_ns + by_ns,
        )
        return Simulated(plan, s, row.fault)
    return Simulated(plan, Served(*(t + by_ns for t in s)), row.fault)


@relaxed
@given(runs(), st.integers(0, 10**6))
def test_shift_of_time_changes_nothing_else(run: Run, by_us: int) -> None:
    """The same arrivals at another time give the same lengths."""
    ended, _ = run
    # Times are halved on the way to midpoints: an even shift keeps the rounding.
    by_ns = by_us * 1000
    plain = track(ended)
    moved = track([shifted(row, by_ns) for row in ended])
    assert [
        (o.start_ns + by_ns, o.end_ns + by_ns, o.lower_ns, o.upper_ns, o.failed)
        for o in plain
    ] == [(o.start_ns, o.end_ns, o.lower_ns, o.upper_ns, o.failed) for o in moved]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_is_seen_as_one_outage_in_order(kind: Kind) -> None:
    """With arrivals in order, a fault of each kind is one outage with truth inside."""
    fault = Fault(kind, 1_200 * MS, 1_300 * MS)
    plans = [
        Plan(START_NS + i * MS, 50 * US, 100 * US, 100 * US, 0) for i in range(600)
    ]
    outages = track(simulate(plans, [fault]))
    assert len(outages) == 1
    start, end = fault.truth
    assert outages[0].hull_start_ns <= start <= outages[0].core_start_ns
    assert outages[0].core_end_ns <= end <= outages[0].hull_end_ns
    assert outages[0].lower_ns <= end - start <= outages[0].upper_ns
    assert outages[0].upper_ns - outages[0].lower_ns < 6 * MS


def test_scopes_are_judged_apart() -> None:
    """A failure of one scope is no outage of another."""
    lane = LaneInfo("tcp", False, (0,), DEADLINE_NS)
    aggregate = Aggregate([lane])
    aggregate.start_process(0, START_NS)
    other = Scope("tcp", "0002", SCOPE.op)
    fault = Fault(Kind.REFUSE, 1_100 * MS, 1_110 * MS)
    plans = [Plan(START_NS + i * MS, 0, 100 * US, 100 * US, 0) for i in range(300)]
    dark, lit = to_blocks(simulate(plans, [fault])), to_blocks(simulate(plans, []))
    aggregate.add(0, {SCOPE: dark[0], other: lit[0]}, watermark_ns=1_300 * MS)
    results = aggregate.finish(1_300 * MS)
    assert [o.scope for o in results.outages] == [SCOPE]
    assert results.scope_totals[other].failed == 0
