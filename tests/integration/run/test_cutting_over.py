"""Lanes go over to a cluster of another shape and another login, and what is lost."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from loadprobe.config.keys import Target
from loadprobe.core.judging.outcome import ErrorClass, OpKind
from loadprobe.errors import RunError
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.copying import copy_keys, keys_of, values_of
from tests.support.running import (
    config_of,
    measuring,
    small_lane,
    target_of,
    until,
    until_true,
)
from tests.support.served import is_served

PATIENT_MS = 1_000
WIRE = small_lane("tcp", deadline_ms=PATIENT_MS, keys=100, read_ratio=0.5)
CLIENT = small_lane(
    "client", driver="redis-py", deadline_ms=PATIENT_MS, workers=4, rate_per_s=60.0,
    keys=30, read_ratio=0.5,
)  # fmt: skip
CONNECTING = msgspec.structs.replace(WIRE, connect_rate_per_s=20.0)
PLANTED = 5


@pytest.mark.parametrize(
    "tls", [False, pytest.param(True, marks=pytest.mark.alone)], ids=["tcp", "tls"]
)
async def test_lanes_go_over_to_another_shape(tmp_path: Path, *, tls: bool) -> None:
    """Nothing fails; what the other cluster lacks is found, and nothing else."""
    secret = tmp_path / "password"
    secret.write_text("of-the-source\n")
    async with (
        LocalCluster(
            shards=1, replicas_per_shard=0, cluster_mode=False, tls=tls,
            password="of-the-source",
        ) as source,
        LocalCluster(shards=2, replicas_per_shard=0, tls=tls) as there,
    ):  # fmt: skip
        target = target_of(source, password_file=str(secret))
        lanes = [
            msgspec.structs.replace(each, tls=tls) for each in (CONNECTING, CLIENT)
        ]
        async with measuring(config_of(target, *lanes)) as trial:
            moving = trial.measurement.cutting_over
            (node,) = source.nodes
            old = await values_of(node)

            async def changed() -> list[str]:
                now = await values_of(node)
                of_wire = await keys_of(node, "lp:tcp:*")
                return [k for k in of_wire if now.get(k) != old.get(k)]

            while len(await changed()) < PLANTED:
                pass
            since_ns = await moving.hold_writes(within_s=5.0)
            planted = (await changed())[:PLANTED]
            held = await values_of(node)
            await copy_keys(there, held | {key: old[key] for key in planted})
            elsewhere = target_of(there)
            with pytest.raises(RunError, match=r"are not connected to the cluster"):
                await trial.measurement.go_over(
                    tls=tls, target=closed(elsewhere), password=None, within_s=0.3
                )
            went = await trial.measurement.go_over(
                tls=tls, target=elsewhere, password=None, within_s=10.0
            )
            assert await values_of(node) == held, "written after it was held"
            let_go_ns = moving.release_writes()
            await until(is_served(trial, "tcp"), what="arrivals there")
            before = sum(int(each[1]) for each in await sizes(there))
            assert before
    by_lane = {each.lane: each for each in went}
    assert by_lane["tcp"].lost == PLANTED
    assert by_lane["client"].lost == 0
    assert {each.unread for each in went} == {0}
    assert {each.overwritten for each in went} == {0}
    assert by_lane["tcp"].checked > PLANTED
    assert all(since_ns < each.at_ns < let_go_ns for each in went)
    assert trial.failed == 0, trial.classes
    assert {scope.shard for scope in trial.scopes if scope.lane == "tcp"} == {
        "0001",
        "0002",
    }
    connected = {s.shard for s in trial.scopes if s.op is OpKind.CONNECT}
    assert connected == {"0001", "0002"}
    assert trial.stale > 0


async def test_what_the_old_group_tells_after_that_is_ignored() -> None:
    """It loses a replica while the last replies are waited for: no lane turns back."""
    async with (
        LocalCluster(shards=1, replicas_per_shard=1, cluster_mode=False) as source,
        LocalCluster(shards=2, replicas_per_shard=0) as there,
    ):
        primary, replica = source.nodes
        async with measuring(config_of(target_of(source), WIRE)) as trial:
            await copy_keys(there, await values_of(primary))
            await trial.measurement.go_over(
                tls=False, target=target_of(there), password=None, within_s=10.0
            )
            await replica.kill()
            # Until it is left for good.
            await asyncio.sleep(2 * PATIENT_MS / 1000)
            await until(is_served(trial, "tcp"), what="arrivals on both shards")
    assert trial.failed == 0, trial.classes


async def test_a_cluster_is_left_also_if_lanes_go_on_to_a_third_one() -> None:
    """Nothing is connected to the first one any more, once it was given up."""
    async with (
        LocalCluster(shards=1, replicas_per_shard=0) as first,
        LocalCluster(shards=1, replicas_per_shard=0) as second,
        LocalCluster(shards=1, replicas_per_shard=0) as third,
    ):
        (node,) = first.nodes
        async with measuring(config_of(target_of(first), WIRE)) as trial:
            for there in (second, third):
                await copy_keys(there, await values_of(node))
            for there in (second, third):
                await trial.measurement.go_over(
                    tls=False, target=target_of(there), password=None, within_s=10.0
                )

            async def is_left() -> bool:
                return (await node.info("clients"))["connected_clients"] == "1"

            await until_true(is_left, within_s=5.0)
    assert trial.failed == 0, trial.classes


async def test_last_replies_are_waited_for_by_the_deadline_that_holds() -> None:
    """One that became longer in mid-run: the old cluster may still answer in time."""
    hasty = msgspec.structs.replace(WIRE, deadline_ms=100)
    patient = msgspec.structs.replace(WIRE, deadline_ms=5_000)
    async with (
        LocalCluster(shards=1, replicas_per_shard=0) as source,
        LocalCluster(shards=1, replicas_per_shard=0) as there,
    ):
        (node,) = source.nodes
        async with measuring(config_of(target_of(source), hasty)) as trial:
            await copy_keys(there, await values_of(node))
            trial.measurement.tuning.change_deadlines([patient])
            await asyncio.sleep(0.5)
            node.pause()
            await asyncio.sleep(0.1)
            await trial.measurement.go_over(
                tls=False, target=target_of(there), password=None, within_s=10.0
            )
            await asyncio.sleep(1.5)
            node.resume()
            await until(is_served(trial, "tcp"), what="arrivals there")
            await asyncio.sleep(0.5)
    assert ErrorClass.RESET not in trial.classes


def closed(target: Target) -> Target:
    """Return a target at a port where nobody listens."""
    return msgspec.structs.replace(target, port=1, tls_port=None)


async def sizes(cluster: LocalCluster) -> list[tuple[str, str]]:
    """Return (node, number of keys)."""
    return [(n.name, str(await n.command("DBSIZE"))) for n in cluster.nodes]
