"""Log-linear latency histograms that merge exactly.

Pure. Values are whole nanoseconds. Below 256 ns every value has its own bucket; above,
every power of two is cut into 128 buckets of equal width.

Error bound: a bucket of width ``w = 2**s`` begins at ``low >= 128 * w`` and holds the
values up to ``low + w - 1``. Its midpoint stands for all of them, so a quantile is off
by less than ``w / 2 / (128 * w) = 1 / 256`` (0.4 %) of the true sample.
Counts, sum, minimum and maximum are exact, whatever was merged.
"""

import math
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, compress, repeat
from operator import mul, rshift
from typing import TypedDict, cast

_SUB_BITS = 7
_TOP_BITS = 41
_SAMPLE = 256
_MOST_SPARSE = 400
"""With more buckets than these a dict takes more memory than an array of them all."""

_LAST_INDEX = ((_TOP_BITS - 8) << _SUB_BITS) + 255
_MOST = 1 << 50
_INDEXES = range(_LAST_INDEX + 1)

LIMIT_NS = 1 << _TOP_BITS
"""Values from here on (36 minutes) share the last bucket and count as overflow."""


class SparseHistogram(TypedDict):
    """A histogram as plain data.

    ``buckets``: [index, count] of every bucket that is not empty, by index. ``min_ns``
    and ``max_ns`` are None when there are no values.
    """

    sum_ns: int
    min_ns: int | None
    max_ns: int | None
    overflow: int
    buckets: list[list[int]]


def bucket_index(value_ns: int) -> int:
    """Return the index of the bucket that holds a value.

    Raises:
        ValueError: the value is negative.
    """
    if value_ns < 256:
        if value_ns < 0:
            raise ValueError(
                f"a latency of {value_ns} ns cannot be recorded: times run forwards"
            )
        return value_ns
    if value_ns >= LIMIT_NS:
        return _LAST_INDEX
    shift = value_ns.bit_length() - 8
    return (shift << _SUB_BITS) + (value_ns >> shift)


def bucket_bounds(index: int) -> tuple[int, int]:
    """Return the lowest and the highest value of a bucket, in ns, both inclusive.

    Raises:
        ValueError: there is no such bucket.
    """
    if not 0 <= index <= _LAST_INDEX:
        raise ValueError(f"bucket {index} does not exist; buckets are 0..{_LAST_INDEX}")
    if index < 256:
        return index, index
    shift = (index >> _SUB_BITS) - 1
    low = (index - (shift << _SUB_BITS)) << shift
    return low, low + (1 << shift) - 1


def _midpoint(index: int) -> float:
    low, high = bucket_bounds(index)
    return (low + high) / 2


@lru_cache(maxsize=64)
def _within(bounds_ns: tuple[int, ...]) -> tuple[int, ...]:
    """Return for each bound the last bucket whose midpoint is not above it."""
    indexes = [bucket_index(bound) for bound in bounds_ns]
    return tuple(
        index if _midpoint(index) <= bound else index - 1
        for index, bound in zip(indexes, bounds_ns, strict=True)
    )


