"""Properties of blind time: whatever the probe did not see, the truth is inside."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.intervals import difference, intersection, length, union
from loadprobe.core.judging.aggregate import Results
from loadprobe.core.judging.columns import Failure
from loadprobe.core.judging.evidence import is_unseen
from loadprobe.core.judging.outages import Outage
from tests.support.judged import START_NS, essence, judge, relaxed
from tests.support.simulation import (
    DEADLINE_NS,
    MS,
    SETTLE_NS,
    US,
    Fault,
    Kind,
    Nap,
    Plan,
    Simulated,
    awake_ns,
    settled_ns,
    simulate,
)

STALL_NS = 5 * MS
"""What was due longer ago than this when a process wakes up is never sent."""

SLACK_NS = 8 * MS


class Disturbed(NamedTuple):
    """Arrivals of processes that slept at times, and the faults they met."""

    ended: list[Simulated]
    faults: list[Fault]
    naps: list[Nap]
    processes: int

    def __repr__(self) -> str:
        what = f"{len(self.ended)} arrivals of {self.processes} processes"
        return f"Disturbed({what}, {self.faults}, {self.naps})"

    @property
    def stalls(self) -> list[tuple[int, int, int]]:
        """Return when which process was blind."""
        return [(nap.process, nap.start_ns, nap.end_ns) for nap in self.naps]

    def judge(self, batch_ns: int | None = None) -> Results:
        """Return what is said about it."""
        return judge(
            self.ended,
            stalls=self.stalls,
            lane_processes=self.processes,
            batch_ns=batch_ns,
        )

    def is_seen(self, row: Simulated) -> bool:
        """Tell whether an arrival failed while its own process was looking."""
        settled = row.settled
        if not isinstance(settled, Failure):
            return False
        own = [n for n in self.naps if n.process == row.plan.process]
        spans = [(nap.start_ns, nap.end_ns) for nap in own]
        return not is_unseen(settled, spans, deadline_ns=DEADLINE_NS)


def disturb(
    faults: Sequence[Fault],
    naps: Sequence[Nap],
    *,
    processes: int,
    end_ns: int,
    period_ns: int = MS,
    rng: Random | None = None,
) -> Disturbed:
    """Return what processes that sleep at times see of some faults."""
    plans: list[Plan] = []
    for number, due_ns in enumerate(range(START_NS, end_ns, period_ns)):
        process = number % processes
        woke_ns = awake_ns(process, due_ns, naps)
        if woke_ns - due_ns > STALL_NS:
            continue
        late_ns = woke_ns - due_ns + (rng.randrange(200 * US) if rng else 50 * US)
        out_ns, back_ns = (
            (rng.randint(20 * US, 300 * US), rng.randint(20 * US, 300 * US))
            if rng
            else (100 * US, 100 * US)
        )
        plans.append(Plan(due_ns, late_ns, out_ns, back_ns, process))
    ended = simulate(plans, faults, naps)
    return Disturbed(ended, list(faults), list(naps), processes)


@st.composite
def disturbed(draw: st.DrawFn) -> Disturbed:
    """Draw faults, and blind times laid over them in any way."""
    rng = Random(draw(st.integers(0, 2**32)))
    processes = draw(st.integers(1, 2))
    faults: list[Fault] = []
    at = START_NS + 60 * MS
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(list(Kind)))
        start = at + rng.randrange(20 * MS)
        span = rng.randint(MS, draw(st.sampled_from([10 * MS, 150 * MS])))
        if kind is Kind.FREEZE:
            span += DEADLINE_NS
        faults.append(Fault(kind, start, start + span))
        at = start + span + DEADLINE_NS + SETTLE_NS + 50 * MS
    naps: list[Nap] = []
    for process in range(processes):
        woke = START_NS + 30 * MS
        for _ in range(draw(st.integers(0, 4))):
            start = woke + rng.randrange(MS, 120 * MS)
            woke = start + rng.randint(
                STALL_NS + 1, draw(st.sampled_from([9, 90])) * MS
            )
            if woke > at - 30 * MS:
                break
            naps.append(Nap(process, start, woke))
    period_ns = draw(st.sampled_from([MS // 2, MS, 3 * MS]))
    return disturb(
        faults, naps, processes=processes, end_ns=at, period_ns=period_ns, rng=rng
    )


def hulls_and_cores(
    outages: Sequence[Outage],
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return when something can have been dark, and when it certainly was."""
    return union(o.hull for o in outages), union(c for o in outages for c in o.cores)


@relaxed
@given(disturbed())
def test_truth_is_inside_whatever_was_not_seen(run: Disturbed) -> None:
    """What is certain is true, and no fault that was seen reaches out of the hulls."""
    hulls, cores = hulls_and_cores(run.judge().outages)
    truths = [fault.truth for fault in run.faults]
    assert difference(cores, truths) == []
    for fault in run.faults:
        if any(row.fault is fault and run.is_seen(row) for row in run.ended):
            assert difference([fault.truth], hulls) == [], fault


