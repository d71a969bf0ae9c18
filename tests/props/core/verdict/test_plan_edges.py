"""Outages cut at the edges of what was planned: nothing is lost, nothing is hidden."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.intervals import length, union
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.core.verdict.beside import Planned, is_planned, planned_share
from loadprobe.core.verdict.plan_edges import (
    EDGE_NS,
    cut_at_plan,
    is_planned_now,
    planned_certain_ns,
    planned_parts,
)
from tests.support.outages import MS, outage


def failing(start: int, end: int, failed: int) -> Outage:
    """Return an outage in ms with a number of failed arrivals."""
    return replace(
        outage(start, end),
        failed=failed,
        classes={
            ErrorClass.RESET: failed // 2,
            ErrorClass.TIMEOUT: failed - failed // 2,
        },
        outcomes={Outcome.UNKNOWN: failed},
    )


def plan(start: int, end: int, shard: str | None = None) -> Planned:
    """Return planned darkness of the lane in ms."""
    return Planned("tcp", start * MS, end * MS, shard)


def test_an_accident_before_the_plan_is_downtime() -> None:
    """Down for 3 s before plaintext ends by plan: these 3 s are not planned."""
    first, second = cut_at_plan([failing(10_000, 20_000, 100)], [plan(13_000, 30_000)])
    assert (first.duration_ns, second.duration_ns) == (3_000 * MS, 7_000 * MS)
    assert (first.failed, second.failed) == (30, 70)
    assert not is_planned(first, [plan(13_000, 30_000)])
    assert is_planned(second, [plan(13_000, 30_000)])
    assert first.upper_ns == first.duration_ns + MS
    assert first.lower_ns == first.duration_ns - MS


def test_a_little_beside_the_plan_belongs_to_it() -> None:
    """What begins or ends within a second of the plan is not cut."""
    whole = failing(10_000, 20_000, 100)
    assert cut_at_plan([whole], [plan(10_900, 30_000)]) == [whole]
    assert cut_at_plan([whole], [plan(0, 19_100)]) == [whole]
    assert cut_at_plan([whole], [plan(13_000, 30_000, "0002")]) == [whole]


def test_a_plan_that_ends_before_the_outage_does() -> None:
    """It is planned at its end for a second longer, and not any more from then on."""
    planned = [plan(0, 20_000)]
    assert is_planned_now(outage(10_000, 20_900), planned)
    assert not is_planned_now(outage(10_000, 21_100), planned)
    (part,) = planned_parts(outage(10_000, 32_000), planned)
    assert part.duration_ns == 10_000 * MS
    assert planned_certain_ns(outage(10_000, 32_000), planned) == 9_999 * MS


def test_an_accident_goes_over_into_a_plan() -> None:
    """From a second into the plan on it is planned at its end; the accident is not."""
    planned = [plan(13_000, 90_000)]
    assert not is_planned_now(outage(10_000, 13_900), planned)
    assert is_planned_now(outage(10_000, 14_100), planned)
    assert not is_planned_now(outage(10_000, 14_100), [])
    (part,) = planned_parts(outage(10_000, 20_000), planned)
    assert part.duration_ns == 7_000 * MS


@given(
    st.integers(1_000, 50_000),
    st.integers(1, 40_000),
    st.integers(1, 500),
    st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 30_000)), max_size=4),
)
def test_parts_make_up_the_whole(
    start: int, long: int, failed: int, spans: list[tuple[int, int]]
) -> None:
    """The parts cover the outage without overlap, and share its failed arrivals."""
    whole = failing(start, start + long + 3, failed)
    planned = [plan(at, at + length_ms) for at, length_ms in spans]
    parts = cut_at_plan([whole], planned)
    assert union((p.start_ns, p.end_ns) for p in parts) == [
        (whole.start_ns, whole.end_ns)
    ]
    assert length([(p.start_ns, p.end_ns) for p in parts]) == whole.duration_ns
    assert sum(p.failed for p in parts) == failed
    classes: Counter[ErrorClass] = sum((Counter(p.classes) for p in parts), Counter())
    assert classes == Counter({k: n for k, n in whole.classes.items() if n})
    for part in parts:
        assert part.hull_start_ns <= part.start_ns <= part.end_ns <= part.hull_end_ns
        assert part.core_start_ns <= part.core_end_ns
        if len(parts) > 1:
            assert planned_share(part, planned) in (0.0, 1.0)
    beyond_ns = sum(
        p.duration_ns * (1 - planned_share(p, planned))
        for p in parts
        if is_planned(p, planned)
    )
    assert beyond_ns <= EDGE_NS


@given(
    st.integers(1_000, 50_000),
    st.integers(3, 40_000),
    st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 30_000)), max_size=4),
)
def test_what_is_planned_never_shrinks_while_it_goes_on(
    start: int, long: int, spans: list[tuple[int, int]]
) -> None:
    """It grows with the outage by as much as that at most, and ends as more or less.

    More, as the estimate is longer than what is certain; less by no more than a second,
    if what lies in a plan is not most of the outage.
    """
    planned = [plan(at, at + length_ms) for at, length_ms in spans]
    ends = [start + 3, start + 3 + long // 2, start + 3 + long]
    certain = [planned_certain_ns(outage(start, end), planned) for end in ends]
    grown = [b - a for a, b in pairwise(certain)]
    assert all(
        0 <= more <= (later - sooner) * MS
        for more, (sooner, later) in zip(grown, pairwise(ends), strict=True)
    )
    whole = outage(start, ends[-1])
    decided = sum(part.seen_ns for part in planned_parts(whole, planned))
    assert certain[-1] - EDGE_NS <= decided <= whole.seen_ns
