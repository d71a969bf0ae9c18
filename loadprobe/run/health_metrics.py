"""The metrics that snapshots, topology and connections feed."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from loadprobe.core.topology.topology import Topology
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.probe.messages import (
    LaneHealth,
    ProbeSnapshot,
)
from loadprobe.run.health import lags_ns


class HealthMetrics:
    """Brings the metrics of a run up to date with what its probes say.

    Args:
        metrics: where they are counted.
    """

    def __init__(self, metrics: RunMetrics) -> None:
        self._metrics = metrics
        self._connections: dict[str, dict[int, Mapping[str, int]]] = defaultdict(dict)

    def take_health(self, snapshot: ProbeSnapshot) -> None:
        """Take the health part of a snapshot."""
        process = str(snapshot.process)
        observe = self._metrics.observe
        observe("loop_lag_seconds", process, values_ns=lags_ns(snapshot))
        observe("gc_pause_seconds", process, values_ns=snapshot.gc_ns)
        self._metrics.set("tasks", process, value=snapshot.tasks)
        for lane in snapshot.lanes:
            self._add_lane(lane)
            self._connections[lane.lane][snapshot.process] = lane.connections
        self._metrics.replace(
            "connections",
            {
                (lane, shard): count
                for lane in self._connections
                for shard, count in self.connected(lane).items()
            },
        )

    def connected(self, lane: str) -> Counter[str]:
        """Return the open connections of a lane to each shard."""
        total: Counter[str] = Counter()
        for connections in self._connections[lane].values():
            total.update(connections)
        return total

    def _add_lane(self, lane: LaneHealth) -> None:
        metrics, name = self._metrics, lane.lane
        metrics.observe("connect_seconds", name, values_ns=lane.connect_ns)
        metrics.add("topology_refreshes_total", name, by=lane.refreshes)
        metrics.add("key_renewals_total", name, by=lane.renewed)
        for metric, counts in (
            ("acknowledged_writes_total", lane.acknowledged),
            ("stale_reads_total", lane.stale),
            ("replica_stale_reads_total", lane.replica_stale),
            ("wrong_values_total", lane.wrong),
            ("absent_reads_total", lane.absent),
            ("expired_reads_total", lane.expired),
        ):
            for label, count in counts.items():
                metrics.add(metric, name, label, by=count)
        for metric, counts, by_shard in (
            ("redirects_total", lane.redirects, lane.redirects_by_shard),
            ("reconnects_total", lane.connects, lane.connects_by_shard),
        ):
            for (shard, label), count in _placed(counts, by_shard).items():
                metrics.add(metric, name, shard, label, by=count)

    def show_topology(self, topology: Topology) -> None:
        """Take the topology that is known now."""
        shards = topology.shards
        roles: dict[tuple[str, ...], float] = {}
        for shard in shards:
            roles["primary", shard.name, shard.primary.address] = 1
            for replica in shard.replicas:
                roles["replica", shard.name, replica.address] = 1
        self._metrics.replace("node_role", roles)
        self._metrics.show_shards(
            {
                shard.name: sum(last + 1 - first for first, last in shard.ranges)
                for shard in shards
            }
        )
        self._metrics.set("cluster_shards", value=len(shards))
        self._metrics.set("cluster_nodes", value=len(roles))


def _placed(
    counts: Mapping[str, int], by_shard: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], int]:
    """Return counts by shard and label; of those without a shard it is "unknown"."""
    placed: Counter[tuple[str, str]] = Counter()
    rest = Counter(counts)
    for (shard, label), count in by_shard.items():
        if shard:
            placed[shard, label] += count
            rest[label] -= count
    for label, count in rest.items():
        if count:
            placed["unknown", label] += count
    return dict(placed)
