"""The histogram: exact counts, known corners, plain data."""

import random
import tracemalloc

import msgspec
import pytest

from loadprobe.core.judging.histogram import (
    LIMIT_NS,
    Histogram,
    SparseHistogram,
    bucket_bounds,
    bucket_index,
)


def of(*values_ns: int) -> Histogram:
    """Return a histogram of values."""
    histogram = Histogram()
    histogram.record_many(values_ns)
    return histogram


def test_empty() -> None:
    """An empty histogram has no quantile, minimum or maximum."""
    histogram = Histogram()
    assert histogram.count == 0
    assert histogram.sum_ns == 0
    assert histogram.quantile(0.5) is None
    assert (histogram.min_ns, histogram.max_ns) == (None, None)
    assert histogram.cumulative([0, 10]) == [0, 0]
    histogram.record_many([])
    histogram.merge(Histogram())
    assert histogram == Histogram()


@pytest.mark.parametrize(
    ("value_ns", "index", "bounds"),
    [
        (0, 0, (0, 0)),
        (255, 255, (255, 255)),
        (256, 256, (256, 257)),
        (511, 383, (510, 511)),
        (512, 384, (512, 515)),
        (LIMIT_NS - 1, 4479, (LIMIT_NS - (1 << 33), LIMIT_NS - 1)),
    ],
)
def test_buckets(value_ns: int, index: int, bounds: tuple[int, int]) -> None:
    """The corners of the bucket table are where the formula says."""
    assert bucket_index(value_ns) == index
    assert bucket_bounds(index) == bounds


def test_unknown_bucket() -> None:
    """An index outside the table is refused with the range of indexes."""
    with pytest.raises(ValueError, match=r"bucket 4480 does not exist.*0\.\.4479"):
        bucket_bounds(4480)


def test_negative_is_refused_and_leaves_no_trace() -> None:
    """A batch with a negative value is refused as a whole."""
    histogram = of(7)
    with pytest.raises(ValueError, match="-1 ns cannot be recorded"):
        histogram.record_many([5, -1])
    with pytest.raises(ValueError, match="-3 ns cannot be recorded"):
        histogram.record(-3)
    with pytest.raises(ValueError, match="3 ns cannot be recorded 0 times"):
        histogram.record(3, 0)
    assert histogram == of(7)


def test_overflow_is_counted() -> None:
    """Values beyond the range are counted apart; sum and maximum stay exact."""
    histogram = of(1, LIMIT_NS, 5 * LIMIT_NS)
    histogram.record(LIMIT_NS, 2)
    assert histogram.overflow == 4
    assert histogram.count == 5
    assert histogram.max_ns == 5 * LIMIT_NS
    assert histogram.sum_ns == 1 + 8 * LIMIT_NS
    assert histogram.quantile(1.0) == 5 * LIMIT_NS


def test_quantile_ranks() -> None:
    """A quantile is the value of rank ceil(q * count), however q is rounded."""
    histogram = of(*range(100))
    assert histogram.quantile(0.0) == 0
    assert histogram.quantile(0.07) == 6
    assert histogram.quantile(0.5) == 49
    assert histogram.quantile(0.99) == 98
    assert histogram.quantile(1.0) == 99
    with pytest.raises(ValueError, match="no quantile 1.5"):
        histogram.quantile(1.5)


def test_cumulative_is_inclusive() -> None:
    """A value equal to a bound is at or below it."""
    assert of(10, 20, 20, 30).cumulative([9, 10, 20, 29, 1000]) == [0, 1, 3, 3, 4]


def test_plain_data_goes_through_msgspec() -> None:
    """What is read back from encoded plain data is equal in everything."""
    histogram = of(3, 1_000_003, LIMIT_NS + 1)
    encoded = msgspec.json.encode(histogram.to_sparse())
    sparse = msgspec.json.decode(encoded, type=SparseHistogram)
    again = Histogram.from_sparse(sparse)
    assert again == histogram
    assert again.quantile(0.5) == histogram.quantile(0.5)
    assert Histogram.from_sparse(Histogram().to_sparse()) == Histogram()


