"""One way to a cluster, and all that its nodes told on it: merged into one topology.

Pure: nobody is asked here.
"""

from collections import Counter
from dataclasses import dataclass, field

from loadprobe.control.watch.names import NameWatch
from loadprobe.control.watch.node_views import NodeLogin
from loadprobe.core.topology.roles import RoleView, tell_group
from loadprobe.core.topology.topology import (
    Node,
    NodesView,
    SlotsView,
    Topology,
    merge,
)

MAX_NODES = 12
"""Nodes asked at the same time; primaries first. Views spread by gossip in about a
second, so asking more of a large cluster tells little more."""

Address = tuple[str, int]
View = tuple[SlotsView, NodesView]
"""What one node tells: CLUSTER SLOTS and CLUSTER NODES."""


@dataclass(slots=True)
class Route:
    """One way to the cluster, and all that was told on it.

    Args:
        seed: the endpoint.
        tls: its transport.
        login: transport and password.
        is_other_cluster: what was known before is of another cluster.
        names: where its endpoint points, without cluster mode.
        topology: in the names that this watch gives; None until a node has answered.
        epoch: the highest that was told.
        states: state of each node.
        views: what each node tells.
        watched: nodes that have a task.
        roles: the role of each node, without cluster mode.
        has_names_task: the endpoint has a task.
        is_endpoint_followed: the endpoint has pointed to a primary once.
        promoted_ns: when another node was seen as the primary.
    """

    seed: Address
    tls: bool
    login: NodeLogin
    is_other_cluster: bool
    names: NameWatch | None = None
    topology: Topology | None = None
    epoch: int | None = None
    states: dict[Address, str] = field(default_factory=dict)
    views: dict[Address, View] = field(default_factory=dict)
    watched: set[Address] = field(default_factory=set)
    roles: dict[Address, RoleView] = field(default_factory=dict)
    has_names_task: bool = False
    is_endpoint_followed: bool = False
    promoted_ns: int = 0

    def wanted(self) -> set[Address]:
        """Return the endpoint and up to MAX_NODES nodes, the primaries first.

        Without cluster mode: where the endpoint points, and the nodes it is told of.
        """
        shards = self.topology.shards if self.topology is not None else ()
        primaries = [shard.primary for shard in shards]
        replicas = [replica for shard in shards for replica in shard.replicas]
        nodes = [(node.host, node.port) for node in (*primaries, *replicas)]
        if self.names is None:
            return {self.seed, *nodes[:MAX_NODES]}
        pointed = {(host, self.seed[1]) for host in self.names.addresses}
        told = {view.primary for view in self.roles.values() if view.primary}
        return {*pointed, *told, *nodes[:MAX_NODES]}

    def forget(self, address: Address) -> None:
        """Take note that a node is asked no more: what it told counts no more."""
        self.watched.discard(address)
        self.views.pop(address, None)
        self.roles.pop(address, None)
        self.states.pop(address, None)

    def merged(self, former: Topology | None) -> Topology | None:
        """Return what all views tell, merged in a fixed order.

        For half a second nodes disagree about who is healthy, without an epoch to
        decide. Merging each view when its turn comes would let replicas flap; here the
        outcome depends on what the views are, not on the order of the replies.

        Args:
            former: what was known before this route.
        """
        topology = self.topology
        for slots, nodes in trusted([self.views[key] for key in sorted(self.views)]):
            # What was told for another transport is not what is told for this one.
            base = topology if topology is not None else former
            topology = merge(base, slots, nodes, afresh=topology is None)
        return topology

    def told_group(self, names: NameWatch) -> Topology | None:
        """Return what the roles of all nodes tell, without cluster mode.

        Args:
            names: where the endpoint points; its word counts until a node has one, and
                if it moved since.
        """
        pointed = [(host, self.seed[1]) for host in names.addresses]
        known, moved = self.topology, names.moved
        is_news = moved is not None and moved.at_ns > self.promoted_ns
        return tell_group(
            self.roles, known, pointed if is_news or known is None else ()
        )


def trusted(views: list[View]) -> list[View]:
    """Return the views in which no node's address is outvoted by the other views.

    A node that has just restarted knows one port of each other node, from its file. A
    server with TLS on its cluster bus keeps the TLS port there, so until it has heard
    from the others it tells TLS ports to plaintext askers (redis-server 7.0.15).
    """
    told = [_nodes_of(slots) for slots, _ in views]
    votes = Counter(node for nodes in told for node in nodes)
    most: dict[str, int] = {}
    for node, count in votes.items():
        most[node.id] = max(count, most.get(node.id, 0))
    return [
        view
        for view, nodes in zip(views, told, strict=True)
        if all(votes[node] == most[node.id] for node in nodes)
    ]


def _nodes_of(slots: SlotsView) -> set[Node]:
    return {
        node for _, _, primary, replicas in slots.rows for node in (primary, *replicas)
    }
