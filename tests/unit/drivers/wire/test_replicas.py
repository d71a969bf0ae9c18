"""Where reads go that replicas may answer."""

from collections import Counter
from typing import Any

import pytest

from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.topology.slots import READS, SLOTS
from loadprobe.core.topology.topology import Node, Shard, Topology
from loadprobe.drivers.wire.replicas import ReplicaReads


class Server:
    """A node as far as reads are concerned."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.live: list[object] = [object()]
        self.takes_reads = False

    def take_reads(self) -> None:
        """Take note that reads are sent here."""
        self.takes_reads = True

    def __repr__(self) -> str:
        return self.name


SERVERS = {port: Server(f"node {port}") for port in range(1, 7)}
NOBODY = Server("nobody")


def shard(
    name: str, ports: tuple[int, ...], *ranges: tuple[int, int], replicas: int
) -> Shard:
    """Return a shard: its primary has the first port."""
    primary, *others = (Node(f"n{port}", "h", port) for port in ports)
    return Shard(name, ranges, primary, tuple(others[:replicas]), 1)


def routed(read_from: str, *, replicas: int = 2) -> tuple[ReplicaReads, list[Any]]:
    """Return who routes the reads of two shards, and the table of owners."""
    shards = (
        shard("0001", (1, 2, 3), (0, 99), (200, 8191), replicas=replicas),
        shard("0002", (4, 5, 6), (100, 199), (8192, 16383), replicas=replicas),
    )
    owner: list[Any] = [None] * SLOTS
    for each in shards:
        for first, last in each.ranges:
            for slot in range(first, last + 1):
                owner[slot] = SERVERS[each.primary.port]
    made: Any = ReplicaReads
    reads = made(owner, lambda _, port: SERVERS[port], NOBODY, read_from)
    reads.route(Topology(shards, 2))
    return reads, owner


@pytest.mark.parametrize(
    ("read_from", "ports"), [("replica", {2, 3}), ("any", {1, 2, 3})]
)
def test_reads_are_spread_evenly(read_from: str, ports: set[int]) -> None:
    """Every node that may answer has its share of the slots; writes stay."""
    _, owner = routed(read_from)
    assert len(owner) == READS + SLOTS
    assert {owner[slot] for slot in range(200, 8192)} == {SERVERS[1]}
    counts = Counter(owner[READS + slot] for slot in (*range(100), *range(200, 8192)))
    assert set(counts) == {SERVERS[port] for port in ports}
    assert max(counts.values()) - min(counts.values()) <= 2
    assert all(SERVERS[port].takes_reads for port in ports)
    assert not {owner[READS + slot] for slot in range(100, 200)} & set(counts)


def test_a_new_topology_fills_the_same_table() -> None:
    """The table stays the same list, and as long."""
    reads, owner = routed("replica")
    for each in range(2):
        reads.route(Topology((shard("0001", (3, 1), (0, 16383), replicas=1 - each),)))
        found = set(owner[READS:])
        assert found == ({NOBODY} if each else {SERVERS[1]})
    assert len(owner) == READS + SLOTS


def test_a_shard_without_a_replica() -> None:
    """Strict reads have nobody to ask there; with "any" the primary answers."""
    _, owner = routed("replica", replicas=0)
    assert set(owner[READS:]) == {NOBODY}
    _, owner = routed("any", replicas=0)
    assert set(owner[READS:]) == {SERVERS[1], SERVERS[4]}


def test_who_answers_instead() -> None:
    """Only "any" goes on, to a node of the same shard that is connected."""
    reads, _ = routed("any")
    lost: Any = SERVERS[2]
    assert reads.after(lost, READS + 5, None) is SERVERS[1]  # type: ignore[comparison-overlap]
    assert reads.after(lost, READS + 5, ErrorClass.LOADING) is not None
    assert reads.after(lost, READS + 5, ErrorClass.AUTH) is None
    assert reads.after(lost, 5, None) is None, "not a read of replicas"
    strict, _ = routed("replica")
    assert strict.after(lost, READS + 5, None) is None
    SERVERS[1].live, SERVERS[3].live = [], []
    try:
        assert reads.after(lost, READS + 5, None) is None
    finally:
        SERVERS[1].live, SERVERS[3].live = [object()], [object()]
