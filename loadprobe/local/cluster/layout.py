"""Shards, slot ranges, and what a node says about itself.

Pure: values and parsing only.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from loadprobe.local.cluster.node import LocalNode

SLOTS = 16_384
# Flags of a node whose state is not known for sure (CLUSTER NODES).
DOUBTS = frozenset({"handshake", "fail", "fail?", "noaddr"})


@dataclass(frozen=True, slots=True)
class SlotRange:
    """Hash slots ``first`` to ``last``, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class SlotTransfer:
    """Slots that change their owner.

    Args:
        source: node group id of the owner.
        target: node group id of the owner to be.
        slots: the slots, ascending.
    """

    source: str
    target: str
    slots: tuple[int, ...]


@dataclass(slots=True)
class LocalShard:
    """One node group of a cluster.

    Args:
        node_group_id: "0001" and so on.
        slots: the slots it owns; empty when cluster mode is off.
        nodes: its nodes; which one is the primary is known to the live cluster only.
    """

    node_group_id: str
    slots: list[SlotRange]
    nodes: list[LocalNode] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ClusterNodesLine:
    """One line of CLUSTER NODES (redis.io/commands/cluster-nodes).

    Args:
        node_id: 40 hex digits.
        flags: for example {"myself", "master"}.
        primary_id: the primary of a replica, else "-".
        config_epoch: a newer claim to slots has a greater one.
        slots: the slots it owns; moving slots (in brackets) are left out.
    """

    node_id: str
    flags: frozenset[str]
    primary_id: str
    config_epoch: int
    slots: tuple[SlotRange, ...]


def even_slots(shards: int) -> list[SlotRange]:
    """Split all slots as ElastiCache does: equal shares, earlier ones larger."""
    share, larger = divmod(SLOTS, shards)
    ranges = []
    first = 0
    for index in range(shards):
        size = share + (1 if index < larger else 0)
        ranges.append(SlotRange(first, first + size - 1))
        first += size
    return ranges


def slots_of(ranges: Iterable[SlotRange]) -> list[int]:
    """Return the slots of ranges, ascending."""
    return sorted(slot for each in ranges for slot in range(each.first, each.last + 1))


def ranges_of(slots: Iterable[int]) -> list[SlotRange]:
    """Return the fewest ranges that hold exactly these slots."""
    ranges: list[SlotRange] = []
    for slot in sorted(slots):
        if ranges and ranges[-1].last == slot - 1:
            ranges[-1] = SlotRange(ranges[-1].first, slot)
        else:
            ranges.append(SlotRange(slot, slot))
    return ranges


def plan_moves(
    owned: Mapping[str, Sequence[SlotRange]], keep: Collection[str]
) -> list[SlotTransfer]:
    """Plan the fewest moves after which some shards own equal shares of all slots.

    Args:
        owned: the slots of every shard, by node group id.
        keep: the shards that own slots afterwards; the others end up empty.
    """
    slots = {shard: slots_of(ranges) for shard, ranges in owned.items()}
    share, larger = divmod(sum(map(len, slots.values())), len(keep))
    by_size = sorted(keep, key=lambda shard: -len(slots[shard]))
    shares = dict.fromkeys(owned, 0)
    shares |= {
        shard: share + (1 if index < larger else 0)
        for index, shard in enumerate(by_size)
    }
    spare = {shard: slots[shard][shares[shard] :] for shard in owned}
    moves = []
    for target in owned:
        missing = shares[target] - len(slots[target])
        for source, left in spare.items():
            if missing > 0 and left:
                spare[source], moved = left[missing:], left[:missing]
                moves.append(SlotTransfer(source, target, tuple(moved)))
                missing -= len(moved)
    return moves


def parse_nodes(text: str) -> list[ClusterNodesLine]:
    """Parse the reply of CLUSTER NODES."""
    return [_node_line(line.split()) for line in text.splitlines() if line.strip()]


def is_whole(
    state: Mapping[str, str],
    lines: Iterable[ClusterNodesLine],
    *,
    nodes: int,
    replicas: int,
) -> bool:
    """Tell whether one node sees the whole cluster as it should be.

    Args:
        state: the node's CLUSTER INFO.
        lines: the node's CLUSTER NODES.
        nodes: how many nodes there should be.
        replicas: how many of them are replicas.
    """
    flags = [line.flags for line in lines]
    return (
        state.get("cluster_state") == "ok"
        and len(flags) == nodes
        and sum("slave" in each for each in flags) == replicas
        and not any(each & DOUBTS for each in flags)
    )


def _node_line(words: list[str]) -> ClusterNodesLine:
    ranges = []
    for word in words[8:]:
        if not word.startswith("["):
            first, _, last = word.partition("-")
            ranges.append(SlotRange(int(first), int(last or first)))
    return ClusterNodesLine(
        node_id=words[0],
        flags=frozenset(words[2].split(",")),
        primary_id=words[3],
        config_epoch=int(words[6]),
        slots=tuple(ranges),
    )
