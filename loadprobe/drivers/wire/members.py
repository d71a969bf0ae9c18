"""The nodes of one driver, and which of them every slot goes to."""

import asyncio
from collections.abc import Callable, Sequence

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.topology.slots import SLOTS
from loadprobe.core.topology.topology import Node as TopologyNode
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.settings import ReadFrom
from loadprobe.drivers.wire.connection import Replies
from loadprobe.drivers.wire.dial import DialFailure
from loadprobe.drivers.wire.explain import explain_dial_failure
from loadprobe.drivers.wire.keeper import Keeper, KeeperDriver
from loadprobe.drivers.wire.node import Nobody, NodeDriver, WireNode
from loadprobe.drivers.wire.node_state import NodeState
from loadprobe.drivers.wire.replicas import ReplicaReads
from loadprobe.errors import PreflightError

# A redirect is ahead of the topology by the time gossip takes; after this the topology
# is right again. A node that only a redirect has named is kept for this long.
_OVERRULED_NS = NS_PER_S
_STRANGER_NS = 10 * NS_PER_S
_MOST_SUSPECTS = 8
_FIRST_CONNECTION_S = 10.0
_ALL_CONNECTIONS_S = 120.0
_REPLICAS_S = 5.0


class Members:
    """Opens, keeps and closes nodes as topologies come and go.

    Args:
        sending: what nodes need of the driver.
        keeping: what their keepers need of it.
        replies: takes every reply that is not an error.
        workers: connections per primary, and per replica that takes reads; others
            have one.
        closed_loop: nodes keep a stack of idle connections.
        read_from: which nodes take reads.

    Attributes:
        nodes: all nodes by address as announced, also those on their way out.
        owner: the node of every slot; always the same list. With reads by replicas, it
            has a second half for them.
        reads: who routes those reads; None if there are none.
    """

    def __init__(
        self,
        sending: NodeDriver,
        keeping: KeeperDriver,
        *,
        replies: Replies,
        workers: int,
        closed_loop: bool,
        read_from: ReadFrom = "primary",
    ) -> None:
        self._sending = sending
        self._keeping = keeping
        self._replies = replies
        self._workers = workers
        self._closed_loop = closed_loop
        self._group: asyncio.TaskGroup | None = None
        self._topology: Topology | None = None
        self._current: set[WireNode] = set()
        self._coming: set[WireNode] = set()
        self._overruled_ns: int | None = None
        self._suspects: dict[WireNode, None] = {}
        self._ask_turn = 0
        self._keepers: dict[WireNode, Keeper] = {}
        self.nodes: dict[tuple[str, int], WireNode] = {}
        self.owner: list[WireNode] = []
        self.reads: ReplicaReads | None = None
        if read_from != "primary":
            nobody = Nobody(
                sending, replies=replies, width=workers, closed_loop=closed_loop
            )
            self.reads = ReplicaReads(self.owner, self.node, nobody, read_from)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Keep connections in tasks of a group from now on."""
        self._group = group

    def __contains__(self, node: WireNode) -> bool:
        """Tell whether a node belongs to the topology."""
        return node in self._current

    @property
    def is_reachable(self) -> bool:
        """Tell whether any node of the topology has a connection, and speaks."""
        return any(node.live and node.listen() for node in self._current)

    def is_up(self, node: TopologyNode) -> bool:
        """Tell whether there is a connection to a node's address, and it speaks."""
        found = self.nodes.get((node.host, node.port))
        return found is not None and bool(found.live) and found.listen()

    @property
    def primaries(self) -> list[WireNode]:
        """Return the nodes that serve slots, or will after a cut-over."""
        return [node for node in self.nodes.values() if node.is_primary]

    def node(self, host: str, port: int) -> WireNode:
        """Return the node at an address; a new one is opened like a replica."""
        node = self.nodes.get((host, port))
        if node is not None and not node.retired:
            return node
        if node is None:
            node = self.nodes[host, port] = WireNode(
                self._sending,
                host,
                port,
                replies=self._replies,
                width=self._workers,
                closed_loop=self._closed_loop,
            )
            self._keepers[node] = Keeper(node, self._keeping)
        assert self._group is not None
        node.want(1, is_primary=False)
        self._keepers[node].start(self._group)
        return node

    async def wait_for_connections(self, *, all_of_them: bool = True) -> None:
        """Wait for one connection to every primary, then for all of them.

        Args:
            all_of_them: False does not wait for more than the first.

        Raises:
            PreflightError: they could not be made.
        """
        primaries = [node for node in self.primaries if not node.retired]
        if not await reached(primaries, lambda n: bool(n.live), _FIRST_CONNECTION_S):
            down = next(node for node in primaries if not node.live)
            failure = down.failure or DialFailure(
                ErrorClass.UNREACHABLE, "no answer", 0, 0
            )
            dialer = self._keeping.dialer
            raise PreflightError(
                explain_dial_failure(failure, down.host, down.port, dialer)
            )
        if not all_of_them:
            return
        if not await reached(primaries, lambda n: n.is_complete, _ALL_CONNECTIONS_S):
            raise PreflightError(
                f"only {sum(len(n.live) for n in primaries)} of "
                f"{len(primaries) * self._workers} connections could be opened in "
                f"{_ALL_CONNECTIONS_S:.0f} s; check maxclients of the server, or use "
                "fewer workers"
            )
        # What replicas cannot do from the start on is measured.
        replicas = [node for node in self.nodes.values() if node.takes_reads]
        await reached(replicas, lambda n: n.is_complete, _REPLICAS_S)

    # --- topologies ------------------------------------------------------------

    def apply(self, topology: Topology) -> None:
        """Send arrivals by a topology, and let go of all other nodes."""
        self._topology = topology
        self._current = self._open(topology)
        self._coming -= self._current
        self.route()
        for node in self.nodes.values():
            if node not in self._current and node not in self._coming:
                node.retire()

    def prepare(self, topology: Topology) -> list[WireNode]:
        """Connect to another cluster's nodes beside the present ones.

        Returns:
            Its primaries.
        """
        opened = self._open(topology)
        for node in self._coming - opened - self._current:
            node.retire()
        self._coming = opened - self._current
        return [
            self.node(shard.primary.host, shard.primary.port)
            for shard in topology.shards
        ]

    def _open(self, topology: Topology) -> set[WireNode]:
        opened: set[WireNode] = set()
        for shard in topology.shards:
            primary = self.node(shard.primary.host, shard.primary.port)
            primary.want(self._workers, is_primary=True, shard=shard.name)
            opened.add(primary)
            for replica in shard.replicas:
                node = self.node(replica.host, replica.port)
                connections = 1 if self.reads is None else self._workers
                node.want(connections, is_primary=False, shard=shard.name)
                opened.add(node)
        return opened

    def route(self) -> None:
        """Let every slot go to the primary that the topology names."""
        assert self._topology is not None
        owner = self.owner
        for shard in self._topology.shards:
            primary = self.node(shard.primary.host, shard.primary.port)
            if not owner:
                owner += [primary] * SLOTS
            for first, last in shard.ranges:
                owner[first : last + 1] = [primary] * (last + 1 - first)
        if self.reads is not None:
            self.reads.route(self._topology)
        self._overruled_ns = None

    def redirect(self, slot: int, node: WireNode, now_ns: int) -> None:
        """Let a slot go where a redirect says, until the topology says it, too."""
        if node in self._current:
            self.owner[slot] = node
            self._overruled_ns = now_ns

    def forget_redirect(self, slot: int) -> None:
        """Go back to the topology's owner of a slot: a redirect led to a dead node."""
        assert self._topology is not None
        for shard in self._topology.shards:
            if any(first <= slot <= last for first, last in shard.ranges):
                self.owner[slot] = self.node(shard.primary.host, shard.primary.port)
                return

    # --- upkeep ----------------------------------------------------------------

    def trim(self) -> None:
        """Close what is not needed, and forget redirects nobody else knows of."""
        now_ns = mono_now_ns()
        if (
            self._overruled_ns is not None
            and now_ns - self._overruled_ns > _OVERRULED_NS
        ):
            self.route()
        for key, node in list(self.nodes.items()):
            is_stranger = node not in self._current and node not in self._coming
            if is_stranger and now_ns - node.made_ns > _STRANGER_NS:
                node.retire()
            node.trim()
            if node.state is NodeState.GONE and self._keepers[node].has_ended:
                del self.nodes[key], self._keepers[node]

    def close(self) -> None:
        """End all connections at once."""
        for node in self.nodes.values():
            for connection in list(node.live):
                connection.abort()

    def suspect(self, slot: int) -> None:
        """Take note that an arrival for a slot failed: has its shard a new primary?"""
        self._suspects[self.owner[slot]] = None

    def to_ask(self) -> list[WireNode]:
        """Return the replicas of suspect shards, and one node of all in turn.

        A node that does not belong to the topology is not asked: it may be one of
        another cluster, which would be taken for this one created anew.
        """
        suspects, self._suspects = self._suspects, {}
        asked: dict[WireNode, None] = {}
        if self._topology is not None and suspects:
            for shard in self._topology.shards:
                primary = self.nodes.get((shard.primary.host, shard.primary.port))
                if primary in suspects and len(asked) < _MOST_SUSPECTS:
                    for replica in shard.replicas:
                        node = self.nodes.get((replica.host, replica.port))
                        if node is not None:
                            asked[node] = None
        everyone = [n for n in self.nodes.values() if n.live and n in self._current]
        if everyone:
            self._ask_turn = (self._ask_turn + 1) % len(everyone)
            asked[everyone[self._ask_turn]] = None
        return list(asked)

    def live_connections(self) -> dict[str, int]:
        """Return the number of live connections per shard, replicas included."""
        if self._topology is None:
            return {}
        return {
            shard.name: sum(
                len(self.nodes[member.host, member.port].live)
                for member in (shard.primary, *shard.replicas)
                if (member.host, member.port) in self.nodes
            )
            for shard in self._topology.shards
        }


async def reached(
    nodes: Sequence[WireNode], is_true: Callable[[WireNode], bool], within_s: float
) -> bool:
    """Wait until something holds for all nodes; False if it does not in time."""
    try:
        async with asyncio.timeout(within_s):
            while not all(map(is_true, nodes)):
                await asyncio.sleep(0.005)
    except TimeoutError:
        return False
    return True
