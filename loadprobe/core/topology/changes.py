"""What changed between two topologies, for the journal. Pure."""

from loadprobe.core.events import (
    NodeAdded,
    NodeRemoved,
    RoleChanged,
    ShardAdded,
    ShardRemoved,
    SlotsMoved,
    TopologyChange,
)
from loadprobe.core.intervals import Interval, difference, length
from loadprobe.core.topology.topology import Node, Shard, Topology


def diff(old: Topology, new: Topology, now_ns: int) -> list[TopologyChange]:
    """Return what changed between two topologies, in the order of the shards.

    ``now_ns`` is when that was seen. A node is known by its id: one that is announced
    at another address (the port of another transport) has not changed.
    """
    before = {shard.name: shard for shard in old.shards}
    after = {shard.name: shard for shard in new.shards}
    changes: list[TopologyChange] = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None and now is not None:
            changes.append(ShardAdded(now_ns, name, now.primary.address, _count(now)))
        elif now is None and was is not None:
            changes.append(ShardRemoved(now_ns, name, was.primary.address))
        elif was is not None and now is not None:
            changes += _diff_shard(was, now, now_ns)
    return changes


def _diff_shard(was: Shard, now: Shard, now_ns: int) -> list[TopologyChange]:
    changes: list[TopologyChange] = []
    if _identity(was.primary) != _identity(now.primary):
        detail = f"{was.primary.address} -> {now.primary.address}"
        changes.append(RoleChanged(now_ns, now.name, detail))
    if was.ranges != now.ranges:
        detail = f"{_count(was)} -> {_count(now)} slots"
        gained = length(difference(_slots(now), _slots(was)))
        changes.append(SlotsMoved(now_ns, now.name, detail, gained))
    before = {_identity(node): node for node in (was.primary, *was.replicas)}
    after = {_identity(node): node for node in (now.primary, *now.replicas)}
    changes += [
        NodeAdded(now_ns, now.name, node.address)
        for key, node in sorted(after.items())
        if key not in before
    ]
    changes += [
        NodeRemoved(now_ns, now.name, node.address)
        for key, node in sorted(before.items())
        if key not in after
    ]
    return changes


def _identity(node: Node) -> str:
    """Return what tells a node from others; without cluster mode there are no ids."""
    return node.id or node.address


def _count(shard: Shard) -> int:
    return length(_slots(shard))


def _slots(shard: Shard) -> list[Interval]:
    """Return the slots of a shard as half-open intervals."""
    return [(first, last + 1) for first, last in shard.ranges]
