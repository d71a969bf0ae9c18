"""Runs through a tunnel: a real sshd, real servers, a probe that knows no other way."""

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import wall_now_ns
from loadprobe.config.keys import Config, Control, Target
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.growing import fail_over, join_shard, take_slots
from tests.support.journal import begun, events, told
from tests.support.run_command import Command, run_command
from tests.support.running import (
    config_of,
    named_target,
    small_lane,
    target_of,
    until_true,
)
from tests.support.sshd import Bastion, bastion, children, needs_sshd

pytestmark = [needs_sshd, pytest.mark.alone]
CLIENT = small_lane("client", driver="redis-py", workers=4, rate_per_s=60.0, keys=30)
FAILOVER = """
description = "a failover"
baseline_s = 2
after_s = 4
[[steps]]
operation = "failover"
shard = "0001"
"""
LANES = (
    small_lane("tcp", rate_per_s=600.0, workers=6),
    small_lane("tls", rate_per_s=300.0, workers=4, tls=True),
)


def through(cluster: LocalCluster, there: Bastion) -> Config:
    """Return a configuration whose only way to a cluster is a tunnel."""
    return config_of(target_of(cluster, tunnel=there.tunnel()), *LANES)


def master_of(command: Command) -> int:
    """Return the process of ssh that the tunnel of a command is."""
    found = [
        pid
        for pid in children(command.process.pid)
        if b"\0-M\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    (pid,) = found
    return pid


async def test_failover_and_scale_out_through_a_tunnel(tmp_path: Path) -> None:
    """Forwards follow the topology, so that nothing fails that the cluster serves.

    A failover and a new shard go on under load, and a primary is killed: that is its
    shard's outage. Then the tunnel is cut. It is opened again by itself, and what
    failed meanwhile is the transport's, on every shard.
    """
    async with (
        bastion(tmp_path / "bastion") as there,
        LocalCluster(shards=2, replicas_per_shard=1) as cluster,
        run_command(through(cluster, there), tmp_path, "--full") as command,
    ):
        await begun(command)
        await fail_over(cluster, "0001")
        added = await join_shard(cluster)
        await until_true(told(command, "forwarded", times=4))
        await take_slots(cluster, added[0])
        await asyncio.sleep(1.0)
        primary = await cluster.primary_of("0002")
        await primary.kill()
        await until_true(told(command, "role_change", times=2))
        await asyncio.sleep(1.5)
        there.cut()
        await until_true(told(command, "opened"))
        await asyncio.sleep(1.5)
        command.send(signal.SIGTERM)
        code, text = await command.wait()
    assert code == 0, text
    forwarded = {e["fields"]["node"] for e in events(command, "forwarded")}
    assert forwarded == {
        f"{node.host}:{port}" for node in added for port in node.served_ports
    }
    (broken,) = events(command, "broken")
    assert broken["fields"]["to"] == f"{there.user}@127.0.0.1"
    outages = command.document("outages.json")["outages"]
    by_tunnel = [o for o in outages if "the tunnel to" in o["evidence"]]
    assert {o["attribution"] for o in by_tunnel} == {"transport"}
    assert {(o["lane"], o["shard"]) for o in by_tunnel} == {
        (lane, shard) for lane in ("tcp", "tls") for shard in ("0001", "0002", "0003")
    }
    killed = [o for o in outages if o not in by_tunnel and o["shard"] == "0002"]
    assert {(o["lane"], o["attribution"]) for o in killed} == {
        ("tcp", "shard"),
        ("tls", "shard"),
    }
    # A failover by agreement may cost a moment: writes wait for the new primary.
    others = [o for o in outages if o not in by_tunnel and o["shard"] != "0002"]
    assert {o["shard"] for o in others} <= {"0001"}, others
    assert sum(o["duration_ms"] for o in others) < 1000, others


async def test_a_tunnel_that_hangs(tmp_path: Path) -> None:
    """One that is silent is given up; what was lost since it fell silent is its fault.

    The other end does not answer, and the connection stays: only a keepalive tells.
    """
    async with (
        bastion(tmp_path / "bastion") as there,
        LocalCluster(shards=2, replicas_per_shard=0, tls=False) as cluster,
        run_command(
            config_of(target_of(cluster, tunnel=there.tunnel()), LANES[0]), tmp_path
        ) as command,
    ):
        await begun(command)
        there.freeze(signal.SIGSTOP)
        await until_true(told(command, "opened"))
        await asyncio.sleep(1.0)
        command.send(signal.SIGTERM)
        code, text = await command.wait()
    assert code == 0, text
    (broken,) = events(command, "broken")
    assert "not responding" in broken["fields"]["reason"]
    assert broken["fields"]["silent_ms"] > 1000
    outages = command.document("outages.json")["outages"]
    assert {o["attribution"] for o in outages} == {"transport"}, outages
    assert {o["shard"] for o in outages} == {"0001", "0002"}


async def test_a_tunnel_that_stalls(tmp_path: Path) -> None:
    """One that does not break is told from the cluster: its own echo is silent, too.

    Each end of it is stopped for a second, and so are all servers: that is the
    cluster's, for the echo answers.
    """
    async with (
        bastion(tmp_path / "bastion") as there,
        LocalCluster(shards=2, replicas_per_shard=0, tls=False) as cluster,
        run_command(
            config_of(target_of(cluster, tunnel=there.tunnel()), LANES[0]), tmp_path
        ) as command,
    ):
        await begun(command)
        await until_true(there.has_echo)
        await asyncio.sleep(0.5)  # its silence is news once it has answered
        for number in (signal.SIGSTOP, signal.SIGCONT):
            there.freeze(number)
            await asyncio.sleep(1.0)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            os.kill(master_of(command), number)
            await asyncio.sleep(1.0)
        paused_ns = wall_now_ns() - 500_000_000  # what follows begins about now
        for node in cluster.nodes:
            node.pause()
        await asyncio.sleep(1.0)
        for node in cluster.nodes:
            node.resume()
        await asyncio.sleep(1.0)
        command.send(signal.SIGTERM)
        code, text = await command.wait()
    assert code == 0, text
    assert events(command, "broken") == []
    stalls = events(command, "answered")
    assert len(stalls) == len(events(command, "stalled")) == 2, text
    assert all(500 < each["fields"]["stalled_ms"] < 2000 for each in stalls), stalls
    outages = command.document("outages.json")["outages"]
    by_tunnel = [o for o in outages if o["start_unix_ns"] < paused_ns]
    others = [o for o in outages if o not in by_tunnel]
    assert {o["attribution"] for o in by_tunnel} == {"transport"}, by_tunnel
    assert all("nor did its echo" in o["evidence"] for o in by_tunnel), by_tunnel
    assert {o["attribution"] for o in others} == {"cluster"}, others
    assert {o["shard"] for o in by_tunnel} == {o["shard"] for o in others}
    starts = sorted(o["start_unix_ns"] for o in by_tunnel)
    assert starts[-1] - starts[0] > 1_000_000_000, "each end was stopped once"


async def test_a_tunnel_that_cannot_be_opened(tmp_path: Path) -> None:
    """Nothing is started, and what ssh said is told: also of an unknown host key."""
    async with bastion(tmp_path / "bastion") as there:
        (tmp_path / "known").touch()
        nobody = there.tunnel(f"UserKnownHostsFile={tmp_path / 'known'}")
        options = tuple(o for o in nobody.options if "known_hosts" not in o)
        unknown = msgspec.structs.replace(nobody, options=options)
        config = config_of(Target("127.0.0.1", tunnel=unknown), LANES[0])
        async with run_command(config, tmp_path) as command:
            code, text = await command.wait()
    assert code == 2, text
    assert "cannot be opened" in text
    assert "Host key verification failed" in " ".join(text.split())


@pytest.mark.parametrize("is_served_by_name", [True, False], ids=["name", "address"])
async def test_a_group_without_cluster_mode(
    tmp_path: Path, *, is_served_by_name: bool
) -> None:
    """Its endpoint is a name that moves in a failover, and is known here only.

    The lanes follow the primary, and the name leads to it again.
    """
    knobs = Knobs(detect_s=0.5, endpoint_delay_s=0.5, endpoint_ttl_s=0)
    async with (
        bastion(tmp_path / "bastion") as there,
        LocalCluster(
            shards=1, replicas_per_shard=1, cluster_mode=False, name="rg"
        ) as cluster,
        ControlPlane(knobs=knobs) as plane,
    ):
        plane.add_group("rg", cluster)
        named = named_target(plane, "rg", tunnel=there.tunnel())
        host = named.host if is_served_by_name else cluster.host
        # A library that knows but an address reads the old primary out of step, too.
        clients = (CLIENT,) if is_served_by_name else ()
        config = config_of(
            msgspec.structs.replace(named, host=host),
            *LANES,
            *clients,
            control=Control("rg", endpoint_url=plane.endpoint_url),
        )
        scenario = tmp_path / "failover.toml"
        scenario.write_text(FAILOVER)
        options = "--scenario", str(scenario), "--yes", "--full"
        async with run_command(config, tmp_path, *options) as command:
            code, text = await command.wait()
    assert code == 0, text
    assert events(command, "forward_refused") == []
    run = command.document("run.json")
    before, after = (run[f"topology_{end}"]["0001"] for end in ("start", "end"))
    assert after["primary"] in before["replicas"]
    assert run["problems"] == []
    moved = {e["fields"]["host"] for e in events(command, "endpoint_moved")}
    assert moved == ({named.host} if is_served_by_name else set())
    outages = command.document("outages.json")["outages"]
    seen = [o for o in outages if o["lane"] != "client"]
    assert {o["lane"] for o in seen} == {"tcp", "tls"}
    assert {o["attribution"] for o in seen} == {"shard"}, outages
    for lane in command.document("summary.json")["lanes"]:
        assert lane["outcomes"]["served"] > 0.7 * lane["arrivals"], lane