def test_equality_sees_the_sum() -> None:
    """Histograms with equal buckets but different values are not equal."""
    assert of(256, 256) != of(256, 257)
    assert of(1) != "histogram"
    assert "2 values, 256..257 ns, sum 513 ns" in repr(of(256, 257))


def test_a_copy_stays_as_it_was() -> None:
    """A copy is equal, and neither changes with the other."""
    histogram = of(100, 5_000, LIMIT_NS)
    copy = histogram.copy()
    assert copy == histogram
    assert copy.count == 3
    histogram.record(7)
    assert copy == of(100, 5_000, LIMIT_NS)
    copy.record(8)
    assert histogram == of(100, 5_000, LIMIT_NS, 7)


def test_what_came_since_merges_with_what_was_before() -> None:
    """A copy and what came since then are the whole, to the last count."""
    histogram = Histogram()
    histogram.record_many([5, 900, 1_000_000])
    before = histogram.copy()
    histogram.record_many([3, 900, LIMIT_NS + 1])
    since = histogram.since(before)
    assert since.count == 3
    before.merge(since)
    assert before == histogram
    assert histogram.since(histogram.copy()).count == 0


def spread(values: int, seed: int) -> list[int]:
    """Return values of all lengths from a nanosecond to half an hour."""
    draw = random.Random(seed)
    return [draw.getrandbits(draw.randint(0, 41)) for _ in range(values)]


def test_many_buckets_are_counted_as_few_are() -> None:
    """Counts, quantiles and differences do not depend on how buckets are kept."""
    values = spread(4_000, seed=1)
    expected: dict[int, int] = {}
    for value in values:
        index = bucket_index(value)
        expected[index] = expected.get(index, 0) + 1
    half = of(*values[:2_000])
    before = half.copy()
    whole = half
    whole.merge(of(*values[2_000:]))
    one_by_one = Histogram()
    for value in values:
        one_by_one.record(value)
    assert whole.to_sparse()["buckets"] == [
        list(row) for row in sorted(expected.items())
    ]
    assert whole == one_by_one == Histogram.from_sparse(whole.to_sparse())
    assert before == of(*values[:2_000])  # a copy does not change with the other
    before.merge(whole.since(before))
    assert before == whole
    few = of(*values[:10])
    few.merge(whole)
    whole.merge(of(*values[:10]))
    assert few == whole
    bounds = [0, 1, 255, 300, 10**6, 10**9, LIMIT_NS]
    counted = [sum(value <= bound for value in values) for bound in bounds]
    for at, bound in zip(before.cumulative(bounds), counted, strict=True):
        assert at == pytest.approx(bound, abs=20)  # of one bucket
    assert whole.cumulative([LIMIT_NS]) == [whole.count]
    middle = sorted([*values, *values[:10]])[whole.count // 2 - 1]
    assert whole.quantile(0.5) == pytest.approx(middle, rel=1 / 128)


def test_memory_of_a_long_run_is_bounded() -> None:
    """However many buckets are filled, and how often, it takes 36 kB and a little."""
    second = of(*spread(20_000, seed=2))
    histograms = [Histogram() for _ in range(3)]
    tracemalloc.start()
    for histogram in histograms:
        histogram.merge(second)
        histogram.merge(second)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(histograms[0].to_sparse()["buckets"]) > 3_000
    assert taken < len(histograms) * 45_000


@pytest.mark.parametrize("count", [-1, 0, 1 << 60])
def test_counts_that_cannot_be(count: int) -> None:
    """Plain data with an impossible count is refused."""
    sparse = of(1, 2).to_sparse()
    sparse["buckets"][0][1] = count
    with pytest.raises(ValueError, match="a bucket holds 1 to"):
        Histogram.from_sparse(sparse)


@pytest.mark.parametrize("buckets", [3, 1_000])
def test_what_was_merged_stays_as_it_was(buckets: int) -> None:
    """An empty histogram that takes another one's values shares nothing with it."""
    one = Histogram()
    one.record_many([value * 1_000 for value in range(1, buckets + 1)])
    before = one.copy()
    merged = Histogram()
    merged.merge(one)
    assert merged == one
    merged.merge(one)
    assert merged.count == 2 * buckets
    assert one == before
