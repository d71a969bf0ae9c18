"""A run that goes on after its process was gone: the truth is inside all the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.intervals import Interval, difference, intersection, union
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.before import Before, shifted_outage
from loadprobe.core.judging.columns import Block
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.results import Results
from loadprobe.outputs.folder.resumption import Resumption, resumption_of
from loadprobe.outputs.folder.sealed_changes import SealedChanges
from loadprobe.outputs.folder.sealed_lines import (
    Beginning,
    Rules,
    decode_line,
    encode_line,
)
from loadprobe.outputs.folder.sealed_replay import SealedReplay
from tests.support.disturbed import Disturbed, disturb, disturbed
from tests.support.examples import examples
from tests.support.judged import START_NS
from tests.support.simulation import (
    DEADLINE_NS,
    MS,
    SCOPE,
    SETTLE_NS,
    Fault,
    Kind,
    Simulated,
    decided_ns,
    to_blocks,
)

BATCH_NS = 20 * MS
relaxed = examples(20)


@dataclass
class Parts:
    """A run in two parts.

    Args:
        resumption: what the second part began with.
        back_ns: when it began.
        results: at its end.
    """

    resumption: Resumption
    back_ns: int
    results: Results

    @property
    def before(self) -> Before:
        """Return what was judged in the first part."""
        return self.resumption.before

    @property
    def gap(self) -> Interval:
        """Return when nobody looked."""
        return self.before.until_ns, self.back_ns


def lane_of(run: Disturbed) -> LaneInfo:
    """Return the lane of a run."""
    return LaneInfo("tcp", False, tuple(range(run.processes)), DEADLINE_NS)


def feed(
    aggregate: Aggregate, run: Disturbed, rows: Sequence[Simulated], since_ns: int
) -> None:
    """Give all rows to an aggregate, and all that is known of stalls."""
    blocks = to_blocks(rows)
    for process in range(run.processes):
        aggregate.add(
            process,
            {SCOPE: blocks.get(process, Block())},
            watermark_ns=since_ns,
            stalls=[(a, b) for p, a, b in run.stalls if p == process],
        )


def first_part(
    run: Disturbed,
    cut_ns: int,
    *,
    every: int,
    turn: int,
    is_ended: bool,
    on_way_ns: int = 0,
) -> SealedReplay:
    """Return what lines say of a run that was killed, or ended, at a time.

    Args:
        run: the run.
        cut_ns: when it was.
        every: a line is written with so many seals.
        turn: a segment begins with this one.
        is_ended: it ended in order.
        on_way_ns: what was due so long after its end was on its way, and is told.
    """
    lane = lane_of(run)
    aggregate = Aggregate([lane])
    for process in lane.processes:
        aggregate.start_process(process, START_NS)
    changes = SealedChanges(aggregate)
    lines: list[bytes] = []

    def write(end_ns: int | None = None) -> None:
        line = msgspec.structs.replace(
            changes.make_line(),
            latencies=changes.make_latencies(
                ["tcp"], series_bytes=0, histograms_bytes=0
            ),
            end_ns=end_ns,
        )
        lines.append(encode_line(line))

    rest = sorted(run.ended, key=decided_ns)
    for number, now in enumerate(range(START_NS + BATCH_NS, cut_ns, BATCH_NS), 1):
        ready = [row for row in rest if decided_ns(row) <= now]
        rest = rest[len(ready) :]
        feed(aggregate, run, ready, now - DEADLINE_NS - SETTLE_NS)
        changes.take(aggregate.seal())
        if aggregate.sealed_until_ns <= START_NS:
            continue
        if number % every == 0 or number == turn:
            write()
        if number == turn:
            changes = SealedChanges(aggregate, is_first=False)
            lines.clear()
            write()
    if is_ended:
        told = [row for row in rest if row.plan.due_ns < cut_ns + on_way_ns]
        feed(aggregate, run, told, cut_ns)
        changes.take(aggregate.finish(cut_ns).last)
        write(cut_ns)
    elif not lines:
        write()
    replay = SealedReplay(Beginning((lane,), Rules(1000 * MS, MS)))
    for line in lines:
        replay.add(decode_line(line))
    return replay


def in_parts(
    run: Disturbed, replay: SealedReplay, gap_ns: int, shift_ns: int = 0
) -> Parts:
    """Go on with a run some time after what is known of it.

    Args:
        run: the run.
        replay: what is known.
        gap_ns: nobody looked for so long.
        shift_ns: its times are told in a clock that is ahead by this, and back again.
    """
    resumption = resumption_of(replay)
    before = resumption.before.shifted(shift_ns).shifted(-shift_ns)
    back_ns = before.until_ns + gap_ns
    aggregate = Aggregate([lane_of(run)])
    aggregate.go_on(before)
    for process in range(run.processes):
        aggregate.start_process(process, back_ns)
    end_ns = max(back_ns, *(row.plan.due_ns for row in run.ended)) + 1
    feed(aggregate, run, [r for r in run.ended if r.plan.due_ns >= back_ns], end_ns)
    return Parts(resumption, back_ns, aggregate.finish(end_ns))


parted = st.fixed_dictionaries(
    {
        "cut_ns": st.integers(START_NS + 200 * MS, START_NS + 700 * MS),
        "every": st.integers(1, 3),
        "turn": st.integers(8, 30),
        "is_ended": st.booleans(),
        "on_way_ns": st.integers(0, 10 * MS),
    }
)


@relaxed
@given(run=disturbed(), cut=parted, gap_ns=st.integers(1, 200 * MS))
def test_truth_is_inside_whatever_came_of_the_process(
    run: Disturbed, cut: dict[str, Any], gap_ns: int
) -> None:
    """What is certain is true, and no fault that was seen reaches out of the hulls."""
    parts = in_parts(run, first_part(run, **cut), gap_ns)
    outages = parts.results.outages
    hulls = union(o.hull for o in outages)
    cores = union(c for o in outages for c in o.cores)
    truths = [fault.truth for fault in run.faults]
    assert difference(cores, truths) == []
    assert intersection([cores, [parts.gap]]) == []
    until_ns, back_ns = parts.gap
    for fault in run.faults:
        start_ns, end_ns = fault.truth
        seen = [
            row.plan.due_ns
            for row in run.ended
            if row.fault is fault and run.is_seen(row)
        ]
        if any(due < until_ns for due in seen) and end_ns <= until_ns:
            assert difference([fault.truth], hulls) == [], fault
        if any(due >= back_ns for due in seen) and start_ns >= until_ns:
            assert difference([fault.truth], hulls) == [], fault


@relaxed
@given(run=disturbed(), cut=parted, gap_ns=st.integers(1, 200 * MS))
def test_the_time_between_is_blind(
    run: Disturbed, cut: dict[str, Any], gap_ns: int
) -> None:
    """It is neither dark nor lit, and what was counted before goes on being counted."""
    replay = first_part(run, **cut)
    arrivals = sum(t.arrivals + t.unseen for t in replay.scope_totals.values())
    parts = in_parts(run, replay, gap_ns)
    lane = parts.results.lane_totals["tcp"]
    blind = union((span.start_ns, span.end_ns) for span in lane.blind)
    assert difference([parts.gap], blind) == []
    assert lane.begin_ns == START_NS
    (totals,) = parts.results.scope_totals.values()
    later = sum(row.plan.due_ns >= parts.back_ns for row in run.ended)
    assert totals.arrivals + totals.unseen == arrivals + later
    assert totals.failed == sum(o.failed for o in parts.results.outages)
    assert totals.outages == len(parts.results.outages)
    assert totals.outage_ns == sum(o.seen_ns for o in parts.results.outages)
    for before, after in zip(
        parts.results.outages, parts.results.outages[1:], strict=False
    ):
        assert before.last_due_ns < after.hull_start_ns
    for outage in parts.results.outages:
        assert outage.hull_start_ns <= outage.start_ns <= outage.core_start_ns
        assert outage.core_end_ns <= outage.end_ns <= outage.hull_end_ns


@relaxed
@given(run=disturbed(), cut=parted, gap_ns=st.integers(1, 200 * MS))
def test_another_clock_changes_nothing(
    run: Disturbed, cut: dict[str, Any], gap_ns: int
) -> None:
    """Times before the start of the machine are negative, and as far apart as ever."""
    shift_ns = -10 * START_NS
    here = in_parts(run, first_part(run, **cut), gap_ns)
    replay = first_part(run, **cut)
    before = resumption_of(replay).before.shifted(shift_ns)
    aggregate = Aggregate([lane_of(run)])
    aggregate.go_on(before)
    back_ns = here.back_ns + shift_ns
    for process in range(run.processes):
        aggregate.start_process(process, back_ns)
    there = aggregate.finish(back_ns + 1)
    aggregate = Aggregate([lane_of(run)])
    aggregate.go_on(here.before)
    for process in range(run.processes):
        aggregate.start_process(process, here.back_ns)
    again = aggregate.finish(here.back_ns + 1)
    assert there.outages == [shifted_outage(o, shift_ns) for o in again.outages]
    assert there.lane_totals["tcp"].blind_ns == again.lane_totals["tcp"].blind_ns


def outages_of(
    kind: Kind,
    span_ms: tuple[int, int],
    gap_ms: tuple[int, int],
    *,
    is_ended: bool,
    on_way_ns: int = 0,
) -> tuple[Parts, list[Outage]]:
    """Return a run of 900 ms with a fault, of which a part was not seen."""
    fault = Fault(kind, *(START_NS + at * MS for at in span_ms))
    run = disturb([fault], [], processes=1, end_ns=START_NS + 900 * MS)
    until_ns, back_ns = (START_NS + at * MS for at in gap_ms)
    cut_ns = until_ns if is_ended else until_ns + DEADLINE_NS + SETTLE_NS + 1
    replay = first_part(
        run, cut_ns, every=1, turn=0, is_ended=is_ended, on_way_ns=on_way_ns
    )
    parts = in_parts(run, replay, back_ns - replay.until_ns)
    return parts, list(parts.results.outages)


def test_an_outage_that_goes_on_is_one() -> None:
    """Dark before and after, and nothing served in between: one outage, one unseen."""
    for kind in Kind:
        for is_ended in (False, True):
            parts, outages = outages_of(kind, (300, 700), (400, 600), is_ended=is_ended)
            (outage,) = outages
            assert outage.unseen == (parts.gap,), kind
            assert outage.unseen_ns >= 199 * MS
            fault = Fault(kind, START_NS + 300 * MS, START_NS + 700 * MS)
            start_ns, end_ns = fault.truth
            assert outage.hull_start_ns <= start_ns
            assert start_ns <= outage.core_start_ns <= start_ns + 5 * MS
            assert end_ns - 5 * MS <= outage.core_end_ns <= end_ns
            assert end_ns <= outage.hull_end_ns
            assert not outage.open_start
            assert not outage.open_end
            assert bool(parts.resumption.reopened) == is_ended


def test_what_was_on_its_way_at_the_end_cuts_no_outage() -> None:
    """What was due after the end of the load, and failed, makes it go on as well."""
    for kind in Kind:
        parts, (outage,) = outages_of(
            kind, (300, 700), (400, 600), is_ended=True, on_way_ns=9 * MS
        )
        assert parts.gap[0] > START_NS + 400 * MS
        assert outage.unseen == (parts.gap,), kind
        assert not outage.open_start
        assert not outage.open_end


def test_an_outage_that_was_over_has_ended_when_nobody_looked() -> None:
    """Dark before and served after: its end lies anywhere in the blind time."""
    for kind in Kind:
        _, (outage,) = outages_of(kind, (300, 500), (400, 600), is_ended=False)
        assert outage.core_end_ns <= START_NS + 400 * MS
        assert outage.hull_end_ns >= START_NS + 600 * MS


def test_an_outage_at_once_may_have_begun_when_nobody_looked() -> None:
    """Served before and dark after: its bounds reach back across the blind time."""
    for kind in Kind:
        parts, (outage,) = outages_of(kind, (500, 700), (400, 600), is_ended=False)
        assert not outage.open_start
        assert START_NS + 350 * MS <= outage.hull_start_ns <= parts.gap[0]
        assert outage.core_start_ns >= START_NS + 600 * MS
        assert outage.unseen == (parts.gap,)
