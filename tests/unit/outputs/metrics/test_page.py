"""The metrics of a run, the catalogue, and the pages made from it."""

import asyncio
import shutil
import subprocess
from array import array
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from loadprobe.clock import ClockPair
from loadprobe.core.events import (
    NodeReached,
    NodeUnreached,
    RoleChanged,
    TunnelBroken,
    TunnelOpened,
    TunnelStalled,
)
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.ms_log import MsLog, MsWindow
from loadprobe.core.judging.ms_samples import MsKind, MsSamples, MsSeries
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.verdict.attribution import Cause
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.metrics.bounds import (
    OUTAGE_BOUNDS_NS,
    RESPONSE_BOUNDS_NS,
    SHARD_BOUNDS_NS,
)
from loadprobe.outputs.metrics.catalogue import CATALOGUE, MILLISECONDS
from loadprobe.outputs.metrics.collector import CatalogueCollector, families
from loadprobe.outputs.metrics.exposition import Format, choose_format
from loadprobe.outputs.metrics.ms_page import render_ms_page
from loadprobe.outputs.metrics.page import make_encoder, make_registry, make_renderer
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.outputs.metrics.snapshot import Labels, MetricsSnapshot, MetricsSource
from loadprobe.outputs.reference import metrics_page
from tests.support.events import phase, provider_told
from tests.support.paths import ROOT

BASE_S = 1_767_323_045
MS = 1_000_000
S = 1_000 * MS
PAGE = ROOT / "docs" / "metrics.md"


@dataclass(slots=True)
class Fixed:
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


def test_run_metrics() -> None:
    """What was judged and counted appears under the names of the catalogue."""
    body, content_type = page_of(make_metrics())
    assert content_type == Format.TEXT.value
    find = partial(Scrape(body).find, cluster="demo")
    dark = partial(find, lane="tls", shard="0002", op="write")
    lit = partial(find, lane="tls", shard="0001", op="write")
    assert dark("operations_total", outcome="served") == 2000
    assert dark("operations_total", outcome="refused") == 1000
    assert dark("operations_total", outcome="wrong") == 0
    errors = {"lane": "tls", "shard": "0002", "class": "clusterdown"}
    assert find("operation_errors_total", **errors) == 1000
    assert dark("observed_time_seconds_total") == 3.0
    assert dark("dark_time_seconds_total") == pytest.approx(1.0, abs=0.0011)
    cells = partial(find, shard="0002")
    assert cells("millisecond_errors_bucket", le="1.0") == 1000
    assert cells("millisecond_errors_sum") == 1000
    assert find("shard_response_seconds_count", shard="0002", op="write") == 2000
    ended = partial(find, lane="tls", op="write")
    assert ended("outage_duration_seconds_count") == 1
    assert ended("outage_duration_seconds_bucket", le="0.5") == 0
    assert ended("outage_duration_seconds_bucket", le="2.0") == 1
    assert find("cells_dropped_total") == 0
    assert find("cluster_slots", shard="0001") == 8192
    assert find("lost_writes_total", lane="tls", shard="0002") == 0
    assert find("role_changes_total", shard="0002", kind="promoted") == 1
    assert find("role_changes_total", shard="0002", kind="left") == 0
    assert lit("dark_time_seconds_total") == 0.0
    assert dark("grey_time_seconds_total") == 0.0
    assert dark("blind_time_seconds_total") == 0.0
    assert dark("outages_total", attribution="shard") == 1
    length_s = dark("outage_seconds_total", attribution="shard")
    assert length_s == pytest.approx(1.0, abs=0.002)
    assert dark("outage_active") == 0
    assert dark("outage_last_start_timestamp_seconds") == pytest.approx(
        BASE_S + 2, abs=0.002
    )
    assert dark("outage_last_end_timestamp_seconds") == pytest.approx(
        BASE_S + 3, abs=0.002
    )
    assert lit("outage_last_end_timestamp_seconds") is None
    assert find("redirects_total", lane="tls", shard="0002", kind="moved") == 3
    failover = partial(find, "controller_phase", operation="failover")
    assert failover(phase="api_call") == 0
    assert failover(phase="accepted") == 1
    completed = find("provider_event_timestamp_seconds", kind="failover_completed")
    assert completed == BASE_S + 2
    lag = partial(find, process="0")
    assert lag("loop_lag_seconds_bucket", le="0.0001") == 2
    assert lag("loop_lag_seconds_bucket", le="1.0") == 3
    assert lag("loop_lag_seconds_bucket", le="+Inf") == 4
    assert lag("loop_lag_seconds_sum") == pytest.approx(2.00168)
    assert find("response_seconds_count", lane="tls", op="write") == 5000


