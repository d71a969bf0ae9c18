"""Histograms that are read back from what was written of them."""

from loadprobe.core.judging.histogram import Histogram, SparseHistogram, bucket_bounds


def from_sparse(sparse: SparseHistogram) -> Histogram:
    """Return the histogram of which ``to_sparse`` gave the plain data."""
    histogram = Histogram()
    for index, count in sparse["buckets"]:
        bucket_bounds(index)
        histogram._counts[index] = count
    histogram.count = sum(histogram._counts.values())
    histogram.sum_ns = sparse["sum_ns"]
    histogram.min_ns = sparse["min_ns"]
    histogram.max_ns = sparse["max_ns"]
    histogram.overflow = sparse["overflow"]
    return histogram
