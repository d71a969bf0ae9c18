"""What probes count by shard reaches the metrics under canonical names."""

from typing import Any

import msgspec

from loadprobe.clock import ClockPair
from loadprobe.config.keys import Config, Http, Lane, Target
from loadprobe.core.topology.topology import Node, Shard, Topology
from loadprobe.drivers.base import DriverStats
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.probe.messages import (
    LaneHealth,
    ProbeSnapshot,
    ReadBack,
    TopologySeen,
)
from loadprobe.run.health_metrics import HealthMetrics
from loadprobe.run.hearing import Listeners
from loadprobe.run.load import Measurement

REST: dict[str, Any] = {
    field.name: 0 if field.type is int else {}
    for field in msgspec.structs.fields(LaneHealth)
    if field.required and field.type in {int, dict[str, int]}
}
"""What else a lane has to tell, and does not."""


def topology(*names: str) -> Topology:
    """Return a topology of shards whose nodes are always the same, by slots."""
    return Topology(
        tuple(
            Shard(
                name,
                ((at * 100, at * 100 + 99),),
                Node(f"node {at}", "h", 7000 + at),
                (),
                1,
            )
            for at, name in enumerate(names)
        )
    )


def health(stats: DriverStats) -> LaneHealth:
    """Return what a lane tells of its driver."""
    counted = {
        "redirects": stats.redirects,
        "connects": stats.connects,
        "redirects_by_shard": stats.redirects_by_shard,
        "connects_by_shard": stats.connects_by_shard,
    }
    return LaneHealth(lane="tcp", connect_ns=[], **(REST | counted))


def test_counts_by_shard() -> None:
    """Redirects, connections and lost writes have the one name of their shard."""
    snapshots: list[ProbeSnapshot] = []
    lost: list[tuple[str, str, int]] = []
    measurement = Measurement(
        Config(
            target=Target(host="h"), lanes=(Lane(name="tcp"),), http=Http(listen="")
        ),
        listeners=Listeners(
            on_snapshot=snapshots.append, on_lost=lambda *row: lost.append(row)
        ),
    )
    measurement.names.see("watch", topology("0001", "0002"))
    measurement.hearing.take(TopologySeen(0, "tcp", topology("0002", "0001")))
    stats = DriverStats()
    stats.count_redirect("moved", "0001")
    stats.count_redirect("moved", "0002")
    stats.count_redirect("ask", "")
    stats.count_connect("ok", "0002")
    stats.count_connect("connect_refused", "0002")
    stats.connects["ok"] += 3  # of a library that does not tell where
    measurement.aggregate.start_process(0, 0)
    measurement.hearing.take(
        ProbeSnapshot(
            0, 1, 0, 0, [], [health(stats)], [], b"", [], cpu_ns=0, rss_bytes=0
        )
    )
    measurement.hearing.take(ReadBack(0, "tcp", 9, 3, 0, {"0001": 1, "0002": 2}))
    assert lost == [("tcp", "0002", 1), ("tcp", "0001", 2)]
    metrics = RunMetrics(
        "c",
        aggregate=measurement.aggregate,
        clock=ClockPair(0, 0),
    )
    HealthMetrics(metrics).take_health(snapshots[0])
    values = metrics.snapshot().values
    assert values["redirects_total"] == {
        ("tcp", "0002", "moved"): 1,
        ("tcp", "0001", "moved"): 1,
        ("tcp", "unknown", "ask"): 1,
    }
    assert values["reconnects_total"] == {
        ("tcp", "0001", "ok"): 1,
        ("tcp", "0001", "connect_refused"): 1,
        ("tcp", "unknown", "ok"): 3,
    }
