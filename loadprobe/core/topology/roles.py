"""Who is the primary of a group without cluster mode, put together from its nodes.

Pure. Such nodes know no slots and no epochs: each tells its own role (INFO
replication), a primary its replicas, and a replica its primary. The group is told as a
topology of one shard that has all slots, so that all else need not know the difference.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from loadprobe.core.topology.slots import SLOTS
from loadprobe.core.topology.topology import LARGEST_PORT, Node, Shard, Topology

Address = tuple[str, int]
_NAME = "0001"
_ALL_SLOTS = ((0, SLOTS - 1),)


@dataclass(frozen=True, slots=True)
class RoleView:
    """What one node tells of itself.

    Args:
        is_primary: its role.
        is_linked: a replica whose link to its primary is up.
        is_unsynced: a replica that has not been in step since it was started: it is
            empty, or has what a file of an earlier life holds, and answers by that.
        primary: whom a replica follows.
        replicas: whom a primary sends everything to, those in step only.
    """

    is_primary: bool
    is_linked: bool = False
    is_unsynced: bool = False
    primary: Address | None = None
    replicas: tuple[Address, ...] = ()


def parse_replication(text: bytes, asked: Address) -> RoleView:
    """Read a reply to INFO replication.

    A node with TLS may tell the port of the other transport. Nodes with addresses of
    their own are taken to have the same port, that of the node that was asked; nodes on
    one address, those that are told.

    Args:
        text: the reply.
        asked: where it was asked; it stands for the node itself.

    Raises:
        ValueError: the reply has another shape.
    """
    lines = text.decode().splitlines()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    role = info.get("role", "")
    if role == "master":
        return RoleView(is_primary=True, replicas=tuple(_replicas(info, asked)))
    if role != "slave":
        raise ValueError(f"INFO replication tells the role {role!r}")
    is_linked = info.get("master_link_status") == "up"
    host, port = info.get("master_host", ""), info.get("master_port", "0")
    return RoleView(
        is_primary=False,
        is_linked=is_linked,
        is_unsynced=not is_linked and _has_never_been_linked(info),
        primary=_at(host, int(port), asked) if host else None,
    )


def _has_never_been_linked(info: Mapping[str, str]) -> bool:
    """Tell whether a replica without a link never had one (redis-server 7.0.15)."""
    return info.get("master_link_down_since_seconds", "0") == "-1"


def _replicas(info: Mapping[str, str], asked: Address) -> list[Address]:
    found: list[Address] = []
    count = int(info.get("connected_slaves", "0"))
    for index in range(min(count, len(info))):  # it may tell any number
        fields = info.get(f"slave{index}", "").split(",")
        told = dict(field.split("=", 1) for field in fields if "=" in field)
        if told.get("state") == "online" and "ip" in told:
            found.append(_at(told["ip"], int(told.get("port", "0")), asked))
    return found


def _at(host: str, port: int, asked: Address) -> Address:
    if not 0 <= port <= LARGEST_PORT:
        raise ValueError(f"INFO replication tells of port {port}")
    return (host, port) if host == asked[0] else (host, asked[1])


def tell_group(
    views: Mapping[Address, RoleView],
    previous: Topology | None,
    endpoint: Collection[Address],
) -> Topology | None:
    """Return the group as its nodes tell it; None if nothing is known.

    * A node that is a primary by its own word is the primary. Of several (a node that
      was cut off and does not know of the promotion, or a new one that is nobody's
      replica yet) it is the one that it was before, unless the endpoint has moved to
      another one since.
    * If no node says so, it stays who it was, unless nobody answers and the endpoint
      has moved; at first it is whom the endpoint names.
    * A replica counts if it is in step by its own word, or by that of the primary: when
      a primary ends, its replicas know of it before we do. While it is silent, all
      count that did: one of them will take over.

    Args:
        views: what the nodes that answer tell.
        previous: what was known.
        endpoint: where the primary's endpoint has moved to since the primary was
            another one; () if it has not. At first: where it points.
    """
    was = _address_of(previous)
    primary = _choose(views, was, endpoint)
    if primary is None:
        return previous
    told = views[primary].replicas if primary in views else ()
    replicas = {
        address
        for address, view in views.items()
        if not view.is_primary and view.is_linked and address != primary
    }
    replicas |= set(told)
    if previous is not None and was == primary and primary not in views:
        # None of them is in step with a primary that is gone, and one takes over.
        replicas |= {(node.host, node.port) for node in previous.shards[0].replicas}
    epoch = previous.shards[0].epoch if previous is not None else 0
    if was is not None and was != primary:
        epoch += 1
    nodes = tuple(sorted(_node(address) for address in replicas - {primary}))
    # Whatever transport and addresses are, there is one shard: "" is in all of them.
    former = previous.shards[0].members if previous is not None else frozenset({""})
    members = former | {_node(primary).id, *(node.id for node in nodes)}
    shard = Shard(_NAME, _ALL_SLOTS, _node(primary), nodes, epoch, members)
    return Topology((shard,), 1)


def _choose(
    views: Mapping[Address, RoleView],
    was: Address | None,
    endpoint: Collection[Address],
) -> Address | None:
    primaries = sorted(address for address, view in views.items() if view.is_primary)
    named = [address for address in primaries if address in endpoint]
    if was in named or (was in primaries and not named):
        return was
    if named or primaries:
        return (named or primaries)[0]
    if was is not None and (views or was in endpoint):
        return was  # nobody has taken over yet
    return min(endpoint, default=was)


def _address_of(topology: Topology | None) -> Address | None:
    if topology is None or not topology.shards:
        return None
    primary = topology.shards[0].primary
    return primary.host, primary.port


def _node(address: Address) -> Node:
    host, port = address
    plain = Node("", host, port)
    return Node(plain.address, host, port)
