"""Scenarios about a serverless cache, by the command: from first call to last."""

import json
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from loadprobe.config.keys import Config, Control, Target
from loadprobe.control.created import markers
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.newer_botocore import newer_botocore
from tests.support.run_command import Command, run_command
from tests.support.running import config_of, small_lane, until

pytestmark = pytest.mark.alone

KNOBS = Knobs(modifying_delay_s=0.1, settle_delay_s=0.2, detect_s=0.1)
LANE = small_lane("tls", tls=True, workers=4, rate_per_s=200.0, keys=100)
HEAD = 'description = "about a cache"\nbaseline_s = 0.5\nafter_s = 0.5\n'
CREATE = {"operation": "create_serverless", "engine": "redis", "max_storage_gb": 10}


@pytest.fixture(autouse=True)
def state_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have markers in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[None]:
    """Have a botocore that knows migrations into caches."""
    with newer_botocore(tmp_path / "models"):
        yield


@pytest.fixture
async def source() -> AsyncIterator[LocalCluster]:
    """Run a cluster to migrate from; its certificates are those of all caches."""
    async with LocalCluster(
        shards=2, replicas_per_shard=0, server="redis-server", name="source"
    ) as running:
        yield running


@pytest.fixture
async def plane(source: LocalCluster) -> AsyncIterator[ControlPlane]:
    """Run an API without caches."""
    async with ControlPlane(knobs=KNOBS, certificates=source.certificates) as running:
        yield running


def config(plane: ControlPlane, source: LocalCluster, *, host: str = "") -> Config:
    """Return a configuration about the cache, with the lanes there or at the source."""
    control = Control(serverless_cache="made", endpoint_url=plane.endpoint_url)
    port = source.tls_port or 0
    target = Target(host, port if host else 6379, ca_file=str(source.ca_file))
    return config_of(target, LANE, control=control)


def options(folder: Path, *steps: Mapping[str, object]) -> tuple[str, ...]:
    """Write a scenario; return the options that have it carried out."""
    path = folder / "s.toml"
    sections = [
        "\n".join(
            ["[[steps]]", "hold_after_s = 0.5"]
            + [f"{key} = {json.dumps(value)}" for key, value in step.items()]
        )
        for step in steps
    ]
    path.write_text("\n".join([HEAD, *sections, ""]))
    return "--scenario", str(path), "--yes"


def states(command: Command) -> dict[str, str]:
    """Return step -> how it ended."""
    steps: list[dict[str, Any]] = command.document("summary.json")["scenario"]["steps"]
    return {each["name"]: each["state"] for each in steps}


async def test_created_changed_and_deleted(
    plane: ControlPlane, source: LocalCluster, tmp_path: Path
) -> None:
    """The lanes wake at its endpoint; its events are told; nothing of it is left."""
    steps: tuple[dict[str, object], ...] = (
        CREATE,
        {"operation": "limits", "max_ecpu_per_s": 5000},
        {"operation": "wait"},
        {"operation": "delete"},
    )
    given = options(tmp_path, *steps)
    async with run_command(config(plane, source), tmp_path, *given) as run:
        code, text = await run.wait()
    assert code == 0, text
    assert set(states(run).values()) == {"settled"}
    (lane,) = run.document("summary.json")["lanes"]
    assert lane["outcomes"]["served"] > 200
    told = [
        (row["fields"]["source_type"], row["fields"]["kind"])
        for row in run.lines("events.ndjson")
        if row["kind"] == "provider_event"
    ]
    assert ("serverless-cache", "created") in told
    assert ("serverless-cache", "modified") in told
    causes = {o["attribution"] for o in run.document("outages.json")["outages"]}
    assert causes <= {"planned"}
    assert not any(markers.folder().glob("*.json"))


async def test_stopped_in_a_migration(
    plane: ControlPlane, source: LocalCluster, newer: None, tmp_path: Path
) -> None:
    """A cache of our own that follows a source is ended all the same."""
    where = {"source_host": source.host, "source_port": source.port}
    steps: tuple[dict[str, object], ...] = (
        CREATE,
        {"operation": "migrate_prepare", **where},
        {"operation": "migrate_start"},
        {"operation": "hold", "seconds": 3600},
        {"operation": "migrate_complete"},
    )
    given = options(tmp_path, *steps)
    about = config(plane, source, host=source.host)
    async with run_command(about, tmp_path, *given) as run:

        def is_held() -> bool:
            return run.process.returncode is not None or any(
                '"step":"hold"' in path.read_text()
                for path in run.output_dir.glob("*/events.ndjson")
            )

        await until(is_held, what="the hold")
        run.send(signal.SIGTERM)
        code, text = await run.wait()
    assert code == 1, text
    assert states(run)["hold"] == "failed"
    assert "CompleteMigration accepted" in text
    assert f"made at {plane.endpoint_url}: deleted" in text
    assert not any(markers.folder().glob("*.json"))


async def test_a_migration_without_a_lost_write(
    plane: ControlPlane, source: LocalCluster, newer: None, tmp_path: Path
) -> None:
    """The lanes go over when the cache is promoted, and find what they had written."""
    where = {"source_host": source.host, "source_port": source.port}
    steps: tuple[dict[str, object], ...] = (
        CREATE | {"keep": True},
        {"operation": "migrate_prepare", **where},
        {"operation": "migrate_start"},
        {"operation": "migrate_stop"},
        {"operation": "migrate_start", "clear_target": True},
        {"operation": "drain"},
        {"operation": "migrate_complete"},
    )
    given = options(tmp_path, *steps)
    about = config(plane, source, host=source.host)
    async with run_command(about, tmp_path, *given) as run:
        code, text = await run.wait()
    assert code == 0, text
    assert set(states(run).values()) == {"settled"}
    assert run.document("summary.json")["lost_writes"] == 0
    kept = plane.cluster("made")
    stats = [await node.info("commandstats") for node in kept.nodes]
    assert any("cmdstat_set" in told for told in stats), "the lanes stayed behind"


async def test_a_botocore_that_is_too_old(
    plane: ControlPlane, source: LocalCluster, tmp_path: Path
) -> None:
    """It is told before anything is asked for, and so is a step without a meaning."""
    about = config(plane, source, host=source.host)
    for step, message in (
        (
            {"operation": "migrate_prepare", "source_host": "10.0.0.5"},
            "AWS_DATA_PATH=NEWER/botocore/data",
        ),
        ({"operation": "failover"}, "failover is not for a serverless cache"),
    ):
        given = options(tmp_path, CREATE, step)
        async with run_command(about, tmp_path, *given) as run:
            code, text = await run.wait()
        assert code == 2, text
        assert message in text.replace("\n", " ")
    assert not any(markers.folder().glob("*.json"))
