"""Runs through a NAT: real nftables, and a probe without a route to the servers."""

import asyncio
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from loadprobe.config.file import load_config
from loadprobe.config.keys import Config
from loadprobe.local.cluster.replacement import replace_shard
from tests.support.growing import fail_over, join_shard, take_slots
from tests.support.journal import begun, events, told
from tests.support.netns import (
    NAT_OUTSIDE,
    InsideCluster,
    Networks,
    ended,
    needs_netns,
    networks,
)
from tests.support.run_command import Command, run_command, to_toml
from tests.support.running import config_of, small_lane, target_of, until_true

pytestmark = [needs_netns, pytest.mark.alone]
LANES = (
    small_lane("tcp", rate_per_s=600.0, workers=6),
    small_lane("tls", rate_per_s=300.0, workers=4, tls=True),
)
FIRST_PORT = 7001


@dataclass(frozen=True, slots=True)
class Nat:
    """The NAT, and the command that says what its rules should be.

    Args:
        networks: where it is.
        where: the namespace in which the command is run.
        config: the file that it reads.
    """

    networks: Networks
    where: str
    config: Path

    async def access(self, *options: str, given: str = "") -> tuple[int, str]:
        """Run ``loadprobe access nat``; return its exit code and what it printed."""
        return await ended(
            *self.networks.within(self.where),
            *(sys.executable, "-m", "loadprobe", "access", "nat", str(self.config)),
            *("--outside", NAT_OUTSIDE, "--first-port", str(FIRST_PORT), *options),
            given=given,
        )

    async def check(self) -> tuple[int, str]:
        """Compare the rules that are in force."""
        rules = await self.networks.nft("list", "ruleset")
        return await self.access("--check", "-", given=rules)

    async def load(self) -> dict[str, str]:
        """Bring what is printed into force; return the address map of it."""
        code, text = await self.access()
        assert code == 0, text
        toml, nft, _ = re.split("# for the NAT.*|# or with iptables.*", text)
        await self.networks.nft("-f", "-", given=nft)
        found: dict[str, str] = msgspec.toml.decode(toml)["target"]["address_map"]
        return found


def mapped(config: Config, address_map: dict[str, str]) -> Config:
    """Return a configuration with another address map."""
    target = msgspec.structs.replace(config.target, address_map=address_map)
    return msgspec.structs.replace(config, target=target)


async def grow(nat: Nat, cluster: InsideCluster, command: Command) -> None:
    """Let a shard come, see that it is told in time, and mend it before it serves."""
    added = await join_shard(cluster)
    await until_true(told(command, "node_unreached", times=2), within_s=6)
    code, text = await nat.check()
    assert code == 3, text
    for port in (port for node in added for port in node.served_ports):
        assert f":{port} (no slots yet): add one from port 70" in text, text
    known = load_config(str(nat.config))
    address_map = await nat.load()
    assert address_map.items() >= known.target.address_map.items(), "ports stay"
    nat.config.write_text(to_toml(mapped(known, address_map)))
    unreached = len(events(command, "node_unreached"))
    command.send(signal.SIGHUP)
    await until_true(told(command, "node_reached", times=unreached))
    code, text = await nat.check()
    assert code == 0, text
    await take_slots(cluster, added[0])
    await asyncio.sleep(1.5)


async def replace(nat: Nat, cluster: InsideCluster) -> None:
    """Replace the nodes of a shard, and do nothing about it."""
    shard = cluster.shard("0002")
    old = list(shard.nodes)
    await replace_shard(cluster, shard, server=None, on_step=lambda *_: None)
    code, text = await nat.check()
    assert code == 3, text
    for port in (port for node in old for port in node.served_ports):
        assert f":{port}, which is no node of the cluster" in text, text


async def test_failover_scale_out_and_replacement_through_a_nat(tmp_path: Path) -> None:
    """What rules reach is served throughout; what they do not is told, and not blamed.

    Certificates name the nodes, and nothing else: TLS is verified through the map.
    """
    (tmp_path / "files").mkdir()
    async with (
        networks() as nets,
        InsideCluster(nets, tmp_path / "files", shards=2) as cluster,
    ):
        first = cluster.nodes[0]
        name = str(first.settings["cluster-announce-hostname"])
        # What a name server inside would know.
        known = {f"{name}:{p}": f"{first.host}:{p}" for p in first.served_ports}
        config = config_of(target_of(cluster, host=name, address_map=known), *LANES)
        path = tmp_path / "inside.toml"
        path.write_text(to_toml(config))
        address_map = await Nat(nets, nets.nat, path).load()
        async with run_command(
            mapped(config, address_map),
            tmp_path,
            "--full",
            within=nets.within(nets.outside),
        ) as command:
            nat = Nat(nets, nets.outside, tmp_path / "run.toml")
            await begun(command)
            await fail_over(cluster, "0001")
            await asyncio.sleep(1.0)
            await grow(nat, cluster, command)
            await replace(nat, cluster)
            command.send(signal.SIGTERM)
            code, text = await command.wait()
    assert code == 0, text
    summary = command.document("summary.json")
    assert summary["wrong"] == summary["stale_reads"] == 0, text
    outages = command.document("outages.json")["outages"]
    by_path = [o for o in outages if o["attribution"] == "path"]
    assert {(o["lane"], o["shard"]) for o in by_path} == {
        (lane, "0002") for lane in ("tcp", "tls")
    }
    assert all("address_map has no entry" in o["evidence"] for o in by_path)
    # The servers' own failover may cost its shard a moment; nobody else has any.
    others = [o for o in outages if o not in by_path]
    assert {o["shard"] for o in others} <= {"0001", "0002"}, others
    assert sum(o["duration_ms"] for o in others) < 1000, others
