"""Somebody else changes the group while a run without a scenario lasts."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadprobe.config.keys import Control, Http
from loadprobe.control.provider.api import open_api
from loadprobe.control.provider.state import ApiCall
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.commands import get
from tests.support.prometheus_server import free_port
from tests.support.run_command import run_command
from tests.support.running import config_of, small_lane, target_of, until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(120)]

UPDATE = "loadprobe-security-001"


async def shown(url: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until what a run shows of maintenance is so; return it."""
    async with asyncio.timeout(60):
        while True:
            page = await get(f"{url}/api/v1/maintenance")
            if page is not None and is_so(now := dict(json.loads(page))):
                return now
            await asyncio.sleep(0.1)


async def test_what_others_do_is_noticed_and_told(tmp_path: Path) -> None:
    """A failover and a service update, each opened and closed without anybody."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with (
        LocalCluster(shards=1, replicas_per_shard=1, name="rg") as cluster,
        ControlPlane(knobs=Knobs(detect_s=0.3)) as plane,
    ):
        plane.add_group("rg", cluster)
        control = Control(replication_group="rg", endpoint_url=plane.endpoint_url)
        config = config_of(
            target_of(cluster),
            small_lane("tcp"),
            control=control,
            http=Http(listen=f"127.0.0.1:{port}"),
        )
        async with (
            open_api(control) as other,
            run_command(config, tmp_path, "--for", "100s") as command,
        ):
            await until(lambda: command.has_begun, what="the load", within_s=60)
            now = await shown(url, lambda now: bool(now["updates"]))
            assert [row["status"] for row in now["updates"]] == ["not-applied"]
            assert now["maintenances"] == []
            arguments = {"ReplicationGroupId": "rg", "NodeGroupId": "0001"}
            await other.send(ApiCall("TestFailover", arguments))
            await shown(url, lambda now: len(now["maintenances"]) == 1)
            await shown(url, lambda now: now["maintenances"][0]["verdict"] != "")
            update = {"ServiceUpdateName": UPDATE, "ReplicationGroupIds": ["rg"]}
            await other.send(ApiCall("BatchApplyUpdateAction", update))
            now = await shown(
                url,
                lambda now: [bool(r["verdict"]) for r in now["maintenances"]] == [1, 1],
            )
            metrics = await get(f"{url}/metrics")
            command.send(signal.SIGTERM)
            code, text = await command.wait()
        assert code == 0, text
    failover, updated = now["maintenances"]
    assert failover["outages"] > 0
    assert "dark for" in failover["verdict"]
    assert now["updates"][0]["status"] == "complete"
    assert updated["start_unix_ns"] > failover["end_unix_ns"]
    assert metrics is not None
    assert "loadprobe_maintenances_total" in metrics
    assert "loadprobe_maintenance_update_actions{" in metrics
    kinds = [
        line["kind"]
        for line in command.lines("events.ndjson")
        if line["source"] == "maintenance"
    ]
    assert kinds.count("begun") == kinds.count("over") == 2
    assert {"update", "group_status"} <= set(kinds)
