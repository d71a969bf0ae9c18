"""Prometheus exposition: a collector over values that were counted elsewhere.

Nothing is counted here and no state is kept between scrapes: a source is read, its
values are checked against the catalogue and written out. It runs in the supervisor
only, since encoding takes tens of milliseconds.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, assert_never

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.openmetrics import exposition as openmetrics

from loadprobe.clock import NS_PER_S
from loadprobe.core.histogram import Histogram
from loadprobe.outputs.catalogue import (
    BY_NAME,
    CATALOGUE,
    CLUSTER_LABEL,
    Metric,
    MetricKind,
)

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


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


class SourceCollector:
    """Reads a source at every scrape.

    Metrics without any series are left out; the others come in catalogue order.
    """

    def __init__(self, source: MetricsSource) -> None:
        self._source = source

    def collect(self) -> Iterator[Family]:
        """Yield one family per metric that has series.

        Raises:
            ValueError: the source names a metric that is not in the catalogue, or
                gives another number of labels: an error of the program.
        """
        values: dict[str, list[Value]] = {}
        for value in self._source.values():
            values.setdefault(value.metric, []).append(value)
        distributions: dict[str, list[Distribution]] = {}
        for distribution in self._source.distributions():
            distributions.setdefault(distribution.metric, []).append(distribution)
        unknown = (values.keys() | distributions.keys()) - BY_NAME.keys()
        if unknown:
            raise ValueError(f"not in the metric catalogue: {sorted(unknown)}")
        cluster = self._source.cluster
        for metric in CATALOGUE:
            if metric.name in values:
                yield _value_family(metric, cluster, values[metric.name])
            elif metric.name in distributions:
                yield _histogram_family(metric, cluster, distributions[metric.name])


def _value_family(metric: Metric, cluster: str, values: list[Value]) -> Family:
    labels = (CLUSTER_LABEL, *metric.labels)
    family: CounterMetricFamily | GaugeMetricFamily
    match metric.kind:
        case MetricKind.COUNTER:
            family = CounterMetricFamily(metric.full_name, metric.help, labels=labels)
        case MetricKind.GAUGE:
            family = GaugeMetricFamily(metric.full_name, metric.help, labels=labels)
        case MetricKind.HISTOGRAM:
            raise ValueError(f"{metric.name} is a histogram, not a value")
        case _:
            assert_never(metric.kind)
    for value in values:
        _check_labels(metric, value.labels)
        family.add_metric((cluster, *value.labels), value.value)
    return family


def _histogram_family(
    metric: Metric, cluster: str, distributions: list[Distribution]
) -> Family:
    if metric.kind is not MetricKind.HISTOGRAM:
        raise ValueError(f"{metric.name} is a {metric.kind}, not a histogram")
    bounds = [repr(bound / NS_PER_S) for bound in metric.bounds_ns]
    family = HistogramMetricFamily(
        metric.full_name, metric.help, labels=(CLUSTER_LABEL, *metric.labels)
    )
    for _, labels, histogram in distributions:
        _check_labels(metric, labels)
        counts = [float(n) for n in histogram.cumulative(metric.bounds_ns)]
        buckets = [*zip(bounds, counts, strict=True), ("+Inf", float(histogram.count))]
        family.add_metric((cluster, *labels), buckets, histogram.sum_ns / NS_PER_S)
    return family


def _check_labels(metric: Metric, labels: tuple[str, ...]) -> None:
    if len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has labels {metric.labels}, got {labels}")


def make_renderer(source: MetricsSource) -> Callable[[str], tuple[bytes, str]]:
    """Return a function from an Accept header to (body, content type)."""
    registry = CollectorRegistry(auto_describe=False)
    collector = SourceCollector(source)

    class _Adapter:
        """Registered without a first collection: the source may not be ready yet."""

        def describe(self) -> Iterable[Family]:
            return ()

        def collect(self) -> Iterable[Family]:
            return collector.collect()

    registry.register(_Adapter())

    def render(accept: str) -> tuple[bytes, str]:
        if accepts_openmetrics(accept):
            body: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
            return body, OPENMETRICS_TYPE
        return exposition.generate_latest(registry), TEXT_TYPE

    return render


def accepts_openmetrics(accept: str) -> bool:
    """Tell whether an Accept header prefers OpenMetrics 1.0 to plain text.

    Decided here rather than by the client library, which raises on a malformed
    version. Whatever cannot be understood gets plain text, which everyone reads.
    """
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.split(","):
        media_type, *raw = (part.strip().lower() for part in item.split(";"))
        if media_type not in weights:
            continue
        parameters = dict(part.partition("=")[::2] for part in raw)
        version = parameters.get("version", "1.0.0")
        if media_type != "text/plain" and version not in ("0.0.1", "1.0.0"):
            continue
        weight = _weight(parameters.get("q", "1"))
        weights[media_type] = max(weights[media_type], weight)
    return weights["application/openmetrics-text"] > 0.0 and (
        weights["application/openmetrics-text"] >= weights["text/plain"]
    )


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
