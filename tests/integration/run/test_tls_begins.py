"""Lanes that wait for TLS begin when it is served, not when the change has settled."""

import asyncio
import ssl
from pathlib import Path

import pytest

from loadprobe.clock import NS_PER_MS, wall_now_ns
from loadprobe.config.keys import Control, Target
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.run_command import run_command
from tests.support.running import config_of, small_lane

pytestmark = pytest.mark.alone

LANES = small_lane(workers=20), small_lane("tls", tls=True, workers=20)
SCENARIO = """\
description = "switches TLS on"
baseline_s = 4
after_s = 1
[[steps]]
operation = "tls"
mode = "preferred"
"""


async def first_handshake_ns(cluster: LocalCluster) -> int:
    """Return when a client of its own was first served by TLS, UNIX ns.

    By every shard: the nodes open their ports one after the other.
    """
    ports = [shard.nodes[0].ports.tls for shard in cluster.shards]
    return max(await asyncio.gather(*(_served_ns(cluster, port) for port in ports)))


async def _served_ns(cluster: LocalCluster, port: int) -> int:
    context = ssl.create_default_context(cafile=cluster.ca_file)
    while True:
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context
            )
            writer.write(b"PING\r\n")
            if await reader.readline() == b"+PONG\r\n":
                writer.close()
                return wall_now_ns()
        except OSError:
            pass
        await asyncio.sleep(0.005)


async def test_tls_begins_with_the_first_handshake(tmp_path: Path) -> None:
    """Nearer to it than to the end of the change; the gap before is told.

    Within 300 ms on a machine that is not busy; the measure here is the change itself.
    """
    folder = tmp_path
    (folder / "s.toml").write_text(SCENARIO)
    async with (
        LocalCluster(shards=2, replicas_per_shard=1, tls_mode="none") as cluster,
        ControlPlane(knobs=Knobs()) as plane,
    ):
        plane.add_group("rg", cluster)
        config = config_of(
            Target(ca_file=str(cluster.ca_file)),
            *LANES,
            control=Control("rg", endpoint_url=plane.endpoint_url),
        )
        options = "--scenario", str(folder / "s.toml"), "--yes"
        async with run_command(config, folder, *options) as command:
            looking = asyncio.create_task(first_handshake_ns(cluster))
            code, text = await command.wait()
            served_ns = await looking
    assert code == 0, text
    rows = command.lines("events.ndjson")
    (woken,) = [row for row in rows if row["kind"] == "lane_woken"]
    (settled,) = [row for row in rows if row["fields"].get("phase") == "settled"]
    begun_ns = woken["wall_ns"] + 50 * NS_PER_MS  # so much after it was told to
    assert begun_ns < (served_ns + settled["wall_ns"]) / 2
    (told,) = [row for row in rows if row["kind"] == "lanes_begun"]
    assert "before they began they observed nothing" in told["fields"]["text"]
    (tls,) = [s for s in command.document("summary.json")["lanes"] if s["tls"]]
    assert tls["outcomes"]["served"] > 0
    assert tls["downtime_ms"]["any_shard"]["upper"] == 0
