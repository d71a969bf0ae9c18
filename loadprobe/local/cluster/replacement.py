"""Replace every node of a shard by a new process, without losing data.

The new nodes join as replicas. Once they are in sync, one of them is promoted by a
planned failover (writes wait for some milliseconds, nothing is lost), and the old nodes
leave. The new nodes bear the names of the old ones.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.local.cluster.admin import ServerRefused
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.completion import completed
from loadprobe.local.cluster.formation import until, within
from loadprobe.local.cluster.layout import LocalShard
from loadprobe.local.cluster.membership import (
    attach,
    forget,
    launch,
    part_with,
    synced,
    undone_on_failure,
)
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.servers import ServerBinary

# A vote may be refused for 2 x node timeout after the last failover of that node, and
# writes wait for 5 s then (redis 7.0.15, observed). A vote that is given takes 10 ms.
_VOTE_TIMEOUT_S = 1.0
_PROMOTION_TIMEOUT_S = 10.0
# Without votes: writes wait for the replica to receive the last ones.
_PAUSE_MS = 3_000
_STREAM_TIMEOUT_S = 20.0
_CATCH_UP_TIMEOUT_S = 2.0
_CATCH_UP_POLL_S = 0.002


async def replace_shard(
    cluster: LocalCluster,
    shard: LocalShard,
    *,
    server: ServerBinary | None,
    on_step: Callable[[str, LocalNode], None],
) -> None:
    """Replace all nodes of a shard; their names stay the same.

    Once all nodes of the cluster run another program, new nodes will, too.

    Args:
        cluster: the cluster.
        shard: the shard.
        server: the program of the new nodes; None takes the cluster's.
        on_step: called with "started", "synced" and "promoted" and a new node, and
            with "removed" and an old one.

    Raises:
        UsageError: data is being migrated into the cluster.
        PreflightError: TLS is on, and the new program was built without it.
        RunError: a step failed. Before the promotion all is as it was then; after it
            the shard consists of the new nodes.
    """
    what = f"replacing the nodes of node group {shard.node_group_id}"
    server = server or cluster.server
    if cluster.source is not None:
        raise UsageError(f"{what}: data is being migrated; complete that first")
    if cluster.tls and not server.has_tls:
        raise PreflightError(
            f"{what} by {server.path} {server.version}: it was built without TLS, and "
            "the cluster serves TLS; turn TLS off first, or take a server with it"
        )
    primary = await cluster.primary_of(shard.node_group_id)
    old = list(shard.nodes)
    new = [cluster.new_node(shard, name=node.name, server=server) for node in old]
    # A replica takes over, as on AWS; alone, the primary is succeeded by its namesake.
    heirs = [node for node, was in zip(new, old, strict=True) if was is not primary]
    candidate = heirs[0] if heirs else new[0]
    dispensable = list(new)

    async def promote() -> None:
        await _promote(cluster, candidate, primary)
        dispensable.clear()
        shard.nodes[:] = new

    async with undone_on_failure(cluster, dispensable, what=what):
        await launch(cluster, new)
        for node in new:
            on_step("started", node)
        await attach(cluster, new, primary)
        await cluster.set_node_timeout(new)
        for node in new:
            on_step("synced", node)
        await completed(promote())
    on_step("promoted", candidate)
    try:
        await _part(cluster, shard, candidate, old)
    except RunError as exc:
        raise RunError(
            f"{what}: {exc}; {candidate.name} was promoted, the old nodes are gone"
        ) from exc
    for node in old:
        on_step("removed", node)
    if all(node.server == server for node in cluster.nodes):
        cluster.server = server


async def _part(
    cluster: LocalCluster, shard: LocalShard, heir: LocalNode, old: list[LocalNode]
) -> None:
    """Have a shard follow its new primary; the old nodes are gone, whatever happens."""
    try:
        await _follow(cluster, shard, heir)
        await part_with(cluster, old)
    except BaseException:
        with suppress(RunError):
            await forget(cluster, old)
        await cluster.retire(*old)
        raise


async def _promote(
    cluster: LocalCluster, candidate: LocalNode, primary: LocalNode
) -> None:
    """Make a replica in sync the primary, and the primary a replica.

    Raises:
        RunError: the candidate is no primary.
    """
    # Not before it receives: a new replica gets nothing until it has acknowledged its
    # data, which it does within a second, and writes would wait for that.
    await _caught_up(candidate, primary, within_s=_STREAM_TIMEOUT_S)
    if not cluster.cluster_mode:
        await _promote_standalone(cluster, candidate, primary)
        return
    await candidate.command("CLUSTER", "FAILOVER")
    if await _is_promoted(candidate, within_s=_VOTE_TIMEOUT_S):
        return
    # No vote: but writes wait now, so nothing is lost without one.
    try:
        await candidate.command("CLUSTER", "FAILOVER", "TAKEOVER")
    except ServerRefused:
        if not await _is_primary(candidate):
            raise
        return  # the vote came late: only a replica may take over
    if not await _is_promoted(candidate, within_s=_PROMOTION_TIMEOUT_S):
        raise RunError(
            f"{candidate.name} was not promoted within {_PROMOTION_TIMEOUT_S:g} s"
        )


async def _promote_standalone(
    cluster: LocalCluster, candidate: LocalNode, primary: LocalNode
) -> None:
    """Exchange roles while writes wait.

    Not by FAILOVER, which takes 1 to 2 s (redis 7.0.15, observed).
    """
    await primary.command("CLIENT", "PAUSE", _PAUSE_MS, "WRITE")
    try:
        await _caught_up(candidate, primary, within_s=_CATCH_UP_TIMEOUT_S)
        candidate.settings.pop("replicaof", None)
        await candidate.command("REPLICAOF", "NO", "ONE")
        await cluster.follow(primary, candidate)
    finally:
        await primary.command("CLIENT", "UNPAUSE")


async def _caught_up(
    replica: LocalNode, primary: LocalNode, *, within_s: float
) -> None:
    """Wait until a replica has received what the primary has sent by now."""
    offset = int((await primary.info("replication"))["master_repl_offset"])
    async with within(within_s, what=f"{replica.name} has all data"):
        while int((await replica.info("replication"))["slave_repl_offset"]) < offset:
            await asyncio.sleep(_CATCH_UP_POLL_S)


async def _is_promoted(node: LocalNode, *, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await until(lambda: _is_primary(node))
    except TimeoutError:
        return False
    return True


async def _is_primary(node: LocalNode) -> bool:
    return bool((await node.command("ROLE"))[0] == "master")


async def _follow(cluster: LocalCluster, shard: LocalShard, primary: LocalNode) -> None:
    """Wait until the nodes of a shard, old ones too, follow its new primary."""
    replicas = [node for node in shard.nodes if node is not primary]
    if not cluster.cluster_mode:
        for replica in replicas:
            await cluster.follow(replica, primary)
    await synced(cluster, replicas, primary)
