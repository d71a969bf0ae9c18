"""Scenarios that create their group, by the command: no group outlives its run."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from loadprobe.config.keys import Config, Control, Target
from loadprobe.control.created import markers
from loadprobe.errors import UsageError
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from tests.support.run_command import Command, run_command
from tests.support.running import config_of, small_lane, until

pytestmark = pytest.mark.alone

KNOBS = Knobs(modifying_delay_s=0.1, settle_delay_s=0.2, detect_s=0.1)
LANE = small_lane(workers=4, rate_per_s=200.0, keys=100)
HEAD = 'description = "makes its group"\nbaseline_s = 0.5\nafter_s = 0.5\n'


@pytest.fixture(autouse=True)
def state_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have markers in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    """Run an API without groups."""
    async with ControlPlane(knobs=KNOBS) as running:
        yield running


def step(operation: str, **keys: object) -> str:
    """Return a step with half a second of load after it."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    head = ["[[steps]]", f'operation = "{operation}"', "hold_after_s = 0.5"]
    return "\n".join([*head, *lines, ""])


def create(**more: object) -> str:
    """Return the step that creates the group: one small shard."""
    plain: dict[str, object] = {
        "node_type": "cache.t4g.micro",
        "engine": "redis",
        "shards": 1,
        "replicas": 0,
    }
    return step("create", **(plain | more))


def options(folder: Path, *steps: str) -> tuple[str, ...]:
    """Write a scenario; return the options that have it carried out."""
    path = folder / "s.toml"
    path.write_text(HEAD + "".join(steps))
    return "--scenario", str(path)


def config(plane: ControlPlane) -> Config:
    """Return a configuration that names no endpoint."""
    control = Control("made", endpoint_url=plane.endpoint_url)
    target = Target(name_server=plane.name_server)
    return config_of(target, LANE, control=control)


def is_there(plane: ControlPlane) -> bool:
    """Tell whether the provider knows the group."""
    try:
        plane.cluster("made")
    except UsageError:
        return False
    return True


def has_marker() -> bool:
    """Tell whether a note of the group is left."""
    return any(markers.folder().glob("*.json"))


async def begun(command: Command, name: str) -> None:
    """Wait until a step of the running command has begun."""

    def has_begun() -> bool:
        has_ended = command.process.returncode is not None
        return has_ended or any(
            row["kind"] == "step" and row["fields"]["step"] == name
            for path in command.output_dir.glob("*/events.ndjson")
            for row in map(json.loads, whole_lines(path))
        )

    await until(has_begun, what=f"step {name}")
    assert command.process.returncode is None, await command.wait()


def whole_lines(path: Path) -> list[str]:
    """Return the events so far; the last line may be half written."""
    return path.read_text().rpartition("\n")[0].splitlines()[1:]


async def created(plane: ControlPlane, command: Command) -> None:
    """Wait until the provider knows the group."""

    def is_known() -> bool:
        return is_there(plane) or command.process.returncode is not None

    await until(is_known, what="a group")
    assert is_there(plane), await command.wait()


def states(command: Command) -> dict[str, str]:
    """Return step -> how it ended."""
    steps: list[dict[str, Any]] = command.document("summary.json")["scenario"]["steps"]
    return {each["name"]: each["state"] for each in steps}


async def test_created_changed_and_deleted(plane: ControlPlane, tmp_path: Path) -> None:
    """The lanes wake where the new group is; its end is dark by plan."""
    steps = create(replicas=1), step("failover"), step("delete")
    async with run_command(config(plane), tmp_path, *options(tmp_path, *steps)) as run:
        await begun(run, "failover/0001")
        cluster = plane.cluster("made")
        # The failover may be over by now, and the endpoint lead to the other node.
        where = {f"{node.host}:{node.ports.plain}" for node in cluster.nodes}
        code, text = await run.wait()
    assert code == 0, text
    assert states(run) == {
        "create": "settled",
        "failover/0001": "settled",
        "delete": "settled",
    }
    assert run.document("run.json")["target"] in where
    (lane,) = run.document("summary.json")["lanes"]
    assert lane["outcomes"]["served"] > 100
    outages = run.document("outages.json")["outages"]
    assert {o["attribution"] for o in outages} <= {"planned", "shard", "cluster"}
    assert "planned" in {o["attribution"] for o in outages}
    assert not is_there(plane)
    assert not has_marker()
    assert "this run created it" not in text


