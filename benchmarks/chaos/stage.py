"""A real cluster, a failing network before it, and the command that measures it.

The cluster has no replicas: what is broken stays so until it is mended, so that it is
known when. Every port of every node is reached through a proxy of its own.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from benchmarks.chaos.clocks import SteppedClock
from benchmarks.chaos.proxy import Mode, Proxy
from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Config, Http, Lane, Output, Probe, Target
from loadprobe.config.webhooks import Webhook
from loadprobe.core.intervals import Interval
from loadprobe.liveness import bind_life_to_parent
from loadprobe.local.cluster.certificates import Authority, CertificateSet
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.ports import free_ports
from tests.scripted.hook import Hook
from tests.scripted.stalls import StallLog
from tests.support.commands import family
from tests.support.run_command import to_toml

PASSWORD = "what-everybody-knows"
SHARDS = ("0001", "0002", "0003")
BROKEN = "0002"
DEADLINE_MS = 250
_READY_S = 60.0
_END_S = 60.0
LANES = tuple(
    Lane(
        name=name,
        tls=name == "tls",
        workers=6,
        rate_per_s=240.0,
        keys=600,
        read_ratio=0.5,
        deadline_ms=DEADLINE_MS,
        connect_rate_per_s=2.0,
    )
    for name in ("tcp", "tls")
)


@dataclass(slots=True)
class Running:
    """The command, as it runs.

    Args:
        process: it.
        folder: where it writes its run folder.
        url: where it serves.
    """

    process: asyncio.subprocess.Process
    folder: Path
    url: str
    _said: Path

    @property
    def supervisor(self) -> int:
        """Return the process that judges."""
        return self.process.pid

    @property
    def probes(self) -> list[int]:
        """Return the processes that send."""
        return family(self.process.pid)[1:]

    @property
    def run_folder(self) -> Path:
        """Return its run folder."""
        (path,) = self.folder.glob("*/run.json")
        return path.parent

    @property
    def said(self) -> str:
        """Return the end of what it printed."""
        return self._said.read_text(errors="replace")[-2000:]

    async def end(self, within_s: float = _END_S) -> int:
        """End it in order; return its status."""
        self.process.terminate()
        async with asyncio.timeout(within_s):
            return await self.process.wait()


@dataclass(slots=True)
class Stage:
    """All that is there.

    Args:
        cluster: the servers.
        proxies: (host, port) of a server -> what is before it.
        folder: for files.
        running: the command.
        clock: of the command.
        hook: who is told of incidents.
        foreign: an authority that nobody trusts.
        authority: the one that lanes trust.
        stalls: when this process was held up: its proxies were silent then.
    """

    cluster: LocalCluster
    proxies: Mapping[tuple[str, int], Proxy]
    folder: Path
    running: Running
    clock: SteppedClock
    hook: Hook
    foreign: Authority
    authority: Authority
    stalls: StallLog = field(default_factory=StallLog)

    @property
    def node(self) -> LocalNode:
        """Return the server that things happen to."""
        (node,) = self.cluster.shard(BROKEN).nodes
        return node

    def before(self, *lanes: str, shards: tuple[str, ...] = (BROKEN,)) -> list[Proxy]:
        """Return the proxies of some lanes before the servers of some shards."""
        found = []
        for shard in shards:
            for node in self.cluster.shard(shard).nodes:
                ports = {"tcp": node.ports.plain, "tls": node.ports.tls}
                found += [self.proxies[node.host, ports[lane]] for lane in lanes]
        return found

    async def fail(
        self, proxies: list[Proxy], mode: Mode, for_s: float, *, delay_s: float = 0.0
    ) -> tuple[Interval, Interval]:
        """Let the network fail; return when it certainly did, and when it may have."""
        begun_ns = mono_now_ns()
        for proxy in proxies:
            await proxy.begin(mode, delay_s=delay_s)
        in_force_ns = mono_now_ns()
        await asyncio.sleep(for_s)
        lifted_ns = mono_now_ns()
        for proxy in proxies:
            await proxy.end()
        return (in_force_ns, lifted_ns), (begun_ns, mono_now_ns())


@asynccontextmanager
async def staged(folder: Path, runs: Path) -> AsyncIterator[Stage]:
    """Start everything; nothing is left after the block.

    Args:
        folder: for certificates, the configuration and what is said.
        runs: where the run folder is written.
    """
    authority, foreign = Authority(folder), Authority(folder, name="foreign")
    certificates = CertificateSet(
        authority.ca_file, authority.issue("server"), authority.issue("client")
    )
    (folder / "password").write_text(f"{PASSWORD}\n")
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            LocalCluster(
                shards=len(SHARDS),
                replicas_per_shard=0,
                node_timeout_ms=60_000,
                password=PASSWORD,
                certificates=certificates,
            )
        )
        for node in cluster.nodes:  # what was acknowledged survives a kill
            await node.configure({"appendonly": "yes"})
        proxies = {}
        for node in cluster.nodes:
            for port in node.served_ports:
                proxy = await stack.enter_async_context(Proxy(node.host, port))
                proxies[node.host, port] = proxy
        hook = await stack.enter_async_context(Hook())
        clock = SteppedClock(folder)
        target = _target(cluster, proxies, folder)
        config = configured(target, runs, webhooks=(_webhook(hook.url),))
        running = await stack.enter_async_context(
            commanded(config, folder, clock.environment)
        )
        stage = Stage(
            cluster, proxies, folder, running, clock, hook, foreign, authority
        )
        watching = asyncio.create_task(stage.stalls.watch())
        try:
            yield stage
        finally:
            watching.cancel()


def _target(
    cluster: LocalCluster, proxies: Mapping[tuple[str, int], Proxy], folder: Path
) -> Target:
    first = cluster.nodes[0]
    plain, tls = first.served_ports
    return Target(
        host="127.0.0.1",
        port=proxies[first.host, plain].port,
        tls_port=proxies[first.host, tls].port,
        ca_file=str(cluster.ca_file),
        password_file=str(folder / "password"),
        address_map={
            f"{host}:{port}": proxy.address for (host, port), proxy in proxies.items()
        },
    )


def _webhook(url: str) -> Webhook:
    return Webhook(name="oncall", kind="json", url=url, timeout_ms=500)


def configured(target: Target, runs: Path, **more: Any) -> Config:
    """Return the configuration of the command."""
    return Config(
        target=target,
        lanes=LANES,
        http=Http(listen=f"127.0.0.1:{free_ports(1)[0]}"),
        output=Output(dir=str(runs)),
        probe=Probe(settle_ms=500, quiet_ms=300),
        **more,
    )


@asynccontextmanager
async def commanded(
    config: Config, folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[Running]:
    """Run ``loadprobe run``, from when load flows; it is gone after the block."""
    path = folder / "run.toml"
    path.write_text(to_toml(config))
    said, parent = folder / "said", os.getpid()
    with said.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadprobe", "run", str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | dict(environment),
            preexec_fn=lambda: bind_life_to_parent(parent, signal.SIGKILL),
        )
    running = Running(
        process, Path(config.output.dir), f"http://{config.http.listen}", said
    )
    try:
        async with asyncio.timeout(_READY_S), aiohttp.ClientSession() as session:
            while not await _is_ready(session, running.url):
                if process.returncode is not None:
                    raise RuntimeError(f"it did not begin: {running.said}")
                await asyncio.sleep(0.05)
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz") as reply:
            return reply.status == 200
    except aiohttp.ClientError:
        return False


def read_document(path: Path) -> Any:
    """Return what a JSON file holds."""
    return msgspec.json.decode(path.read_bytes())
