"""Migrations between clusters of one's own: there is no API, and none is needed."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadprobe.config.keys import Config, Output
from loadprobe.control.scenario.file import parse_scenario
from loadprobe.local.cluster.cluster import LocalCluster
from tests.integration.scenarios.test_copies import (
    LANE,
    needs_redis_cli,
    stand_in,
    there,
)
from tests.integration.scenarios.test_scenarios import carry_out
from tests.support.journal import events, told
from tests.support.run_command import Command, run_command
from tests.support.running import config_of, target_of, until_true

pytestmark = pytest.mark.alone

SOURCE, TARGET = "the-password-of-the-source", "the-password-of-the-target"


@dataclass(frozen=True, slots=True)
class Ends:
    """Two clusters with passwords of their own.

    Args:
        config: leads the lanes to the source.
        steps: keys of a step that name the target.
        passwords: files of both, of the source first.
    """

    config: Config
    steps: str
    passwords: tuple[Path, Path]


@asynccontextmanager
async def two_ends(folder: Path, *, is_single: bool) -> AsyncIterator[Ends]:
    """Run a source, single or a cluster of two shards, and a target of two shards."""
    passwords = folder / "source", folder / "target"
    for path, text in zip(passwords, (SOURCE, TARGET), strict=True):
        path.write_text(f"{text}\n")
    shape = {"shards": 1, "cluster_mode": False} if is_single else {"shards": 2}
    async with (
        LocalCluster(
            **shape,  # type: ignore[arg-type]
            replicas_per_shard=0, tls=False, name="source", password=SOURCE,
        ) as source,
        LocalCluster(
            shards=2, replicas_per_shard=0, tls=False, name="target", password=TARGET
        ) as target,
    ):  # fmt: skip
        yield Ends(
            config_of(
                target_of(source, password_file=str(passwords[0])),
                LANE,
                output=Output(dir=str(folder / "runs")),
            ),
            f"""
            target_host = "{target.host}"
            target_port = {target.port}
            target_password_file = "{passwords[1]}"
            """,
            passwords,
        )


async def test_a_cluster_into_another_and_a_reload(tmp_path: Path) -> None:
    """One process for each shard, and nothing is lost.

    Later the configuration is read again: what the source's password was no longer
    matters, and that of the target is looked at, and used when it changes.
    """
    program = stand_in(tmp_path)
    async with two_ends(tmp_path, is_single=False) as ends:
        scenario = tmp_path / "s.toml"
        scenario.write_text(f"""
            description = "followed, one process for each shard"
            baseline_s = 1
            after_s = 8
            [[steps]]
            operation = "copy"
            tool = "redis-shake"
            program = "{program}"
            per_shard = true
            {ends.steps}
            hold_after_s = 0.5
            [[steps]]
            operation = "cutover"
            {ends.steps}
            """)
        options = "--scenario", str(scenario), "--yes", "--full"
        async with run_command(ends.config, tmp_path, *options) as command:
            await until_true(begun_there(command), within_s=40)
            os.unlink(ends.passwords[0])  # noqa: PTH108 - nobody needs it any more
            command.send(signal.SIGHUP)
            await until_true(told(command, "config_reloaded"))
            ends.passwords[1].write_text("\n")
            command.send(signal.SIGHUP)
            await until_true(told(command, "reload_refused"))
            code, text = await command.wait()
    assert code == 0, text
    (refused,) = events(command, "reload_refused")
    assert "password_file" in refused["fields"]["reason"]
    summary = command.document("summary.json")
    assert summary["scenario"]["state"] == "completed", text
    assert summary["lost_writes"] == summary["stale_reads"] == summary["wrong"] == 0
    assert command.document("outages.json")["outages"] == []
    (cutover,) = [s for s in summary["scenario"]["steps"] if s["name"] == "cutover"]
    (lane,) = cutover["went_over"]
    assert (lane["lost"], lane["unread"]) == (0, 0)
    assert lane["checked"] > 0
    assert "login_refused" not in text
    assert SOURCE not in text
    assert TARGET not in text


def begun_there(command: Command) -> Callable[[], Awaitable[bool]]:
    """Return what tells whether the lanes have gone over."""

    async def look() -> bool:
        return command.has_begun and bool(events(command, "went_over"))

    return look


@needs_redis_cli
async def test_redis_cli_without_an_api(tmp_path: Path) -> None:
    """A single server into a cluster: redis-cli itself, writes held meanwhile."""
    async with two_ends(tmp_path, is_single=True) as ends:
        scenario = parse_scenario(
            f"""
            description = "copied by redis-cli"
            baseline_s = 1.0
            after_s = 1.0
            [[steps]]
            operation = "drain"
            [[steps]]
            operation = "copy"
            tool = "redis-cli"
            {ends.steps}
            [[steps]]
            operation = "cutover"
            {ends.steps}
            hold_after_s = 0.5
            """,
            where="s.toml",
            name="own",
        )
        ran = await carry_out(ends.config, scenario)
    ran.check()
    assert ran.outages == []
    assert there(ran)["lost"] == there(ran)["unread"] == 0
    assert there(ran)["checked"] > 0
    assert set(ran.of("tcp")["downtime_ms"]["shards"]) == {"0001", "0002"}
