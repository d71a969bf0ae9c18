"""What a new user types first: the API alone names the target, and waiting for it."""

import asyncio
import contextlib
import os
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from loadprobe.clock import wall_now_ns
from loadprobe.config.keys import Control
from loadprobe.control.created import markers
from loadprobe.control.created.markers import Marker
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.ports import free_ports
from tests.support.bad_input import DEADLINE_S, Ended, finish, start

KNOBS = Knobs(modifying_delay_s=0.1, settle_delay_s=0.2, detect_s=0.1)
LANE = '[[lanes]]\nname = "tcp"\nworkers = 4\nrate_per_s = 200\nkeys = 100\n'
SMALL = LANE + '[http]\nlisten = ""\n'
CREATES = """\
description = "makes its group"
[[steps]]
operation = "create"
node_type = "cache.t4g.micro"
shards = 1
[[steps]]
operation = "tls"
mode = "preferred"
"""


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have markers and run folders in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LOADPROBE_OUTPUT_DIR", str(tmp_path / "runs"))


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    """Run an API without groups."""
    async with ControlPlane(knobs=KNOBS) as running:
        yield running


def write(folder: Path, plane: ControlPlane, *, group: str = "my-cluster") -> Path:
    """Write a configuration that names its group only; return it."""
    path = folder / "my.toml"
    control = f'replication_group = "{group}"\nendpoint_url = "{plane.endpoint_url}"\n'
    path.write_text(f"{SMALL}[control]\n{control}")
    return path


def scenario(folder: Path, text: str) -> str:
    """Write a scenario; return it."""
    path = folder / "s.toml"
    path.write_text(text)
    return str(path)


async def ended(*words: str) -> Ended:
    """Run a command to its end, with the environment of the test."""
    return await finish(await start(*words, env=dict(os.environ)))


@pytest.mark.parametrize("cluster_mode", [True, False])
async def test_a_group_is_all_that_is_needed(
    plane: ControlPlane, tmp_path: Path, *, cluster_mode: bool
) -> None:
    """Without a host the API tells host, port and cluster mode."""
    async with LocalCluster(
        shards=1, replicas_per_shard=0, tls_mode="none", cluster_mode=cluster_mode
    ) as cluster:
        plane.add_group("my-cluster", cluster)
        path = write(tmp_path, plane)
        if not cluster_mode:  # its endpoint is a name that the system does not know
            names = f'[target]\nname_server = "{plane.name_server}"\n'
            path.write_text(f"{names}{path.read_text()}")
        run = await ended("run", str(path), "--for", "500ms")
        assert (run.code, run.err) == (0, ""), run
        (folder,) = (tmp_path / "runs").glob("[!.]*")
        info = msgspec.json.decode((folder / "run.json").read_bytes())
        host = "127.0.0.1" if cluster_mode else "my-cluster.loadprobe.test"
        assert info["target"] == f"{host}:{cluster.port}"
        assert info["config"]["target"]["cluster"] is cluster_mode


