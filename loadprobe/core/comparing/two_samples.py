"""Two samples beside each other: is there a shift, and how large is it? Pure.

Few repeats of something whose distribution nobody knows: so nothing is assumed of it.
The test is the exact one of Mann and Whitney (1947), the shift that of Hodges and
Lehmann (1963): the median of all differences between a value of one sample and one of
the other, with the interval that belongs to the test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import comb, inf, isnan

from loadprobe.core.comparing.rank_sums import count_sums, double_ranks

LEVEL = 0.05
"""How often a difference is shown where there is none, at most."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How much larger the second sample is.

    Attributes:
        estimate: the median of all differences (Hodges and Lehmann).
        lower: lower end of the interval; minus infinity if the samples are too small
            for one.
        upper: its upper end, in the same way.
        confidence: how often such an interval holds the true shift, at least.
    """

    estimate: float
    lower: float
    upper: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two samples beside each other.

    Attributes:
        p: how likely a difference as large as this, or a larger one, is if there is
            none (two-sided).
        least_p: the smallest that so few values can give, whatever they are.
        shift: how much larger the second is.
    """

    p: float
    least_p: float
    shift: Shift

    @property
    def resolution(self) -> float:
        """The shift below which so few values of this spread would have shown none."""
        return max(abs(self.shift.lower), abs(self.shift.upper))


def compare(
    before: Sequence[float], after: Sequence[float], *, level: float = LEVEL
) -> Comparison:
    """Return how two samples differ.

    Args:
        before: the first sample, one number a repeat; in any unit.
        after: the second, in the same unit.
        level: the interval holds the shift with a confidence of one less this.

    Raises:
        ValueError: a sample is empty, too large, or holds what is no number.
    """
    if not before or not after:
        raise ValueError("an empty sample cannot be compared")
    if any(isnan(value) for value in (*before, *after)):
        raise ValueError("a sample holds a value that is no number")
    return Comparison(
        p=_two_sided(before, after),
        least_p=min(1.0, 2 / comb(len(before) + len(after), len(before))),
        shift=_shift(before, after, level),
    )


def _two_sided(before: Sequence[float], after: Sequence[float]) -> float:
    ranks = double_ranks([*before, *after])
    counts = count_sums(ranks, len(before))
    observed = sum(ranks[: len(before)])
    everything = sum(counts)
    fewer = sum(counts[: observed + 1])
    more = sum(counts[observed:])
    return min(1.0, 2 * min(fewer, more) / everything)


def _shift(before: Sequence[float], after: Sequence[float], level: float) -> Shift:
    differences = sorted(new - old for new in after for old in before)
    left_out, confidence = _left_out(len(before), len(after), level)
    if left_out:
        lower, upper = differences[left_out - 1], differences[-left_out]
    else:
        lower, upper = -inf, inf
    return Shift(median_of(differences), lower, upper, confidence)


def _left_out(first: int, second: int, level: float) -> tuple[int, float]:
    """Return which difference, from either end, bounds the interval; 0 if none does.

    Also how sure the interval is then.
    """
    ranks = range(1, first + second + 1)
    counts = count_sums(ranks, first)[first * (first + 1) // 2 :]
    everything = comb(first + second, first)
    outside = 0
    confidence = 1.0
    for at, below in enumerate(accumulate(counts)):
        if 2 * below > level * everything:
            break
        outside, confidence = at + 1, 1 - 2 * below / everything
    return outside, confidence


def median_of(values: Sequence[float]) -> float:
    """Return the median of numbers, the mean of the middle two if there are two."""
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    low, high = ordered[half - 1], ordered[half]
    return low if low == high else (low + high) / 2