class Histogram:
    """Counts of values in ns.

    The counts are kept in a dict: the latencies of one second fall into a few hundred
    of the 4480 buckets, for which a dict takes a quarter of the memory of a list, and
    its C code counts a whole batch at once. Those of a run fall into ever more, at some
    90 bytes for each; so from ``_MOST_SPARSE`` on it is an array of all buckets, which
    takes 36 kB and no more.
    """

    __slots__ = ("_counts", "count", "max_ns", "min_ns", "overflow", "sum_ns")

    def __init__(self) -> None:
        self._counts: Counter[int] | array[int] = Counter()
        self.count = 0
        self.sum_ns = 0
        self.overflow = 0
        self.min_ns: int | None = None
        self.max_ns: int | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self.to_sparse() == other.to_sparse()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"<Histogram {self.count} values, {self.min_ns}..{self.max_ns} ns, "
            f"sum {self.sum_ns} ns>"
        )

    def record(self, value_ns: int, count: int = 1) -> None:
        """Count a value.

        Args:
            value_ns: not negative.
            count: how often, at least once.

        Raises:
            ValueError: the value is negative, or the count below one.
        """
        if count < 1:
            raise ValueError(f"{value_ns} ns cannot be recorded {count} times")
        self._counts[bucket_index(value_ns)] += count
        self._widen(value_ns, value_ns)
        self.count += count
        self.sum_ns += value_ns * count
        if value_ns >= LIMIT_NS:
            self.overflow += count
        self._be_small()

    def record_many(self, values_ns: Iterable[int]) -> None:
        """Count every value once; all or, if one is negative, none.

        Raises:
            ValueError: a value is negative.
        """
        values = values_ns if isinstance(values_ns, list) else list(values_ns)
        if not values:
            return
        # Replies that are read together, of commands that were sent together, took
        # equally long: then there are few values, and they are counted first.
        sample = values[:_SAMPLE]
        is_repeated = len(set(sample)) <= len(sample) // 4
        counted = Counter(values) if is_repeated else None
        known = values if counted is None else counted
        low, high = min(known), max(known)
        if low < 0:
            bucket_index(low)  # raises
        if high >= LIMIT_NS:
            self.overflow += sum(value >= LIMIT_NS for value in values)
        # No bucket is narrower than that of the lowest value, so values that only
        # differ by less are counted as one, in C, and their buckets are found once.
        shift = max(0, low.bit_length() - _SUB_BITS - 1)
        parts = Counter[int]()
        if counted is None:
            parts.update(map(rshift, values, repeat(shift)))
            self.sum_ns += sum(values)
        else:
            for value, count in counted.items():
                parts[value >> shift] += count
            self.sum_ns += sum(map(mul, counted, counted.values()))
        counts = self._counts
        for part, count in parts.items():
            counts[bucket_index(part << shift)] += count
        self._widen(low, high)
        self.count += len(values)
        self._be_small()

    def merge(self, other: "Histogram") -> None:
        """Add all values of another histogram."""
        if other.min_ns is None or other.max_ns is None:
            return
        if self.min_ns is None:
            self._counts = other.copy()._counts  # noqa: SLF001 - its own kind
        else:
            self._add(other._filled())  # noqa: SLF001 - as above
        self._widen(other.min_ns, other.max_ns)
        self.count += other.count
        self.sum_ns += other.sum_ns
        self.overflow += other.overflow

    def copy(self) -> "Histogram":
        """Return one that does not change with this one."""
        other = Histogram()
        counts = self._counts
        other._counts = counts.copy() if isinstance(counts, Counter) else counts[:]
        other.count = self.count
        other.sum_ns = self.sum_ns
        other.overflow = self.overflow
        other.min_ns = self.min_ns
        other.max_ns = self.max_ns
        return other

    def since(self, earlier: "Histogram") -> "Histogram":
        """Return the values that came since an earlier copy, to be merged with it.

        Minimum and maximum are those of all values: more is not known, and merging
        the two gives this one again.
        """
        other = Histogram()
        before = earlier._counts  # noqa: SLF001 - as in merge
        other._counts = Counter(
            {i: n - before[i] for i, n in self._filled() if n != before[i]}
        )
        other._be_small()
        other.count = self.count - earlier.count
        other.sum_ns = self.sum_ns - earlier.sum_ns
        other.overflow = self.overflow - earlier.overflow
        other.min_ns, other.max_ns = self.min_ns, self.max_ns
        return other

    def quantile(self, q: float) -> float | None:
        """Return the value of rank ``ceil(q * count)``, in ns.

        The first and the last rank are exact, any other is the midpoint of its bucket
        within [min, max]; ranks in the overflow bucket are known only to lie between
        ``LIMIT_NS`` and the maximum.

        Args:
            q: from 0 to 1.

        Returns:
            The quantile, or None when there are no values.

        Raises:
            ValueError: q is not from 0 to 1.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"there is no quantile {q}; give one from 0 to 1")
        if self.min_ns is None or self.max_ns is None:
            return None
        # The small difference: 0.07 * 100 is 7.000000000000001 and means rank 7.
        rank = math.ceil(q * self.count - 1e-9)
        if rank <= 1:
            return float(self.min_ns)
        if rank >= self.count:
            return float(self.max_ns)
        below = 0
        for index, count in sorted(self._filled()):
            below += count
            if below >= rank:
                return min(max(_midpoint(index), self.min_ns), self.max_ns)
        raise AssertionError("the counts do not add up to count")

    def cumulative(self, bounds_ns: Sequence[int]) -> list[int]:
        """Return how many values are at or below each bound.

        A bucket counts as a whole, by its midpoint: a value closer to a bound than
        1/128 of it (one bucket) may be counted on the wrong side.

        Args:
            bounds_ns: inclusive upper bounds, ascending.

        Returns:
            One count per bound; they do not decrease.
        """
        counts = self._counts
        if not isinstance(counts, Counter):
            totals = list(accumulate(counts))
            return [totals[i] for i in _within(tuple(bounds_ns))]
        indexes = sorted(counts)
        totals = [0, *accumulate(counts[index] for index in indexes)]
        return [totals[bisect_right(indexes, i)] for i in _within(tuple(bounds_ns))]

    def to_sparse(self) -> SparseHistogram:
        """Return plain data that msgspec and JSON can encode."""
        return {
            "sum_ns": self.sum_ns,
            "min_ns": self.min_ns,
            "max_ns": self.max_ns,
            "overflow": self.overflow,
            "buckets": [list(bucket) for bucket in sorted(self._filled())],
        }

    @classmethod
    def from_sparse(cls, sparse: SparseHistogram) -> "Histogram":
        """Return the histogram that ``to_sparse`` made this from.

        Raises:
            ValueError: there is no such histogram.
        """
        new = cls()
        counts = dict(cast("list[tuple[int, int]]", sparse["buckets"]))
        for index in (min(counts), max(counts)) if counts else ():
            bucket_bounds(index)  # raises
        if counts and not 0 < min(counts.values()) <= max(counts.values()) <= _MOST:
            raise ValueError(f"a bucket holds 1 to {_MOST} values")
        new._add(counts.items())
        new.count = sum(counts.values())
        new.sum_ns, new.overflow = sparse["sum_ns"], sparse["overflow"]
        new.min_ns, new.max_ns = sparse["min_ns"], sparse["max_ns"]
        return new

    def _filled(self) -> Iterable[tuple[int, int]]:
        """Return the index and the count of every bucket that is not empty."""
        counts = self._counts
        if isinstance(counts, Counter):
            return counts.items()
        return zip(compress(_INDEXES, counts), filter(None, counts), strict=True)

    def _add(self, filled: Iterable[tuple[int, int]]) -> None:
        """Count what another histogram has, bucket by bucket."""
        counts = self._counts
        if isinstance(counts, Counter) and not counts:
            counts.update(dict(filled))
        else:
            for index, count in filled:
                counts[index] += count
        self._be_small()

    def _be_small(self) -> None:
        """Keep many buckets in an array."""
        counts = self._counts
        if isinstance(counts, Counter) and len(counts) > _MOST_SPARSE:
            self._counts = array("q", bytes(8 * len(_INDEXES)))
            for index, count in counts.items():
                self._counts[index] = count

    def _widen(self, low_ns: int, high_ns: int) -> None:
        if self.min_ns is None or low_ns < self.min_ns:
            self.min_ns = low_ns
        if self.max_ns is None or high_ns > self.max_ns:
            self.max_ns = high_ns
