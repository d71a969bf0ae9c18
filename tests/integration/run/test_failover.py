"""``loadprobe run`` with a failover of a real cluster by its API: who was down."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from loadprobe.config.keys import Control
from loadprobe.core.topology.server_side import ServerRow
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.outputs.folder.documents import SERVERS
from loadprobe.outputs.folder.files import read_lines
from tests.support.run_command import Command, run_command
from tests.support.running import config_of, small_lane, target_of

pytestmark = pytest.mark.alone

RUN_KEYS = {
    "schema_version",
    "versions",
    "host",
    "config",
    "config_digest",
    "lanes",
    "start",
    "end",
    "clock_offset_ms",
    "topology_start",
    "topology_end",
}
SUMMARY_KEYS = {
    "schema_version",
    "verdict",
    "downtime_ms",
    "client_seconds_lost",
    "observer",
    "slo",
    "lost_writes",
    "stale_reads",
    "wrong",
    "lanes",
    "scopes",
}
OUTAGE_KEYS = {
    "lane",
    "shard",
    "op",
    "start_unix_ns",
    "end_unix_ns",
    "duration_ms",
    "lower_ms",
    "upper_ms",
    "probe_gap_ms",
    "failed",
    "classes",
    "attribution",
    "incident",
}
PHASES = ["api_call", "accepted", "promoted", "settled"]
# The shipped scenario with less load before and after it.
SCENARIO = """
description = "Fail one shard over"
baseline_s = 1
after_s = 1

[[steps]]
operation = "failover"
shard = "0002"
hold_after_s = 0

[expect]
max_lost_writes = "any"
"""


def assert_servers(command: Command, before: str, after: str) -> None:
    """Every server told of itself, and of the roles that were exchanged."""
    rows = list(read_lines(command.folder / SERVERS, ServerRow))
    nodes = {row.node for row in rows}
    for topology in ("topology_start", "topology_end"):
        for shard in command.document("run.json")[topology].values():
            assert {shard["primary"], *shard["replicas"]} <= nodes
    roles = {
        node: list(dict.fromkeys(row.role for row in rows if row.node == node))
        for node in nodes
    }
    assert roles[after] == ["replica", "primary"]
    assert roles[before][0] == "primary"
    assert any(row.ops > 0 for row in rows if row.node == after)
    assert any(row.lag_bytes is not None for row in rows)


async def fail_over(tmp_path: Path, *, shards: int) -> tuple[Command, str]:
    """Run a failover of the second shard to its end; return the command and its text.

    Everything that holds for every number of shards is checked here.
    """
    # With two shards nobody can vote: the provider promotes after this time, and the
    # survivors have noticed the loss of their majority by then.
    knobs = Knobs(detect_s=2.5)
    async with (
        LocalCluster(shards=shards, replicas_per_shard=2, name="rg") as cluster,
        ControlPlane(knobs=knobs) as plane,
    ):
        plane.add_group("rg", cluster)
        config = config_of(
            target_of(cluster),
            small_lane("tcp", rate_per_s=100.0 * shards, workers=10),
            small_lane("tls", tls=True, rate_per_s=100.0 * shards, workers=10),
            control=Control(replication_group="rg", endpoint_url=plane.endpoint_url),
        )
        scenario = tmp_path / "failover.toml"
        scenario.write_text(SCENARIO)
        options = ("--scenario", str(scenario), "--yes")
        async with run_command(config, tmp_path, *options) as command:
            code, text = await command.wait()
    assert code == 0, text
    run, summary = command.document("run.json"), command.document("summary.json")
    rows = command.document("outages.json")["outages"]
    assert run.keys() >= RUN_KEYS
    assert summary.keys() >= SUMMARY_KEYS
    assert run["problems"] == []
    assert run["scenario"] == "failover"
    assert len(run["topology_end"]) == shards
    before, after = run["topology_start"]["0002"], run["topology_end"]["0002"]
    assert after["primary"] in before["replicas"]
    assert abs(run["clock_offset_ms"]) < 1_000  # the Date header holds whole seconds
    assert rows
    for row in rows:
        assert row.keys() >= OUTAGE_KEYS
        assert row["lower_ms"] <= row["duration_ms"] <= row["upper_ms"]
    assert summary["state"] == "outage"
    assert summary["wrong"] == 0
    assert_phases(command)
    assert_dark(summary)
    assert_servers(command, before["primary"], after["primary"])
    assert "0002" in text
    return command, text


def assert_phases(command: Command) -> None:
    """Assert that the journal has every phase of the failover, in order."""
    events = command.lines("events.ndjson")
    phases = [
        (event["mono_ns"], event["fields"]["phase"])
        for event in events
        if event["source"] == "controller" and event["kind"] == "phase"
    ]
    names = [name for _, name in phases]
    assert [name for name in names if name in PHASES] == PHASES
    assert "provider_completed" in names
    assert "failed" not in names
    assert phases == sorted(phases, key=lambda phase: phase[0])
    assert any(event["source"] == "provider" for event in events)
    changes = {event["kind"] for event in events if event["source"] == "topology"}
    assert "role_change" in changes


def assert_dark(summary: Mapping[str, Any]) -> None:
    """Assert that the shard that lost its primary was dark on both lanes."""
    for lane in summary["lanes"]:
        dark = lane["downtime_ms"]["shards"]["0002"]
        assert 0 < dark["lower"] <= dark["estimate"] <= dark["upper"]


def ends_of(rows: list[dict[str, Any]], shard: str) -> tuple[int, int]:
    """Return the first start and the last end of a shard's outages, UNIX ns."""
    own = [row for row in rows if row["shard"] == shard]
    return (
        min(row["start_unix_ns"] for row in own),
        max(row["end_unix_ns"] for row in own),
    )


async def test_of_two_shards_both_go_dark(tmp_path: Path) -> None:
    """Without a majority the healthy shard goes dark too; the cluster is to blame."""
    command, _ = await fail_over(tmp_path, shards=2)
    summary = command.document("summary.json")
    rows = command.document("outages.json")["outages"]
    for lane in summary["lanes"]:
        assert lane["downtime_ms"]["all_shards"]["lower"] > 0
        assert (
            lane["downtime_ms"]["all_shards"]["estimate"]
            <= lane["downtime_ms"]["shards"]["0001"]["estimate"]
        )
    healthy = [row for row in rows if row["shard"] == "0001"]
    assert healthy
    assert {row["attribution"] for row in healthy} == {"cluster"}
    assert all(row["classes"].keys() == {"clusterdown"} for row in healthy)
    (first, last), (healthy_first, healthy_last) = (
        ends_of(rows, "0002"),
        ends_of(rows, "0001"),
    )
    assert first < healthy_first < healthy_last
    assert healthy_first < last


@pytest.mark.parametrize("shards", [3, 4])
async def test_of_more_shards_one_goes_dark(tmp_path: Path, shards: int) -> None:
    """With a majority left, only the shard without its primary is dark at all."""
    command, _ = await fail_over(tmp_path, shards=shards)
    summary = command.document("summary.json")
    rows = command.document("outages.json")["outages"]
    assert {row["shard"] for row in rows} == {"0002"}
    assert {row["attribution"] for row in rows} == {"shard"}
    zero = {"estimate": 0.0, "lower": 0.0, "upper": 0.0, "unseen": 0.0}
    assert summary["downtime_ms"]["all_shards"] == zero
    for shard, dark in summary["downtime_ms"]["shards"].items():
        assert (dark == zero) == (shard != "0002")
    for scope in summary["scopes"]:
        if scope["shard"] != "0002":
            assert scope["arrivals"] == scope["outcomes"]["served"]
