"""What is done to names: they go, they come back, they point elsewhere.

A cluster that announces its nodes by name is asked for them all the time. Without
cluster mode the name is only where to begin: nodes are known by their addresses then.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos.judging import Done, Truth
from benchmarks.chaos.proxy import Mode, Proxy
from benchmarks.chaos.stage import BROKEN, PASSWORD, Running, commanded, configured
from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.local.api.name_server import NameServer
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import in_sync, until
from loadprobe.local.cluster.node import LocalNode

_OLD, _NEW = "127.0.0.2", "127.0.0.3"
_ZONE = "loadprobe.test"
_PRIMARY = f"primary.{_ZONE}"
_ONLY = ("0001",)


@dataclass(slots=True)
class NamedStage:
    """Servers with names, and the command that measures them.

    Args:
        cluster: the servers.
        pointing: name -> its addresses; what is not in it does not exist.
        running: the command.
        old: what is before the server that things happen to, at its address.
        new: what is before it at another address.
    """

    cluster: LocalCluster
    pointing: dict[str, tuple[str, ...]]
    running: Running
    old: Sequence[Proxy] = ()
    new: Sequence[Proxy] = ()

    @property
    def node(self) -> LocalNode:
        """Return the server that things happen to."""
        (node,) = self.cluster.shard(BROKEN).nodes
        return node

    @property
    def name(self) -> str:
        """Return its name."""
        return _name_of(self.node)


def _name_of(node: LocalNode) -> str:
    return f"{node.name}.{_ZONE}"


@asynccontextmanager
async def announced(folder: Path) -> AsyncIterator[NamedStage]:
    """Start a cluster that announces names; nothing is left after the block."""
    (folder / "password").write_text(f"{PASSWORD}\n")
    pointing: dict[str, tuple[str, ...]] = {}
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        cluster = await enter(
            LocalCluster(
                shards=2, replicas_per_shard=0, password=PASSWORD, name="named"
            )
        )
        names = await enter(NameServer(pointing.get, ttl_s=0))
        before: dict[str, list[Proxy]] = {}
        for address in (_OLD, _NEW):
            for node in cluster.nodes:
                for port in node.served_ports:
                    proxy = await enter(Proxy(node.host, port, at=(address, port)))
                    before.setdefault(f"{node.name} {address}", []).append(proxy)
        for node in cluster.nodes:
            pointing[_name_of(node)] = (_OLD,)
            await node.configure(
                {
                    "cluster-announce-hostname": _name_of(node),
                    "cluster-preferred-endpoint-type": "hostname",
                }
            )
        first = cluster.nodes[0]
        running = await enter(
            _measured(folder, cluster, _name_of(first), names.address, first)
        )
        stage = NamedStage(cluster, pointing, running)
        stage.old, stage.new = (
            before[f"{stage.node.name} {address}"] for address in (_OLD, _NEW)
        )
        yield stage


@asynccontextmanager
async def unclustered(folder: Path) -> AsyncIterator[NamedStage]:
    """Start a primary with a replica, and a name for it."""
    (folder / "password").write_text(f"{PASSWORD}\n")
    pointing: dict[str, tuple[str, ...]] = {}
    async with (
        LocalCluster(
            shards=1, replicas_per_shard=1, cluster_mode=False, password=PASSWORD
        ) as cluster,
        NameServer(pointing.get, ttl_s=0) as names,
    ):
        primary = cluster.nodes[0]
        pointing[_PRIMARY] = (primary.host,)
        async with _measured(
            folder, cluster, _PRIMARY, names.address, primary
        ) as running:
            yield NamedStage(cluster, pointing, running)


@asynccontextmanager
async def _measured(
    folder: Path, cluster: LocalCluster, host: str, name_server: str, node: LocalNode
) -> AsyncIterator[Running]:
    target = Target(
        host=host,
        port=node.ports.plain,
        tls_port=node.ports.tls,
        cluster=cluster.cluster_mode,
        ca_file=str(cluster.ca_file),
        password_file=str(folder / "password"),
        name_server=name_server,
    )
    config = configured(target, folder / "runs")
    async with commanded(config, folder, {}) as running:
        yield running


async def name_gone(stage: NamedStage) -> Done:
    """Let a name go; connections stay, and only new ones fail."""
    begun_ns = mono_now_ns()
    kept = stage.pointing.pop(stage.name)
    await asyncio.sleep(0.8)
    stage.pointing[stage.name] = kept
    truth = Truth(None, (begun_ns, mono_now_ns()), "path")
    return Done(
        "DNS gone",
        "the server's name does not exist for 0.8 s; connections stay",
        truths=[truth],
        remark="only new connections were down",
    )


async def name_gone_and_cut(stage: NamedStage) -> Done:
    """Let a name go, and cut all connections."""
    begun_ns = mono_now_ns()
    kept = stage.pointing.pop(stage.name)
    for port in stage.node.served_ports:
        await stage.node.disconnect(port)
    cut_ns = mono_now_ns()
    await asyncio.sleep(0.8)
    over_ns = mono_now_ns()
    stage.pointing[stage.name] = kept
    possible = begun_ns, mono_now_ns()
    return Done(
        "DNS gone, connections cut",
        "the same, and all its connections are cut",
        truths=[Truth((cut_ns, over_ns), possible, "path")],
    )


async def name_moved(stage: NamedStage) -> Done:
    """Let a server have another address, of which its name tells late."""
    begun_ns = mono_now_ns()
    for proxy in stage.old:
        await proxy.begin(Mode.REFUSE)
    gone_ns = mono_now_ns()
    await asyncio.sleep(0.8)
    over_ns = mono_now_ns()
    stage.pointing[stage.name] = (_NEW,)
    possible = begun_ns, mono_now_ns()
    return Done(
        "DNS moved",
        "the server has another address, its name points there 0.8 s later",
        truths=[Truth((gone_ns, over_ns), possible, "shard")],
    )


async def endpoint_moved(stage: NamedStage) -> Done:
    """Fail over without losing a write, end the old primary, and move the name late."""
    old, new = stage.cluster.nodes
    begun_ns = mono_now_ns()
    await old.command("FAILOVER")

    async def is_promoted() -> bool:
        return (await new.command("ROLE"))[0] == "master" and await in_sync(old)

    await asyncio.wait_for(until(is_promoted), 10.0)
    await old.kill()
    await asyncio.sleep(0.6)
    over_ns = mono_now_ns()
    stage.pointing[_PRIMARY] = (new.host,)
    return Done(
        "endpoint moved",
        "without cluster mode: the replica is promoted, the old primary killed, and "
        "0.6 s later the name moves",
        truths=[Truth(None, (begun_ns, over_ns), "shard", shards=_ONLY)],
        remark="the lanes found the new primary by its role",
    )
