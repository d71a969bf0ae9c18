"""What holds for every schedule."""

from itertools import islice, takewhile

from hypothesis import given, settings
from hypothesis import strategies as st

from loadprobe.core.load.schedule import (
    ConstantSchedule,
    PoissonSchedule,
    RampSchedule,
    Schedule,
)

NS_PER_S = 1_000_000_000
RATES = st.floats(0.5, 20_000)
SCHEDULES: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(ConstantSchedule, RATES),
    st.builds(RampSchedule, st.just(0.0) | RATES, RATES, st.floats(0.01, 3)),
    st.builds(PoissonSchedule, RATES, st.integers(0, 9)),
)
SLICES = st.integers(1, 9)


@settings(deadline=None)
@given(SCHEDULES, SLICES)
def test_union_of_slices_is_the_whole(schedule: Schedule, count: int) -> None:
    """All slices together yield every arrival exactly once, at the same due time."""
    whole = list(islice(schedule.due_offsets(0, 1), count * 150))
    parts = [
        arrival
        for index in range(count)
        for arrival in islice(schedule.due_offsets(index, count), 150)
    ]
    assert sorted(parts) == whole
    assert [index for index, _ in whole] == list(range(len(whole)))


@settings(deadline=None)
@given(SCHEDULES)
def test_due_times_do_not_go_back(schedule: Schedule) -> None:
    """A later arrival is never due before an earlier one."""
    dues = [due for _, due in islice(schedule.due_offsets(0, 1), 1500)]
    assert dues == sorted(dues)
    assert dues[0] >= 0


@settings(deadline=None)
@given(SCHEDULES, st.integers(0, 800), st.integers(-1, 1), SLICES)
def test_joining_late_leaves_out_what_was_before(
    schedule: Schedule, at: int, shift_ns: int, count: int
) -> None:
    """From an offset on, exactly the arrivals due at it or later are yielded."""
    whole = list(islice(schedule.due_offsets(0, count), 1000))
    from_ns = max(whole[at][1] + shift_ns, 0)
    expected = [arrival for arrival in whole if arrival[1] >= from_ns]
    late = schedule.due_offsets(0, count, from_offset_ns=from_ns)
    assert list(islice(late, len(expected))) == expected


@settings(deadline=None)
@given(RATES, st.integers(0, 10**10))
def test_no_drift(rate_per_s: float, index: int) -> None:
    """Due times are index x period, however many arrivals came before."""
    due = ConstantSchedule(rate_per_s).due_ns(index)
    period_ns = NS_PER_S / rate_per_s
    assert abs(due - index * period_ns) <= 1 + 1e-9 * due


@settings(deadline=None, max_examples=30)
@given(st.floats(200, 5000), st.integers(0, 9), st.integers(1, 5))
def test_poisson_average_is_exact(rate_per_s: float, seed: int, blocks: int) -> None:
    """A whole number of blocks holds exactly the arrivals of the rate."""
    end_ns = ConstantSchedule(rate_per_s).due_ns(512 * blocks)
    arrivals = PoissonSchedule(rate_per_s, seed).due_offsets(0, 1)
    assert len(list(takewhile(lambda a: a[1] < end_ns, arrivals))) == 512 * blocks


@settings(deadline=None, max_examples=50)
@given(st.just(0.0) | RATES, RATES, st.floats(0.05, 3), st.floats(0, 1))
def test_ramp_counts_the_integral(
    start: float, end: float, ramp_s: float, part: float
) -> None:
    """At any moment of a ramp as many arrivals were due as the rate's integral says."""
    at_s = part * ramp_s
    integral = start * at_s + (end - start) * at_s * at_s / (2 * ramp_s)
    ramp = RampSchedule(start, end, ramp_s)
    due = next(ramp.due_offsets(0, 1, from_offset_ns=int(at_s * NS_PER_S)))
    assert abs(due[0] - integral) <= 1.01
