"""Whether what the provider tells and what the cluster shows are the same.

Pure. Node group ids and the topology's shard names may differ after resharding, so the
two are matched by slots.
"""

from loadprobe.control.provider.replies import Group, NodeGroup
from loadprobe.core.topology.slots import SLOTS
from loadprobe.core.topology.topology import Range, Shard, Topology


def is_complete(topology: Topology, group: Group) -> bool:
    """Tell whether as many shards as the provider knows serve all slots.

    Of a serverless cache it tells none.
    """
    if not group.is_cluster:
        return True  # and the watch may be at the source of a migration
    served = sum(last + 1 - first for s in topology.shards for first, last in s.ranges)
    if not group.kind.has_nodes:
        return served == SLOTS
    return served == SLOTS and len(topology.shards) == len(group.shards)


def has_same_slots(topology: Topology, group: Group) -> bool:
    """Tell whether both tell the same slots, shard by shard."""
    if not group.is_cluster:
        return True
    told = {joined(shard.slots) for shard in group.shards.values() if shard.slots}
    shown = {joined(shard.ranges) for shard in topology.shards}
    return not told or told == shown


def has_replicas(topology: Topology, count: int) -> bool:
    """Tell whether every shard shows so many replicas."""
    return all(len(shard.replicas) == count for shard in topology.shards)


def shard_of(topology: Topology, node_group: NodeGroup) -> Shard | None:
    """Find a node group in the topology, by its lowest slot."""
    slot = min((first for first, _ in node_group.slots), default=0)
    for shard in topology.shards:
        if any(first <= slot <= last for first, last in shard.ranges):
            return shard
    return None


def shard_named(topology: Topology, name: str) -> Shard | None:
    """Return a shard of the topology by its name there."""
    return next((shard for shard in topology.shards if shard.name == name), None)


def joined(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """Return ranges in ascending order, adjoining ones as one."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and result[-1][1] + 1 == first:
            result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return tuple(result)


def slot_count(node_group: NodeGroup) -> int:
    """Return how many slots a node group has."""
    return sum(last + 1 - first for first, last in node_group.slots)