@relaxed
@given(disturbed())
def test_blind_time_is_never_certain(run: Disturbed) -> None:
    """Blind time is in no core, and what of it is in a hull is said to be unseen."""
    results = run.judge()
    blind = [(b.start_ns, b.end_ns) for b in results.lane_totals["tcp"].blind]
    for outage in results.outages:
        assert intersection([outage.cores, blind]) == []
        assert list(outage.unseen) == intersection([blind, [outage.hull]])
        assert outage.hull_start_ns <= outage.start_ns <= outage.core_start_ns
        assert outage.core_end_ns <= outage.end_ns <= outage.hull_end_ns
        assert outage.lower_ns <= outage.seen_ns <= outage.duration_ns


@relaxed
@given(disturbed())
def test_unseen_arrivals_are_in_no_ratio(run: Disturbed) -> None:
    """Arrivals are judged or unseen; each that failed is in exactly one outage."""
    results = run.judge()
    (totals,) = results.scope_totals.values()
    assert totals.arrivals + totals.unseen == len(run.ended)
    assert totals.failed == sum(map(run.is_seen, run.ended))
    assert totals.failed == sum(o.failed for o in results.outages)


@relaxed
@given(disturbed(), st.integers(20 * MS, 300 * MS))
def test_batches_do_not_matter_while_blind(run: Disturbed, batch_ns: int) -> None:
    """Sealing step by step gives the same results as judging once at the end."""
    assert essence(run.judge(batch_ns)) == essence(run.judge())


def test_the_last_arrivals_are_settled_within_the_simulation() -> None:
    """Batches are by when arrivals are settled, so naps must not reach the end."""
    fault = Fault(Kind.REFUSE, START_NS + 60 * MS, START_NS + 90 * MS)
    nap = Nap(0, START_NS + 80 * MS, START_NS + 120 * MS)
    run = disturb([fault], [nap], processes=1, end_ns=START_NS + 300 * MS)
    assert max(map(settled_ns, run.ended)) < START_NS + 310 * MS


SPANS = {
    "over the start": [(-30, 40)],
    "over the end": [(60, 140)],
    "in the midst": [(30, 60)],
    "but for its edges": [(8, 92)],
    "repeatedly": [(-10, 10), (20, 30), (40, 50), (60, 75), (95, 120)],
    "over all of it": [(-20, 130)],
}
"""Blind times in ms from the start of a fault of 100 ms."""


def needs_ns(fault: Fault, naps: Sequence[Nap]) -> int:
    """Return how much wider than the proven part the bars may be at most."""
    around = (fault.truth[0] - SLACK_NS, fault.truth[1] + SLACK_NS)
    spans = [
        # What was due within the deadline before a nap, and failed by time, is unseen.
        (n.start_ns - DEADLINE_NS, n.end_ns)
        if fault.kind in {Kind.FREEZE, Kind.BLACKHOLE}
        else (n.start_ns, n.end_ns)
        for n in naps
    ]
    wide = max((n.end_ns for n in naps), default=0)
    early = min((n.start_ns for n in naps), default=wide)
    touched = union(
        span for span in spans if span[0] < around[1] and around[0] < span[1]
    )
    assert early <= wide
    return length(touched) + (1 + len(naps)) * SLACK_NS


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("where", SPANS)
@pytest.mark.parametrize("processes", [1, 2])
def test_bars_are_no_wider_than_they_need_be(
    kind: Kind, where: str, processes: int
) -> None:
    """One outage, truth inside, and no doubt but about what was not seen.

    With a second process that looks all the time there is nearly none.
    """
    start = START_NS + 200 * MS
    length_ns = 100 * MS + (DEADLINE_NS if kind is Kind.FREEZE else 0)
    fault = Fault(kind, start, start + length_ns)
    naps = [Nap(0, start + a * MS, start + b * MS) for a, b in SPANS[where]]
    run = disturb([fault], naps, processes=processes, end_ns=START_NS + 600 * MS)
    outages = run.judge().outages
    is_seen = any(row.fault is fault and run.is_seen(row) for row in run.ended)
    assert bool(outages) == is_seen
    hulls, cores = hulls_and_cores(outages)
    assert difference(cores, [fault.truth]) == []
    if not is_seen:
        return
    assert difference([fault.truth], hulls) == []
    if processes == 2:
        assert length(hulls) - length(cores) < SLACK_NS + (
            DEADLINE_NS if kind in {Kind.FREEZE, Kind.BLACKHOLE} else 0
        )
        return
    assert len(outages) == 1
    assert length(hulls) - length(cores) <= needs_ns(fault, naps)