def test_a_snapshot_stays_as_it_was() -> None:
    """A page shows one moment, whatever is counted while it is written."""
    metrics = make_metrics()
    first = metrics.snapshot()
    page = list(families(first))
    metrics.set("connections", "tls", "0001", value=1)
    metrics.add("redirects_total", "tls", "0002", "moved")
    metrics.observe("loop_lag_seconds", "0", values_ns=[MS])
    metrics.replace("node_role", {})
    block = Block()
    block.add_served(4 * S, 4 * S, 4 * S + MS)
    scope = Scope("tls", "0001", OpKind.WRITE)
    metrics._aggregate.add(0, {scope: block}, watermark_ns=6 * S)
    metrics._aggregate.seal()
    assert list(families(first)) == page
    assert len(list(families(metrics.snapshot()))) == len(page) - 1


def test_open_outage() -> None:
    """An outage that is going on is active, with its length so far and no end."""
    lane = LaneInfo("tcp", tls=False, processes=(0,), deadline_ns=250 * MS)
    aggregate = Aggregate([lane])
    aggregate.start_process(0, S)
    block = Block()
    for due in range(S, S + 100 * MS, MS):
        block.add_served(due, due, due + 1000)
    for due in range(S + 100 * MS, S + 600 * MS, MS):
        row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
        block.add_failure(Failure(*row, due, due + 1000))
    scope = Scope("tcp", "0001", OpKind.READ)
    aggregate.add(0, {scope: block}, watermark_ns=S + 600 * MS)
    aggregate.seal()
    metrics = RunMetrics("c", aggregate=aggregate, clock=ClockPair(0, 0))
    scrape = Scrape(page_of(metrics)[0])
    find = partial(scrape.find, cluster="c", lane="tcp", shard="0001", op="read")
    assert find("outage_active") == 1
    assert find("outage_current_seconds") == pytest.approx(0.5, abs=0.002)
    assert find("outage_last_start_timestamp_seconds") == pytest.approx(1.1, abs=0.002)
    assert find("outage_last_end_timestamp_seconds") is None


def test_formats() -> None:
    """Both formats parse, hold the same series, and have no ``_created`` series."""
    metrics = make_metrics()
    text, _ = page_of(metrics, "text/plain")
    accept = "application/openmetrics-text; version=1.0.0"
    openmetrics, content_type = page_of(metrics, accept)
    assert content_type.startswith(Format.OPENMETRICS.value)
    assert openmetrics.endswith(b"# EOF\n")
    assert b"_created" not in text + openmetrics
    plain = {(s.name, *s.labels.items()): s.value for s in samples_of(text)}
    families = openmetrics_families(openmetrics)
    modern = {(s.name, *s.labels.items()): s.value for f in families for s in f.samples}
    assert plain == modern


@pytest.mark.parametrize("form", Format)
def test_a_page_is_what_the_library_writes_by_itself(form: Format) -> None:
    """What is left out to be fast changes no byte of it."""
    registry = CollectorRegistry()
    registry.register(CatalogueCollector(make_metrics()))
    usual, _ = choose_encoder(form.value)
    encode, _ = make_encoder(form)
    assert encode(registry) == usual(registry)


