"""Bisection finds what a target carries, also if a trial goes wrong by chance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.load.capacity import RESOLUTION, CapacitySearch

MOST_TRIALS = 60


def searched(
    capacity: float, *, highest: float = 1024.0, wrong: frozenset[int] = frozenset()
) -> tuple[CapacitySearch, int]:
    """Return a search that has ended, and its number of trials; some of them lie."""
    search, trials = CapacitySearch(highest=highest), 0
    while (multiple := search.next()) is not None:
        is_kept = (multiple <= capacity) != (trials in wrong)
        search.take(multiple, is_kept=is_kept)
        trials += 1
        assert trials <= MOST_TRIALS
    return search, trials


@given(st.floats(0.01, 1000))
def test_it_lies_between_the_two(capacity: float) -> None:
    """What was kept and what failed are close together, on either side."""
    search, trials = searched(capacity)
    assert search.kept is not None
    assert search.failed is not None
    assert search.kept <= capacity < search.failed <= RESOLUTION * search.kept
    assert trials <= 30


@given(st.floats(0.01, 1000), st.integers(0, 29))
def test_one_trial_that_goes_wrong(capacity: float, wrong: int) -> None:
    """One trial in which chance decides moves the result by less than it asks for."""
    search, _ = searched(capacity, wrong=frozenset({wrong}))
    assert search.kept is not None
    assert search.failed is not None
    assert search.kept / RESOLUTION <= capacity <= search.failed * RESOLUTION


@given(st.floats(0.001, 1000), st.frozensets(st.integers(0, MOST_TRIALS)))
def test_it_ends(capacity: float, wrong: frozenset[int]) -> None:
    """Whatever trials say, there are not too many of them."""
    searched(capacity, wrong=wrong)


@pytest.mark.parametrize("highest", [0.5, 1.0, 3.0])
def test_nothing_above_the_highest_is_tried(highest: float) -> None:
    """If it is carried, too, then the capacity is above it."""
    search, trials = searched(500.0, highest=highest)
    assert (search.kept, search.failed) == (highest, None)
    assert trials <= 4


def test_a_target_that_carries_nothing() -> None:
    """It is given up at a thousandth."""
    search, trials = searched(0.0)
    assert search.kept is None
    assert trials == 11