async def test_sigterm_under_load(plane: ControlPlane, tmp_path: Path) -> None:
    """The report comes first; then the group is deleted, and that is told."""
    steps = create(), step("hold", seconds=3600)
    async with run_command(config(plane), tmp_path, *options(tmp_path, *steps)) as run:
        await begun(run, "hold")
        assert has_marker()
        run.send(signal.SIGTERM)
        code, text = await run.wait()
    assert code == 1, text
    assert states(run) == {"create": "settled", "hold": "failed"}
    report, _, end = text.partition("this run created it, so it is deleted now")
    assert "Verdict" in report
    assert f"made at {plane.endpoint_url}: deleted" in end
    assert not is_there(plane)
    assert not has_marker()


async def test_sigterm_while_it_is_created(plane: ControlPlane, tmp_path: Path) -> None:
    """What cannot be deleted yet is waited for."""
    steps = (create(),)
    async with run_command(config(plane), tmp_path, *options(tmp_path, *steps)) as run:
        await created(plane, run)
        run.send(signal.SIGTERM)
        code, text = await run.wait()
    assert code == 1, text
    assert states(run) == {"create": "failed"}
    assert "is 'creating'; waiting until it can be deleted" in text
    assert not is_there(plane)
    assert not has_marker()


async def test_a_group_that_cannot_be_created(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """The run says why there was no load, and what is there of the group goes."""
    plane.faults.break_work("CreateReplicationGroup", reason="no capacity")
    steps = create(replicas=1), step("failover", shard="0001")
    async with run_command(config(plane), tmp_path, *options(tmp_path, *steps)) as run:
        code, text = await run.wait()
    assert code == 1, text
    summary = run.document("summary.json")
    assert summary["scenario"]["state"] == "failed"
    assert summary["state"] == "invalid"
    assert "its status is 'create-failed'" in summary["verdict"][0]
    assert "lane tcp never began" in summary["verdict"][1]
    assert states(run) == {"create": "failed", "failover": "skipped"}
    assert run.document("run.json")["target"] == "made (not there yet)"
    assert not is_there(plane)
    assert not has_marker()


async def test_a_group_to_keep(plane: ControlPlane, tmp_path: Path) -> None:
    """It stays, without cluster mode here, and nothing remembers that it was made."""
    steps = (create(shards=0, keep=True),)
    async with run_command(config(plane), tmp_path, *options(tmp_path, *steps)) as run:
        code, text = await run.wait()
    assert code == 0, text
    assert "stays, as the scenario says (keep = true)" in text
    assert not plane.cluster("made").cluster_mode
    (lane,) = run.document("summary.json")["lanes"]
    assert lane["outcomes"]["served"] > 50
    assert not has_marker()


async def test_a_run_that_is_killed(plane: ControlPlane, tmp_path: Path) -> None:
    """Nothing can be deleted then; the note of it is left, and the clean-up uses it."""
    steps = (create(),)
    async with run_command(config(plane), tmp_path, *options(tmp_path, *steps)) as run:
        await created(plane, run)
        run.send(signal.SIGKILL)
        await run.wait()
    assert is_there(plane)
    assert has_marker()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from loadprobe.cli.app import main; main()",
        "cleanup",
        "--yes",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(os.environ),
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    assert out.decode().endswith(f"made at {plane.endpoint_url}: deleted\n")
    assert not is_there(plane)
    assert not has_marker()
