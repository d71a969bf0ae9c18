"""When every arrival is due: computed from its index, never from the one before.

Pure. A due time is an offset in ns from the start of the schedule, the same in every
process, so slices need no exchange and a process that starts late joins the same
schedule. No rounding accumulates: the billionth arrival is as exact as the first, also
after the rate has changed (``core.load.pace``). Randomness comes from own generators,
seeded by name, so a run can be repeated.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice, pairwise
from math import gcd
from random import Random
from typing import Literal, Protocol

from loadprobe.core.load.pace import UNIT, Line, Pace

POISSON_BLOCK = 512
"""Arrivals of a block of ``Scattered``."""

Kind = Literal["constant", "ramp", "poisson"]


def first_pace(
    kind: Kind,
    *,
    rate_per_s: float,
    ramp_from_per_s: float | None = None,
    ramp_s: float | None = None,
) -> Pace:
    """Return the pace with which a lane begins.

    Args:
        kind: of its schedule.
        rate_per_s: arrivals per second (of a ramp: at its end and after it).
        ramp_from_per_s: a ramp's first rate.
        ramp_s: a ramp's length.

    Raises:
        ValueError: a rate or length is missing or impossible.
    """
    if kind != "ramp":
        return Pace.steady(rate_per_s)
    if ramp_from_per_s is None or ramp_s is None:
        raise ValueError("a ramp needs ramp_from_per_s and ramp_s")
    if ramp_s == 0:
        raise ValueError(f"a ramp of {ramp_s} s has no length; give more than 0")
    return Pace(0, 0, ramp_from_per_s, rate_per_s, ramp_s)


def make_schedule(
    kind: Kind, paces: Sequence[Pace], *, seed: int | str = 0
) -> "Schedule":
    """Return the schedule of a lane.

    Args:
        kind: which one.
        paces: how its rate goes, in their order; at least one.
        seed: names the random sequence of "poisson".
    """
    return Schedule(Scattered(seed) if kind == "poisson" else Even(), paces)


class Counts(Protocol):
    """At which count (see ``core.load.pace``) each arrival is due."""

    def count(self, index: int) -> int:
        """Return that of an arrival."""

    def first_index(self, count: int) -> int:
        """Return the first arrival that is due at a count or after it."""

    def due(self, line: Line, index: int, step: int) -> Iterator[tuple[int, int]]:
        """Yield (index, due offset) along a straight line of counts, for ever."""


class Even:
    """Arrivals at equal distances, as far as the rate is the same."""

    def count(self, index: int) -> int:
        """Return the count at which an arrival is due."""
        return index * UNIT

    def first_index(self, count: int) -> int:
        """Return the first arrival that is due at a count or after it."""
        return -(-count // UNIT)

    def due(self, line: Line, index: int, step: int) -> Iterator[tuple[int, int]]:
        """Yield (index, due offset) along a straight line of counts, for ever."""
        common = gcd(line.factor * UNIT, line.offset, line.unit)
        factor = line.factor * UNIT // common
        offset, unit = line.offset // common, line.unit // common
        while True:
            yield index, (index * factor + offset) // unit
            index += step


class Scattered:
    """Arrivals at random, as from many users who do not know of each other.

    The count is cut into blocks of ``POISSON_BLOCK`` arrivals; in each, exactly as many
    are placed independently and uniformly. At a steady rate that is a Poisson process
    of which the counts of whole blocks are known: distances are exponential for all
    practical purposes, while the average rate is exact and any block can be had without
    those before it. Where the rate changes it is one of a changing rate.

    Args:
        seed: names the sequence; the same in every slice.
    """

    def __init__(self, seed: int | str = 0) -> None:
        self._seed = seed
        # Searching and slicing ask for the same block again and again.
        self._block = lru_cache(maxsize=2)(self._make_block)

    def count(self, index: int) -> int:
        """Return the count at which an arrival is due."""
        block, place = divmod(index, POISSON_BLOCK)
        return self._block(block)[place]

    def first_index(self, count: int) -> int:
        """Return the first arrival that is due at a count or after it."""
        block = count // (POISSON_BLOCK * UNIT)
        return block * POISSON_BLOCK + bisect_left(self._block(block), count)

    def due(self, line: Line, index: int, step: int) -> Iterator[tuple[int, int]]:
        """Yield (index, due offset) along a straight line of counts, for ever."""
        _, factor, offset, unit = line
        while True:
            block, place = divmod(index, POISSON_BLOCK)
            for count in islice(self._block(block), place, None, step):
                yield index, (count * factor + offset) // unit
                index += step

    def _make_block(self, block: int) -> list[int]:
        """Return the sorted counts of a block."""
        # Seeding with a text hashes it, so blocks are unrelated, and the same in every
        # process (PYTHONHASHSEED plays no part). Not for secrets.
        draw = Random(f"{self._seed}/{block}").random  # noqa: S311
        first, length = block * POISSON_BLOCK * UNIT, POISSON_BLOCK * UNIT
        return sorted([first + int(draw() * length) for _ in range(POISSON_BLOCK)])


class Schedule:
    """An endless sequence of due times.

    Args:
        counts: at which count each arrival is due.
        paces: when each count is reached; each holds until the next one begins.
    """

    def __init__(self, counts: Counts, paces: Sequence[Pace]) -> None:
        self._counts = counts
        self._paces = tuple(paces)
        # Rounding in a ramp may not reach into the next pace.
        ends = [(b.from_count, b.from_ns - 1) for _, b in pairwise(self._paces)]
        self._ends: list[tuple[int, int] | None] = [*ends, None]

    def due_ns(self, index: int) -> int:
        """Return the due offset of an arrival."""
        count = self._counts.count(index)
        for pace, end in zip(self._paces, self._ends, strict=True):
            if end is None:
                return pace.due_ns(count)
            if count < end[0]:
                return min(pace.due_ns(count), end[1])
        raise AssertionError("the last pace has no end")

    def first_index(self, from_offset_ns: int) -> int:
        """Return the first arrival that is due at an offset or after it."""
        pace = self._paces[0]
        for later in self._paces[1:]:
            if later.from_ns <= from_offset_ns:
                pace = later
        count = pace.count_at(max(from_offset_ns, pace.from_ns))
        index = self._counts.first_index(count)
        # Due times in a ramp are rounded by a few ns. Before the first pace is nothing.
        begun = self._counts.first_index(self._paces[0].from_count)
        while index > begun and self.due_ns(index - 1) >= from_offset_ns:
            index -= 1
        while self.due_ns(index) < from_offset_ns:
            index += 1
        return index

    def due_offsets(
        self,
        slice_index: int,
        slice_count: int,
        *,
        from_offset_ns: int = 0,
        from_index: int | None = None,
    ) -> Iterator[tuple[int, int]]:
        """Yield (arrival index, due offset in ns), by index, for ever.

        Args:
            slice_index: yields the indexes that are ``slice_index`` modulo the count.
            slice_count: into how many slices the schedule is divided.
            from_offset_ns: leaves out what is due before.
            from_index: leaves out the indexes before, instead.
        """
        if not 0 <= slice_index < slice_count:
            raise ValueError(f"there is no slice {slice_index} of {slice_count}")
        first = self.first_index(from_offset_ns) if from_index is None else from_index
        index = first + (slice_index - first) % slice_count
        line = self._paces[-1].line
        straight = max(first, self._counts.first_index(line.from_count))
        straight += (slice_index - straight) % slice_count
        before = range(index, straight, slice_count)
        return chain(
            ((i, self.due_ns(i)) for i in before),
            self._counts.due(line, straight, slice_count),
        )
