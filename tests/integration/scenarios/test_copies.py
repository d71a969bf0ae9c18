"""Migrations by a tool, and the lanes led to the target, on real servers."""

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadprobe.config.keys import Config, Lane
from loadprobe.control.scenario.file import Scenario, load_scenario, parse_scenario
from loadprobe.local.cluster.cluster import LocalCluster
from tests.integration.scenarios.test_scenarios import (
    Ran,
    carry_out,
    config_for,
    rehearsing,
)
from tests.support.paths import ROOT
from tests.support.running import small_lane, target_of

pytestmark = pytest.mark.alone
needs_redis_cli = pytest.mark.skipif(
    shutil.which("redis-cli") is None,
    reason="no redis-cli on PATH; install it (apt-get install redis-tools)",
)

LANE = small_lane("tcp", workers=10, rate_per_s=300.0, keys=300, read_ratio=0.5)
SECRET = "the-password-of-the-source"


def quick(scenario: Scenario) -> Scenario:
    """Return a scenario without its long holds."""
    steps = tuple(
        msgspec.structs.replace(step, hold_before_s=0.0, hold_after_s=0.2)
        for step in scenario.steps
    )
    return replace(scenario, steps=steps, baseline_s=1.0, after_s=1.0)


@asynccontextmanager
async def two_ends(
    tmp_path: Path, *, cluster_mode: bool = True, lanes: tuple[Lane, ...] = (LANE,)
) -> AsyncIterator[tuple[Config, LocalCluster]]:
    """Run a single server with a password beside a group; yield (config, group)."""
    secret = tmp_path / "password"
    secret.write_text(f"{SECRET}\n")
    source = LocalCluster(
        shards=1, replicas_per_shard=0, cluster_mode=False, tls=False,
        name="source", password=SECRET,
    )  # fmt: skip
    async with (
        source,
        rehearsing("none", cluster_mode=cluster_mode, replicas_per_shard=0) as (
            group,
            plane,
        ),
    ):
        config = config_for(plane, tmp_path, tls=False)
        target = target_of(
            source, name_server=plane.name_server, password_file=str(secret)
        )
        yield msgspec.structs.replace(config, target=target, lanes=lanes), group


def phases(ran: Ran, step: str) -> dict[str, float]:
    """Return phase -> ms from the begin of a step."""
    found: Mapping[str, Any] = next(
        each for each in ran.scenario["steps"] if each["name"] == step
    )
    return {each["phase"]: each["offset_ms"] for each in found["phases"]}


def there(ran: Ran, step: str = "cutover") -> Mapping[str, Any]:
    """Return what the only lane found at the target."""
    steps = {each["name"]: each for each in ran.scenario["steps"]}
    (found,) = steps[step]["went_over"]
    lane: Mapping[str, Any] = found
    return lane


@needs_redis_cli
async def test_redis_cli_import(tmp_path: Path) -> None:
    """Nothing is lost or dark, and the password of the source is told to nobody."""
    async with two_ends(tmp_path) as (config, group):
        ran = await carry_out(config, quick(load_scenario("copy-redis-cli")))
        sizes = [int(await node.command("DBSIZE")) for node in group.nodes]
    ran.check()
    assert ran.outages == []
    assert min(sizes) > 0
    assert there(ran)["lost"] == there(ran)["unread"] == 0
    assert there(ran)["checked"] > 0
    assert {"copy_begun", "copy_done"} <= set(phases(ran, "copy"))
    assert "writes_held" in phases(ran, "drain")
    seen = phases(ran, "cutover")
    assert seen["writes_held"] <= seen["lanes_moved"] <= seen["writes_resumed"]
    shards = set(ran.of("tcp")["downtime_ms"]["shards"])
    assert shards == {"0001", "0002"}
    assert SECRET not in ran.text
    for path in (tmp_path / "runs").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


@needs_redis_cli
async def test_at_once(tmp_path: Path) -> None:
    """What was written after its key was copied is lost, and found to be."""
    scenario = parse_scenario(
        """
        description = "copied once, and left at once"
        [[steps]]
        operation = "copy"
        tool = "redis-cli"
        hold_after_s = 1.0
        [[steps]]
        operation = "cutover"
        writers = "at_once"
        [expect]
        max_lost_writes = "any"
        """,
        where="s.toml",
        name="at-once",
    )
    async with two_ends(tmp_path) as (config, _group):
        scenario = replace(scenario, baseline_s=1.0, after_s=1.0)
        ran = await carry_out(config, scenario)
    ran.check(may_lose=True)
    assert there(ran)["lost"] > 0
    assert there(ran)["unread"] == 0
    assert "writes_held" not in phases(ran, "cutover")
    assert ran.summary["stale_reads"] > 0
    assert ran.summary["wrong"] == 0


def stand_in(folder: Path, *more: str) -> str:
    """Return the path of a program that stands in for RedisShake."""
    path = folder / "redis-shake"
    script = ROOT / "tests" / "support" / "shake_stand_in.py"
    words = " ".join(["exec", sys.executable, str(script), '"$1"', *more])
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)
    return str(path)


