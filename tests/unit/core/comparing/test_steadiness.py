"""How many independent values a series of neighbours is worth."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loadprobe.core.comparing.steadiness import (
    FEWEST,
    compare_steady,
    steady_of,
    student_tail,
)
from loadprobe.core.comparing.two_samples import LEVEL


def series(draw: Random, length: int, likeness: float, mean: float) -> list[float]:
    """Return values that each resemble the one before by so much (AR 1)."""
    values = [draw.gauss(0, 1)]
    for _ in range(length - 1):
        noise = draw.gauss(0, (1 - likeness**2) ** 0.5)
        values.append(likeness * values[-1] + noise)
    return [value + mean for value in values]


@given(t=st.floats(0, 40), degrees=st.floats(2, 500))
def test_the_tail_is_that_of_scipy(t: float, degrees: float) -> None:
    """Student's distribution is the known one, for parts of degrees, too."""
    expected = float(stats.t.sf(t, degrees))
    assert student_tail(t, degrees) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_independent_values_count_fully() -> None:
    """A series without memory is worth about its length."""
    draw = Random(6)
    worth = [steady_of(series(draw, 400, 0, 5)).effective for _ in range(50)]
    assert 280 < sorted(worth)[25] <= 400


def test_neighbours_that_resemble_each_other_count_less() -> None:
    """With a likeness of 0.8 nine values are worth one."""
    draw = Random(7)
    worth = [steady_of(series(draw, 3_600, 0.8, 5)).effective for _ in range(50)]
    assert 320 < sorted(worth)[25] < 640  # 3,600 (1 - 0.8) / (1 + 0.8) = 400


def test_series_without_a_difference_rarely_show_one() -> None:
    """Of 400 pairs that resemble their past, some 5 % show one: not a third."""
    draw = Random(8)
    shown = sum(
        compare_steady(
            steady_of(series(draw, 900, 0.7, 5)), steady_of(series(draw, 900, 0.7, 5))
        )
        <= LEVEL
        for _ in range(400)
    )
    assert shown <= 0.1 * 400


def test_a_difference_is_found() -> None:
    """A shift of half a standard deviation is found in five minutes of seconds."""
    draw = Random(9)
    before = steady_of(series(draw, 300, 0.3, 5))
    after = steady_of(series(draw, 300, 0.3, 5.5))
    assert compare_steady(before, after) < LEVEL


def test_what_never_changes() -> None:
    """Series without any scatter are equal, or they are not."""
    five, six = steady_of([5.0] * FEWEST), steady_of([6.0] * FEWEST)
    assert compare_steady(five, five) == 1
    assert compare_steady(five, six) == 0


def test_few_values_are_refused() -> None:
    """Four batches of four are the least."""
    with pytest.raises(ValueError, match="too few"):
        steady_of([1.0] * (FEWEST - 1))
