"""Schedules at literal indexes."""

from itertools import islice, pairwise

import pytest

from loadprobe.core.load.schedule import (
    ConstantSchedule,
    PoissonSchedule,
    RampSchedule,
    make_schedule,
)

NS_PER_S = 1_000_000_000


def test_constant_does_not_drift() -> None:
    """The due time of the billionth arrival is exact to the nanosecond."""
    assert ConstantSchedule(3000).due_ns(3 * 10**9) == 10**6 * NS_PER_S
    assert ConstantSchedule(0.1).due_ns(10**9) == 10**10 * NS_PER_S
    assert ConstantSchedule(2999.7).due_ns(29_997) == 10 * NS_PER_S


def test_ramp_follows_the_integral_of_the_rate() -> None:
    """From 0 to 100/s in 10 s: 125 arrivals in 5 s, 500 in 10 s, then 100 a second."""
    ramp = RampSchedule(0, 100, 10)
    assert ramp.due_ns(0) == 0
    assert ramp.due_ns(125) == 5 * NS_PER_S
    assert ramp.due_ns(500) == 10 * NS_PER_S
    assert ramp.due_ns(500 + 100 * 10**7) == (10 + 10**7) * NS_PER_S


def test_ramp_downwards() -> None:
    """From 100/s to 50/s in 4 s: 300 arrivals in the ramp, then 50 a second."""
    ramp = RampSchedule(100, 50, 4)
    assert ramp.due_ns(300) == 4 * NS_PER_S
    assert ramp.due_ns(350) == 5 * NS_PER_S
    assert ramp.due_ns(175) == pytest.approx(2 * NS_PER_S, abs=2)


def test_ramp_without_slope_is_constant() -> None:
    """A ramp between equal rates is the constant schedule, to a nanosecond."""
    ramp, constant = RampSchedule(70, 70, 3), ConstantSchedule(70)
    for index in range(500):
        assert abs(ramp.due_ns(index) - constant.due_ns(index)) <= 1


def test_poisson_is_repeatable_and_named_by_its_seed() -> None:
    """The same seed gives the same sequence, another seed another one."""

    def first(seed: int | str) -> list[tuple[int, int]]:
        return list(islice(PoissonSchedule(1000, seed).due_offsets(0, 1), 50))

    assert first("tls") == first("tls")
    assert first("tls") != first("tcp")
    assert first(1) != first(2)


def test_poisson_distances_are_exponential() -> None:
    """Distances have the mean 1/rate, and about 1/e of them are longer than it."""
    dues = [
        due for _, due in islice(PoissonSchedule(1000, 7).due_offsets(0, 1), 20_001)
    ]
    gaps = [b - a for a, b in pairwise(dues)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(1_000_000, rel=0.01)
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


def test_make_schedule_chooses_by_kind() -> None:
    """Each kind gives its schedule with the numbers that were asked for."""
    constant = make_schedule("constant", rate_per_s=10)
    assert isinstance(constant, ConstantSchedule)
    ramp = make_schedule("ramp", rate_per_s=10, ramp_from_per_s=0, ramp_s=2)
    assert isinstance(ramp, RampSchedule)
    assert ramp.due_ns(20) == 3 * NS_PER_S
    poisson = make_schedule("poisson", rate_per_s=10, seed="x")
    assert isinstance(poisson, PoissonSchedule)
    assert poisson.due_ns(9) == PoissonSchedule(10, "x").due_ns(9)


def test_impossible_numbers_are_refused() -> None:
    """Each message says which number is wrong and what is expected."""
    with pytest.raises(
        ValueError, match="rate of 0 arrivals per second is not above 0"
    ):
        ConstantSchedule(0)
    with pytest.raises(ValueError, match="rate of inf arrivals"):
        PoissonSchedule(float("inf"))
    with pytest.raises(ValueError, match="cannot start at -1 arrivals"):
        RampSchedule(-1, 5, 5)
    with pytest.raises(ValueError, match="ramp of 0 s has no length"):
        RampSchedule(1, 5, 0)
    with pytest.raises(ValueError, match="needs ramp_from_per_s and ramp_s"):
        make_schedule("ramp", rate_per_s=5)
    with pytest.raises(ValueError, match="no slice 2 of 2"):
        next(ConstantSchedule(1).due_offsets(2, 2))
