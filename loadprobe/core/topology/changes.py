"""What changed between two topologies, for the journal. Pure."""

from dataclasses import dataclass

from loadprobe.core.intervals import Interval, difference, length
from loadprobe.core.topology.topology import Node, Shard, Topology


@dataclass(frozen=True, slots=True)
class TopologyChange:
    """One difference between two topologies.

    Args:
        kind: role_change, slots_moved, shard_added, shard_removed, node_added or
            node_removed.
        shard: name of the shard.
        detail: what changed, for people.
        gained: slots that the shard did not have before.
    """

    kind: str
    shard: str
    detail: str
    gained: int = 0


def diff(old: Topology, new: Topology) -> list[TopologyChange]:
    """Return what changed between two topologies, in the order of the shards.

    A node is known by its id: one that is announced at another address (the port of
    another transport) has not changed.
    """
    before = {shard.name: shard for shard in old.shards}
    after = {shard.name: shard for shard in new.shards}
    changes: list[TopologyChange] = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None and now is not None:
            address, gained = now.primary.address, _count(now)
            changes.append(TopologyChange("shard_added", name, address, gained))
        elif now is None and was is not None:
            changes.append(TopologyChange("shard_removed", name, was.primary.address))
        elif was is not None and now is not None:
            changes += _diff_shard(was, now)
    return changes


def _diff_shard(was: Shard, now: Shard) -> list[TopologyChange]:
    changes: list[TopologyChange] = []
    if _identity(was.primary) != _identity(now.primary):
        detail = f"{was.primary.address} -> {now.primary.address}"
        changes.append(TopologyChange("role_change", now.name, detail))
    if was.ranges != now.ranges:
        detail = f"{_count(was)} -> {_count(now)} slots"
        gained = length(difference(_slots(now), _slots(was)))
        changes.append(TopologyChange("slots_moved", now.name, detail, gained))
    before = {_identity(node): node for node in (was.primary, *was.replicas)}
    after = {_identity(node): node for node in (now.primary, *now.replicas)}
    for kind, nodes, others in (
        ("node_added", after, before),
        ("node_removed", before, after),
    ):
        changes += [
            TopologyChange(kind, now.name, node.address)
            for key, node in sorted(nodes.items())
            if key not in others
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
