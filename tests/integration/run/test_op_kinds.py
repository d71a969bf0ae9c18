"""Op kinds beside plain reads and writes: new connections, replicas, sets of keys."""

import asyncio

from loadprobe.config.keys import Target
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.load.keyspace import Keyspace
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.layout import LocalShard
from loadprobe.local.cluster.node import LocalNode
from tests.scripted import ScriptedCluster
from tests.support.running import (
    Trial,
    config_of,
    measuring,
    small_lane,
    target_of,
    until,
)

# Whatever the machine is busy with, an arrival that is answered is served.
PATIENT_MS = 3_000


def judged(trial: Trial, lane: str, op: OpKind) -> dict[str, int]:
    """Return shard -> arrivals of an op kind, so far."""
    totals = trial.measurement.aggregate.scope_totals
    return {
        scope.shard: total.arrivals
        for scope, total in totals.items()
        if (scope.lane, scope.op) == (lane, op)
    }


def failures(trial: Trial, lane: str, op: OpKind) -> dict[str, int]:
    """Return shard -> failed arrivals of an op kind; without those that have none."""
    totals = trial.results.scope_totals
    return {
        scope.shard: total.failed
        for scope, total in totals.items()
        if (scope.lane, scope.op) == (lane, op) and total.failed
    }


async def until_failed(trial: Trial, scope: Scope, count: int) -> None:
    """Wait until so many arrivals of a scope have failed."""
    totals = trial.measurement.aggregate.scope_totals
    await until(
        lambda: scope in totals and totals[scope].failed >= count,
        what=f"{count} failed arrivals of {scope}",
    )


async def test_a_closed_listener_is_dark_for_new_connections_alone() -> None:
    """The truth lies within the bars of connect; the load has no outage at all."""
    lane = small_lane(connect_rate_per_s=25.0, deadline_ms=PATIENT_MS)
    async with ScriptedCluster(shards=2) as cluster:
        target = Target(host=cluster.host, port=cluster.port)
        async with measuring(config_of(target, lane)) as trial:
            await until(
                lambda: len(judged(trial, "tcp", OpKind.CONNECT)) == 2,
                what="new connections to both shards",
            )
            fault = await cluster.fault("closed", shards=[0])
            await until_failed(trial, Scope("tcp", "0001", OpKind.CONNECT), 5)
            truth = await cluster.heal(fault)
            before = judged(trial, "tcp", OpKind.CONNECT)["0001"]
            await until(
                lambda: judged(trial, "tcp", OpKind.CONNECT)["0001"] > before + 5,
                what="new connections after the fault",
            )
    connects = [o for o in trial.results.outages if o.scope.op is OpKind.CONNECT]
    assert {o.scope.shard for o in connects} == {"0001"}
    assert min(o.hull_start_ns for o in connects) <= truth.start_ns
    assert truth.end_ns <= max(o.hull_end_ns for o in connects)
    for outage in connects:
        assert truth.start_ns <= outage.core_end_ns
        assert outage.core_start_ns <= truth.answered_ns
        assert set(outage.classes) == {ErrorClass.CONNECT_REFUSED}
    verdict = trial.verdict()
    summary = verdict.summary
    assert summary.state in ("clean", "blind")
    assert summary.downtime_ms.any_shard.upper == 0
    (connecting,) = summary.connects
    assert connecting.downtime_ms.shards["0001"].upper > 0
    assert connecting.downtime_ms.shards["0002"].upper == 0
    assert {scope.op for scope in connecting.scopes} == {"connect"}
    assert {row.op for row in verdict.outages.connects} == {"connect"}
    assert verdict.outages.outages == []
    assert any("new connections failed, on shard 0001" in s for s in summary.verdict)


def replica_of(shard: LocalShard, primary: LocalNode) -> LocalNode:
    """Return the replica of a shard's primary."""
    return next(node for node in shard.nodes if node is not primary)


async def reads_of(node: LocalNode) -> int:
    """Return how many GET a node has answered."""
    stats = await node.info("commandstats")
    calls = stats.get("cmdstat_get", "calls=0").partition("calls=")[2]
    return int(calls.partition(",")[0])


