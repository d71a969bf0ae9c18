"""Ways to reach and to enter a target: an endpoint, users, certificates, names."""

import asyncio
from pathlib import Path

import pytest

from loadprobe.core.load.keyspace import Keyspace
from loadprobe.errors import PreflightError
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.run_command import run_command
from tests.support.running import (
    Trial,
    close_slots,
    config_of,
    measuring,
    open_slots,
    small_lane,
    target_of,
    until,
)
from tests.support.served import is_served

PASSWORD = "s3cret-of-the-test"
LANES = (small_lane("tcp"), small_lane("tls", tls=True))


def assert_clean(trial: Trial) -> None:
    """Assert that every arrival was served and every write is still there."""
    assert trial.failed == 0, trial.classes
    assert {scope.lane for scope in trial.scopes} == {
        lane.name for lane in trial.config.lanes
    }
    assert trial.measurement.lost_writes == 0
    assert sum(result.checked for result in trial.measurement.read_backs) > 0
    assert trial.stale == 0


async def test_a_single_endpoint() -> None:
    """Without cluster mode there is one shard, and it is measured like any other."""
    async with LocalCluster(
        shards=1, replicas_per_shard=0, cluster_mode=False
    ) as server:
        config = config_of(target_of(server), *LANES)
        assert not config.target.cluster
        async with measuring(config) as trial:
            await asyncio.sleep(0.7)
    assert_clean(trial)
    assert {scope.shard for scope in trial.scopes} == {"0001"}


async def test_a_restart_of_a_single_endpoint() -> None:
    """A server that is killed and started again is one outage; then it is served."""
    async with LocalCluster(
        shards=1, replicas_per_shard=0, cluster_mode=False, tls=False
    ) as server:
        (node,) = server.nodes
        async with measuring(config_of(target_of(server), small_lane())) as trial:
            await asyncio.sleep(0.5)
            await node.kill()
            await asyncio.sleep(0.3)
            await node.start()
            await until(is_served(trial, "tcp"), what="the server that is back")
    dark = trial.outages("tcp", "0001")
    assert dark or trial.blind("tcp")
    labels = {error.label for outage in dark for error in outage.classes}
    # It comes back empty: what was written before is missing, and that is said.
    assert labels <= {"reset", "connect_refused", "loading", "value"}
    assert "connect_refused" in labels


async def test_a_user_with_a_password(tmp_path: Path) -> None:
    """A user with few rights is enough, and the password is in no file of the run."""
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}-of-prober\n")
    async with LocalCluster(
        shards=2, replicas_per_shard=0, password=PASSWORD
    ) as cluster:
        rights = ("+get", "+set", "+expire", "+ping", "+time", "+asking")
        topology = ("+cluster|slots", "+cluster|nodes", "+cluster|info")
        for node in cluster.nodes:
            await node.command(
                *("ACL", "SETUSER", "prober", "on", f">{PASSWORD}-of-prober"),
                *("~lp:*", *rights, *topology),
            )
        target = target_of(cluster, username="prober", password_file=str(secret))
        async with run_command(
            config_of(target, *LANES), tmp_path, "--for", "1.5s"
        ) as command:
            code, text = await command.wait()
        wrong = target_of(cluster, username="nobody", password_file=str(secret))
        with pytest.raises(PreflightError, match="check username"):
            async with measuring(config_of(wrong, *LANES)):
                pass
    assert code == 0, text
    summary = command.document("summary.json")
    assert summary["state"] in ("clean", "blind")
    assert summary["lost_writes"] == summary["stale_reads"] == summary["wrong"] == 0
    assert PASSWORD not in text
    for path in command.folder.iterdir():
        assert PASSWORD.encode() not in path.read_bytes()


async def test_mutual_tls() -> None:
    """A server that demands a client certificate is measured with one, not without."""
    async with LocalCluster(shards=2, replicas_per_shard=0, mutual_tls=True) as cluster:
        assert cluster.certificates is not None
        client = cluster.certificates.client
        lane = small_lane("tls", tls=True)
        target = target_of(
            cluster, cert_file=str(client.certificate), key_file=str(client.key)
        )
        async with measuring(config_of(target, lane)) as trial:
            await asyncio.sleep(0.5)
        with pytest.raises(PreflightError, match="check cert_file and key_file"):
            async with measuring(config_of(target_of(cluster), lane)):
                pass
    assert_clean(trial)


NAMES = {"named": "hostname", "nameless": "hostname", "unknown": "unknown-endpoint"}


@pytest.mark.parametrize("names", NAMES)
async def test_nodes_that_announce_other_addresses(names: str) -> None:
    """Announced names are mapped; a node without one is where the asked node is.

    That holds for CLUSTER SLOTS and for redirects: slots move while they are probed.
    """
    keyspace = Keyspace("tcp", 300, 0, 1)
    async with LocalCluster(shards=3, replicas_per_shard=0) as cluster:
        address_map = {}
        for index, node in enumerate(cluster.nodes):
            await node.configure({"cluster-preferred-endpoint-type": NAMES[names]})
            if names == "named":
                host = f"node{index}.lab.test"
                await node.configure({"cluster-announce-hostname": host})
                for port in (node.ports.plain, node.ports.tls):
                    address_map[f"{host}:{port}"] = f"localhost:{port}"
        if names == "named":
            await until_named(cluster)
        source, _, target = cluster.nodes
        (owned,) = cluster.shard("0001").slots
        slots = [
            slot
            for key in range(60)
            if owned.first <= (slot := keyspace.slot(key)) <= owned.last
        ]
        config = config_of(
            target_of(cluster, address_map=address_map, server_name="localhost"),
            small_lane("tcp", keys=300),
            small_lane("tls", tls=True, keys=300),
        )
        async with measuring(config) as trial:
            await asyncio.sleep(0.5)
            await open_slots(slots, cluster, source, target)
            await close_slots(slots, cluster, source, target)
            await asyncio.sleep(1.0)
    assert_clean(trial)
    assert trial.redirects["moved"] > 0


async def until_named(cluster: LocalCluster) -> None:
    """Wait until every node knows the names of all others."""
    async with asyncio.timeout(20):
        for node in cluster.nodes:
            while str(await node.command("CLUSTER", "SLOTS")).count("lab.test") < len(
                cluster.nodes
            ):
                await asyncio.sleep(0.05)
