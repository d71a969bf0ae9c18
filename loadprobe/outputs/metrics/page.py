"""The page ``/metrics``: values that were counted elsewhere, written out.

Nothing is counted here and no state is kept between scrapes: a source is read, its
values are checked against the catalogue and written out.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from loadprobe.core.judging.histogram import Histogram
from loadprobe.outputs.metrics.catalogue import BY_NAME, CATALOGUE, Metric, MetricKind
from loadprobe.outputs.metrics.exposition import (
    Format,
    choose_format,
    header,
    histogram_lines,
    label_set,
)


class Value(NamedTuple):
    """One counter or gauge series: its metric (no prefix), label values and value."""

    metric: str
    labels: tuple[str, ...]
    value: float


class Distribution(NamedTuple):
    """One histogram series: its metric (no prefix), label values and histogram."""

    metric: str
    labels: tuple[str, ...]
    histogram: Histogram


class MetricsSource(Protocol):
    """What a scrape reads; label values are in the order of the catalogue."""

    @property
    def cluster(self) -> str:
        """Return the name of the target, which every series carries."""
        ...

    def values(self) -> Iterable[Value]:
        """Return all counters and gauges."""
        ...

    def distributions(self) -> Iterable[Distribution]:
        """Return all histograms."""
        ...


def make_renderer(source: MetricsSource) -> Callable[[str], tuple[bytes, str]]:
    """Return a function from an Accept header to (body, content type)."""

    def render(accept: str) -> tuple[bytes, str]:
        form = choose_format(accept)
        return render_page(source, form).encode(), form.value

    return render


def render_page(source: MetricsSource, form: Format) -> str:
    """Return all metrics that have series, in the order of the catalogue.

    Raises:
        ValueError: the source names a metric that is not in the catalogue, or gives
            another kind or number of labels: an error of the program.
    """
    found: dict[str, list[Value | Distribution]] = {}
    for value in source.values():
        found.setdefault(value.metric, []).append(value)
    for distribution in source.distributions():
        found.setdefault(distribution.metric, []).append(distribution)
    unknown = found.keys() - BY_NAME.keys()
    if unknown:
        raise ValueError(f"not in the metric catalogue: {sorted(unknown)}")
    parts: list[str] = []
    for metric in CATALOGUE:
        series = found.get(metric.name)
        if series is not None:
            parts.append(header(metric, form))
            parts += (_lines(metric, source.cluster, one) for one in series)
    return "".join([*parts, form.end])


def _lines(metric: Metric, cluster: str, series: Value | Distribution) -> str:
    labels = label_set(metric, cluster, series.labels)
    is_histogram = metric.kind is MetricKind.HISTOGRAM
    if isinstance(series, Value):
        if is_histogram:
            raise ValueError(f"{metric.name} is a histogram, not a value")
        return f"{metric.full_name}{{{labels}}} {series.value!r}\n"
    if not is_histogram:
        raise ValueError(f"{metric.name} is a {metric.kind}, not a histogram")
    name, histogram = metric.full_name, series.histogram
    counts = histogram.cumulative(metric.bounds)
    return (
        histogram_lines(name, labels, metric.bound_texts, counts, total=histogram.count)
        + f"{name}_sum{{{labels}}} {histogram.sum_ns / metric.scale!r}\n"
    )
