"""Which views of the cluster the wire driver believes."""

from loadprobe.core.topology import Topology
from loadprobe.drivers.wire.discovery import Discovery

A, B, C = (letter * 40 for letter in "abc")
HOST = "127.0.0.1"


def slots(*ports: int) -> list[object]:
    """Return CLUSTER SLOTS of three primaries at the given ports."""
    ranges = ((0, 5460), (5461, 10922), (10923, 16383))
    ids = (A, B, C)
    return [
        [first, last, [HOST.encode(), port, node_id.encode()]]
        for (first, last), port, node_id in zip(ranges, ports, ids, strict=True)
    ]


def nodes(myself: str) -> bytes:
    """Return CLUSTER NODES as told by one of the three."""
    lines = []
    for epoch, node_id in enumerate((A, B, C), start=1):
        flags = "myself,master" if node_id == myself else "master"
        lines.append(f"{node_id} {HOST}:1@2 {flags} - 0 0 {epoch} connected")
    return "\n".join(lines).encode()


def discovery() -> tuple[Discovery, list[Topology]]:
    """Return a discovery that knows ports 1, 2 and 3, and its list of changes."""
    changes: list[Topology] = []
    found = Discovery(list, changes.append, lambda: None)
    assert found.learn(HOST, slots(1, 2, 3), nodes(A))
    return found, changes


def ports(found: Discovery) -> list[int]:
    """Return the ports of the primaries."""
    assert found.topology is not None
    return [shard.primary.port for shard in found.topology.shards]


async def test_one_node_alone_is_not_believed_about_another() -> None:
    """A node that tells a new address of another one is asked again, not followed."""
    found, changes = discovery()
    assert not found.learn(HOST, slots(1, 22, 3), nodes(A))
    assert not found.learn(HOST, slots(1, 22, 3), nodes(A))
    assert ports(found) == [1, 2, 3]
    assert len(changes) == 1


async def test_two_nodes_are_believed() -> None:
    """An address that two nodes tell is the new one."""
    found, changes = discovery()
    assert not found.learn(HOST, slots(1, 22, 3), nodes(A))
    assert found.learn(HOST, slots(1, 22, 3), nodes(C))
    assert ports(found) == [1, 22, 3]
    assert len(changes) == 2


async def test_a_node_is_believed_about_itself() -> None:
    """A node knows its own address."""
    found, _ = discovery()
    assert found.learn(HOST, slots(1, 22, 3), nodes(B))
    assert ports(found) == [1, 22, 3]
