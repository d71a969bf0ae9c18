"""Compares lengths that have error bars themselves. Pure.

An outage is known as an interval. So its length is compared three times: by the
estimates, by the lower bounds and by the upper ones. What is reported is the weaker
answer: a difference is shown only if both kinds of bounds show it, and in the same
direction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadprobe.core.comparing.two_samples import LEVEL, Comparison, Shift, compare
from loadprobe.core.verdict.quantities import Bounds


@dataclass(frozen=True, slots=True)
class BoundedComparison:
    """Two samples of lengths with error bars, in ms.

    Attributes:
        estimates: the comparison of the estimates.
        p: the larger of those of lower and upper bounds; 1 if they contradict.
        shift: the estimate's, with an interval that holds those of both bounds.
        least_p: the smallest p that so few values can give.
    """

    estimates: Comparison
    p: float
    shift: Shift
    least_p: float

    @property
    def resolution_ms(self) -> float:
        """The shift below which so few values of this spread would have shown none."""
        return max(abs(self.shift.lower), abs(self.shift.upper))


def compare_bounded(
    before: Sequence[Bounds], after: Sequence[Bounds], *, level: float = LEVEL
) -> BoundedComparison:
    """Return how two samples of lengths with error bars differ.

    Raises:
        ValueError: a sample is empty, or holds what is no number.
    """

    def by(pick: Callable[[Bounds], float]) -> Comparison:
        first, second = [pick(b) for b in before], [pick(b) for b in after]
        return compare(first, second, level=level)

    estimates = by(lambda length: length.estimate)
    lower = by(lambda length: length.lower)
    upper = by(lambda length: length.upper)
    contradict = lower.shift.estimate * upper.shift.estimate < 0
    return BoundedComparison(
        estimates=estimates,
        p=1.0 if contradict else max(lower.p, upper.p, estimates.p),
        shift=Shift(
            estimates.shift.estimate,
            min(c.shift.lower for c in (estimates, lower, upper)),
            max(c.shift.upper for c in (estimates, lower, upper)),
            estimates.shift.confidence,
        ),
        least_p=estimates.least_p,
    )