@pytest.mark.parametrize("page", ["metrics", "milliseconds"])
def test_promtool(page: str) -> None:
    """The tool promtool has nothing to say about either page."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on PATH; make prometheus installs it")
    body = page_of_milliseconds(Format.TEXT)
    if page == "metrics":
        registry = make_registry(CatalogueCollector(one_of_each()))
        body, _ = asyncio.run(make_renderer(registry)(""))
    found = subprocess.run(
        [promtool, "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert (found.stdout + found.stderr).decode().splitlines() == []
    assert found.returncode == 0


def test_catalogue_is_sound() -> None:
    """Names are unique and carry their unit; labels are few; bounds ascend."""
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)
    for metric in CATALOGUE:
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert ("_seconds" in metric.name) == metric.unit.endswith("s")
        assert "milliseconds" not in metric.name
        assert not {"key", "worker", "message", "le", "cluster"} & set(metric.labels)
        assert len(metric.labels) <= 4
        assert list(metric.bounds) == sorted(set(metric.bounds))
        assert (metric.kind == "histogram") == bool(metric.bounds)
        if metric.bounds == RESPONSE_BOUNDS_NS:
            assert "shard" not in metric.labels
        assert metric.help.endswith(".")
    assert len(RESPONSE_BOUNDS_NS) == 60
    assert (RESPONSE_BOUNDS_NS[0], RESPONSE_BOUNDS_NS[-1]) == (50_000, 40 * S)
    assert (len(SHARD_BOUNDS_NS), SHARD_BOUNDS_NS[-1]) == (19, 50 * S)
    assert (len(OUTAGE_BOUNDS_NS), OUTAGE_BOUNDS_NS[-1]) == (20, 300 * S)


def test_page() -> None:
    """docs/metrics.md is the catalogue, word for word."""
    assert PAGE.read_text() == metrics_page()


def test_ways_to_the_nodes() -> None:
    """Nodes that are not reached are counted once each; a tunnel is up, or is not."""
    metrics = RunMetrics("c", aggregate=Aggregate([]), clock=ClockPair(0, 0))
    metrics.begin_reach(by_tunnel=True)

    def shown() -> list[float]:
        values = metrics.snapshot().values
        names = ("unreached_nodes", "tunnel_up", "tunnel_breaks_total")
        return [values[name][()] for name in names]

    assert shown() == [0, 1, 0]
    for shard in ("", "0001"):
        metrics.take_event(NodeUnreached(0, "a:1", shard, "no entry", 0.0))
    metrics.take_event(NodeUnreached(0, "b:1", "", "no entry", 0.0))
    metrics.take_event(TunnelBroken(0, "bastion", "closed", 0.0))
    assert shown() == [2, 0, 1]
    metrics.take_event(NodeReached(0, "a:1", is_gone=False))
    metrics.take_event(TunnelOpened(0, "bastion", 5.0))
    assert shown() == [1, 1, 1]
    stalls = metrics.snapshot().values["tunnel_stalls_total"]
    metrics.take_event(TunnelStalled(0, "bastion", 250.0))
    assert (stalls[()], metrics.snapshot().values["tunnel_stalls_total"][()]) == (0, 1)
    assert shown() == [1, 1, 1]


def one_of_each() -> Fixed:
    """Return a source with one series of every metric."""
    source = Fixed()
    for metric in CATALOGUE:
        labels = tuple(f"value of {label}" for label in metric.labels)
        if metric.bounds:
            histogram = Histogram()
            histogram.record(1_000_000)
            source.histograms[metric.name] = {labels: histogram}
        else:
            source.values[metric.name] = {labels: 1.5}
    return source


def test_every_metric_is_exported_as_described() -> None:
    """Each entry of the catalogue gives one family with its type and labels."""
    source = one_of_each()
    body, _ = page_of(source, "application/openmetrics-text")
    families = {f.name: f for f in openmetrics_families(body)}
    assert len(families) == len(CATALOGUE)
    for metric in CATALOGUE:
        family = families[metric.full_name.removesuffix("_total")]
        assert family.type == metric.kind
        assert family.documentation == metric.help
        found = set(family.samples[0].labels) - {"le"}
        assert found == {"cluster", *metric.labels}


def page_of_milliseconds(form: Format) -> bytes:
    """Return a page with all its metrics, every series in two batches."""
    batches: list[MsSamples] = []
    for start in (1000, 2000):
        for kind, metric in zip(MsKind, MILLISECONDS, strict=True):
            labels = tuple(f"a {label}" for label in metric.labels)
            batch = MsSamples(MsSeries(kind, labels))
            for ms in range(start, start + 3):
                batch.add(ms, ms - start)
            batches.append(batch)
    return render_ms_page(batches, form, cluster='a "b"\\', shift_ms=BASE_S * 1000)


def test_page_of_milliseconds() -> None:
    """Both formats hold the same samples at the same times, a series in one piece."""
    text = page_of_milliseconds(Format.TEXT)
    families = openmetrics_families(page_of_milliseconds(Format.OPENMETRICS))
    modern = [s for f in families for s in f.samples]
    plain = samples_of(text)
    assert [f.name for f in families] == [metric.full_name for metric in MILLISECONDS]
    assert [(s.name, s.labels, s.value) for s in plain] == [
        (s.name, s.labels, s.value) for s in modern
    ]
    times = [s.timestamp for s in plain[:6]]
    expected = [BASE_S + ms / 1000 for ms in (1000, 1001, 1002, 2000, 2001, 2002)]
    assert times == pytest.approx(expected)
    assert [float(str(s.timestamp)) for s in modern[:6]] == pytest.approx(expected)
    assert {s.labels["cluster"] for s in plain} == {'a "b"\\'}
    for sample, metric in zip(plain[::6], MILLISECONDS, strict=True):
        assert set(sample.labels) == {"cluster", *metric.labels}


def test_the_dark_time_never_shrinks() -> None:
    """While an outage goes on its certain part counts, and at its end the estimate."""
    lane = LaneInfo("tcp", tls=False, processes=(0,), deadline_ns=250 * MS)
    aggregate = Aggregate([lane])
    aggregate.start_process(0, S)
    metrics = RunMetrics("c", aggregate=aggregate, clock=ClockPair(0, 0))
    scope = Scope("tcp", "0001", OpKind.READ)
    seen: list[float] = []
    for start in range(S, 3 * S, 100 * MS):
        block = Block()
        for due in range(start, start + 100 * MS, 20 * MS):
            if 1300 * MS <= due < 2200 * MS:
                row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                block.add_failure(Failure(*row, due, due + 1000))
            else:
                block.add_served(due, due, due + 1000)
        aggregate.add(0, {scope: block}, watermark_ns=start + 100 * MS)
        aggregate.seal()
        scrape = Scrape(page_of(metrics)[0])
        dark_s = scrape.find(
            "dark_time_seconds_total", cluster="c", lane="tcp", shard="0001", op="read"
        )
        assert dark_s is not None
        seen.append(dark_s)
    assert seen == sorted(seen)
    assert seen[7] == pytest.approx(0.48, abs=0.002)
    assert seen[-1] == pytest.approx(0.9, abs=0.002)


def test_what_is_dark_by_plan_has_series_of_its_own() -> None:
    """At every scrape it is a part of the dark time; only an accident is beside it.

    The lane is dark by plan from 1.3 to 5.3 s, of which 1.5 s are beyond the plan; then
    there is an accident of 0.6 s.
    """
    lane = LaneInfo("tcp", tls=False, processes=(0,), deadline_ns=250 * MS)
    aggregate = Aggregate([lane])
    aggregate.start_process(0, S)
    plans: list[Planned] = []
    metrics = RunMetrics(
        "c",
        aggregate=aggregate,
        clock=ClockPair(0, 0),
        planned=lambda: plans,
    )
    scope = Scope("tcp", "0001", OpKind.READ)
    dark: list[float] = []
    planned: list[float] = []
    going_on: dict[int, tuple[float, float]] = {}
    for start in range(S, 7 * S, 100 * MS):
        end = start + 100 * MS
        # Announced when it begins, and over when it is over.
        plans[:] = [Planned("tcp", 1200 * MS, min(end, 3800 * MS))]
        block = Block()
        for due in range(start, end, 10 * MS):
            if 1300 * MS <= due < 5300 * MS or 6 * S <= due < 6600 * MS:
                row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                block.add_failure(Failure(*row, due, due + 1000))
            else:
                block.add_served(due, due, due + 1000)
        aggregate.add(0, {scope: block}, watermark_ns=end)
        metrics.take_ended(aggregate.seal().closed)
        scrape = Scrape(page_of(metrics)[0])
        find = partial(scrape.find, cluster="c", lane="tcp", shard="0001", op="read")
        dark.append(find("dark_time_seconds_total") or 0.0)
        planned.append(find("planned_dark_seconds_total") or 0.0)
        length_s = find("outage_current_seconds")
        planned_s = find("outage_current_planned_seconds")
        assert length_s is not None
        assert planned_s is not None
        going_on[end // MS] = length_s, planned_s
    assert planned == sorted(planned)
    assert all(part <= whole for part, whole in zip(planned, dark, strict=True))
    in_plan = slice(0, 28)  # until 3.8 s
    assert planned[in_plan] == dark[in_plan]
    assert max(dark[in_plan]) == pytest.approx(2.5, abs=0.02)
    assert planned[-1] == pytest.approx(2.5, abs=0.02)
    assert dark[-1] - planned[-1] == pytest.approx(1.5 + 0.6, abs=0.02)
    assert going_on[1300] == (0, 0)
    for ms in (1400, 3000, 3800, 4700):
        assert going_on[ms][0] == going_on[ms][1] > 0, ms
    length_s, planned_s = going_on[5200]
    assert length_s == pytest.approx(3.9, abs=0.02)
    assert planned_s == pytest.approx(2.5, abs=0.02)
    length_s, planned_s = going_on[6500]
    assert length_s == pytest.approx(0.5, abs=0.02)
    assert planned_s == 0


def test_the_latest_outage_is_the_latest_that_was_not_by_plan() -> None:
    """Darkness by plan after it moves neither its beginning nor its end, open or over.

    Dark from 1.5 to 2 s, by plan from 3 to 5 s, and from 6 to 6.5 s again.
    """
    aggregate = Aggregate([LaneInfo("tcp", False, (0,), 50 * MS)])
    aggregate.start_process(0, S)
    plans = [Planned("tcp", 2900 * MS, 5100 * MS)]
    clock = ClockPair(0, 0)
    metrics = RunMetrics("c", aggregate=aggregate, clock=clock, planned=lambda: plans)
    scope = Scope("tcp", "0001", OpKind.READ)
    dark = [(1500, 2000), (3000, 5000), (6000, 6500)]
    began: dict[int, float | None] = {}
    ended: dict[int, float | None] = {}
    for start in range(S, 7 * S, 100 * MS):
        block = Block()
        for due in range(start, start + 100 * MS, 10 * MS):
            if any(first * MS <= due < last * MS for first, last in dark):
                row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                block.add_failure(Failure(*row, due, due + 1000))
            else:
                block.add_served(due, due, due + 1000)
        aggregate.add(0, {scope: block}, watermark_ns=start + 100 * MS)
        metrics.take_ended(aggregate.seal().closed)
        find = partial(Scrape(page_of(metrics)[0]).find, cluster="c", lane="tcp")
        place = {"shard": "0001", "op": "read"}
        began[start // MS] = find("outage_last_start_timestamp_seconds", **place)
        ended[start // MS] = find("outage_last_end_timestamp_seconds", **place)
    first, last = pytest.approx(1.5, abs=0.02), pytest.approx(2.0, abs=0.02)
    assert ended[1800] is None
    for ms in (1800, 2500, 4000, 5500):
        assert began[ms] == first, ms
    for ms in (2500, 4000, 5500, 6300):
        assert ended[ms] == last, ms
    assert began[6300] == pytest.approx(6.0, abs=0.02)
    assert ended[6900] == pytest.approx(6.5, abs=0.02)


def test_darkness_by_plan_adds_no_rounded_millisecond() -> None:
    """While darkness by plan grows, what is left of all darkness stays as it was."""
    aggregate = Aggregate([LaneInfo("tcp", False, (0,), 50 * MS)])
    aggregate.start_process(0, 0)
    plans: list[Planned] = []
    metrics = RunMetrics(
        "c", aggregate=aggregate, clock=ClockPair(0, 0), planned=lambda: plans
    )
    scope = Scope("tcp", "0001", OpKind.READ)
    left: set[float] = set()
    dues = range(0, 6 * S, 10_370_000)  # no whole milliseconds
    for start in range(0, 6 * S, 100 * MS):
        end = start + 100 * MS
        block = Block()
        for due in (due for due in dues if start <= due < end):
            if S <= due < 1500 * MS or due >= 3 * S:
                row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                block.add_failure(Failure(*row, due, due + 1000))
            else:
                block.add_served(due, due, due + 1000)
        plans[:] = [Planned("tcp", 2900 * MS, end)] if end > 2900 * MS else []
        aggregate.add(0, {scope: block}, watermark_ns=end)
        metrics.take_ended(aggregate.seal().closed)
        find = partial(Scrape(page_of(metrics)[0]).find, cluster="c", lane="tcp")
        whole = find("dark_time_seconds_total", shard="0001", op="read") or 0.0
        planned = find("planned_dark_seconds_total", shard="0001", op="read") or 0.0
        if end > 2 * S:
            left.add(round(whole - planned, 6))
    assert planned > 2.5
    assert len(left) == 1
    assert left.pop() == pytest.approx(0.5, abs=0.02)


def test_a_plan_for_another_shard_excuses_nothing() -> None:
    """Neither does one for another lane."""
    metrics = make_metrics(
        Planned("tls", S, 9 * S, "0001"), Planned("tcp", S, 9 * S, None)
    )
    find = partial(Scrape(page_of(metrics)[0]).find, cluster="demo")
    dark = partial(find, lane="tls", shard="0002", op="write")
    assert dark("planned_dark_seconds_total") == 0
    metrics = make_metrics(Planned("tls", S, 9 * S, "0002"))
    find = partial(Scrape(page_of(metrics)[0]).find, cluster="demo")
    dark = partial(find, lane="tls", shard="0002", op="write")
    assert dark("planned_dark_seconds_total") == dark("dark_time_seconds_total")


def test_cardinality() -> None:
    """Twenty shards on two lanes, each with every outcome, class and cause: bounded."""
    lanes = [
        LaneInfo(name, tls=name == "tls", processes=(0,), deadline_ns=250 * MS)
        for name in ("tcp", "tls")
    ]
    shards = [f"{number:04d}" for number in range(1, 21)]
    aggregate = Aggregate(lanes)
    aggregate.start_process(0, S)
    blocks: dict[Scope, Block] = {}
    errors = [error for error in ErrorClass if error is not ErrorClass.NONE]
    for lane, shard, op in product(("tcp", "tls"), shards, OpKind):
        block = blocks[Scope(lane, shard, op)] = Block()
        for index, error in enumerate(errors):
            due = S + index * 2 * MS
            row = (due, due, due, Outcome.REFUSED, error, due, due)
            block.add_failure(Failure(*row))
            block.add_served(due + MS, due + MS, due + 2 * MS)
    aggregate.add(0, blocks, watermark_ns=4 * S)
    metrics = RunMetrics("c", aggregate=aggregate, clock=ClockPair(0, 0))
    metrics.show_shards(dict.fromkeys(shards, 819))
    for outage, cause in product(aggregate.seal().closed, Cause):
        metrics.count_outage(outage, cause=cause.value)
    for lane, shard in product(("tcp", "tls"), shards):
        metrics.set("connections", lane, shard, value=1)
        for error in errors:
            metrics.add("reconnects_total", lane, shard, error.label)
        for kind in ("moved", "ask"):
            metrics.add("redirects_total", lane, shard, kind)
    for metric in CATALOGUE:
        if metric.bounds and metric.labels in {("lane",), ("process",)}:
            for label in ("0", "1"):
                metrics.observe(metric.name, label, values_ns=[MS])
    body, _ = page_of(metrics)
    count = len(samples_of(body))
    scopes = len(lanes) * len(shards) * len(OpKind)
    assert count < 65 * scopes + 40 * len(lanes) * len(shards) + 1_000


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (Fixed({"invented": {(): 1}}), "not in the metric catalogue"),
        (Fixed({"cluster_shards": {("a",): 1}}), "has labels"),
        (Fixed({"connect_seconds": {("a",): 1}}), "is a histogram"),
        (Fixed({}, {"cluster_shards": {(): Histogram()}}), "is a gauge"),
    ],
)
def test_mistakes_of_the_program(source: Fixed, problem: str) -> None:
    """A series that the catalogue does not know is an error, not a silent series."""
    with pytest.raises(ValueError, match=problem):
        page_of(source)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.9", False),
        ("application/openmetrics-text;version=9.9.9", False),
        ("application/openmetrics-text;version=", False),
        ("application/openmetrics-text;version=x.y", False),
        ("application/openmetrics-text;q=often", False),
        (";;,,==,q", False),
    ],
)
def test_negotiation(accept: str, expected: bool) -> None:
    """OpenMetrics is served to those who ask for a version there is, else text."""
    assert expected == (choose_format(accept) is Format.OPENMETRICS)


@given(st.text(alphabet="aptex/-;,= q.01nionmrcs*\t\u00e9", max_size=80))
def test_negotiation_never_fails(accept: str) -> None:
    """Whatever the header says, there is an answer."""
    assert choose_format(accept) in Format
