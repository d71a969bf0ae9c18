"""Which node is the primary of a shard: what the live ones claim to be."""

import asyncio
from collections.abc import Sequence

from loadprobe.local.cluster.admin import ServerGone, ServerRefused
from loadprobe.local.cluster.layout import parse_nodes
from loadprobe.local.cluster.node import LocalNode

_ASK_TIMEOUT_S = 0.5


async def greatest_claimant(nodes: Sequence[LocalNode]) -> LocalNode | None:
    """Return the primary among the nodes of a shard, None if no live one is.

    A primary that comes back after a failover still claims its slots for a moment: of
    several claims the greatest configuration epoch wins.
    """
    epochs = await asyncio.gather(*map(_claimed_epoch, nodes))
    best = max(epochs)
    return nodes[epochs.index(best)] if best >= 0 else None


async def first_claimant(
    nodes: Sequence[LocalNode], *, source: tuple[str, int] | None
) -> LocalNode | None:
    """Return the primary among nodes without cluster mode, None if no live one is.

    Args:
        nodes: those of the group.
        source: (host, port) of the server that data is migrated from, if any: who
            replicates it is the primary of all others.
    """
    claims = await asyncio.gather(*(_claims_role(node, source) for node in nodes))
    return next((n for n, is_it in zip(nodes, claims, strict=True) if is_it), None)


async def _claimed_epoch(node: LocalNode) -> int:
    """Return the epoch with which a node claims to serve slots, or -1."""
    if not node.is_responsive:
        return -1
    try:
        text = await node.command("CLUSTER", "NODES", timeout_s=_ASK_TIMEOUT_S)
    except (ServerGone, ServerRefused):
        return -1
    mine = next(line for line in parse_nodes(text) if "myself" in line.flags)
    return mine.config_epoch if "master" in mine.flags and mine.slots else -1


async def _claims_role(node: LocalNode, source: tuple[str, int] | None) -> bool:
    if not node.is_responsive:
        return False
    try:
        role = await node.command("ROLE", timeout_s=_ASK_TIMEOUT_S)
    except (ServerGone, ServerRefused):
        return False
    return role[0] == "master" or (source is not None and (role[1], role[2]) == source)
