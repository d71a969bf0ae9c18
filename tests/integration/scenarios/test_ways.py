"""A TLS migration by a tunnel and by an address map: nodes that nothing else leads to.

The API is asked directly. What is watched beside a step goes by the way of the lanes,
or it would tell of endpoints that it never reached.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadprobe.config.keys import Config, Control
from loadprobe.control.reach.nat import NatPlan, Opening
from loadprobe.control.reach.rules import render_nft
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from tests.support.journal import begun, events
from tests.support.netns import (
    DOMAIN,
    NAT_HERE,
    InsideCluster,
    Networks,
    needs_netns,
    networks,
    way_to_nat,
)
from tests.support.run_command import Command, run_command
from tests.support.running import config_of, small_lane, target_of, until_true
from tests.support.sshd import Bastion, bastion, needs_sshd

pytestmark = [needs_netns, pytest.mark.alone]
LANES = (
    small_lane("tcp", rate_per_s=300.0, workers=6),
    small_lane("tls", rate_per_s=300.0, workers=6, tls=True),
)
KNOBS = Knobs(modifying_delay_s=3.0, settle_delay_s=0.2)
SCENARIO = """
description = "TLS on and off again"
baseline_s = 2
after_s = 1
[[steps]]
name = "preferred"
operation = "tls"
mode = "preferred"
hold_after_s = 1
[[steps]]
name = "required"
operation = "tls"
mode = "required"
hold_after_s = 1
[[steps]]
name = "preferred-again"
operation = "tls"
mode = "preferred"
hold_after_s = 1
[[steps]]
name = "none-again"
operation = "tls"
mode = "none"
[[expected]]
dark = ["tcp"]
from_step = "required"
until_step = "preferred-again"
[[expected]]
dark = ["tls"]
from_step = "none-again"
"""


@dataclass(frozen=True, slots=True)
class Inside:
    """A cluster inside, and its API here."""

    nets: Networks
    cluster: InsideCluster
    plane: ControlPlane

    def config(self, **more: Any) -> Config:
        """Return a configuration of both lanes."""
        target = target_of(self.cluster, server_name=f"any.{DOMAIN}", **more)
        control = Control("rg", endpoint_url=self.plane.endpoint_url)
        return config_of(target, *LANES, control=control)


@asynccontextmanager
async def inside(folder: Path, *, is_named: bool) -> AsyncIterator[Inside]:
    """Run a cluster without TLS that this host has no route to."""
    files = folder / "files"
    files.mkdir()
    async with (
        networks() as nets,
        way_to_nat(nets),
        InsideCluster(
            nets, files, shards=2, is_named=is_named, tls_mode="none", name="rg"
        ) as cluster,
        ControlPlane(knobs=KNOBS) as plane,
    ):
        plane.add_group("rg", cluster)
        yield Inside(nets, cluster, plane)


def states(command: Command, *, tls: bool) -> list[str]:
    """Return what was told of the endpoint of a transport, in order."""
    found = [e["fields"] for e in events(command, "endpoint")]
    return [each["state"] for each in found if each["tls"] is tls]


def entered(command: Command, step: str, phase: str) -> list[int]:
    """Return when a step entered a phase, UNIX ns; nothing if it has not yet."""
    return [
        event["wall_ns"]
        for event in events(command, "phase")
        if (event["fields"]["step"], event["fields"]["phase"]) == (step, phase)
    ]


def check_migration(command: Command, code: int, text: str) -> Sequence[Any]:
    """Check what holds by every way; return the outages that were not planned."""
    assert code == 0, text
    scenario = command.document("summary.json")["scenario"]
    assert scenario["state"] == "completed", scenario
    assert {s["state"] for s in scenario["steps"]} == {"settled"}, scenario
    assert events(command, "step_problem") == []
    assert sorted(states(command, tls=False)) == ["accepting", "cut", "refused"]
    assert sorted(states(command, tls=True)) == [
        "accepting",
        "accepting",
        "cut",
        "refused",
    ]
    for step in scenario["steps"]:
        if step["name"] in ("required", "none-again"):
            names = {each["phase"] for each in step["phases"]}
            assert {"endpoint_refused", "endpoint_cut"} <= names, step
    outages = command.document("outages.json")["outages"]
    assert {o["lane"] for o in outages if o["attribution"] == "planned"} == {
        "tcp",
        "tls",
    }
    return [o for o in outages if o["attribution"] != "planned"]


async def test_tls_migration_by_an_address_map(tmp_path: Path) -> None:
    """Endpoints are seen to end through the NAT, and nobody is down but by plan."""
    async with inside(tmp_path, is_named=True) as there:
        openings: list[Opening] = []
        address_map: dict[str, str] = {}
        for node in there.cluster.nodes:
            name = str(node.settings["cluster-announce-hostname"])
            for inner in node.served_ports:
                port = 7001 + len(openings)
                openings.append(Opening(port, (node.host, inner), (), node.name))
                for host in (name, node.host):
                    address_map[f"{host}:{inner}"] = f"{NAT_HERE}:{port}"
        rules = render_nft(NatPlan(NAT_HERE, tuple(openings)))
        await there.nets.nft("-f", "-", given=rules)
        (tmp_path / "s.toml").write_text(SCENARIO)
        config = there.config(address_map=address_map)
        options = "--scenario", str(tmp_path / "s.toml"), "--yes"
        async with run_command(config, tmp_path, *options) as command:
            code, text = await command.wait()
    assert check_migration(command, code, text) == [], text


async def stall(command: Command, there: Bastion, step: str) -> None:
    """Have the tunnel stall for a second while an endpoint is watched for its end."""

    async def is_called() -> bool:
        return bool(entered(command, step, "accepted"))

    await until_true(is_called, within_s=40)
    await asyncio.sleep(0.5)
    assert entered(command, step, "endpoint_refused") == []
    there.freeze(signal.SIGSTOP)
    await asyncio.sleep(1.0)
    there.freeze(signal.SIGCONT)


@needs_sshd
async def test_tls_migration_by_a_tunnel(tmp_path: Path) -> None:
    """The same through a tunnel, which stalls while an endpoint is watched for its end.

    Neither the endpoint nor the cluster is blamed for that.
    """
    async with (
        inside(tmp_path, is_named=False) as there,
        bastion(
            tmp_path / "bastion",
            host=NAT_HERE,
            within=there.nets.within(there.nets.nat),
        ) as host,
    ):
        (tmp_path / "s.toml").write_text(SCENARIO)
        config = there.config(tunnel=host.tunnel())
        options = "--scenario", str(tmp_path / "s.toml"), "--yes"
        async with run_command(config, tmp_path, *options) as command:
            await begun(command)
            await stall(command, host, "required")
            code, text = await command.wait()
    unplanned = check_migration(command, code, text)
    assert len(events(command, "stalled")) == 1
    assert {o["attribution"] for o in unplanned} == {"transport"}, unplanned
    (accepted_ns,) = entered(command, "required", "accepted")
    refused = [
        e for e in events(command, "endpoint") if e["fields"]["state"] != "accepting"
    ]
    assert min(e["wall_ns"] for e in refused) - accepted_ns > 2_000_000_000, refused
