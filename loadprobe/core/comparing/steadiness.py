"""How many independent values a series of neighbours is worth. Pure.

Seconds of one run resemble their neighbours, so a hundred of them say less than a
hundred repeats. The number they are worth is found from batches: the means of long
batches are nearly independent, and how much more they scatter than they would if the
seconds were independent is how much too many there are (batch means: Conway, 1963; as
many batches as they are long: Flegal and Jones, 2010).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan, cos, exp, lgamma, pi, sqrt
from statistics import fmean, variance

FEWEST = 16
"""Values, for four batches of four."""

_STEPS = 2_000
"""Of the integration; even."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The mean of a series whose neighbours resemble each other.

    Attributes:
        mean: of the values.
        effective: how many independent values would say as much; at most their number.
        error: standard error of the mean.
        count: how many values there are.
    """

    mean: float
    effective: float
    error: float
    count: int


def steady_of(values: Sequence[float]) -> Steady:
    """Return the mean of a series in its order of time, and how sure it is.

    Raises:
        ValueError: there are fewer than :data:`FEWEST` values.
    """
    count = len(values)
    if count < FEWEST:
        raise ValueError(f"{count} values are too few: at least {FEWEST}")
    length = int(sqrt(count))
    batches = [fmean(values[at : at + length]) for at in _starts(count, length)]
    single = variance(values)
    together = variance(batches) * length
    effective = float(count)
    if together > single:
        effective = count * single / together
    error = sqrt(single / effective) if single else 0.0
    return Steady(fmean(values), effective, error, count)


def compare_steady(before: Steady, after: Steady) -> float:
    """Return how likely a difference of the means as large as this is by chance.

    Two-sided, by Welch's test (1947) with the effective numbers of values.
    """
    squares = before.error**2, after.error**2
    if not sum(squares):
        return 1.0 if before.mean == after.mean else 0.0
    degrees = sum(squares) ** 2 / sum(
        square**2 / max(steady.effective - 1, 1.0)
        for square, steady in zip(squares, (before, after), strict=True)
    )
    return 2 * student_tail(abs(after.mean - before.mean) / sqrt(sum(squares)), degrees)


def student_tail(t: float, degrees: float) -> float:
    """Return how likely Student's distribution is to exceed t.

    Args:
        t: from 0.
        degrees: of freedom, from 1; need not be whole.
    """
    # With t = sqrt(degrees) tan(angle) the density becomes a power of the cosine, on a
    # finite stretch. Simpson's rule over it is exact to some 1e-6 above two degrees.
    first, last = atan(t / sqrt(degrees)), pi / 2
    width = (last - first) / _STEPS
    inner = sum(
        (4 if step % 2 else 2) * cos(first + step * width) ** (degrees - 1)
        for step in range(1, _STEPS)
    )
    ends = cos(first) ** (degrees - 1) + float(degrees == 1)
    scale = exp(lgamma((degrees + 1) / 2) - lgamma(degrees / 2)) / sqrt(pi)
    tail: float = scale * (ends + inner) * width / 3
    return min(0.5, tail)


def _starts(count: int, length: int) -> range:
    """Return where full batches begin; the rest at the front is left out."""
    return range(count % length, count, length)
