"""Which nodes are announced, and cannot be reached: told once each, and once mended.

Pure. A node may come before anything leads to it, and need not serve yet: so it is
known before it matters. A node that does not answer where it did is no matter of the
way to it, and not told here.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.events import NodeReached, NodeUnreached
from loadprobe.core.topology.announced import Announced, NodeAddress
from loadprobe.core.topology.topology import Topology

SILENT_NS = 3 * NS_PER_S
"""A node that has not answered for so long since it came is not reached."""


@dataclass(slots=True)
class _Seen:
    since_ns: int
    has_answered: bool = False
    told: tuple[str, str] | None = None


class ReachLog:
    """Tells what is unreached (see the module).

    Attributes:
        unreached: announced addresses of nodes that are not reached, with the reason.
    """

    def __init__(self) -> None:
        self.unreached: dict[str, str] = {}
        self._seen: dict[tuple[str, str], _Seen] = {}

    def take(
        self,
        members: Iterable[Announced],
        *,
        shards: Mapping[str, str],
        tellers: Mapping[NodeAddress, str],
        asked: Collection[NodeAddress],
        unmapped: Mapping[str, str],
        now_ns: int,
    ) -> list[NodeUnreached | NodeReached]:
        """Take what is known now; return what is news.

        Args:
            members: all nodes that are announced.
            shards: announced address of a primary -> its shard.
            tellers: announced address -> id of the node that answers there.
            asked: announced addresses at which somebody asks again and again.
            unmapped: announced addresses that nothing leads to -> why not.
            now_ns: monotonic.
        """
        news: list[NodeUnreached | NodeReached] = []
        # A node that is replaced may keep its name, and is another one all the same.
        there = {(member.address, member.id): member for member in members}
        for address, id_ in self._seen.keys() - there.keys():
            if self._seen.pop((address, id_)).told is not None:
                del self.unreached[address]
                news.append(NodeReached(now_ns, address, is_gone=True))
        for key, member in there.items():
            address, _ = key
            seen = self._seen.setdefault(key, _Seen(now_ns))
            reason = unmapped.get(address) or _misled(member, seen, tellers)
            if reason is None and now_ns - seen.since_ns >= SILENT_NS:
                reason = _silent(member, seen, asked)
            told = None if reason is None else (reason, shards.get(address, ""))
            if told == seen.told:
                continue
            seen.told = told
            if reason is None:
                self.unreached.pop(address)
                news.append(NodeReached(now_ns, address, is_gone=False))
            else:
                self.unreached[address] = reason
                known_ms = (now_ns - seen.since_ns) / NS_PER_MS
                shard = shards.get(address, "")
                news.append(NodeUnreached(now_ns, address, shard, reason, known_ms))
        return news


def _silent(
    member: Announced, seen: _Seen, asked: Collection[NodeAddress]
) -> str | None:
    """Return what is said of a node that has never answered, although it was asked."""
    if seen.has_answered or not any(a in asked for a in member.addresses):
        return None
    return "it has never answered: does what address_map has for it lead there?"


def _misled(
    member: Announced, seen: _Seen, tellers: Mapping[NodeAddress, str]
) -> str | None:
    """Return what is wrong with the way to a node at which somebody answers."""
    for address in member.addresses:
        if address not in tellers:
            continue
        teller = tellers[address]
        if teller and member.id and teller != member.id:
            return f"another node ({teller[:8]}) answers there: the way to it is stale"
        seen.has_answered = True
    return None


def primaries(topology: Topology | None) -> dict[str, str]:
    """Return the address of each primary, with the name of its shard."""
    shards = topology.shards if topology is not None else ()
    return {shard.primary.address: shard.name for shard in shards}
