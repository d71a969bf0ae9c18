"""How likely every sum of ranks is if two samples come from one distribution. Pure.

The distribution is exact, for tied values too: every way in which the ranks at hand
can fall to the first sample is counted, and each is as likely as any other (Mann and
Whitney, 1947; with ties the conditional distribution of Lehmann, Nonparametrics, 1.4).
"""

from collections.abc import Sequence
from math import comb

MOST_VALUES = 300
"""Of both samples together: that takes about 2 s, and grows with the fourth power."""


def double_ranks(values: Sequence[float]) -> list[int]:
    """Return twice the rank of each value, from 2; equal values share their mean.

    Args:
        values: numbers in any order, infinities included; not NaN.
    """
    order = sorted(range(len(values)), key=lambda at: values[at])
    ranks = [0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for at in order[first : last + 1]:
            ranks[at] = first + last + 2
        first = last + 1
    return ranks


def count_sums(ranks: Sequence[int], size: int) -> list[int]:
    """Return how many choices of so many ranks have each sum.

    Args:
        ranks: integers from 0.
        size: how many of them are chosen.

    Returns:
        The number of choices by their sum, from 0 to the sum of all ranks.

    Raises:
        ValueError: there are more than :data:`MOST_VALUES` ranks.
    """
    if len(ranks) > MOST_VALUES:
        raise ValueError(
            f"{len(ranks)} values are too many to count every order of them: "
            f"at most {MOST_VALUES}"
        )
    # A number holds a whole row: the count of each sum in so many bits that none of
    # them reaches its neighbour. Adding a rank to every sum is one shift.
    width = comb(len(ranks), size).bit_length() + 1
    rows = [1] + [0] * size
    for rank in ranks:
        for chosen in range(size, 0, -1):
            rows[chosen] += rows[chosen - 1] << (rank * width)
    return _unpack(rows[size], width, sum(ranks) + 1)


def _unpack(row: int, width: int, length: int) -> list[int]:
    """Return the numbers that a row holds."""
    digits = row.to_bytes((length * width + 7) // 8, "little")
    mask = (1 << width) - 1
    counts: list[int] = []
    for at in range(length):
        first, shift = divmod(at * width, 8)
        last = (at * width + width + 7) // 8
        counts.append(int.from_bytes(digits[first:last], "little") >> shift & mask)
    return counts
