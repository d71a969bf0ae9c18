"""A Prometheus that scrapes a run answers all that the dashboards and rules ask."""

import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from loadprobe.config.keys import Control, Http, Slo
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.dashboards import DASHBOARDS, answers, scraping
from tests.support.prometheus_server import NEEDS_PROMETHEUS, free_port, prometheus
from tests.support.run_command import run_command
from tests.support.running import config_of, small_lane, target_of, until
from tools.pictures.queries import Shown

pytestmark = [NEEDS_PROMETHEUS, pytest.mark.alone]

SCENARIO = """
description = "Fail one shard over"
baseline_s = 3
after_s = 1

[[steps]]
operation = "failover"
shard = "0002"
hold_after_s = 0

[expect]
max_lost_writes = "any"
"""
SETTLED = 'loadprobe_controller_phase_start_timestamp_seconds{phase="settled"}'
TOKEN = "0123456789abcdef"
EMPTY_IN_GOOD_TIMES = {
    # series only appear when something of the kind happens
    "loadprobe: maintenance window / Film / B",  # the probe was never blind
    "loadprobe: maintenance window / Attempts to connect, redirects, role changes / B",
    "loadprobe: fleet / Open outages / A",
    # nobody is told of incidents here
    "loadprobe: maintenance window / Notices that wait / A",
    "loadprobe: maintenance window / Requests that failed, notices dropped / A",
    "loadprobe: maintenance window / Requests that failed, notices dropped / B",
}
FILM = {
    # a millisecond is shown only if a step is one
    "loadprobe: maintenance window / Arrivals of each failing millisecond / A",
    "loadprobe: maintenance window / Arrivals of each failing millisecond / B",
}


async def mark(port: int) -> None:
    """Put a note on the timeline."""
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.post(
            f"http://127.0.0.1:{port}/api/v1/marks", json={"text": "deploy"}
        ) as reply,
    ):
        assert reply.status in (200, 201), await reply.text()


async def test_every_query_has_an_answer(tmp_path: Path) -> None:
    """No panel, variable, annotation or rule is refused, and none is empty."""
    port = free_port()
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "failover.toml").write_text(SCENARIO)
    http = Http(listen=f"127.0.0.1:{port}", marks_token_file=str(tmp_path / "token"))
    maintenance = json.loads(DASHBOARDS[1].read_text())
    begun = time.time()
    async with (
        prometheus(tmp_path, scraping(tmp_path, port)) as database,
        LocalCluster(shards=3, replicas_per_shard=1, name="rg") as cluster,
        ControlPlane(knobs=Knobs(detect_s=0.3)) as plane,
    ):
        plane.add_group("rg", cluster)
        config = config_of(
            target_of(cluster),
            small_lane("tcp", connect_rate_per_s=5.0),
            small_lane("tls", tls=True),
            control=Control(replication_group="rg", endpoint_url=plane.endpoint_url),
            http=http,
            slo=Slo(availability=0.5),
        )
        scenario = str(tmp_path / "failover.toml")
        options = ("--scenario", scenario, "--yes", "--for", "60s")
        await database.until("count(up) == 2")  # it scrapes before there is a run
        async with run_command(config, tmp_path, *options) as command:
            await until(lambda: command.has_begun, what="the load")
            await database.until("loadprobe_build_info")
            await mark(port)
            await database.until("sum(loadprobe_outages_total)")
            await database.until(f"time() - {SETTLED} > 2")
            shown = Shown(begun, time.time(), scrape_s=1.0, values={"step": "2s"})
            found: dict[str, tuple[str, list[Any]]] = {}
            for path in DASHBOARDS:
                found |= await answers(database, json.loads(path.read_text()), shown)
            command.send(signal.SIGTERM)
            code, text = await command.wait()
            assert code == 0, text
            outages = command.document("outages.json")["outages"]
        await database.until('ALERTS{alertname="LoadprobeDown"}')
        # Later, the window of maintenance shows what it showed.
        shown = Shown(begun, time.time(), scrape_s=1.0)
        later = await answers(database, maintenance, shown)
        first_s = min(
            float(row["value"][1]) / 1000
            for row in later["loadprobe: maintenance window / Scopes / G"][1]
        )
        down_ms = 1000 * float(
            later["loadprobe: maintenance window / Down, at worst / A"][1][0]["value"][
                1
            ]
        )
        lengths_ms: Counter[tuple[str, ...]] = Counter()
        for row in outages:
            if row["op"] != "connect" and row["attribution"] != "planned":
                scope = row["lane"], row["shard"], row["op"]
                lengths_ms[scope] += row["duration_ms"]
        film = Shown(round(first_s, 3) - 1, round(first_s, 3) + 10, scrape_s=1.0)
        panel = await answers(database, maintenance, film)
        async with database.session.get(f"{database.url}/api/v1/rules") as reply:
            groups = (await reply.json())["data"]["groups"]
    assert down_ms == pytest.approx(max(lengths_ms.values()), abs=1)
    assert {where for where in FILM if not panel[where][1]} == set()
    for asked in (found, later):
        assert {where: error for where, (error, _) in asked.items() if error} == {}
        empty = {where for where, (_, series) in asked.items() if not series}
        assert empty - EMPTY_IN_GOOD_TIMES - FILM == set()
    health = {rule["name"]: rule["health"] for g in groups for rule in g["rules"]}
    assert set(health.values()) == {"ok"}, health
