"""Reads that replicas may answer: which node each of them goes to.

The table of owners has a second half for them: a read of slot s is routed by
``READS + s``. So they cost nothing on the way of any arrival.
"""

from collections.abc import Callable

from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.topology.slots import READS, SLOTS
from loadprobe.core.topology.topology import Node as TopologyNode
from loadprobe.core.topology.topology import Shard, Topology
from loadprobe.drivers.settings import ReadFrom
from loadprobe.drivers.wire.node import WireNode

_CANNOT_YET = frozenset(
    {ErrorClass.LOADING, ErrorClass.MASTERDOWN, ErrorClass.CLUSTERDOWN}
)
"""What a node says that has no data for now; another one may."""


class ReplicaReads:
    """Routes reads over the nodes of a shard, evenly by slot.

    With "replica", a read stays with its replica, whatever becomes of that; only a new
    topology sends it elsewhere. With "any", all nodes of the shard have their share,
    and a read goes on to another one if its own is not connected, or has no data yet.

    Args:
        owner: the table of owners; its second half is filled in here.
        node: returns the node at an address.
        nobody: takes the reads of shards without a replica.
        read_from: "replica" or "any".
    """

    def __init__(
        self,
        owner: list[WireNode],
        node: Callable[[str, int], WireNode],
        nobody: WireNode,
        read_from: ReadFrom,
    ) -> None:
        self._owner = owner
        self._node = node
        self._nobody = nobody
        self._is_any = read_from == "any"
        self._topology: Topology | None = None

    def route(self, topology: Topology) -> None:
        """Fill the second half of the table, after the first."""
        self._topology = topology
        if len(self._owner) == SLOTS:
            self._owner.extend(self._owner)
        for shard in topology.shards:
            nodes = self.nodes_of(shard) or [self._nobody]
            for first, last in shard.ranges:
                count = last + 1 - first
                begin = first % len(nodes)
                turns = nodes * (count // len(nodes) + 2)
                self._owner[READS + first : READS + last + 1] = turns[
                    begin : begin + count
                ]

    def nodes_of(self, shard: Shard) -> list[WireNode]:
        """Return the nodes that take the reads of a shard."""
        members: list[TopologyNode] = [*shard.replicas]
        if self._is_any:
            members.insert(0, shard.primary)
        nodes = [self._node(member.host, member.port) for member in members]
        for node in nodes:
            node.take_reads()
        return nodes

    def after(
        self, node: WireNode, slot: int, error: ErrorClass | None
    ) -> WireNode | None:
        """Return who may answer a read that a node cannot; None if nobody is to.

        Args:
            node: where it was to go, or was.
            slot: by which it was routed.
            error: what the node said; None if it was not connected.
        """
        if not self._is_any or slot < READS or self._topology is None:
            return None
        if error is not None and error not in _CANNOT_YET:
            return None
        for shard in self._topology.shards:
            if any(first <= slot - READS <= last for first, last in shard.ranges):
                others = (each for each in self.nodes_of(shard) if each is not node)
                return next((each for each in others if each.live), None)
        return None
