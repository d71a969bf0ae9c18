"""How far a comparison is: which slots were walked through, and where each walk is.

Pure. Keys are found by SCAN, node by node, and a cursor means something only to the
process that gave it out. A *walk* is one node from its first cursor to its last one. It
covers the slots that the node owned alone whenever it was asked, once a second: a slot
that came, went or was being moved meanwhile may have had keys that the walk did not
see, and is walked again. A node that was restarted or replaced is begun anew.

Sets of slots are bits of an integer, slot 0 the lowest. Without cluster mode one node
has all slots.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from loadprobe.core.topology.slots import SLOTS

SlotSet = int
NO_SLOTS: SlotSet = 0
ALL_SLOTS: SlotSet = (1 << SLOTS) - 1
FIRST_CURSOR = b"0"


def slots_of(ranges: Iterable[tuple[int, int]]) -> SlotSet:
    """Return the set of ranges of slots, both ends included."""
    found = NO_SLOTS
    for first, last in ranges:
        found |= (1 << (last + 1)) - (1 << first)
    return found


def parse_own_slots(nodes: bytes) -> SlotSet:
    """Return the slots that a node owns alone, by its own word.

    What it takes over or gives away at the time is not among them, and nothing is if it
    is no primary.

    Args:
        nodes: its reply to CLUSTER NODES.

    Raises:
        ValueError: the reply has another shape.
    """
    for line in nodes.decode().splitlines():
        fields = line.split(" ")
        if len(fields) < 8:
            raise ValueError(f"CLUSTER NODES line {line!r} has {len(fields)} fields")
        flags = fields[2].split(",")
        if "myself" not in flags:
            continue
        if "master" not in flags:
            return NO_SLOTS
        owned = [part for part in fields[8:] if part and not part.startswith("[")]
        moved = [part[1:].split("-")[0] for part in fields[8:] if part.startswith("[")]
        return slots_of(map(_range, owned)) & ~slots_of(map(_range, moved))
    raise ValueError("CLUSTER NODES tells no node as myself")


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


@dataclass(slots=True)
class Walk:
    """One node that is walked through.

    Args:
        address: the node, as host:port.
        life: what tells this process from all others.
        owned: slots that it owned alone whenever it was asked.
        cursor: where to go on.
        looked: keys that were looked at.
    """

    address: str
    life: str
    owned: SlotSet
    cursor: bytes = FIRST_CURSOR
    looked: int = 0


@dataclass(slots=True)
class Coverage:
    """One direction: all keys of one side are looked for.

    Args:
        uncovered: slots that no walk has covered yet.
        walks: by address, those that have begun and not ended.
        looked: keys that were looked at in walks that have ended.
        rounds: how often all nodes were gone through.
    """

    uncovered: SlotSet = ALL_SLOTS
    walks: dict[str, Walk] = field(default_factory=dict)
    looked: int = 0
    rounds: int = 0

    @property
    def keys_looked(self) -> int:
        """Return how many keys were looked at, without walks that came to nothing."""
        return self.looked + sum(walk.looked for walk in self.walks.values())

    def begin(self, address: str, life: str, owned: SlotSet) -> Walk:
        """Return the walk of a node: the one that was begun, or a new one.

        Args:
            address: the node.
            life: of its process.
            owned: slots that it owns alone now.
        """
        walk = self.walks.get(address)
        if (
            walk is None
            or walk.life != life
            or walk.cursor == FIRST_CURSOR
            or not walk.owned & self.uncovered  # it would come to nothing
        ):
            walk = self.walks[address] = Walk(address, life, owned)
        return walk

    def confirm(self, walk: Walk, owned: SlotSet) -> bool:
        """Take note of the slots that the node owns alone now.

        Returns:
            Whether there is anything left that the walk can cover.
        """
        walk.owned &= owned
        return bool(walk.owned & self.uncovered)

    def end(self, walk: Walk, owned: SlotSet) -> SlotSet:
        """Return the slots that a walk has covered, now that it is over.

        Args:
            walk: it has seen its last cursor.
            owned: slots that the node owns alone now.
        """
        covered = walk.owned & owned & self.uncovered
        self.uncovered &= ~covered
        self.looked += walk.looked
        self.walks.pop(walk.address, None)
        return covered

    def drop(self, addresses: Iterable[str]) -> None:
        """Forget the walks of nodes that are no primaries any more."""
        for address in addresses:
            self.walks.pop(address, None)
