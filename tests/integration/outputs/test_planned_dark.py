"""Plaintext ends by plan on a real cluster: counted apart, painted apart, no outage."""

import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from loadprobe.config.keys import Control, Http
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.dashboards import DASHBOARDS, answers, scraping
from tests.support.prometheus_server import (
    NEEDS_PROMETHEUS,
    Labels,
    Prometheus,
    free_port,
    prometheus,
)
from tests.support.run_command import Command, run_command
from tests.support.running import config_of, small_lane, target_of
from tools.pictures.queries import Shown

pytestmark = [pytest.mark.alone, NEEDS_PROMETHEUS]

SCENARIO = """
description = "Plaintext ends, by plan, and comes back"
baseline_s = 3
after_s = 5

[[steps]]
name = "required"
operation = "tls"
mode = "required"
hold_after_s = 4

[[steps]]
name = "preferred-again"
operation = "tls"
mode = "preferred"
hold_after_s = 0

[[expected]]
dark = ["tcp"]
from_step = "required"
until_step = "preferred-again"

[expect]
max_lost_writes = "any"
"""
TCP = 'lane="tcp",op!="connect"'
SCOPES = 4
"""Reads and writes of two shards."""

FLEET, MAINTENANCE = (json.loads(path.read_text()) for path in DASHBOARDS[:2])
Answers = dict[str, tuple[str, list[Any]]]


@dataclass(frozen=True, slots=True)
class Amid:
    """What was told while the lane was dark."""

    status: dict[str, Any]
    lengths: dict[Labels, float]
    planned: dict[Labels, float]
    fleet: Answers


@dataclass(frozen=True, slots=True)
class After:
    """What was told when it was over."""

    outages: list[dict[str, Any]]
    dark: dict[Labels, float]
    planned: dict[Labels, float]
    causes: set[str]
    maintenance: Answers
    film: Answers
    fleet: Answers


async def look_amid(database: Prometheus, port: int, begun: float) -> Amid:
    """Wait until all scopes of the lane have been dark for 2 s, and look."""
    open_s = "loadprobe_outage_current_seconds"
    planned_s = "loadprobe_outage_current_planned_seconds"
    await database.until(f"count({open_s}{{{TCP}}} > 2) == {SCOPES}", within_s=60)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/api/v1/status") as reply,
    ):
        status = await reply.json()
    now = f" @ {time.time():.3f}"
    return Amid(
        status,
        await database.values(f"{open_s}{{{TCP}}}{now}", "shard", "op"),
        await database.values(f"{planned_s}{{{TCP}}}{now}", "shard", "op"),
        await answers(database, FLEET, Shown(begun, time.time(), scrape_s=1.0)),
    )


async def look_after(database: Prometheus, command: Command, begun: float) -> After:
    """Wait for the end of the run, and look."""
    code, text = await command.wait()
    assert code == 0, text
    shown = Shown(begun, time.time(), scrape_s=1.0)
    outages = command.document("outages.json")["outages"]
    first_s = round(min(row["start_unix_ns"] for row in outages) / 1e9, 3)
    film = Shown(first_s + 1, first_s + 3, scrape_s=1.0)

    async def last(name: str, *labels: str) -> dict[Labels, float]:
        query = f"last_over_time(loadprobe_{name}{{{TCP}}}[1m])"
        return await database.values(query, *labels)

    return After(
        outages,
        await last("dark_time_seconds_total", "shard", "op"),
        await last("planned_dark_seconds_total", "shard", "op"),
        {cause for cause, *_ in await last("outages_total", "attribution", "op")},
        await answers(database, MAINTENANCE, shown),
        await answers(database, MAINTENANCE, film),
        await answers(database, FLEET, shown),
    )


def figure(answers: Answers, where: str) -> float:
    """Return the one number of a panel."""
    (row,) = answers[f"loadprobe: {where}"][1]
    return float(row["value"][1])


def drawn(answers: Answers, where: str) -> set[float]:
    """Return the values that a panel draws for the lane."""
    rows = answers[f"loadprobe: {where}"][1]
    found = (row["values"] for row in rows if row["metric"]["lane"] == "tcp")
    return {float(value) for points in found for _, value in points}


async def test_darkness_by_plan_is_no_outage(tmp_path: Path) -> None:
    """All that was dark on the lane is planned, in every series, panel and state."""
    port = free_port()
    (tmp_path / "ends.toml").write_text(SCENARIO)
    begun = time.time()
    async with (
        prometheus(tmp_path, scraping(tmp_path, port)) as database,
        LocalCluster(
            shards=2, replicas_per_shard=0, name="rg", tls_mode="preferred"
        ) as cluster,
        ControlPlane(knobs=Knobs()) as plane,
    ):
        plane.add_group("rg", cluster)
        config = config_of(
            target_of(cluster),
            small_lane("tcp"),
            small_lane("tls", tls=True),
            control=Control(replication_group="rg", endpoint_url=plane.endpoint_url),
            http=Http(listen=f"127.0.0.1:{port}"),
        )
        options = ("--scenario", str(tmp_path / "ends.toml"), "--yes")
        async with run_command(config, tmp_path, *options) as command:
            amid = await look_amid(database, port, begun)
            after = await look_after(database, command, begun)
    told_while_it_is_dark(amid)
    counted_in_the_end(after)
    shown_in_the_end(after)


def told_while_it_is_dark(amid: Amid) -> None:
    """Check that it is by plan, live: in the status, the gauges and the fleet."""
    lanes = {lane["name"]: lane["shards"] for lane in amid.status["lanes"]}
    assert {shard["state"] for shard in lanes["tcp"].values()} == {"planned"}
    assert "planned" not in {shard["state"] for shard in lanes["tls"].values()}
    assert amid.status["verdict"]["open_planned_outages"] == SCOPES
    assert len(amid.lengths) == SCOPES
    assert amid.lengths == amid.planned
    assert figure(amid.fleet, "fleet / Scopes down / A") == 0
    assert figure(amid.fleet, "fleet / Scopes dark by plan / A") == SCOPES
    assert amid.fleet["loadprobe: fleet / Open outages / A"][1] == []


def counted_in_the_end(after: After) -> None:
    """Check that the counters have what the run folder has, and nothing else."""
    rows = [row for row in after.outages if row["lane"] == "tcp"]
    assert {row["attribution"] for row in rows} == {"planned"}
    assert after.causes == {"planned"}
    lasted_s: Counter[Labels] = Counter()
    for row in rows:
        if row["op"] != "connect":
            seen_ms = row["duration_ms"] - row["unseen_ms"]
            lasted_s[row["shard"], row["op"]] += seen_ms / 1000
    assert len(lasted_s) == SCOPES
    assert min(lasted_s.values()) > 4
    assert after.planned == pytest.approx(dict(lasted_s), abs=3e-3)
    assert after.dark == after.planned


def shown_in_the_end(after: After) -> None:
    """Check that it is painted in its own colour, and in no figure of downtime."""
    window = "maintenance window"
    assert figure(after.maintenance, f"{window} / Down, at worst / A") == 0
    assert figure(after.maintenance, f"{window} / Dark, at worst / A") == 0
    assert figure(after.maintenance, f"{window} / Available, at worst / A") == 1
    by_plan_s = figure(after.maintenance, f"{window} / Dark by plan / A")
    assert by_plan_s == pytest.approx(max(after.planned.values()), abs=2e-3)
    states = drawn(after.maintenance, f"{window} / Shards / A")
    assert -3 in states
    assert max(states) <= 0
    assert drawn(after.film, f"{window} / Film / A") == {4}
    assert figure(after.fleet, "fleet / Clusters / A") == 1
