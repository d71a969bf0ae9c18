"""Histograms against sorted lists of the same values."""

import math

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.histogram import (
    LIMIT_NS,
    Histogram,
    bucket_bounds,
    bucket_index,
)

VALUES = st.integers(0, 40).flatmap(lambda bits: st.integers(0, (1 << bits) - 1))
LISTS = st.lists(VALUES, min_size=1, max_size=60)


def of(values_ns: list[int]) -> Histogram:
    """Return a histogram of values."""
    histogram = Histogram()
    histogram.record_many(values_ns)
    return histogram


@given(VALUES)
def test_a_value_is_in_its_bucket(value_ns: int) -> None:
    """A value lies in its bucket, which is at most 1/128 of it wide."""
    low, high = bucket_bounds(bucket_index(value_ns))
    assert low <= value_ns <= high
    assert (high - low) * 128 <= low


@given(st.integers(0, 4478))
def test_buckets_are_adjacent(index: int) -> None:
    """The buckets leave no gap and do not overlap."""
    assert bucket_bounds(index)[1] + 1 == bucket_bounds(index + 1)[0]


@given(LISTS, st.floats(0, 1))
def test_quantile_error(values_ns: list[int], q: float) -> None:
    """A quantile is within 1/256 of the sample of its rank."""
    rank = max(math.ceil(q * len(values_ns) - 1e-9), 1)
    true = sorted(values_ns)[rank - 1]
    found = of(values_ns).quantile(q)
    assert found is not None
    assert abs(found - true) <= true / 256


@given(LISTS, st.integers(1, 400))
def test_values_that_come_often(values_ns: list[int], times: int) -> None:
    """Values recorded together are the same as one by one, however often they come."""
    one_by_one = Histogram()
    for value_ns in values_ns * times:
        one_by_one.record(value_ns)
    assert of(values_ns * times) == one_by_one


@given(LISTS, st.integers(0, 60))
def test_merge_of_parts_is_the_whole(values_ns: list[int], at: int) -> None:
    """However values are split and recorded, the merged histogram is the same."""
    merged = of(values_ns[:at])
    one_by_one = Histogram()
    for value in values_ns[at:]:
        one_by_one.record(value)
    merged.merge(one_by_one)
    assert merged == of(values_ns)
    assert merged.sum_ns == sum(values_ns)
    assert (merged.min_ns, merged.max_ns) == (min(values_ns), max(values_ns))


@given(LISTS, st.lists(VALUES, min_size=1, max_size=8))
def test_cumulative_error(values_ns: list[int], bounds_ns: list[int]) -> None:
    """Only values within 1/128 of a bound may be counted on its wrong side."""
    bounds_ns.sort()
    counts = of(values_ns).cumulative(bounds_ns)
    for bound, count in zip(bounds_ns, counts, strict=True):
        slack = bound / 128
        assert sum(v < bound - slack for v in values_ns) <= count
        assert count <= sum(v <= bound + slack for v in values_ns)
    assert counts == sorted(counts)


@given(st.lists(VALUES | st.integers(LIMIT_NS, LIMIT_NS * 8), max_size=30))
def test_plain_data_holds_everything(values_ns: list[int]) -> None:
    """Plain data gives back an equal histogram."""
    assert Histogram.from_sparse(of(values_ns).to_sparse()) == of(values_ns)
