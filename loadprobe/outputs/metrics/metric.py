"""What a metric is: its name, type, unit, labels and buckets."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from loadprobe.clock import NS_PER_S

PREFIX = "loadprobe_"
CLUSTER_LABEL = "cluster"
SCOPE = ("lane", "shard", "op")
"""Labels of what is told of each scope."""


class MetricKind(StrEnum):
    """The Prometheus type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue.

    Args:
        name: name without prefix; counters end in ``_total``.
        kind: its type.
        unit: "s", "unix s" or "1" (a count or a flag).
        labels: label names after ``cluster``, in order.
        help: one sentence.
        bounds: inclusive upper bounds of a histogram's buckets, ascending, in ns for
            seconds; the bucket ``+Inf`` is implied.
    """

    name: str
    kind: MetricKind
    unit: str
    labels: tuple[str, ...]
    help: str
    bounds: tuple[int, ...] = ()

    @property
    def full_name(self) -> str:
        """Return the name as exported."""
        return PREFIX + self.name

    @property
    def scale(self) -> int:
        """Return how many of what is counted make one of the unit."""
        return 1 if self.unit == "1" else NS_PER_S

    @property
    def bound_texts(self) -> tuple[str, ...]:
        """Return the bounds in the unit, as exported."""
        return _texts(self.bounds, self.scale)


@cache
def _texts(bounds: tuple[int, ...], scale: int) -> tuple[str, ...]:
    return tuple(repr(bound / scale) for bound in bounds)


def counter(name: str, unit: str, labels: tuple[str, ...], text: str) -> Metric:
    """Return the entry of a counter."""
    return Metric(name, MetricKind.COUNTER, unit, labels, text)


def gauge(name: str, unit: str, labels: tuple[str, ...], text: str) -> Metric:
    """Return the entry of a gauge."""
    return Metric(name, MetricKind.GAUGE, unit, labels, text)


def histogram(
    name: str,
    labels: tuple[str, ...],
    text: str,
    bounds: tuple[int, ...],
    *,
    unit: str = "s",
) -> Metric:
    """Return the entry of a histogram, with the bounds of its buckets."""
    return Metric(name, MetricKind.HISTOGRAM, unit, labels, text, bounds)
