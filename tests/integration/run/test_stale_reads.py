"""Old, wrong and missing values, served a known number of times, are counted exactly.

Every worker here sends its next arrival when the last one has ended, and each process
has one. So no read overlaps a write of its key, and what the scripted server answers
falsely is certainly false: its own count is the truth.
"""

import asyncio

from loadprobe.config.keys import Target
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from tests.scripted.faults import FaultKind
from tests.scripted.server import ScriptedCluster
from tests.support.running import Trial, config_of, measuring, small_lane, until

LANE = small_lane("tcp", loop="closed", workers=2, processes=2, keys=40, read_ratio=0.6)
SHARD = 1


async def answered_falsely(cluster: ScriptedCluster, kind: FaultKind) -> int:
    """Let a shard answer falsely for a while; return how often it did."""
    (before,) = [n for n in await cluster.counts() if n.shard == SHARD]
    fault = await cluster.fault(kind, shards=[SHARD])
    await asyncio.sleep(0.2)
    await cluster.heal(fault)
    (after,) = [n for n in await cluster.counts() if n.shard == SHARD]
    return after.faulted - before.faulted


def writes(trial: Trial) -> int:
    """Return the writes that were judged so far."""
    totals = trial.measurement.aggregate.scope_totals
    return sum(t.served for scope, t in totals.items() if scope.op is OpKind.WRITE)


async def test_false_values_are_counted_exactly() -> None:
    """Stale reads and wrong replies are as many as the server says it gave."""
    async with ScriptedCluster(shards=2) as cluster:
        target = Target(host=cluster.host, port=cluster.port)
        async with measuring(config_of(target, LANE)) as trial:
            # Every key has a value before its last one from then on.
            await until(lambda: writes(trial) > 20 * LANE.keys, what="many writes")
            stale = await answered_falsely(cluster, "stale_value")
            flipped = await answered_falsely(cluster, "wrong_value")
            absent = await answered_falsely(cluster, "nil")
    assert min(stale, flipped, absent) > 10
    summary = trial.verdict().summary
    assert summary.stale_reads == stale
    assert summary.wrong == flipped + absent
    assert trial.classes == {ErrorClass.VALUE: flipped + absent}
    # A stale read is no failure: it is counted apart.
    assert trial.failed == trial.count(Outcome.WRONG)
    assert summary.lost_writes == 0
