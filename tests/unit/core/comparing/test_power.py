"""How small a difference so many repeats would show."""

from random import Random

import pytest

from loadprobe.core.comparing.power import FOUND, POWER, shift_found
from loadprobe.core.comparing.two_samples import LEVEL, compare


@pytest.mark.parametrize("repeats", [4, 6, 10])
def test_the_stated_shift_is_found_as_often_as_stated(repeats: int) -> None:
    """Pairs of samples with the stated shift show it in 80 %, within chance."""
    draw = Random(repeats)
    pairs = 1_500
    found = 0
    for _ in range(pairs):
        before = [draw.gauss(100, 5) for _ in range(repeats)]
        shift = 5 * FOUND[repeats]
        after = [draw.gauss(100 + shift, 5) for _ in range(repeats)]
        found += compare(before, after).p <= LEVEL
    assert abs(found / pairs - POWER) < 4 * (POWER * (1 - POWER) / pairs) ** 0.5


def test_a_fifth_more_is_found_by_six_repeats() -> None:
    """Six repeats that scatter by 5 % show a shift of 20 % nearly always."""
    draw = Random(1)
    found = 0
    for _ in range(500):
        before = [draw.gauss(100, 5) for _ in range(6)]
        after = [draw.gauss(120, 5) for _ in range(6)]
        found += compare(before, after).p <= LEVEL
    needed = shift_found(6, 5)
    assert needed is not None
    assert needed < 20
    assert found >= 0.97 * 500


def test_numbers_between_are_rounded_down() -> None:
    """Nine repeats promise what eight do, and three promise nothing."""
    assert shift_found(9, 2) == shift_found(8, 2) == 2 * FOUND[8]
    assert shift_found(3, 2) is None
    assert shift_found(99, 1) == FOUND[30]