async def test_a_stopped_replica_is_dark_for_reads_alone() -> None:
    """Reads of "replica" fail on its shard; those of "any" go on to the primary."""
    async with LocalCluster(shards=2, replicas_per_shard=1, tls=False) as cluster:
        shard = cluster.shards[0]
        primary = await cluster.primary_of(shard.node_group_id)
        replica = replica_of(shard, primary)
        lanes = (
            small_lane("replica", read_from="replica", deadline_ms=PATIENT_MS),
            small_lane("any", read_from="any", deadline_ms=PATIENT_MS),
        )
        async with measuring(config_of(target_of(cluster), *lanes)) as trial:
            await until(
                lambda: len(judged(trial, "replica", OpKind.REPLICA_READ)) == 2,
                what="reads of both shards",
            )
            assert await reads_of(replica) > 0
            await replica.kill()
            await until_failed(trial, Scope("replica", "0001", OpKind.REPLICA_READ), 50)
    assert set(failures(trial, "replica", OpKind.REPLICA_READ)) == {"0001"}
    assert not failures(trial, "replica", OpKind.WRITE)
    assert not failures(trial, "any", OpKind.WRITE)
    # What was on its way when the connection broke is not sent again.
    lost = failures(trial, "any", OpKind.REPLICA_READ).get("0001", 0)
    assert lost <= 20
    assert trial.redirects["fallback"] > 0
    assert trial.count(Outcome.WRONG) == 0


async def test_reads_follow_the_roles_of_a_failover() -> None:
    """After a failover reads go to the new replica, and none of them is wrong."""
    async with LocalCluster(shards=2, replicas_per_shard=1, tls=False) as cluster:
        shard = cluster.shards[0]
        old = await cluster.primary_of(shard.node_group_id)
        new = replica_of(shard, old)
        lane = small_lane(read_from="replica", deadline_ms=PATIENT_MS, read_ratio=0.5)
        async with measuring(config_of(target_of(cluster), lane)) as trial:
            await until(
                lambda: len(judged(trial, "tcp", OpKind.REPLICA_READ)) == 2,
                what="reads of both shards",
            )
            await new.command("CLUSTER", "FAILOVER")

            async with asyncio.timeout(20):
                while (await old.info("replication"))["role"] != "slave":
                    await asyncio.sleep(0.02)
            # The first of these may have been sent to it as the primary.
            enough = await reads_of(old) + 30
            async with asyncio.timeout(20):
                while await reads_of(old) < enough:
                    await asyncio.sleep(0.02)
    assert trial.count(Outcome.WRONG) == 0
    assert trial.verdict().summary.lost_writes == 0


async def test_a_set_of_keys_is_right_as_a_whole() -> None:
    """One key of a set that another program writes makes the whole arrival wrong."""
    lane = small_lane(keys=4, multi_key=5, deadline_ms=PATIENT_MS, miss_ratio=0.1)
    name = Keyspace("tcp", 4, 0, 1).key(2).decode() + ".3"
    async with LocalCluster(shards=1, replicas_per_shard=0, tls=False) as cluster:
        async with measuring(config_of(target_of(cluster), lane)) as trial:
            await until(lambda: trial_reads(trial) > 50, what="reads of sets")
            assert trial_wrong(trial) == 0
            async with asyncio.timeout(20):
                while not trial_wrong(trial):  # the lane may write it before it reads
                    await cluster.nodes[0].command("SET", name, "not ours")
                    await asyncio.sleep(0.05)
        stats = await cluster.nodes[0].info("commandstats")
    assert {"cmdstat_mget", "cmdstat_mset"} <= set(stats)
    assert trial.measurement.lost_writes in (0, 1)  # 1 if ours was not the last write


def trial_reads(trial: Trial) -> int:
    """Return how many reads were judged so far."""
    return sum(judged(trial, "tcp", OpKind.READ).values())


def trial_wrong(trial: Trial) -> int:
    """Return how many arrivals were wrong so far."""
    totals = trial.measurement.aggregate.scope_totals.values()
    return sum(total.counts[Outcome.WRONG] for total in totals)
