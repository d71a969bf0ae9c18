"""Runs through a tunnel: a real sshd, real servers, a probe that knows no other way."""

import asyncio
import signal
from pathlib import Path

import pytest

from loadprobe.config.keys import Config
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.growing import fail_over, join_shard, take_slots
from tests.support.journal import begun, events, told
from tests.support.run_command import run_command
from tests.support.running import (
    config_of,
    small_lane,
    target_of,
    until_true,
)
from tests.support.sshd import Bastion, bastion, needs_sshd

pytestmark = [needs_sshd, pytest.mark.alone]
LANES = (
    small_lane("tcp", rate_per_s=600.0, workers=6),
    small_lane("tls", rate_per_s=300.0, workers=4, tls=True),
)


def through(cluster: LocalCluster, there: Bastion) -> Config:
    """Return a configuration whose only way to a cluster is a tunnel."""
    return config_of(target_of(cluster, tunnel=there.tunnel()), *LANES)


async def test_failover_and_scale_out_through_a_tunnel(tmp_path: Path) -> None:
    """Forwards follow the topology, so that nothing fails that the cluster serves.

    A failover and new shards go on under load; then the tunnel is cut. It is opened
    again by itself, and what failed meanwhile is the transport's, on every shard.
    """
    async with (
        bastion(tmp_path / "bastion") as there,
        LocalCluster(shards=2, replicas_per_shard=1) as cluster,
        run_command(through(cluster, there), tmp_path, "--full") as command,
    ):
        await begun(command)
        await fail_over(cluster, "0001")
        await asyncio.sleep(1.5)
        added = await join_shard(cluster)
        await asyncio.sleep(1.5)
        await take_slots(cluster, added[0])
        await asyncio.sleep(1.5)
        there.cut()
        await until_true(told(command, "broken"))
        await asyncio.sleep(2.5)
        command.send(signal.SIGTERM)
        code, text = await command.wait()
    assert code == 0, text
    forwarded = {str(e["fields"]) for e in events(command, "forwarded")}
    for node in added:
        for port in node.served_ports:
            assert any(f"{node.host}:{port}" in each for each in forwarded), forwarded
    (broken,) = events(command, "broken")
    (opened,) = events(command, "opened")
    assert str(opened["fields"]).startswith("{'to': '")
    assert there.user in str(broken["fields"])
    summary = command.document("summary.json")
    assert summary["lost_writes"] == 0
    outages = command.document("outages.json")["outages"]
    by_tunnel = [o for o in outages if "the tunnel to" in o["evidence"]]
    others = [o for o in outages if o not in by_tunnel]
    assert {o["attribution"] for o in by_tunnel} == {"transport"}
    assert {(o["lane"], o["shard"]) for o in by_tunnel} == {
        (lane, shard) for lane in ("tcp", "tls") for shard in ("0001", "0002", "0003")
    }
    # A failover by agreement: the old primary holds back what it cannot take any more.
    assert {o["shard"] for o in others} <= {"0001"}, others
