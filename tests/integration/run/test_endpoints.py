"""Endpoints, passwords and transports that change while they are probed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.control.provider.secret import Secret
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.events import (
    EpochRaised,
    Event,
    ProbeDied,
    ShardAdded,
    ShardRemoved,
    SlotsMoved,
)
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.errors import RunError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.passwords import set_password
from loadprobe.local.cluster.replacement import replace_shard
from loadprobe.local.cluster.servers import find_server
from loadprobe.local.cluster.transport import set_tls_mode
from tests.support.running import (
    Trial,
    config_of,
    measuring,
    small_lane,
    target_of,
    until,
)
from tests.support.served import is_served

# Nothing here is about how long a reply takes: the machine may be busy.
PATIENT_MS = 1_000
TCP = small_lane("tcp", deadline_ms=PATIENT_MS)
TLS = small_lane("tls", tls=True, deadline_ms=PATIENT_MS)


@asynccontextmanager
async def watching(
    target: Target, trial: Trial
) -> AsyncIterator[tuple[TopologyWatch, list[Event]]]:
    """Watch the topology beside a measurement, by plaintext at first."""
    events: list[Event] = []
    names = trial.measurement.names
    watch = TopologyWatch(target, events.append, tls=False, names=names, poll_s=0.2)
    running = asyncio.create_task(watch.run())
    try:
        await until(lambda: watch.current is not None, what="a topology")
        yield watch, events
    finally:
        running.cancel()
        await asyncio.wait({running})


async def more_snapshots(trial: Trial, count: int = 4) -> None:
    """Wait until probes have told of some more arrivals."""
    seen = trial.snapshots
    await until(lambda: trial.snapshots >= seen + count, what="more snapshots")


async def test_lanes_follow_a_migration_to_tls_and_back() -> None:
    """TLS lanes wake when TLS is served; TCP lanes go dark and come back at once."""
    async with LocalCluster(shards=2, replicas_per_shard=0, tls=False) as cluster:
        ca_file = cluster.certificates and str(cluster.certificates.ca)
        target = target_of(cluster, ca_file=ca_file)
        config = config_of(target, TCP, TLS)
        async with (
            measuring(config, dormant={"tls"}) as trial,
            watching(target, trial) as (watch, events),
        ):
            await set_tls_mode(cluster, "preferred")
            assert cluster.tls_port is not None
            woken_ns = mono_now_ns()
            measurement = trial.measurement
            watch.use_endpoint(tls=True, host=cluster.host, port=cluster.tls_port)
            there = target.at(tls=True, host=cluster.host, port=cluster.tls_port)
            await measurement.wake(["tls"], there)
            await until(is_served(trial, "tls"), what="the TLS lane being served")
            await set_tls_mode(cluster, "required")
            closed_ns = mono_now_ns()
            await asyncio.sleep(0.5)
            await set_tls_mode(cluster, "preferred")
            await until(is_served(trial, "tcp"), what="the TCP lane being served")
            await more_snapshots(trial)
    begin_ns = trial.results.lane_totals["tls"].begin_ns
    assert begin_ns is not None
    assert begin_ns > woken_ns
    assert {scope.shard for scope in trial.scopes} == {"0001", "0002"}
    assert [o for o in trial.results.outages if o.scope.lane == "tls"] == []
    for shard in ("0001", "0002"):
        dark = trial.outages("tcp", shard)
        assert any(o.start_ns < closed_ns + 400 * NS_PER_MS < o.end_ns for o in dark)
    assert [event for event in events if not isinstance(event, EpochRaised)] == []
    assert trial.verdict().summary.state in ("outage", "blind")


async def test_a_lane_that_never_woke() -> None:
    """It is told why it could not wake; the verdict is about the others."""
    async with LocalCluster(shards=1, replicas_per_shard=0) as cluster:
        config = config_of(target_of(cluster), TCP, TLS)
        wrong = target_of(cluster, tls_port=cluster.port)
        async with measuring(config, dormant={"tls"}) as trial:
            with pytest.raises(RunError, match="waking lanes tls failed: .*plaintext"):
                await trial.measurement.wake(["tls"], wrong, within_s=0.1)
            await more_snapshots(trial)
    assert trial.failed == 0
    assert trial.served > 0
    assert trial.of(ProbeDied) == []
    assert trial.verdict().summary.state in ("clean", "blind")


async def test_a_cut_over_to_another_cluster() -> None:
    """Lanes go over when they are connected there; then the old one may end."""
    lane = small_lane(read_ratio=0.0, prefill=False, deadline_ms=PATIENT_MS)
    async with (
        LocalCluster(shards=2, replicas_per_shard=0, tls=False) as new,
        LocalCluster(shards=2, replicas_per_shard=0, tls=False, name="old") as old,
        measuring(config_of(target_of(old), lane)) as trial,
        watching(target_of(old), trial) as (watch, events),
    ):
        measurement = trial.measurement
        with pytest.raises(RunError, match="lanes tcp are not connected"):
            await measurement.use_endpoint(
                tls=False, host=old.host, port=1, replace=True, within_s=0.3
            )
        watch.use_endpoint(tls=False, host=new.host, port=new.port, replace=True)
        await measurement.use_endpoint(
            tls=False, host=new.host, port=new.port, replace=True
        )
        await until(lambda: tells_of(watch, new), what="the new cluster being watched")
        (probe,) = measurement.probes
        pid = probe.pid
        assert pid is not None
        await more_snapshots(trial)
        for node in old.nodes:
            await node.kill()
        await more_snapshots(trial)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: probe.pid != pid, what="a new probe process")
        await until(is_served(trial, "tcp"), what="arrivals at the new cluster")
        written = [await node.command("DBSIZE") for node in new.nodes]
    assert trial.failed == 0, trial.classes
    assert {scope.shard for scope in trial.scopes} == {"0001", "0002"}
    assert all(int(count) > 0 for count in written)
    assert events == []


def tells_of(watch: TopologyWatch, cluster: LocalCluster) -> bool:
    """Tell whether a watch knows all primaries of a cluster, by canonical names."""
    known = () if watch.current is None else watch.current.shards
    ports = {shard.name: shard.primary.port for shard in known}
    return ports == {
        shard.node_group_id: shard.nodes[0].ports.plain for shard in cluster.shards
    }


async def test_a_first_password() -> None:
    """Beside an open door a server refuses a password without a name: it has one."""
    async with LocalCluster(shards=1, replicas_per_shard=0, tls=False) as cluster:
        (node,) = cluster.nodes
        async with measuring(config_of(target_of(cluster), TCP)) as trial:
            await set_password(cluster, "the-first", keep_old=True)
            trial.measurement.tuning.use_login("default", "the-first")
            await more_snapshots(trial)
            await node.disconnect(node.ports.plain)
            await until(is_served(trial, "tcp"), what="new connections")
            (pid,) = trial.pids
            os.kill(pid, signal.SIGKILL)
            await until(lambda: trial.pids != [pid], what="another process")
            await until(is_served(trial, "tcp"), what="its connections")
            await set_password(cluster, "the-first", keep_old=False)
            await node.disconnect(node.ports.plain)
            await until(is_served(trial, "tcp"), what="connections after all")
    assert set(trial.classes) <= {ErrorClass.RESET, ErrorClass.CONNECT_REFUSED}


async def test_a_password_that_is_rotated(monkeypatch: pytest.MonkeyPatch) -> None:
    """New connections log in with the new one; it is in no event."""
    async with LocalCluster(
        shards=1, replicas_per_shard=0, tls=False, password="first-one"
    ) as cluster:
        monkeypatch.setenv("LP_TEST_ROTATED", "first-one")
        target = target_of(cluster, password_env="LP_TEST_ROTATED")
        async with (
            measuring(config_of(target, TCP)) as trial,
            watching(target, trial) as (watch, events),
        ):
            await set_password(cluster, "second-one", keep_old=True)
            trial.measurement.tuning.use_login("default", "second-one")
            watch.use_password(Secret("second-one"))
            await set_password(cluster, "second-one", keep_old=False)
            await more_snapshots(trial)
            (node,) = cluster.nodes
            await node.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await until(is_served(trial, "tcp"), what="arrivals after the cut")
            await asyncio.sleep(0.3)
            await until(is_served(trial, "tcp"), what="arrivals later on")
    labels = {error.label for error in trial.classes}
    assert labels <= {"reset", "connect_refused"}, labels
    assert events == []
    assert "second-one" not in f"{trial.events} {events}"


async def test_every_node_is_replaced() -> None:
    """Lanes, a restarted probe and the watch stay with the shards they know."""
    server = find_server(None)
    async with LocalCluster(shards=2, replicas_per_shard=1, tls=False) as cluster:
        old = {node.node_id for node in cluster.nodes}
        async with (
            measuring(config_of(target_of(cluster), TCP)) as trial,
            watching(target_of(cluster), trial) as (watch, events),
        ):
            for shard in cluster.shards:
                await replace_shard(
                    cluster, shard, server=server, on_step=lambda *_: None
                )
            (probe,) = trial.measurement.probes
            pid = probe.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: probe.pid != pid, what="a new probe process")
            await until(is_served(trial, "tcp"), what="arrivals after it")
            nodes = {node.node_id for node in cluster.nodes}
            await until(
                lambda: (
                    watch.current is not None
                    and {s.primary.id for s in watch.current.shards} <= nodes
                ),
                what="the watch knowing the new nodes",
            )
            assert watch.current is not None
            names = [shard.name for shard in watch.current.shards]
            ranges = [shard.ranges for shard in watch.current.shards]
    assert not old & nodes
    assert names == ["0001", "0002"]
    assert all(a < b for a, b in pairwise(ranges))
    assert {scope.shard for scope in trial.scopes} == {"0001", "0002"}
    assert not any(
        isinstance(event, ShardAdded | ShardRemoved | SlotsMoved) for event in events
    )
    assert sum(o.duration_ns for o in trial.results.outages) < 1_000 * NS_PER_MS
    # What the probe that was killed had written is not read back.
    assert trial.measurement.lost_writes is None
