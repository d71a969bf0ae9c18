"""Change the TLS mode of a running cluster, without a restart.

The order matters (redis 7.0.15, observed):

* Servers talk TLS among themselves (``tls-cluster``) whenever TLS is served: otherwise
  TLS clients are told plaintext ports, and hang there.
* All nodes change at about the same time, while links between them stay.
* After a port or ``tls-cluster`` has changed, a node tells the old port of itself,
  until ``cluster-announce-tls-port`` is touched.
* What nodes tell of each other follows by gossip, within about a second. A node with
  ``tls-cluster`` knows two ports of every other one, a node without knows one, and
  takes it for that of plaintext clients. So while ``tls-cluster`` changes, all announce
  the plaintext port as both: plaintext clients would else be sent to ports with TLS.
  Nor is a plaintext port opened before every node knows that of every other one.
* A closed port leaves its connections open, so they are cut.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.formation import agree, until, within
from loadprobe.local.cluster.membership import follows
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.settings import TLS_MODES, TlsMode, transport_settings

_LINK_TIMEOUT_S = 40.0


async def set_tls_mode(cluster: LocalCluster, mode: TlsMode) -> None:
    """Go from one TLS mode to a neighbour: none <-> preferred <-> required.

    Clients of a transport that stays notice nothing; those of one that goes are cut.
    The mode also holds for nodes that are down, when they start again.

    Raises:
        UsageError: the modes are no neighbours, or data is being migrated.
        PreflightError: a server was built without TLS.
        RunError: a node refused (the text says which have changed; it can be tried
            again), or the cluster was not whole again in time.
    """
    what = f"changing TLS from {cluster.tls_mode!r} to {mode!r}"
    if mode == cluster.tls_mode:
        return
    if abs(TLS_MODES.index(mode) - TLS_MODES.index(cluster.tls_mode)) != 1:
        raise UsageError(f"{what}: go through 'preferred'")
    if cluster.source is not None:
        raise UsageError(f"{what}: data is being migrated; complete that first")
    for node in cluster.nodes:
        if not node.server.has_tls:
            raise PreflightError(
                f"{what}: {node.name} runs {node.server.path} {node.server.version}, "
                "which was built without TLS; use a server with it (apt-get install "
                "redis-server)"
            )
    if cluster.tls_mode == "none":
        await _turn_on(cluster, what)
    elif mode == "none":
        await _turn_off(cluster, what)
    else:
        await _change_plain(cluster, what, plain=mode == "preferred")
    cluster.tls_mode = mode
    await _linked(cluster, what)


async def _turn_on(cluster: LocalCluster, what: str) -> None:
    settings = transport_settings(tls=True, cluster_mode=cluster.cluster_mode)

    async def change(node: LocalNode) -> None:
        await node.listen(plain=True, tls=True, settings=settings)

    if not cluster.cluster_mode:
        await _on_each(cluster, change, what)
        cluster.tls_mode = "preferred"
        await _follow_again(cluster)
        return
    await _on_each(cluster, _announce_plain, what)
    await _on_each(cluster, change, what)
    await _on_each(cluster, _announce_own, what)


async def _turn_off(cluster: LocalCluster, what: str) -> None:
    settings = transport_settings(tls=False, cluster_mode=cluster.cluster_mode)

    async def withdraw(node: LocalNode) -> None:
        await node.reconfigure({"tls-replication": "no"})
        await _announce_plain(node)

    async def change(node: LocalNode) -> None:
        await node.listen(plain=True, tls=False, settings=settings)

    async def cut(node: LocalNode) -> None:
        if node.is_alive:
            await node.disconnect(node.ports.tls)

    if cluster.cluster_mode:
        await _on_each(cluster, withdraw, what)
        async with within(_LINK_TIMEOUT_S, what=f"{what}: plaintext ports are known"):
            await until(lambda: _all_tell(cluster, _withdrawn_ports))
        await _on_each(cluster, change, what)
        await _on_each(cluster, _announce_own, what)
    else:
        await _on_each(cluster, change, what)
        cluster.tls_mode = "none"
        await _follow_again(cluster)
    await _on_each(cluster, cut, what)


async def _change_plain(cluster: LocalCluster, what: str, *, plain: bool) -> None:
    """Open or close the plaintext ports beside those with TLS."""
    settings = transport_settings(tls=True, cluster_mode=cluster.cluster_mode)

    async def announce(node: LocalNode) -> None:
        await _announce(node, tls=node.ports.tls, plain=node.ports.plain)

    async def change(node: LocalNode) -> None:
        await node.listen(plain=plain, tls=True, settings=settings)
        if cluster.cluster_mode:
            await announce(node)
            await _announce_own(node)
        if node.is_alive and not plain:
            await node.disconnect(node.ports.plain)

    if plain and cluster.cluster_mode:
        await _on_each(cluster, announce, what)
        async with within(_LINK_TIMEOUT_S, what=f"{what}: plaintext ports are known"):
            await until(lambda: _all_tell(cluster, _both_ports))
    await _on_each(cluster, change, what)


async def _announce_plain(node: LocalNode) -> None:
    """Make a node tell the others its plaintext port as both of its ports."""
    await _announce(node, tls=node.ports.plain, plain=node.ports.plain)


async def _announce_own(node: LocalNode) -> None:
    """Make a node tell the others those ports that it has."""
    await _announce(node, tls=0, plain=0)


async def _announce(node: LocalNode, *, tls: int, plain: int) -> None:
    ports = {"cluster-announce-tls-port": tls, "cluster-announce-port": plain}
    await node.reconfigure({name: str(port) for name, port in ports.items()})


async def _follow_again(cluster: LocalCluster) -> None:
    """Make replicas use the other port of their primary (no cluster mode)."""
    (shard,) = cluster.shards
    primary = await cluster.primary_of(shard.node_group_id)
    for node in shard.nodes:
        if node is not primary:
            await cluster.follow(node, primary)


async def _on_each(
    cluster: LocalCluster, change: Callable[[LocalNode], Awaitable[None]], what: str
) -> None:
    """Change all nodes at the same time.

    Raises:
        RunError: some nodes refused or did not answer.
    """
    nodes = cluster.nodes
    results = await asyncio.gather(
        *(change(node) for node in nodes), return_exceptions=True
    )
    outcomes = list(zip(nodes, results, strict=True))
    for node, result in outcomes:
        if isinstance(result, RunError):
            done = [each.name for each, other in outcomes if other is None]
            raise RunError(
                f"{what}: {node.name}: {result}; changed are: "
                f"{', '.join(done) or 'no nodes'}; try again once all nodes answer"
            ) from result
        if isinstance(result, BaseException):
            raise result


async def _linked(cluster: LocalCluster, what: str) -> None:
    """Wait until replicas are linked by the right port and all nodes agree."""
    async with within(_LINK_TIMEOUT_S, what=f"{what}: all links are up again"):
        await until(lambda: _is_linked(cluster))


async def _is_linked(cluster: LocalCluster) -> bool:
    if cluster.cluster_mode and not (
        await agree(cluster.live_nodes) and await _all_tell(cluster, _served_ports)
    ):
        return False
    for shard in cluster.shards:
        primary = await cluster.find_primary(shard)
        if primary is None:
            continue
        port = primary.ports.tls if cluster.tls else primary.ports.plain
        for node in shard.nodes:
            if node is not primary and node.is_responsive:
                replication = await node.info("replication")
                if replication.get("master_port") != str(port):
                    return False
                if not await follows(node, primary):
                    return False
    return True


def _served_ports(cluster: LocalCluster, node: LocalNode) -> dict[str, int]:
    """Return what other nodes should tell of a node now."""
    ports = {}
    if cluster.tls_mode != "required":
        ports["port"] = node.ports.plain
    if cluster.tls:
        ports["tls-port"] = node.ports.tls
    return ports


def _both_ports(_: LocalCluster, node: LocalNode) -> dict[str, int]:
    """Return the same for the time just before plaintext goes on again."""
    return {"port": node.ports.plain, "tls-port": node.ports.tls}


def _withdrawn_ports(_: LocalCluster, node: LocalNode) -> dict[str, int]:
    """Return the same for the time just before TLS goes off."""
    return {"port": node.ports.plain, "tls-port": node.ports.plain}


async def _all_tell(
    cluster: LocalCluster, wanted: Callable[[LocalCluster, LocalNode], dict[str, int]]
) -> bool:
    """Tell whether every live node knows the ports of every live node."""
    nodes = cluster.live_nodes
    expected = {node.node_id: wanted(cluster, node) for node in nodes}
    for node in nodes:
        told = {
            each["id"]: each
            for shard in await node.command("CLUSTER", "SHARDS")
            for each in map(_as_dict, _as_dict(shard)["nodes"])
        }
        for node_id, ports in expected.items():
            if not ports.items() <= told.get(node_id, {}).items():
                return False
    return True


def _as_dict(pairs: list[Any]) -> dict[str, Any]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))
