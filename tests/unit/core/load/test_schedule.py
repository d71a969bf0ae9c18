"""Schedules at literal indexes."""

from itertools import islice, pairwise

import pytest

from loadprobe.core.load.pace import Pace
from loadprobe.core.load.schedule import Schedule, first_pace, make_schedule

NS_PER_S = 1_000_000_000


def constant_schedule(rate_per_s: float) -> Schedule:
    """Return the schedule of a constant rate."""
    return make_schedule("constant", [first_pace("constant", rate_per_s=rate_per_s)])


def ramp_schedule(from_per_s: float, to_per_s: float, ramp_s: float) -> Schedule:
    """Return the schedule of a rate that changes linearly and stays then."""
    pace = first_pace(
        "ramp", rate_per_s=to_per_s, ramp_from_per_s=from_per_s, ramp_s=ramp_s
    )
    return make_schedule("ramp", [pace])


def poisson_schedule(rate_per_s: float, seed: int | str) -> Schedule:
    """Return the schedule of arrivals at random."""
    return make_schedule("poisson", [Pace.steady(rate_per_s)], seed=seed)


def test_constant_does_not_drift() -> None:
    """The due time of the billionth arrival is exact to the nanosecond."""
    assert constant_schedule(3000).due_ns(3 * 10**9) == 10**6 * NS_PER_S
    assert constant_schedule(0.1).due_ns(10**9) == 10**10 * NS_PER_S
    assert constant_schedule(2999.7).due_ns(29_997) == 10 * NS_PER_S


def test_ramp_follows_the_integral_of_the_rate() -> None:
    """From 0 to 100/s in 10 s: 125 arrivals in 5 s, 500 in 10 s, then 100 a second."""
    ramp = ramp_schedule(0, 100, 10)
    assert ramp.due_ns(0) == 0
    assert ramp.due_ns(125) == 5 * NS_PER_S
    assert ramp.due_ns(500) == 10 * NS_PER_S
    assert ramp.due_ns(500 + 100 * 10**7) == (10 + 10**7) * NS_PER_S


def test_ramp_downwards() -> None:
    """From 100/s to 50/s in 4 s: 300 arrivals in the ramp, then 50 a second."""
    ramp = ramp_schedule(100, 50, 4)
    assert ramp.due_ns(300) == 4 * NS_PER_S
    assert ramp.due_ns(350) == 5 * NS_PER_S
    assert ramp.due_ns(175) == pytest.approx(2 * NS_PER_S, abs=2)


def test_ramp_without_slope_is_constant() -> None:
    """A ramp between equal rates is the constant schedule, to a nanosecond."""
    ramp, constant = ramp_schedule(70, 70, 3), constant_schedule(70)
    for index in range(500):
        assert abs(ramp.due_ns(index) - constant.due_ns(index)) <= 1


def test_poisson_is_repeatable_and_named_by_its_seed() -> None:
    """The same seed gives the same sequence, another seed another one."""

    def first(seed: int | str) -> list[tuple[int, int]]:
        return list(islice(poisson_schedule(1000, seed).due_offsets(0, 1), 50))

    assert first("tls") == first("tls")
    assert first("tls") != first("tcp")
    assert first(1) != first(2)


def test_poisson_distances_are_exponential() -> None:
    """Distances have the mean 1/rate, and about 1/e of them are longer than it."""
    dues = [
        due for _, due in islice(poisson_schedule(1000, 7).due_offsets(0, 1), 20_001)
    ]
    gaps = [b - a for a, b in pairwise(dues)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(1_000_000, rel=0.01)
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


def test_a_changed_rate_goes_on_where_it_was() -> None:
    """10/s for 1.05 s, then 100/s: half of the next arrival is left, so 5 ms are."""
    first = Pace.steady(10)
    second = first.changed(1_050_000_000, 100, 0.0)
    assert second.from_count == 10_500_000_000
    schedule = make_schedule("constant", [first, second])
    assert schedule.due_ns(10) == NS_PER_S
    assert schedule.due_ns(11) == 1_055_000_000
    assert schedule.due_ns(12) == 1_065_000_000
    assert schedule.first_index(1_050_000_000) == 11


@pytest.mark.parametrize("ramp_s", [0.0, 2.0])
def test_before_the_begin_the_rate_is_that_of_the_begin(ramp_s: float) -> None:
    """A run that looks at its rates before the first arrival is due finds them."""
    pace = Pace(0, 0, 100, 100, ramp_s)
    assert [pace.rate_per_s(at_ns) for at_ns in (-NS_PER_S // 5, 0)] == [100, 100]


def test_a_change_may_be_cut_short() -> None:
    """A ramp from 0 to 100/s of 10 s that turns back after 5 s is at 50/s then."""
    first = Pace(0, 0, 0, 100, 10)
    second = first.changed(5 * NS_PER_S, 10, 2)
    assert (second.from_per_s, second.from_count) == (50, 125 * 10**9)
    schedule = make_schedule("ramp", [first, second])
    assert schedule.due_ns(124) < 5 * NS_PER_S == schedule.due_ns(125)
    assert schedule.due_ns(185) == 7 * NS_PER_S
    assert schedule.due_ns(195) == 8 * NS_PER_S


def test_impossible_numbers_are_refused() -> None:
    """Each message says which number is wrong and what is expected."""
    with pytest.raises(
        ValueError, match="rate of 0 arrivals per second is not above 0"
    ):
        Pace.steady(0)
    with pytest.raises(ValueError, match="rate of inf arrivals"):
        Pace.steady(float("inf"))
    with pytest.raises(ValueError, match="cannot start at -1 arrivals"):
        ramp_schedule(-1, 5, 5)
    with pytest.raises(ValueError, match="ramp of 0 s has no length"):
        ramp_schedule(1, 5, 0)
    with pytest.raises(ValueError, match="cannot last -1 s"):
        Pace.steady(1).changed(0, 5, -1)
    with pytest.raises(ValueError, match="needs ramp_from_per_s and ramp_s"):
        first_pace("ramp", rate_per_s=5)
    with pytest.raises(ValueError, match="no slice 2 of 2"):
        constant_schedule(1).due_offsets(2, 2)
