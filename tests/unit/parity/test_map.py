"""Who has which keys: by whose word, when nodes change their roles or are silent."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import pytest

from loadprobe.core.parity.coverage import ALL_SLOTS, NO_SLOTS, slots_of
from loadprobe.core.topology.roles import Address, RoleView
from loadprobe.parity.link import LinkLost, NodeLink
from loadprobe.parity.map import ClusterMap, GetLink, SingleMap

A, B, C = ("a", 1), ("b", 2), ("c", 3)


@dataclass
class World:
    """Nodes as they answer now; those that are not there are silent."""

    roles: dict[Address, RoleView | None] = field(default_factory=dict)
    maps: dict[Address, list[object]] = field(default_factory=dict)
    asked: list[Address] = field(default_factory=list)
    cut: list[Address] = field(default_factory=list)

    @property
    def link(self) -> GetLink:
        """Return what gives links to them."""
        return lambda address: cast("NodeLink", Answering(self, address))

    def primary(self, address: Address, replicas: Iterable[Address] = ()) -> None:
        """Let a node say that it is the primary."""
        self.roles[address] = RoleView(is_primary=True, replicas=tuple(replicas))

    def replica(self, address: Address, of: Address | None = None) -> None:
        """Let a node say that it is a replica."""
        self.roles[address] = RoleView(is_primary=False, is_linked=True, primary=of)


@dataclass
class Answering:
    """The link to a node of a world."""

    world: World
    address: Address

    async def role(self) -> RoleView | None:
        """Answer, or not."""
        self.world.asked.append(self.address)
        if self.address not in self.world.roles:
            raise LinkLost(f"{self.address} is away")
        return self.world.roles[self.address]

    async def batch(self, commands: bytes, count: int) -> list[object]:
        """Answer CLUSTER SLOTS and CLUSTER NODES, or not."""
        self.world.asked.append(self.address)
        if self.address not in self.world.maps:
            raise LinkLost(f"{self.address} is away")
        return self.world.maps[self.address][-count:]

    def abort(self) -> None:
        """Take note of the end."""
        self.world.cut.append(self.address)


async def test_a_primary_is_followed_to_its_successor() -> None:
    """By the word of the former one, of the last one's replicas, or of the endpoint."""
    world = World()
    world.primary(A, [B])
    single = SingleMap(A, world.link)
    await single.begin()
    assert (single.primary, single.takes_replica) == (A, False)
    world.replica(A, of=B)
    world.primary(B, [A, C])
    assert await single.owned(A) == NO_SLOTS
    await single.refresh()
    assert single.slots_by_owner == {B: ALL_SLOTS}
    assert A in world.cut, "its name may point elsewhere by now"
    del world.roles[B], world.roles[A]
    world.primary(C)
    await single.refresh()
    assert single.primary == C
    world.replica(C)
    with pytest.raises(LinkLost, match="is away"):
        await single.refresh()


async def test_a_replica_that_was_named_is_taken() -> None:
    """Whoever names one wants it compared; it may be promoted meanwhile."""
    world = World()
    world.replica(A, of=B)
    single = SingleMap(A, world.link)
    await single.begin()
    assert (single.primary, single.takes_replica) == (A, True)
    world.primary(A)
    assert await single.owned(A) == ALL_SLOTS
    await single.refresh()
    assert single.primary == A


async def test_who_may_not_tell_its_role_is_taken() -> None:
    """INFO may not be ours to ask."""
    world = World({A: None})
    single = SingleMap(A, world.link)
    await single.begin()
    assert (single.primary, single.takes_replica) == (A, False)


def cluster_reply(first: Address, second: Address, epoch: int) -> list[object]:
    """Return replies to CLUSTER SLOTS and CLUSTER NODES of two halves."""
    halves = [(0, 8191, first), (8192, 16383, second)]
    rows = [[a, b, [host, port, f"id-{host}"]] for a, b, (host, port) in halves]
    lines = [
        f"id-{host} {host}:{port}@9 {'myself,' * (number == 0)}master - 0 0 "
        f"{epoch + number} connected {a}-{b}"
        for number, (a, b, (host, port)) in enumerate(halves)
    ]
    return [rows, "\n".join(lines).encode()]


async def test_a_map_is_asked_of_whoever_answers() -> None:
    """Silent nodes are passed over, and an older view changes nothing."""
    world = World(maps={A: cluster_reply(A, B, 5)})
    cluster = ClusterMap(A, world.link)
    await cluster.refresh()
    halves = slots_of([(0, 8191)]), slots_of([(8192, 16383)])
    assert cluster.slots_by_owner == {A: halves[0], B: halves[1]}
    assert cluster.owner_of[8191:8193] == [A, B]
    assert await cluster.owned(A) == halves[0]
    cluster.note_moved(0, C)
    assert cluster.owner_of[0] == C
    world.maps = {B: cluster_reply(C, B, 7)}
    await cluster.refresh()
    assert cluster.owner_of[0] == C
    world.maps = {B: cluster_reply(A, B, 1)}
    await cluster.refresh()
    assert cluster.owner_of[0] == C, "an old view was believed"
    world.maps = {node: ["NOPERM", b""] for node in (A, B, C)}
    with pytest.raises(LinkLost, match="does not tell slots: NOPERM"):
        await cluster.refresh()
    world.maps = {}
    with pytest.raises(LinkLost, match="is away"):
        await cluster.refresh()
