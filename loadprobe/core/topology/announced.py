"""All nodes that a cluster announces, also those that have no slots yet.

Pure. CLUSTER SLOTS tells who serves; a node that has just joined is in CLUSTER NODES
first, some time before it is given slots or is promoted. Who has to open a way to each
node (a forward of a tunnel, a rule of a NAT) has that time to do so.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from loadprobe.core.topology.topology import (
    NodeLine,
    NodesView,
    SlotsView,
    Topology,
    join_address,
)

NodeAddress = tuple[str, int]
_UNUSABLE = frozenset({"fail", "noaddr", "handshake"})


@dataclass(frozen=True, slots=True, order=True)
class Announced:
    """A node, and where others are sent to find it.

    Args:
        addresses: (host, port), as CLUSTER SLOTS announces it first, if it does.
        ip: its address, "" if none is told.
        id: its id, "" without cluster mode.
    """

    addresses: tuple[NodeAddress, ...]
    ip: str
    id: str = ""

    @property
    def inside(self) -> NodeAddress:
        """Return where it listens: its address if that is told, else its name."""
        host, port = self.addresses[0]
        return self.ip or host, port

    @property
    def address(self) -> str:
        """Return the address that it is announced with, as host:port."""
        return join_address(*self.addresses[0])


def announced(views: Iterable[tuple[SlotsView, NodesView | None]]) -> list[Announced]:
    """Return all nodes that any of some views tells of, by their addresses.

    Nodes that have failed, or are not known by their address yet, are left out unless
    they serve slots.
    """
    served: dict[str, dict[NodeAddress, None]] = {}
    told: dict[str, dict[NodeAddress, None]] = {}
    ips: dict[str, str] = {}
    for slots, nodes in views:
        for _, _, primary, replicas in slots.rows:
            for node in (primary, *replicas):
                served.setdefault(node.id, {})[node.host, node.port] = None
        for line in nodes.nodes.values() if nodes is not None else ():
            ip, found = _read_address(line)
            if ip:
                ips[line.id] = ip
            if not line.flags & _UNUSABLE:
                told.setdefault(line.id, {}).update(dict.fromkeys(found))
    return sorted(
        Announced(
            tuple({**served.get(id_, {}), **told.get(id_, {})}), ips.get(id_, ""), id_
        )
        for id_ in {*served, *(id_ for id_ in told if told[id_])}
    )


def announced_roles(topology: Topology) -> list[Announced]:
    """Return the nodes of a group without cluster mode."""
    return sorted(
        Announced(((node.host, node.port),), "")
        for shard in topology.shards
        for node in (shard.primary, *shard.replicas)
    )


def _read_address(line: NodeLine) -> tuple[str, list[NodeAddress]]:
    """Return the ip of a line of CLUSTER NODES, and where its node may be found."""
    plain, *more = line.address.split(",")
    ip, _, port = plain.partition("@")[0].rpartition(":")
    if not port.isdecimal() or not int(port):
        return ip, []
    # Redis 7 and Valkey put the hostname next; what has a "=" is something else.
    names = [name for name in more[:1] if name and "=" not in name]
    return ip, [(host, int(port)) for host in (*names, ip) if host]
