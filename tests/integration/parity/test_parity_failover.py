"""Primaries end while they are compared: it goes on, and invents nothing."""

import asyncio
from pathlib import Path

import pytest

from loadprobe.core.parity import tally
from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.parity import (
    PASSWORD,
    allow_user,
    comparing,
    found,
    plant,
    sames,
    target_for,
    wanted,
)
from tests.support.planted import KINDS, planted
from tests.support.running import until, until_true

pytestmark = pytest.mark.alone

PLANTED = list(planted(60))
SAME = sames(3000, KINDS)


async def in_step(cluster: LocalCluster) -> bool:
    """Tell whether all replicas have what their primaries have."""
    for shard in cluster.shards:
        sizes = {int(await node.command("DBSIZE")) for node in shard.nodes}
        if len(sizes) > 1:
            return False
    return True


async def test_failovers_on_both_sides_invent_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard of the target fails over, and the source without cluster mode as well."""
    monkeypatch.setattr(tally, "MOST_EXAMPLES", 10_000)
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    async with (
        LocalCluster(
            shards=1, replicas_per_shard=1, cluster_mode=False, tls=False, name="source"
        ) as source,
        LocalCluster(
            shards=3, replicas_per_shard=1, tls=False, name="target"
        ) as target,
    ):
        for cluster in (source, target):
            await allow_user(cluster)
        await plant(source, target, [*PLANTED, *SAME])
        for cluster in (source, target):
            await until_true(lambda each=cluster: in_step(each))  # type: ignore[misc]
        async with comparing(
            target_for(source, secret),
            target_for(target, secret),
            keys_per_s=2_000,
            settle_s=0.5,
        ) as parity:
            running = asyncio.create_task(parity.run())
            await until(lambda: parity.looked > 500, what="keys that were looked at")
            (await target.primary_of(target.shards[0].node_group_id)).signal_kill()
            await until(lambda: parity.looked > 1500, what="more of them")
            old, new = source.shards[0].nodes
            await new.command("REPLICAOF", "NO", "ONE")
            await old.command("REPLICAOF", new.host, new.ports.plain)
            async with asyncio.timeout(90):
                await running
        figures = parity.figures
    assert found(figures) == wanted(PLANTED)
    assert figures.is_over
    assert figures.unseen == 0


async def test_what_does_not_come_back_is_told(tmp_path: Path) -> None:
    """When patience is over the comparison ends, and says which side is away."""
    async with (
        LocalCluster(
            shards=1, replicas_per_shard=0, cluster_mode=False, tls=False, name="source"
        ) as source,
        LocalCluster(
            shards=1, replicas_per_shard=0, cluster_mode=False, tls=False, name="target"
        ) as target,
    ):
        secret = tmp_path / "password"
        secret.write_text(PASSWORD)
        for cluster in (source, target):
            await allow_user(cluster)
        await plant(source, target, SAME)
        ends = [target_for(cluster, secret) for cluster in (source, target)]
        with pytest.raises(UsageError, match="the same servers"):
            async with comparing(ends[0], ends[0]):
                pass
        async with comparing(*ends, keys_per_s=500) as parity:
            for side in (parity._source, parity._target):
                side._patience_s = 0.5
            running = asyncio.create_task(parity.run())
            await until(lambda: parity.looked > 300, what="keys that were looked at")
            target.shards[0].nodes[0].signal_kill()
            with pytest.RaisesGroup(
                pytest.RaisesExc(
                    RunError, match=r"the target .* gave no usable answer"
                ),
                flatten_subgroups=True,
                allow_unwrapped=True,
            ):
                await running
        with pytest.raises(PreflightError, match="target: connecting to"):
            async with comparing(*ends):
                pass
