"""Two samples beside each other, against another program and a known truth."""

from fractions import Fraction
from itertools import combinations
from math import comb, inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loadprobe.core.comparing.rank_sums import MOST_VALUES, count_sums, double_ranks
from loadprobe.core.comparing.two_samples import LEVEL, compare

VALUES = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=6)
DISTINCT = st.lists(
    st.integers(-1_000, 1_000), min_size=2, max_size=12, unique=True
).map(lambda values: [value / 7 for value in values])


@given(before=VALUES, after=VALUES)
def test_the_test_is_exact_with_ties(before: list[float], after: list[float]) -> None:
    """Its p is that of trying every way of dealing the values out."""
    values = [*before, *after]
    ranks = double_ranks(values)
    observed = sum(ranks[: len(before)])
    sums = [sum(chosen) for chosen in combinations(ranks, len(before))]
    fewer = Fraction(sum(s <= observed for s in sums), len(sums))
    more = Fraction(sum(s >= observed for s in sums), len(sums))
    expected = float(min(Fraction(1), 2 * min(fewer, more)))
    assert compare(before, after).p == pytest.approx(expected)


@given(values=DISTINCT, cut=st.integers(1, 11))
def test_the_test_is_that_of_scipy(values: list[float], cut: int) -> None:
    """Without ties p is that of scipy's exact test."""
    cut = min(cut, len(values) - 1)
    before, after = values[:cut], values[cut:]
    theirs = stats.mannwhitneyu(before, after, method="exact")
    assert compare(before, after).p == pytest.approx(float(theirs.pvalue))


@given(values=st.lists(st.integers(0, 9).map(float), min_size=1, max_size=30))
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    """Equal values share the mean of their ranks."""
    assert [rank / 2 for rank in double_ranks(values)] == list(stats.rankdata(values))


@given(
    ranks=st.lists(st.integers(0, 40), min_size=1, max_size=12), size=st.integers(0, 12)
)
def test_every_choice_of_ranks_is_counted(ranks: list[int], size: int) -> None:
    """The counts by sum are those of all choices."""
    size = min(size, len(ranks))
    counts = count_sums(ranks, size)
    assert sum(counts) == comb(len(ranks), size)
    for total in {sum(chosen) for chosen in combinations(ranks, size)}:
        expected = sum(sum(c) == total for c in combinations(ranks, size))
        assert counts[total] == expected


@given(before=DISTINCT, after=DISTINCT, shift=st.integers(-50, 50))
def test_the_interval_belongs_to_the_test(
    before: list[float], after: list[float], shift: int
) -> None:
    """A shift lies outside the interval if, and only if, the test rejects it."""
    away = shift / 11 + 0.0123  # never equal to a difference: those are ambiguous
    interval = compare(before, after).shift
    moved = [value - away for value in after]
    is_rejected = compare(before, moved).p <= LEVEL
    assert is_rejected == (not interval.lower <= away <= interval.upper)


def test_few_repeats_have_the_p_they_can_have() -> None:
    """Five against five can give 0.0079 at best, six against six 0.0022."""
    apart = compare([1.0, 2, 3, 4, 5], [6.0, 7, 8, 9, 10])
    assert apart.p == apart.least_p == pytest.approx(0.0079, abs=5e-5)
    apart = compare([1.0, 2, 3, 4, 5, 6], [7.0, 8, 9, 10, 11, 12])
    assert apart.p == apart.least_p == pytest.approx(0.0022, abs=5e-5)


def test_three_against_three_show_nothing() -> None:
    """Too few repeats have no interval, and no resolution."""
    result = compare([1.0, 2, 3], [1_001.0, 1_002, 1_003])
    assert result.p > LEVEL
    assert (result.shift.lower, result.shift.upper) == (-inf, inf)
    assert result.resolution == inf
    assert result.shift.estimate == 1_000


def test_a_shift_is_found_where_it_is() -> None:
    """The estimate is the shift, and the interval narrow, if all is shifted."""
    before = [10.0, 11, 12, 13, 14, 15]
    result = compare(before, [value + 100 for value in before])
    assert result.shift.estimate == 100
    assert 95 <= result.shift.lower <= 100 <= result.shift.upper <= 105
    assert result.shift.confidence >= 1 - LEVEL


def test_equal_values_are_no_difference() -> None:
    """Outages of 0 ms, all of them, are a difference of 0 and no error."""
    result = compare([0.0] * 5, [0.0] * 5)
    assert result.p == 1
    assert (result.shift.lower, result.shift.upper) == (0, 0)


def test_many_values_are_counted_in_time() -> None:
    """As many values as are taken at all have a p; one more is refused."""
    half = MOST_VALUES // 2
    values = [float(value) for value in range(MOST_VALUES)]
    assert compare(values[:40], values[40:80]).p < 1e-9
    ranks = list(range(1, MOST_VALUES + 2))
    with pytest.raises(ValueError, match="too many"):
        count_sums(ranks, half)


@pytest.mark.parametrize("wrong", [[], [float("nan")]])
def test_what_cannot_be_compared_is_refused(wrong: list[float]) -> None:
    """An empty sample and a value that is no number are errors."""
    with pytest.raises(ValueError, match="empty|no number"):
        compare(wrong, [1.0])


def test_no_difference_is_shown_more_often_than_the_level_says() -> None:
    """Of 10,000 pairs without a difference at most 5 % show one, skewed as they are."""
    draw = Random(3)
    shown = 0
    for _ in range(10_000):
        values = [draw.lognormvariate(0, 1) for _ in range(12)]
        shown += compare(values[:6], values[6:]).p <= LEVEL
    assert shown <= LEVEL * 10_000


def test_the_interval_holds_the_shift_as_often_as_it_says() -> None:
    """Of 2,000 pairs with a shift of 3 the interval holds it in 95 % or more."""
    draw = Random(4)
    held = 0
    for _ in range(2_000):
        before = [draw.gauss(0, 1) for _ in range(6)]
        after = [draw.gauss(3, 1) for _ in range(6)]
        interval = compare(before, after).shift
        held += interval.lower <= 3 <= interval.upper
    assert held >= 0.95 * 2_000 - 3 * (2_000 * 0.95 * 0.05) ** 0.5


def test_one_freak_outage_fools_nobody() -> None:
    """One repeat that took a hundred times as long is not a difference."""
    before = [100.0, 101, 102, 103, 104, 105]
    after = [100.5, 101.5, 102.5, 103.5, 104.5, 10_000]
    result = compare(before, after)
    assert result.p > LEVEL
    assert abs(result.shift.estimate) < 5
