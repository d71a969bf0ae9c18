"""The metrics of a run: what was judged, counted and told is there."""

from functools import partial
from itertools import product

import pytest

from loadprobe.clock import ClockPair
from loadprobe.core.events import (
    NodeReached,
    NodeUnreached,
    TunnelBroken,
    TunnelOpened,
    TunnelStalled,
)
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.verdict.attribution import Cause
from loadprobe.outputs.metrics.catalogue import CATALOGUE
from loadprobe.outputs.metrics.collector import families
from loadprobe.outputs.metrics.exposition import Format
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from tests.support.metric_pages import (
    BASE_S,
    MS,
    S,
    Scrape,
    make_metrics,
    page_of,
    samples_of,
)


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