async def test_a_lane_that_the_group_does_not_serve(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """It is refused with the group's mode, unless the scenario changes that."""
    async with LocalCluster(shards=1, replicas_per_shard=0, tls_mode="none") as cluster:
        plane.add_group("my-cluster", cluster)
        path = write(tmp_path, plane)
        path.write_text(f'{path.read_text()}[[lanes]]\nname = "tls"\ntls = true\n')
        run, dry = await asyncio.gather(
            ended("run", str(path), "--for", "1s"),
            ended("run", str(path), "--scenario", "tls-migration", "--dry-run"),
        )
    assert run.code == 2
    assert "serves plaintext only (transit encryption 'none')" in run.err
    assert "lane tls is of TLS; set tls = false" in run.err
    assert dry.code == 0, dry
    assert "TransitEncryptionMode=preferred" in dry.out


async def test_check_knows_the_scenario(plane: ControlPlane, tmp_path: Path) -> None:
    """A group that the scenario creates is no failure; without it, it is named."""
    path = write(tmp_path, plane)
    made = scenario(tmp_path, CREATES)
    alone, fits = await asyncio.gather(
        ended("check", str(path)),
        ended("check", str(path), "--scenario", made),
    )
    assert alone.code == 2
    assert "--scenario NAME" in " ".join(alone.out.split())
    assert fits.code == 0, fits
    assert "group 'my-cluster' is to be created" in fits.out
    assert "all reads are allowed; whether AddTagsToResource, CompleteMigration," in (
        " ".join(fits.out.split())
    )


async def test_the_way_out_is_named(plane: ControlPlane, tmp_path: Path) -> None:
    """A group that an earlier run left behind is no other name's matter: cleanup is."""
    async with LocalCluster(shards=1, replicas_per_shard=0, tls_mode="none") as cluster:
        plane.add_group("my-cluster", cluster)
        path = write(tmp_path, plane)
        made = scenario(tmp_path, CREATES)
        strange = await ended("run", str(path), "--scenario", made, "--yes")
        control = Control("my-cluster", endpoint_url=plane.endpoint_url)
        markers.write(control, now_ns=wall_now_ns(), mark="7f3a")
        (note,) = markers.folder().iterdir()
        marker = msgspec.json.decode(note.read_bytes(), type=Marker)
        gone = msgspec.structs.replace(marker, start_ticks=marker.start_ticks - 1)
        note.write_bytes(msgspec.json.encode(gone))
        run, check = await asyncio.gather(
            ended("run", str(path), "--scenario", made, "--yes"),
            ended("check", str(path), "--scenario", made),
        )
    assert strange.code == 2
    assert "choose another name, or delete it" in strange.err
    for refused in (run, check):
        assert refused.code == 2
        text = "left it behind; delete it: loadprobe cleanup"
        assert text in refused.err.splitlines()[-1], refused


async def test_an_engine_that_can_do_it(plane: ControlPlane, tmp_path: Path) -> None:
    """Of the programs here one with TLS is taken; a named one without it is refused."""
    path = write(tmp_path, plane)
    named = CREATES.replace("shards = 1", 'shards = 1\nengine = "valkey"')
    taken = await ended(
        "run", str(path), "--scenario", scenario(tmp_path, CREATES), "--dry-run"
    )
    assert taken.code == 0, taken
    assert "Engine=redis" in taken.out
    refused = await ended(
        "run", str(path), "--scenario", scenario(tmp_path, named), "--dry-run"
    )
    assert refused.code == 2
    assert "a group of valkey, with TLS, and that is not offered there" in refused.err


async def test_waiting_for_a_cluster(tmp_path: Path) -> None:
    """--wait tells what is missing and begins when it is there; else it is refused."""
    ports = free_ports(2)
    path = tmp_path / "my.toml"
    path.write_text(f'{SMALL}[target]\nhost = "127.0.0.1"\nport = {ports[0]}\n')
    refused = await ended("run", str(path), "--for", "500ms")
    assert refused.code == 2
    late = await ended("run", str(path), "--for", "500ms", "--wait", "1500ms")
    assert late.code == 2
    assert "waiting for the cluster" in late.out
    assert "(waited for" in late.err
    process = await start(
        "run", str(path), "--for", "500ms", "--wait", "2m", env=dict(os.environ)
    )
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        told = (await process.stdout.readline()).decode()
    assert told.startswith("waiting for the cluster")
    assert f"127.0.0.1:{ports[0]}" in told
    server = await asyncio.create_subprocess_exec(
        *("redis-server", "--port", str(ports[0]), "--save", ""),
        *("--cluster-enabled", "yes", "--cluster-port", str(ports[1])),
        *("--dir", str(tmp_path)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            told = (await process.stdout.readline()).decode()
        assert "16384 slots are served by nobody" in told or "cluster_state" in told
        await assign_slots(ports[0])
        run = await finish(process)
        assert run.code == 0, run
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        await server.wait()


async def assign_slots(port: int) -> None:
    """Give all slots to a server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"CLUSTER ADDSLOTSRANGE 0 16383\r\n")
    assert await reader.readline() == b"+OK\r\n"
    writer.close()


async def test_what_waiting_does_not_put_right(tmp_path: Path) -> None:
    """A mistake of ours is refused at once, however long one would wait."""
    path = tmp_path / "my.toml"
    with_tls = SMALL.replace("[http]", "tls = true\n[http]")
    target = '[target]\nhost = "127.0.0.1"\nca_file = "/nowhere/ca.pem"\n'
    path.write_text(with_tls + target)
    refused = await ended("run", str(path), "--wait", "5m")
    assert refused.code == 2
    assert "/nowhere/ca.pem" in refused.err


async def test_an_api_alone_prints_its_ca() -> None:
    """What is printed is a configuration that trusts the groups yet to be created."""
    up = await ended("local", "up", "--name", "guide", "--shards", "0")
    try:
        assert up.code == 0, up
        ca_file = Path(tomllib.loads(up.out)["target"]["ca_file"])
        assert ca_file.read_text().startswith("-----BEGIN CERTIFICATE-----")
    finally:
        await ended("local", "down", "--name", "guide")
    assert not ca_file.exists()