def shaking(program: str, *, hold_s: float = 0.5) -> Scenario:
    """Return a copy by RedisShake, and a cut-over once it has caught up."""
    return parse_scenario(
        f"""
        description = "copied and followed"
        baseline_s = 1.0
        after_s = 1.0
        [[steps]]
        operation = "copy"
        tool = "redis-shake"
        program = "{program}"
        hold_after_s = {hold_s}
        [[steps]]
        operation = "cutover"
        hold_after_s = 0.5
        """,
        where="s.toml",
        name="shaking",
    )


def copying_folders() -> set[Path]:
    """Return the folders of programs that copy; one that was killed leaves its own."""
    return set(Path(tempfile.gettempdir()).glob("loadprobe-copy-*"))


async def test_a_copy_that_follows(tmp_path: Path) -> None:
    """Writes pause until the copy has caught up; nothing is lost."""
    before = copying_folders()
    async with two_ends(tmp_path) as (config, _group):
        ran = await carry_out(config, shaking(stand_in(tmp_path)))
    ran.check()
    seen = phases(ran, "copy")
    assert seen["copy_begun"] <= seen["copy_done"] <= seen["caught_up"]
    seen = phases(ran, "cutover")
    assert seen["writes_held"] <= seen["caught_up"] <= seen["lanes_moved"]
    assert there(ran)["lost"] == there(ran)["unread"] == 0
    told = [e["fields"] for e in ran.events if e["kind"] == "copy"]
    assert any(each["state"] == "syncing aof" for each in told)
    assert all(each["lag_bytes"] is not None for each in told[-1:])
    assert SECRET not in ran.text
    assert copying_folders() == before


async def test_a_copy_that_dies(tmp_path: Path) -> None:
    """It is told when it dies, and the lanes stay where they are."""
    program = stand_in(tmp_path, "--die-after", "3")
    async with two_ends(tmp_path) as (config, _group):
        ran = await carry_out(config, shaking(program, hold_s=4.0))
    assert ran.code == 1
    assert ran.states() == {"copy": "settled", "cutover": "failed"}, ran.why()
    problems = [e["fields"]["text"] for e in ran.events if e["kind"] == "problem"]
    assert any("ended with exit code 3" in text for text in problems), problems
    (cutover,) = [s for s in ran.scenario["steps"] if s["name"] == "cutover"]
    assert "the lanes stay at the source" in cutover["reason"]
    assert cutover["went_over"] == []
    assert ran.summary["lost_writes"] == 0
    assert ran.outages == []


@needs_redis_cli
async def test_seed(tmp_path: Path) -> None:
    """A file of the source, a new group made from it, and the lanes there."""
    file = str(tmp_path / "dump.rdb")
    given = {"file": file, "snapshot": file, "replicas": "0"}
    async with two_ends(tmp_path) as (config, _group):
        assert config.control is not None
        control = msgspec.structs.replace(config.control, replication_group="seeded")
        there_yet = msgspec.structs.replace(config, control=control)
        ran = await carry_out(there_yet, quick(load_scenario("seed-rdb", given)))
    ran.check()
    assert ran.outages == []
    assert there(ran)["lost"] == there(ran)["unread"] == 0
    assert there(ran)["checked"] > 0
    assert {"copy_begun", "copy_done"} <= set(phases(ran, "file"))
    assert {"api_call", "accepted", "settled"} <= set(phases(ran, "seed"))
    shards = set(ran.of("tcp")["downtime_ms"]["shards"])
    assert shards == {"0001", "0002"}
    assert ": deleted\n" in ran.text


async def test_online_migration_without_a_loss(tmp_path: Path) -> None:
    """Tested, started, drained, completed: the lanes go over after all that."""
    source = LocalCluster(
        shards=1, replicas_per_shard=0, cluster_mode=False, tls=False, name="source"
    )
    async with source, rehearsing("none", cluster_mode=False) as (_, plane):
        config = config_for(plane, tmp_path, tls=False)
        target = target_of(source, name_server=plane.name_server)
        from_source = f"source_host = '{source.host}'\nsource_port = {source.port}"
        scenario = parse_scenario(
            f"""
            description = "online, and nothing is lost"
            baseline_s = 1.0
            after_s = 1.0
            [[steps]]
            operation = "migrate_test"
            {from_source}
            [[steps]]
            operation = "migrate_start"
            {from_source}
            hold_after_s = 0.5
            [[steps]]
            operation = "drain"
            hold_after_s = 0.2
            [[steps]]
            operation = "migrate_complete"
            hold_after_s = 0.2
            [[steps]]
            operation = "cutover"
            hold_after_s = 0.5
            """,
            where="s.toml",
            name="online",
        )
        ran = await carry_out(
            msgspec.structs.replace(config, target=target, lanes=(LANE,)), scenario
        )
    ran.check()
    assert ran.outages == []
    assert there(ran)["lost"] == there(ran)["unread"] == 0
    assert there(ran)["checked"] > 0
    told = [e["fields"]["message"] for e in ran.events if e["kind"] == "provider_event"]
    assert any("Test Migration successful" in text for text in told), told
    assert "went_over" in ran.scenario["steps"][3]
    assert ran.scenario["steps"][3]["went_over"] == []
