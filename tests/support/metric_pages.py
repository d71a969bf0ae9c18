"""Sources of metrics, the pages made from them, and what can be read there."""

import asyncio
from array import array
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from loadprobe.clock import ClockPair
from loadprobe.core.events import RoleChanged
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.ms_log import MsLog, MsWindow
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.metrics.catalogue import CATALOGUE
from loadprobe.outputs.metrics.collector import CatalogueCollector
from loadprobe.outputs.metrics.page import make_renderer
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.outputs.metrics.snapshot import Labels, MetricsSnapshot, MetricsSource
from tests.support.events import phase, provider_told

BASE_S = 1_767_323_045
MS = 1_000_000
S = 1_000 * MS


@dataclass(slots=True)
class FixedSource:
    """A source with given series."""

    values: dict[str, dict[Labels, float]] = field(default_factory=dict)
    histograms: dict[str, dict[Labels, Histogram]] = field(default_factory=dict)

    def snapshot(self) -> MetricsSnapshot:
        """Return the given series."""
        return MetricsSnapshot("c", self.values, self.histograms)


def make_metrics(*planned: Planned) -> RunMetrics:
    """Return the metrics of a run: 3 s at 1,000/s on two shards, 0002 dark for 1 s."""
    lane = LaneInfo("tls", tls=True, processes=(0,), deadline_ns=250 * MS)
    aggregate = Aggregate([lane])
    aggregate.start_process(0, S)
    blocks: dict[Scope, Block] = {}
    for shard in ("0001", "0002"):
        block = blocks[Scope("tls", shard, OpKind.WRITE)] = Block()
        for ms in range(3000):
            due = S + ms * MS
            if shard == "0002" and 1000 <= ms < 2000:
                row = (due, due, due + MS // 2, Outcome.REFUSED, ErrorClass.CLUSTERDOWN)
                block.add_failure(Failure(*row, due, due + MS // 2))
            else:
                block.add_served(due, due, due + 400_000)
    aggregate.add(0, blocks, watermark_ns=4 * S)
    clock = ClockPair(0, BASE_S * S)
    window = MsWindow(MsLog())
    metrics = RunMetrics(
        "demo",
        aggregate=aggregate,
        clock=clock,
        window=window,
        planned=lambda: planned,
    )
    metrics.show_shards({"0001": 8192, "0002": 8192})
    change = "127.0.0.1:7002 -> 127.0.0.1:7005"
    metrics.take_event(RoleChanged(2 * S, "0002", change))
    sealed = aggregate.seal()
    metrics.take_ended(sealed.closed)
    for outage in sealed.closed:
        metrics.count_outage(outage, cause="shard")
    metrics.set("connections", "tls", "0001", value=100)
    metrics.add("redirects_total", "tls", "0002", "moved", by=2)
    metrics.add("redirects_total", "tls", "0002", "moved")
    metrics.observe("loop_lag_seconds", "0", values_ns=[90_000, 1_500_000, 2 * S])
    metrics.observe("loop_lag_seconds", "0", values_ns=array("q", [90_000]))
    metrics.replace("node_role", {("primary", "0001", "127.0.0.1:7001"): 1})
    metrics.set("run_info", "demo", "failover", "2", "redis 7.0.15", value=1)
    for ms, name in ((990, "api_call"), (1000, "accepted")):
        metrics.take_event(phase(S + ms * MS, name))
    event = provider_told(
        3 * S,
        "completed",
        date_unix_ns=(BASE_S + 2) * S,
        seen_unix_ns=(BASE_S + 3) * S,
        meaning="failover_completed",
    )
    metrics.take_event(event)
    return metrics


def one_of_each() -> FixedSource:
    """Return a source with one series of every metric."""
    source = FixedSource()
    for metric in CATALOGUE:
        labels = tuple(f"value of {label}" for label in metric.labels)
        if metric.bounds:
            histogram = Histogram()
            histogram.record(1_000_000)
            source.histograms[metric.name] = {labels: histogram}
        else:
            source.values[metric.name] = {labels: 1.5}
    return source


def page_of(source: MetricsSource, accept: str = "") -> tuple[bytes, str]:
    """Return the page of a source alone, and its content type."""
    registry = CollectorRegistry()
    registry.register(CatalogueCollector(source))
    return asyncio.run(make_renderer(registry)(accept))


def openmetrics_families(body: bytes) -> list[Family]:
    """Return the families of an OpenMetrics exposition."""
    return list(parse_openmetrics(body.decode()))  # type: ignore[no-untyped-call]


def samples_of(body: bytes) -> list[Sample]:
    """Return the samples of a text exposition."""
    return [x for f in parse_text(body.decode()) for x in f.samples]


class Scrape:
    """The samples of a text exposition, by series."""

    def __init__(self, body: bytes) -> None:
        samples = samples_of(body)
        self.series = {(x.name, frozenset(x.labels.items())): x.value for x in samples}

    def find(self, name: str, **labels: str) -> float | None:
        """Return the value of one series, None if it is not there."""
        return self.series.get((f"loadprobe_{name}", frozenset(labels.items())))
