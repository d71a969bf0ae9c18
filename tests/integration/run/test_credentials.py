"""A password is rotated at the provider and in its file, while a run measures."""

import asyncio
import io
import os
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from loadprobe.config.keys import Config, Control, Output
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.run.launch import RunOptions, run_load
from tests.support.api_rig import Rig, rig
from tests.support.running import config_of, small_lane, target_of, until

pytestmark = pytest.mark.alone

FIRST, SECOND, THIRD = (f"{word}-of-the-group" for word in ("first", "second", "third"))
LANES = (
    small_lane("wire", tls=True, connect_rate_per_s=20.0),
    # Each of its connections makes an SSL context of its own when it begins.
    small_lane("redis-py", tls=True, driver="redis-py", workers=4, rate_per_s=100.0),
)
QUIET_NS = 500_000_000


def events(folder: Path) -> list[Any]:
    """Return the lines of the journal of the one run in a folder."""
    (path,) = folder.glob("*/events.ndjson")
    return [orjson.loads(line) for line in path.read_bytes().splitlines()[1:]]


async def rotate(rigged: Rig, file: Path, token: str, runs: Path) -> None:
    """Rotate the token: at the group, in the file, and then the old one is gone."""
    await rigged.modify("rg", AuthToken=token, AuthTokenUpdateStrategy="ROTATE")
    told = len(events(runs))
    fresh = file.with_suffix(".fresh")
    fresh.write_text(f"{token}\n")
    fresh.rename(file)

    def is_renewed() -> bool:
        kinds = [event["kind"] for event in events(runs)[told:]]
        return kinds.count("logins_renewed") == len(LANES)

    await until(is_renewed, what="all lanes logged in anew")
    await rigged.modify("rg", AuthToken=token, AuthTokenUpdateStrategy="SET")


async def test_a_rotation_fails_no_arrival(tmp_path: Path) -> None:
    """Nothing fails, nothing is dark, no connection is lost; no password is told."""
    file, runs = tmp_path / "password", tmp_path / "runs"
    file.write_text(FIRST)
    async with (
        rig() as rigged,
        LocalCluster(
            shards=2, replicas_per_shard=0, name="rg", password=FIRST
        ) as cluster,
    ):
        rigged.plane.add_group("rg", cluster)
        config: Config = config_of(
            target_of(cluster, password_file=str(file)),
            *LANES,
            control=Control("rg", endpoint_url=rigged.plane.endpoint_url),
            output=Output(dir=str(runs)),
        )
        text = io.StringIO()
        console = Console(file=text, width=120)
        running = asyncio.create_task(run_load(config, RunOptions(), console=console))
        await until(
            lambda: any(runs.glob("*/events.ndjson")), what="the run", within_s=30
        )
        for token in (SECOND, THIRD):
            await rotate(rigged, file, token, runs)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == 0, text.getvalue()
    journal = events(runs)
    changed = [e["fields"] for e in journal if e["kind"] == "credentials_changed"]
    assert changed == [{"what": ["password"], "by": "file"}] * 2
    renewed = [e["fields"] for e in journal if e["kind"] == "logins_renewed"]
    assert {(e["lane"], e["refused"]) for e in renewed} == {
        ("wire", 0),
        ("redis-py", 0),
    }
    assert all(e["renewed"] > 0 for e in renewed)
    # A run of failed arrivals, however short, is an outage.
    begun_ns = next(e for e in journal if e["kind"] == "credentials_changed")["wall_ns"]
    (path,) = runs.glob("*/outages.json")
    outages = orjson.loads(path.read_bytes())["outages"]
    assert [o for o in outages if o["end_unix_ns"] > begun_ns - QUIET_NS] == []
    kept = b"".join(p.read_bytes() for p in runs.rglob("*") if p.is_file()).decode(
        "latin-1"
    )
    assert not any(token in kept + text.getvalue() for token in (FIRST, SECOND, THIRD))
