"""Lengths that have error bars themselves are compared by the weaker answer."""

from loadprobe.core.comparing.bounded import compare_bounded
from loadprobe.core.comparing.two_samples import LEVEL
from loadprobe.core.verdict.quantities import Bounds


def lengths(*estimates: float, bar: float) -> list[Bounds]:
    """Return lengths with error bars of the same width below and above."""
    return [Bounds(e, e - bar, e + bar) for e in estimates]


def test_narrow_error_bars_show_what_the_estimates_show() -> None:
    """A clear difference between narrow lengths is shown."""
    before = lengths(100, 102, 104, 106, 108, 110, bar=1)
    after = lengths(200, 202, 204, 206, 208, 210, bar=1)
    result = compare_bounded(before, after)
    assert result.p < LEVEL
    assert result.p == result.least_p
    assert result.shift.estimate == 100


def test_error_bars_on_one_side_weaken_the_answer() -> None:
    """If the lower bounds of the longer ones reach down, no difference is shown."""
    before = lengths(100, 102, 104, 106, 108, 110, bar=1)
    after = [Bounds(200 + n, 95 + n, 205 + n) for n in range(6)]
    result = compare_bounded(before, after)
    assert result.estimates.p < LEVEL
    assert result.p > LEVEL
    assert result.shift.lower < 0 < result.shift.upper


def test_bounds_that_contradict_show_nothing() -> None:
    """Shorter by the lower bounds and longer by the upper ones is no answer."""
    before = lengths(100, 101, 102, 103, 104, 105, bar=1)
    after = [Bounds(110 + n, 10 + n, 210 + n) for n in range(6)]
    assert compare_bounded(before, after).p == 1
