"""A local cluster, a run on it, and a Prometheus that scrapes it, until Ctrl-C.

The same as deploy/compose.yaml without containers, as far as the machine has the parts.
All listens on loopback, and everything ends with this program.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import uvloop

from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.ports import free_ports
from loadprobe.local.cluster.settings import TlsMode

ROOT = Path(__file__).resolve().parents[1]
_SHIPPED_TARGET, _SHIPPED_INTERVAL = "loadprobe:9121", "5s"
_FINE = (None, 0, 3)  # a scenario may well use up the error budget
_CONFIG = """
name = "{name}"

[http]
listen = "127.0.0.1:{port}"
marks_token_file = "{folder}/token"

[output]
dir = "{folder}/runs"

[target]
host = "{cluster.host}"
port = {cluster.port}
{tls_port}ca_file = "{cluster.ca_file}"

[control]
replication_group = "{name}"
endpoint_url = "{api}"

[slo]
availability = 0.999

[[lanes]]
name = "tcp"
workers = 20
rate_per_s = {rate}

[[lanes]]
name = "tls"
tls = true
workers = 20
rate_per_s = {rate}
"""


@asynccontextmanager
async def child(
    *command: str, log: Path, env: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program in a session of its own; it is told to end after the block."""
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=os.environ | (env or {}),
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@asynccontextmanager
async def prometheus(
    folder: Path, *, probe_port: int, scrape: str = _SHIPPED_INTERVAL
) -> AsyncIterator[str]:
    """Run Prometheus with the shipped configuration and rules; yields its address."""
    program = shutil.which("prometheus")
    if program is None:
        raise SystemExit("no prometheus on PATH; make prometheus installs it")
    shutil.copy(ROOT / "grafana" / "loadprobe.rules.yml", folder)
    shipped = (ROOT / "deploy" / "prometheus.yml").read_text()
    config = folder / "prometheus.yml"
    config.write_text(
        shipped.replace(_SHIPPED_TARGET, f"127.0.0.1:{probe_port}").replace(
            _SHIPPED_INTERVAL, scrape
        )
    )
    (port,) = free_ports(1)
    async with child(
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        log=folder / "prometheus.log",
    ):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def run(
    folder: Path,
    *options: str,
    name: str,
    shards: int,
    probe_port: int,
    tls_mode: TlsMode = "preferred",
    rate_per_s: int = 500,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run loadprobe on a local cluster of its own.

    Args:
        folder: for the run, its configuration and log.
        options: of `loadprobe run`.
        name: of the run and of the replication group.
        shards: of the cluster; each has a replica.
        probe_port: where the run is scraped.
        tls_mode: of the cluster at first.
        rate_per_s: arrivals on each lane.
    """
    (folder / "token").write_text("a-token-for-marks-on-loopback\n")
    async with (
        LocalCluster(
            shards=shards, replicas_per_shard=1, tls_mode=tls_mode, name=name
        ) as cluster,
        ControlPlane() as plane,
    ):
        plane.add_group(name, cluster)
        config = folder / f"{name}.toml"
        tls_port = cluster.tls_port
        config.write_text(
            _CONFIG.format(
                name=name,
                port=probe_port,
                folder=folder,
                cluster=cluster,
                tls_port=f"tls_port = {tls_port}\n" if tls_port else "",
                api=plane.endpoint_url,
                rate=rate_per_s,
            )
        )
        async with child(
            *(sys.executable, "-m", "loadprobe", "run", str(config), *options),
            log=folder / f"{name}.log",
        ) as process:
            yield process


@asynccontextmanager
async def grafana(folder: Path, *, database: str) -> AsyncIterator[str | None]:
    """Run Grafana with all provisioned; yields its address, None if there is none."""
    program = shutil.which("grafana-server")
    if program is None:
        yield None
        return
    (port,) = free_ports(1)
    settings = {
        "PROMETHEUS_URL": database,
        "DASHBOARDS_PATH": str(ROOT / "grafana"),
        "GF_PATHS_PROVISIONING": str(ROOT / "grafana" / "provisioning"),
        "GF_PATHS_DATA": str(folder / "grafana"),
        "GF_PATHS_LOGS": str(folder / "grafana"),
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
    }
    home = os.environ.get("GF_PATHS_HOME", "/usr/share/grafana")
    async with child(
        program, f"--homepath={home}", log=folder / "grafana.log", env=settings
    ):
        yield f"http://127.0.0.1:{port}"


async def main(arguments: Sequence[str] | None = None) -> None:
    """Run all of it until a signal, or until the run ends."""
    parser = argparse.ArgumentParser(prog="make stack", description=__doc__)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--scenario", help="change the cluster meanwhile")
    given = parser.parse_args(arguments)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (probe_port,) = free_ports(1)
        database = await stack.enter_async_context(
            prometheus(folder, probe_port=probe_port)
        )
        panels = await stack.enter_async_context(grafana(folder, database=database))
        scenario = ("--scenario", given.scenario, "--yes") if given.scenario else ()
        process = await stack.enter_async_context(
            run(
                folder,
                *scenario,
                name="stack",
                shards=given.shards,
                probe_port=probe_port,
            )
        )
        print(f"loadprobe   http://127.0.0.1:{probe_port}/metrics")
        print(f"Prometheus  {database}")
        if panels is None:
            print(
                "Grafana     there is no grafana-server on PATH; the dashboards are "
                f"{ROOT}/grafana/*.json, and their pictures in docs/img"
            )
        else:
            print(f"Grafana     {panels}")
        print(f"logs        {folder}")
        print("Ctrl-C ends all.", flush=True)
        waiting = [
            asyncio.create_task(ended.wait()),
            asyncio.create_task(process.wait()),
        ]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if process.returncode not in _FINE:
            print((folder / "stack.log").read_text()[-2000:], file=sys.stderr)
    if process.returncode not in _FINE:
        raise SystemExit(process.returncode)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
