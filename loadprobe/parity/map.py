"""Who has which keys on one side, with and without cluster mode, and who says so.

A cluster is asked node by node, and views are merged by config epoch, as everywhere. A
group without cluster mode is one node: the one that says that it is the primary, looked
for at the endpoint, at the last one, and where these point to.
"""

from collections.abc import Callable

from loadprobe.core.parity.coverage import ALL_SLOTS, SlotSet, parse_own_slots, slots_of
from loadprobe.core.topology.roles import Address
from loadprobe.core.topology.slots import SLOTS
from loadprobe.core.topology.topology import (
    Topology,
    merge,
    parse_nodes,
    parse_slots,
)
from loadprobe.drivers import resp
from loadprobe.parity.link import LinkLost, NodeLink

GetLink = Callable[[Address], NodeLink]
_MAP = resp.CLUSTER_SLOTS + resp.CLUSTER_NODES


class ClusterMap:
    """Slots and their primaries.

    Args:
        endpoint: where to ask first.
        link: gives the link to a node.

    Attributes:
        owner_of: the primary of each slot, None where there is none.
    """

    def __init__(self, endpoint: Address, link: GetLink) -> None:
        self._endpoint = endpoint
        self._link = link
        self._topology: Topology | None = None
        self._turn = 0
        self.owner_of: list[Address | None] = [None] * SLOTS

    @property
    def slots_by_owner(self) -> dict[Address, SlotSet]:
        """Return the primaries, each with its slots."""
        shards = self._topology.shards if self._topology else ()
        return {
            (shard.primary.host, shard.primary.port): slots_of(shard.ranges)
            for shard in shards
        }

    async def refresh(self) -> None:
        """Ask one node after the other until one tells the map.

        Raises:
            LinkLost: none does.
        """
        problem = "no node is known"
        for address in self._candidates():
            try:
                slots, nodes = await self._link(address).batch(_MAP, 2)
            except LinkLost as exc:
                problem = str(exc)
                continue
            if not isinstance(slots, list):
                problem = f"{address[0]}:{address[1]} does not tell slots: {slots}"
                continue
            self._take(address, slots, nodes)
            return
        raise LinkLost(problem)

    def note_moved(self, slot: int, owner: Address) -> None:
        """Believe a node that sends us elsewhere, until the map is asked for again."""
        self.owner_of[slot] = owner

    async def owned(self, address: Address) -> SlotSet:
        """Return the slots that a node owns alone, by its own word.

        Raises:
            LinkLost: it does not answer.
        """
        (reply,) = await self._link(address).batch(resp.CLUSTER_NODES, 1)
        if isinstance(reply, bytes):
            return parse_own_slots(reply)
        return self.slots_by_owner.get(address, 0)  # it may not be ours to ask

    def _candidates(self) -> list[Address]:
        """Return whom to ask: another primary each time, replicas, the endpoint."""
        known = list(self.slots_by_owner)
        self._turn += 1
        turned = known[self._turn % len(known) :] if known else []
        shards = self._topology.shards if self._topology else ()
        replicas = [(node.host, node.port) for s in shards for node in s.replicas]
        return list(dict.fromkeys([*turned, *known, self._endpoint, *replicas]))

    def _take(self, address: Address, slots: list[object], nodes: object) -> None:
        view = parse_slots(slots, asked_host=address[0])
        epochs = parse_nodes(nodes) if isinstance(nodes, bytes) else None
        self._topology = merge(self._topology, view, epochs)
        self.owner_of = [None] * SLOTS
        for shard in self._topology.shards:
            owner = shard.primary.host, shard.primary.port
            for first, last in shard.ranges:
                self.owner_of[first : last + 1] = [owner] * (last - first + 1)


class SingleMap:
    """The one node that has all keys.

    Args:
        endpoint: where it is looked for.
        link: gives the link to a node.

    Attributes:
        primary: the node.
        takes_replica: the endpoint was a replica from the beginning: it is what is to
            be compared.
    """

    def __init__(self, endpoint: Address, link: GetLink) -> None:
        self._endpoint = endpoint
        self._link = link
        self._known: list[Address] = []
        self.primary = endpoint
        self.takes_replica = False

    @property
    def slots_by_owner(self) -> dict[Address, SlotSet]:
        """Return the node with all slots."""
        return {self.primary: ALL_SLOTS}

    async def begin(self) -> None:
        """Find out whether the endpoint is a replica, and is to be taken as it is.

        Raises:
            LinkLost: it does not answer.
        """
        role = await self._link(self._endpoint).role()
        self.takes_replica = role is not None and not role.is_primary
        await self.refresh()

    async def refresh(self) -> None:
        """Find who is the primary now.

        Raises:
            LinkLost: nobody says so.
        """
        problem = "no node says that it is the primary"
        asked = list(dict.fromkeys([self.primary, self._endpoint, *self._known]))
        for address in asked:  # it grows
            try:
                role = await self._link(address).role()
            except LinkLost as exc:
                problem = str(exc)
                continue
            if role is None or role.is_primary or self.takes_replica:
                self.primary = address
                self._known = list(role.replicas) if role is not None else self._known
                return
            if role.primary is not None and role.primary not in asked:
                asked.append(role.primary)
            self._link(address).abort()  # the name may point to another one by now
        raise LinkLost(problem)

    async def owned(self, address: Address) -> SlotSet:
        """Return all slots if a node is the primary.

        Raises:
            LinkLost: it does not answer.
        """
        role = await self._link(address).role()
        if role is None or role.is_primary or self.takes_replica:
            return ALL_SLOTS
        return 0
