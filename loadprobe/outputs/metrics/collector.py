"""The catalogue as one collector of ``prometheus_client``.

Whoever has a registry of their own registers it there:

    registry.register(CatalogueCollector(metrics, loop=asyncio.get_running_loop()))

Any thread may collect then: the values are read in the loop that changes them, which
takes a few milliseconds, and made into samples by the thread that asks.
"""

import asyncio
from collections.abc import Iterator, Mapping

from prometheus_client import Metric as Family
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from loadprobe.core.judging.histogram import Histogram
from loadprobe.outputs.metrics.catalogue import BY_NAME, CATALOGUE
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL, Metric, MetricKind
from loadprobe.outputs.metrics.snapshot import Labels, MetricsSnapshot, MetricsSource

_PATIENCE_S = 10.0
"""A loop that does not get to read the values for so long gives none."""


class CatalogueCollector(Collector):
    """Collects every metric of the catalogue that has series.

    Args:
        source: what is read.
        loop: where the source is changed, and read; None: where it is asked for.
    """

    def __init__(
        self, source: MetricsSource, *, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._source = source
        self._loop = loop

    def describe(self) -> Iterator[Family]:
        """Yield every metric without series: a registry wants to know the names."""
        for metric in CATALOGUE:
            make = _histograms if metric.bounds else _values
            yield make(metric, {}, cluster="")

    def collect(self) -> Iterator[Family]:
        """Yield one metric after the other, in the order of the catalogue.

        Raises:
            ValueError: the source names a metric that is not in the catalogue, or gives
                another kind or number of labels: an error of the program.
            TimeoutError: the loop did not get to read the values.
        """
        return families(self._read())

    def _read(self) -> MetricsSnapshot:
        loop = self._loop
        if loop is None or loop.is_closed() or _runs_here(loop):
            return self._source.snapshot()
        return asyncio.run_coroutine_threadsafe(self._take(), loop).result(_PATIENCE_S)

    async def _take(self) -> MetricsSnapshot:
        return self._source.snapshot()


def families(snapshot: MetricsSnapshot) -> Iterator[Family]:
    """Yield the metrics that have series; errors are those of ``collect``."""
    _check(snapshot.values, is_histogram=False)
    _check(snapshot.histograms, is_histogram=True)
    for metric in CATALOGUE:
        if values := snapshot.values.get(metric.name):
            yield _values(metric, values, cluster=snapshot.cluster)
        elif histograms := snapshot.histograms.get(metric.name):
            yield _histograms(metric, histograms, cluster=snapshot.cluster)


def _check(found: Mapping[str, Mapping[Labels, object]], *, is_histogram: bool) -> None:
    for name, series in found.items():
        metric = BY_NAME.get(name)
        if metric is None:
            raise ValueError(f"{name} is not in the metric catalogue")
        if bool(metric.bounds) != is_histogram:
            raise ValueError(f"{name} is a {metric.kind}")
        for labels in series:
            if len(labels) != len(metric.labels):
                raise ValueError(f"{name} has labels {metric.labels}, got {labels}")


def _values(metric: Metric, series: Mapping[Labels, float], *, cluster: str) -> Family:
    is_counter = metric.kind is MetricKind.COUNTER
    make = CounterMetricFamily if is_counter else GaugeMetricFamily
    names = (CLUSTER_LABEL, *metric.labels)
    family = make(metric.full_name, metric.help, labels=names)
    for labels, value in series.items():
        family.add_metric((cluster, *labels), value)
    return family


def _histograms(
    metric: Metric, series: Mapping[Labels, Histogram], *, cluster: str
) -> Family:
    """Return histograms as ``add_metric`` of the library would, but faster."""
    names = (CLUSTER_LABEL, *metric.labels)
    name = metric.full_name
    family = HistogramMetricFamily(name, metric.help, labels=names)
    bucket_name, bounds = f"{name}_bucket", (*metric.bound_texts, "+Inf")
    for labels, histogram in series.items():
        own = dict(zip(names, (cluster, *labels), strict=True))
        counts = (*histogram.cumulative(metric.bounds), histogram.count)
        family.samples += [
            Sample(bucket_name, {**own, "le": bound}, count)
            for bound, count in zip(bounds, counts, strict=True)
        ]
        family.samples += [
            Sample(f"{name}_count", own, histogram.count),
            Sample(f"{name}_sum", own, histogram.sum_ns / metric.scale),
        ]
    return family


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
