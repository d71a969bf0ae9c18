"""Properties of blind time: whatever the probe did not see, the truth is inside."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.intervals import difference, intersection, length, union
from loadprobe.core.judging.outages import Outage
from tests.support.disturbed import Disturbed, disturb, disturbed
from tests.support.judged import START_NS, essence, relaxed
from tests.support.simulation import (
    DEADLINE_NS,
    MS,
    Fault,
    Kind,
    Nap,
    decided_ns,
)

SLACK_NS = 8 * MS


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


def test_the_last_arrivals_are_decided_within_the_simulation() -> None:
    """Batches are by when arrivals are decided, so naps must not reach the end."""
    fault = Fault(Kind.REFUSE, START_NS + 60 * MS, START_NS + 90 * MS)
    nap = Nap(0, START_NS + 80 * MS, START_NS + 120 * MS)
    run = disturb([fault], [nap], processes=1, end_ns=START_NS + 300 * MS)
    assert max(map(decided_ns, run.ended)) < START_NS + 310 * MS


@pytest.mark.parametrize("seed", range(10))
def test_a_process_that_sleeps_through_the_end_of_a_freeze(seed: int) -> None:
    """When its silence ended is unknown: that proves nothing of the other's silence."""
    fault = Fault(Kind.FREEZE, START_NS + 77 * MS, START_NS + 212 * MS)
    nap = Nap(0, fault.truth[1] - 6 * MS, fault.end_ns + 20 * MS)
    run = disturb(
        [fault],
        [nap],
        processes=2,
        end_ns=fault.end_ns + 200 * MS,
        period_ns=MS // 2,
        rng=Random(seed),
    )
    hulls, cores = hulls_and_cores(run.judge().outages)
    assert difference(cores, [fault.truth]) == []
    assert difference([fault.truth], hulls) == []
    # The one that was awake knows the end: its bars are not wider for the other.
    assert length(hulls) - length(cores) < SLACK_NS


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
