"""The command as a person starts it, and how it ended or refused its input."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from loadprobe.local.cluster.cluster import LocalCluster

SECRET = "hunter2-is-no-secret"
DEADLINE_S = 40.0
NOBODY_LISTENS = 1
"""A port of loopback that needs root, and has no server in any test environment."""
ONE_NODE: dict[str, Any] = {"shards": 1, "replicas_per_shard": 0}


@dataclass(frozen=True, slots=True)
class Servers:
    """A cluster of one node, and a folder for files.

    Args:
        closed: cluster mode, with a password and TLS.
        folder: for files.
    """

    closed: LocalCluster
    folder: Path

    @property
    def password_file(self) -> Path:
        """The file with the right password."""
        return self.folder / "password"


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Servers]:
    """Start the cluster, and write its password to a file."""
    (folder / "password").write_text(f"{SECRET}\n")
    async with LocalCluster(**ONE_NODE, password=SECRET) as closed:
        yield Servers(closed, folder)


@dataclass(frozen=True, slots=True)
class ServersWithOne(Servers):
    """A cluster with password and TLS, and a server without any of them.

    Args:
        single: the latter.
    """

    single: LocalCluster


@asynccontextmanager
async def serving_with_one(folder: Path) -> AsyncIterator[ServersWithOne]:
    """Start both."""
    async with (
        serving(folder) as served,
        LocalCluster(**ONE_NODE, cluster_mode=False, tls_mode="none") as single,
    ):
        yield ServersWithOne(served.closed, folder, single)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def toml(tables: dict[str, dict[str, object]]) -> str:
    """Write a configuration with one small lane and nothing served, but for tables."""
    lane: dict[str, object] = {"name": "tcp", "workers": 4, "rate_per_s": 100}
    lane |= {"keys": 100} | tables.get("lanes", {})
    rest: dict[str, dict[str, object]] = {"http": {"listen": ""}, **tables}
    parts = [_section("[[lanes]]", lane)]
    parts += [_section(f"[{k}]", v) for k, v in rest.items() if k != "lanes"]
    return "\n".join(parts)


def _section(heading: str, keys: dict[str, object]) -> str:
    lines = [f"{k} = {msgspec.json.encode(v).decode()}" for k, v in keys.items()]
    return "\n".join([heading, *lines, ""])


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a command."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("LOADPROBE_")}
    return ours | (more or {})


async def start(
    *words: str,
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> asyncio.subprocess.Process:
    """Start ``loadprobe`` as a person would."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadprobe", *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(env),
        preexec_fn=before,
        start_new_session=True,
    )


async def finish(process: asyncio.subprocess.Process) -> Ended:
    """Wait for the end of a command."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def assert_refused(ended: Ended, *parts: str) -> None:
    """Check exit code 2 and one line on standard error that has all parts."""
    assert ended.code == 2, ended
    assert ended.err.startswith("loadprobe: "), ended
    assert ended.err.count("\n") == 1, ended
    assert ended.err.endswith("\n")
    for part in parts:
        assert part in ended.err
    shown = ended.out + ended.err
    assert "Traceback" not in shown
    assert SECRET not in shown


async def assert_both_refuse(
    path: Path,
    *parts: str,
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> None:
    """Check that neither ``check`` nor ``run`` accepts a configuration."""
    started = [
        await start("check", str(path), env=env, before=before),
        await start("run", str(path), "--for", "1s", env=env, before=before),
    ]
    for process in started:
        assert_refused(await finish(process), *parts)
    runs = path.parent / "runs"
    assert not runs.is_dir() or not list(runs.iterdir()), "a run folder was made"


def config_of(
    servers: Servers, tmp_path: Path, name: str = "closed", **tables: dict[str, object]
) -> Path:
    """Write a configuration for a server; a key that is None is left out."""
    cluster: LocalCluster = getattr(servers, name)
    ports = {"port": cluster.port, "tls_port": cluster.tls_port}
    target: dict[str, object] = {
        "host": cluster.host,
        **ports,
        "ca_file": str(cluster.ca_file),
        "password_file": str(servers.password_file),
    }
    for key, value in tables.pop("target", {}).items():
        target[key] = value
        if isinstance(value, str):
            filled = value.format(folder=servers.folder, **ports)
            target[key] = int(filled) if filled.isdecimal() else filled
    given = {key: value for key, value in target.items() if value is not None}
    output: dict[str, object] = {"dir": str(tmp_path / "runs")}
    path = tmp_path / "run.toml"
    path.write_text(toml({"target": given, "output": output} | tables))
    return path


def run_folder(path: Path) -> Path:
    """Return the one run folder of a configuration."""
    (folder,) = (path.parent / "runs").glob("[!.]*")
    return folder


def document(path: Path, name: str) -> dict[str, Any]:
    """Read a document of the run folder of a configuration."""
    found = msgspec.json.decode((run_folder(path) / name).read_bytes())
    assert isinstance(found, dict)
    return found
