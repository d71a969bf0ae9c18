"""Lanes that share their keys: each reads what the others write."""

import asyncio

import msgspec

from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.running import (
    Trial,
    config_of,
    measuring,
    small_lane,
    target_of,
    until,
)

KEYS = 60
WRITER = small_lane("tcp", keys=KEYS, keyspace="both", read_ratio=0.0)
READER = small_lane("tls", tls=True, keys=KEYS, keyspace="both", read_ratio=1.0)


def judged(trial: Trial) -> int:
    """Return the arrivals of the reader that were judged so far."""
    totals = trial.measurement.aggregate.scope_totals.items()
    return sum(t.served for scope, t in totals if scope.lane == "tls")


async def test_one_reads_what_the_other_writes() -> None:
    """All keys have one prefix and one writer; an old value is stale to the reader."""
    two = msgspec.structs.replace(WRITER, processes=2)
    async with LocalCluster(shards=1, replicas_per_shard=0) as cluster:
        node = cluster.nodes[0]
        async with measuring(config_of(target_of(cluster), two, READER)) as trial:
            await until(lambda: judged(trial) > 2_000, what="load")
            names = await node.command("KEYS", "lp:both:*")
            assert len(names) == KEYS
            assert trial.stale == 0
            # The tag is the same, so the copy lies in the slot of the key.
            for name in names:
                await node.command("COPY", name, f"old:{name}", "REPLACE")
            await asyncio.sleep(0.5)  # more than a round of writes, and of reads
            for _ in range(3):
                for name in names:
                    await node.command("COPY", f"old:{name}", name, "REPLACE")
                await asyncio.sleep(0.02)
            await until(lambda: trial.stale > 0, what="stale reads")
            await asyncio.sleep(0.5)  # all keys are written once more
    summary = trial.verdict().summary
    assert summary.wrong == 0
    assert summary.stale_reads == trial.stale
    assert summary.lost_writes == 0
