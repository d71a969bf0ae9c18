"""What a few repeats of one thing say of it: their median, and how sure it is. Pure.

The interval is between two of the values themselves (Thompson, 1936): the median of
what they are drawn from lies between the r-th smallest and the r-th largest of n with
a confidence that depends on n and r alone. Nothing is drawn again from a handful.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, isnan

from loadprobe.core.comparing.two_samples import median_of

CONFIDENCE = 0.95
"""Asked for. Fewer than six values cannot give it: the interval says what it has."""


@dataclass(frozen=True, slots=True)
class Middle:
    """The middle of a sample.

    Attributes:
        count: how many values there are.
        median: of the values.
        lower: lower end of the interval of the median.
        upper: its upper end.
        confidence: how often such an interval holds the true median, at least.
        least: the smallest value.
        most: the largest value.
    """

    count: int
    median: float
    lower: float
    upper: float
    confidence: float
    least: float
    most: float


def middle_of(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Middle:
    """Return the median with the narrowest interval that is sure enough.

    If none is, it is the interval between the smallest and the largest value.

    Raises:
        ValueError: there are no values, or one of them is no number.
    """
    if not values:
        raise ValueError("an empty sample has no middle")
    if any(isnan(value) for value in values):
        raise ValueError("a sample holds a value that is no number")
    ordered = sorted(values)
    count = len(ordered)
    rank = 1
    while rank < count // 2 and _sureness(count, rank + 1) >= confidence:
        rank += 1
    return Middle(
        count=count,
        median=median_of(ordered),
        lower=ordered[rank - 1],
        upper=ordered[-rank],
        confidence=_sureness(count, rank),
        least=ordered[0],
        most=ordered[-1],
    )


def _sureness(count: int, rank: int) -> float:
    """Return how sure the interval from the r-th smallest to the r-th largest is."""
    outside = sum(comb(count, below) for below in range(rank))
    return max(0.0, 1 - 2 * outside / (1 << count))
