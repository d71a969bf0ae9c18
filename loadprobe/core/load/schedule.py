"""When every arrival is due: computed from its index, never from the one before.

Pure. A due time is an offset in ns from the start of the schedule, the same in every
process, so slices need no exchange and a process that starts late joins the same
schedule. No rounding accumulates: the billionth arrival is as exact as the first.
Randomness comes from own generators, seeded by name, so a run can be repeated.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from random import Random
from typing import Literal, Protocol

from loadprobe.clock import NS_PER_S

POISSON_BLOCK = 512
"""Arrivals of a block of ``PoissonSchedule``."""


class Schedule(Protocol):
    """An endless sequence of due times."""

    def due_offsets(
        self, slice_index: int, slice_count: int, *, from_offset_ns: int = 0
    ) -> Iterator[tuple[int, int]]:
        """Yield (arrival index, due offset in ns), by index, for ever.

        Args:
            slice_index: yields the indexes that are ``slice_index`` modulo the count.
            slice_count: into how many slices the schedule is divided.
            from_offset_ns: leaves out what is due before.
        """


def make_schedule(
    kind: Literal["constant", "ramp", "poisson"],
    *,
    rate_per_s: float,
    ramp_from_per_s: float | None = None,
    ramp_s: float | None = None,
    seed: int | str = 0,
) -> Schedule:
    """Return the schedule of a lane.

    Args:
        kind: which one.
        rate_per_s: arrivals per second (of a ramp: at its end and after it).
        ramp_from_per_s: a ramp's first rate.
        ramp_s: a ramp's length.
        seed: names the random sequence of "poisson".

    Raises:
        ValueError: a rate or length is missing or impossible.
    """
    if kind == "constant":
        return ConstantSchedule(rate_per_s)
    if kind == "poisson":
        return PoissonSchedule(rate_per_s, seed)
    if ramp_from_per_s is None or ramp_s is None:
        raise ValueError("a ramp needs ramp_from_per_s and ramp_s")
    return RampSchedule(ramp_from_per_s, rate_per_s, ramp_s)


class ConstantSchedule:
    """Arrivals at equal distances.

    Args:
        rate_per_s: above 0; taken as the decimal number it is written as, so a rate of
            0.1 is exactly one in ten seconds.
    """

    def __init__(self, rate_per_s: float) -> None:
        period_ns = NS_PER_S / _rate(rate_per_s)
        self._numerator = period_ns.numerator
        self._denominator = period_ns.denominator

    def due_ns(self, index: int) -> int:
        """Return the due offset of an arrival: index x period, rounded down."""
        return index * self._numerator // self._denominator

    def due_offsets(
        self, slice_index: int, slice_count: int, *, from_offset_ns: int = 0
    ) -> Iterator[tuple[int, int]]:
        """Yield (index, due offset); see ``Schedule``."""
        numerator, denominator = self._numerator, self._denominator
        # floor(index * period) >= from  <=>  index >= from / period
        index = max(-(-from_offset_ns * denominator // numerator), 0)
        index = _align(index, slice_index, slice_count)
        while True:
            yield index, index * numerator // denominator
            index += slice_count


class RampSchedule:
    """A rate that changes linearly, then stays.

    With rate ``a + (b - a) t / R`` the number of arrivals until ``t`` is
    ``a t + (b - a) t^2 / 2R``; arrival i is due where that is i, which is
    ``t = 2i / (a + sqrt(a^2 + 2i (b - a) / R))`` (this form of the root also holds for
    a = 0, a = b and downward ramps). After the ramp distances are equal and exact.

    Args:
        from_per_s: rate at the start, 0 or above.
        to_per_s: rate at the end of the ramp and after it, above 0.
        ramp_s: length of the ramp, above 0.
    """

    def __init__(self, from_per_s: float, to_per_s: float, ramp_s: float) -> None:
        if not (from_per_s >= 0 and math.isfinite(from_per_s)):
            raise ValueError(f"a ramp cannot start at {from_per_s} arrivals per second")
        if not (ramp_s > 0 and math.isfinite(ramp_s)):
            raise ValueError(f"a ramp of {ramp_s} s has no length; give more than 0")
        start, end, length = _exact(from_per_s), _rate(to_per_s), _exact(ramp_s)
        self._from_per_s = from_per_s
        self._square = from_per_s * from_per_s
        self._twice_slope = float(2 * (end - start) / length)
        in_ramp = (start + end) * length / 2
        self._in_ramp = math.ceil(in_ramp)
        # After the ramp, due = R + (i - in_ramp) / b, as (i * factor + offset) // unit.
        after = length * NS_PER_S - in_ramp * NS_PER_S / end
        period = NS_PER_S / end
        self._unit = math.lcm(after.denominator, period.denominator)
        self._factor = int(period * self._unit)
        self._offset = int(after * self._unit)

    def due_ns(self, index: int) -> int:
        """Return the due offset of an arrival."""
        if index >= self._in_ramp:
            return (index * self._factor + self._offset) // self._unit
        if index == 0:
            return 0
        # Rounding may put the root of a downward ramp a hair below zero.
        root = math.sqrt(max(self._square + index * self._twice_slope, 0.0))
        return int(2e9 * index / (self._from_per_s + root))

    def due_offsets(
        self, slice_index: int, slice_count: int, *, from_offset_ns: int = 0
    ) -> Iterator[tuple[int, int]]:
        """Yield (index, due offset); see ``Schedule``."""
        due_ns = self.due_ns
        index = _align(_first_index(due_ns, from_offset_ns), slice_index, slice_count)
        while index < self._in_ramp:
            yield index, due_ns(index)
            index += slice_count
        factor, offset, unit = self._factor, self._offset, self._unit
        while True:
            yield index, (index * factor + offset) // unit
            index += slice_count


class PoissonSchedule:
    """Arrivals at random, as from many users who do not know of each other.

    Time is cut into blocks of the length in which ``POISSON_BLOCK`` arrivals are
    expected; in each, exactly as many are placed independently and uniformly. That is
    a Poisson process of which the counts of whole blocks are known: distances are
    exponential for all practical purposes, while the average rate is exact and any
    block can be had without those before it.

    Args:
        rate_per_s: above 0.
        seed: names the sequence; the same in every slice.
    """

    def __init__(self, rate_per_s: float, seed: int | str = 0) -> None:
        self._blocks = ConstantSchedule(rate_per_s)
        self._seed = seed
        # Searching and slicing ask for the same block again and again.
        self._block = lru_cache(maxsize=2)(self._make_block)

    def due_ns(self, index: int) -> int:
        """Return the due offset of an arrival."""
        block, place = divmod(index, POISSON_BLOCK)
        return self._block(block)[place]

    def due_offsets(
        self, slice_index: int, slice_count: int, *, from_offset_ns: int = 0
    ) -> Iterator[tuple[int, int]]:
        """Yield (index, due offset); see ``Schedule``."""
        first = _first_index(
            lambda block: self._blocks.due_ns((block + 1) * POISSON_BLOCK),
            from_offset_ns,
        )
        index = first * POISSON_BLOCK
        while self.due_ns(index) < from_offset_ns:
            index += 1
        index = _align(index, slice_index, slice_count)
        while True:
            block, place = divmod(index, POISSON_BLOCK)
            for due in islice(self._block(block), place, None, slice_count):
                yield index, due
                index += slice_count

    def _make_block(self, block: int) -> list[int]:
        """Return the sorted due offsets of a block."""
        start = self._blocks.due_ns(block * POISSON_BLOCK)
        length = self._blocks.due_ns((block + 1) * POISSON_BLOCK) - start
        # Seeding with a text hashes it, so blocks are unrelated, and the same in every
        # process (PYTHONHASHSEED plays no part). Not for secrets.
        draw = Random(f"{self._seed}/{block}").random  # noqa: S311
        places = sorted([draw() for _ in range(POISSON_BLOCK)])
        return [start + int(place * length) for place in places]


def _exact(number: float) -> Fraction:
    return Fraction(str(number))


def _rate(rate_per_s: float) -> Fraction:
    if not (rate_per_s > 0 and math.isfinite(rate_per_s)):
        raise ValueError(f"a rate of {rate_per_s} arrivals per second is not above 0")
    return _exact(rate_per_s)


def _align(index: int, slice_index: int, slice_count: int) -> int:
    """Return the first index of a slice that is not below ``index``."""
    if not 0 <= slice_index < slice_count:
        raise ValueError(f"there is no slice {slice_index} of {slice_count}")
    return index + (slice_index - index) % slice_count


def _first_index(due_ns: Callable[[int], int], from_offset_ns: int) -> int:
    """Return the first index due at ``from_offset_ns`` or later."""
    high = 1
    while due_ns(high) < from_offset_ns:
        high *= 2
    return bisect_left(range(high), from_offset_ns, key=due_ns)
