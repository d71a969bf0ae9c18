"""Several comparisons at once. Pure."""

from collections.abc import Sequence


def correct(p_values: Sequence[float]) -> list[float]:
    """Return p values that hold for all of them together (Holm, 1979).

    Among so many comparisons one is soon remarkable by chance. Corrected, the chance of
    showing *any* difference where there is none stays at the level.

    Args:
        p_values: one of each comparison, in any order.

    Returns:
        The corrected values, in the same order, each from its own value to 1.
    """
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for place, at in enumerate(order):
        highest = max(highest, min(1.0, p_values[at] * (len(p_values) - place)))
        corrected[at] = highest
    return corrected
