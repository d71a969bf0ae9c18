"""How small a difference so many repeats would show. Pure."""

from bisect import bisect_right

FOUND = {
    4: 2.89,
    5: 2.32,
    6: 1.92,
    7: 1.77,
    8: 1.55,
    10: 1.40,
    12: 1.25,
    15: 1.11,
    20: 0.94,
    30: 0.75,
}
"""By the number of repeats on either side: the shift, in standard deviations of a
repeat, that the exact test shows at a level of 5 % in 80 % of all cases. Found by
40,000 pairs of samples of a normal distribution each; below four there is none."""

POWER = 0.8


def shift_found(repeats: int, deviation: float) -> float | None:
    """Return the shift that would be shown in 80 % of all cases.

    Args:
        repeats: on either side, of the smaller one.
        deviation: standard deviation of the repeats, in any unit.

    Returns:
        The shift in that unit; None if so few repeats never show one.
    """
    known = sorted(FOUND)
    at = bisect_right(known, repeats)
    return FOUND[known[at - 1]] * deviation if at else None
