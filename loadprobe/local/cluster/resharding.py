"""Move slots between shards of a running cluster, under load.

Slots move in batches. A batch that has begun is completed even if the operation is
cancelled, so no slot is left between two owners. ``shard.slots`` is kept true from
batch to batch.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from loadprobe.errors import RunError, UsageError
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.completion import completed
from loadprobe.local.cluster.formation import agreed, all_serve, until, within
from loadprobe.local.cluster.layout import (
    LocalShard,
    SlotTransfer,
    plan_moves,
    ranges_of,
    slots_of,
)
from loadprobe.local.cluster.membership import (
    launch,
    part_with,
    replicate,
    synced,
    undone_on_failure,
)
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.slots import batch_slots, batches, move_slots

Progress = Callable[[float], None]

_AGREE_TIMEOUT_S = 20.0


async def scale_out(
    cluster: LocalCluster, shards: int, *, on_progress: Progress
) -> list[LocalShard]:
    """Add shards with as many replicas as the smallest one has; even out the slots.

    Args:
        cluster: the cluster.
        shards: how many shards there should be afterwards.
        on_progress: called with the share of slots moved, 0 to 100.

    Returns:
        The new shards. They show in ``cluster.shards`` once they take commands.

    Raises:
        UsageError: cluster mode is off, or there are not fewer shards than that now.
        RunError: a step failed; the text says which slots every shard owns now.
    """
    what = f"scaling {cluster.name} out from {len(cluster.shards)} to {shards} shards"
    _check_cluster_mode(cluster, what)
    if shards <= len(cluster.shards):
        raise UsageError(f"{what}: expected more shards than there are")
    replicas = min(len(shard.nodes) for shard in cluster.shards) - 1
    taken = {shard.node_group_id for shard in cluster.shards}
    free = (each for number in count(1) if (each := f"{number:04d}") not in taken)
    added = [LocalShard(next(free), []) for _ in range(shards - len(cluster.shards))]
    for shard in added:
        for _ in range(1 + replicas):
            shard.nodes.append(cluster.new_node(shard))
    nodes = [node for shard in added for node in shard.nodes]
    async with undone_on_failure(cluster, nodes, what=what):
        await _set_up(cluster, added)
    cluster.shards[:] = sorted(
        [*cluster.shards, *added], key=lambda shard: shard.node_group_id
    )
    try:
        await _even_out(cluster, cluster.shards, what, on_progress)
    except BaseException:
        await _drop(cluster, [shard for shard in added if not shard.slots])
        raise
    return added


async def scale_in(
    cluster: LocalCluster, remove: Sequence[str], *, on_progress: Progress
) -> None:
    """Spread the slots of some shards over the others, and end their nodes.

    Args:
        cluster: the cluster.
        remove: node group ids.
        on_progress: called with the share of slots moved, 0 to 100.

    Raises:
        UsageError: cluster mode is off, a node group is unknown, or none would be left.
        RunError: a step failed; the text says which slots every shard owns now.
    """
    what = f"removing the node groups {', '.join(remove)} from {cluster.name}"
    _check_cluster_mode(cluster, what)
    removed = [cluster.shard(node_group_id) for node_group_id in dict.fromkeys(remove)]
    kept = [shard for shard in cluster.shards if shard not in removed]
    if not kept:
        raise UsageError(f"{what}: at least one node group must stay")
    await _even_out(cluster, kept, what, on_progress)
    await part_with(cluster, [node for shard in removed for node in shard.nodes])
    cluster.shards[:] = kept


async def rebalance(cluster: LocalCluster, *, on_progress: Progress) -> None:
    """Even out the number of slots per shard, with as few moves as possible.

    Args:
        cluster: the cluster.
        on_progress: called with the share of slots moved, 0 to 100.

    Raises:
        UsageError: cluster mode is off.
        RunError: a step failed; the text says which slots every shard owns now.
    """
    what = f"rebalancing {cluster.name}"
    _check_cluster_mode(cluster, what)
    await _even_out(cluster, cluster.shards, what, on_progress)


def _check_cluster_mode(cluster: LocalCluster, what: str) -> None:
    if not cluster.cluster_mode:
        raise UsageError(f"{what}: it has no slots, because cluster mode is off")


async def _set_up(cluster: LocalCluster, added: Sequence[LocalShard]) -> None:
    """Start the nodes of new shards; the first of each is its primary."""
    nodes = [node for shard in added for node in shard.nodes]
    await launch(cluster, nodes)
    for shard in added:
        await replicate(cluster, shard.nodes[1:], shard.nodes[0])
    for shard in added:
        await synced(cluster, shard.nodes[1:], shard.nodes[0])
    async with within(_AGREE_TIMEOUT_S, what="the new primaries take commands"):
        await until(lambda: all_serve([shard.nodes[0] for shard in added]))
    await cluster.set_node_timeout(nodes)


async def _drop(cluster: LocalCluster, empty: Sequence[LocalShard]) -> None:
    """Take away new shards that have got no slots."""
    with suppress(RunError):
        await part_with(cluster, [node for shard in empty for node in shard.nodes])
    for shard in empty:
        cluster.shards.remove(shard)


async def _even_out(
    cluster: LocalCluster, keep: Sequence[LocalShard], what: str, on_progress: Progress
) -> None:
    owned = {shard.node_group_id: shard.slots for shard in cluster.shards}
    moves = plan_moves(owned, [shard.node_group_id for shard in keep])
    total = sum(len(move.slots) for move in moves)
    moved = 0
    on_progress(0.0)
    try:
        for move in moves:
            route = await _route(cluster, move)
            size = batch_slots(route.source_node, route.target_node)
            for slots in batches(move.slots, size):
                await completed(_move(cluster, route, slots))
                moved += len(slots)
                on_progress(100.0 * moved / total)
        await agreed(lambda: cluster.live_nodes, timeout_s=_AGREE_TIMEOUT_S)
    except RunError as exc:
        raise RunError(
            f"{what}: {exc}; {moved} of {total} slots were moved, and now own: "
            f"{_shown(cluster)}"
        ) from exc
    on_progress(100.0)


@dataclass(frozen=True, slots=True)
class _Route:
    """From where to where slots move: shards and their primaries."""

    source: LocalShard
    target: LocalShard
    source_node: LocalNode
    target_node: LocalNode
    others: Sequence[LocalNode]


async def _route(cluster: LocalCluster, move: SlotTransfer) -> _Route:
    source, target = cluster.shard(move.source), cluster.shard(move.target)
    ends = (await _primary(source), await _primary(target))
    others = [
        await _primary(shard)
        for shard in cluster.shards
        if shard not in (source, target)
    ]
    return _Route(source, target, *ends, others)


async def _primary(shard: LocalShard) -> LocalNode:
    """Return the primary of a shard, which may own no slots."""
    for node in shard.nodes:
        if node.is_responsive and (await node.command("ROLE"))[0] == "master":
            return node
    raise RunError(f"node group {shard.node_group_id} has no live primary now")


async def _move(cluster: LocalCluster, route: _Route, slots: Sequence[int]) -> None:
    await move_slots(
        cluster, route.source_node, route.target_node, slots, others=route.others
    )
    route.source.slots = ranges_of({*slots_of(route.source.slots)} - {*slots})
    route.target.slots = ranges_of({*slots_of(route.target.slots), *slots})


def _shown(cluster: LocalCluster) -> str:
    return "; ".join(
        f"{shard.node_group_id}: {','.join(map(str, shard.slots)) or 'none'}"
        for shard in cluster.shards
    )
