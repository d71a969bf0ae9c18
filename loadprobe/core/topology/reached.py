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
class _WaySeen:
    """What is known of the way to a node.

    Args:
        address: that it was told under first.
        since_ns: when it came.
        asked_ns: since when somebody asks it, None if nobody did yet.
        has_answered: it did, once at least.
        told: what stands against it, and the shard that it serves, as told last.
    """

    address: str
    since_ns: int
    asked_ns: int | None = None
    has_answered: bool = False
    told: tuple[str, str] | None = None


class ReachLog:
    """Tells what is unreached (see the module).

    Attributes:
        unreached: announced addresses of nodes that are not reached, with the reason.
    """

    def __init__(self) -> None:
        self.unreached: dict[str, str] = {}
        self._seen: dict[tuple[str, int], _WaySeen] = {}

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
        # One that is replaced may keep its name, and is another one all the same; a
        # new one is told by its address before it is told by its name.
        there = {_key(member): member for member in members}
        for key in self._seen.keys() - there.keys():
            news += self._end(self._seen.pop(key), now_ns, is_gone=True)
        for key, member in there.items():
            seen = self._seen.setdefault(key, _WaySeen(member.address, now_ns))
            reason = unmapped.get(member.address) or _misled(member, seen, tellers)
            reason = reason or _silent(member, seen, asked, now_ns)
            if reason is None:
                news += self._end(seen, now_ns, is_gone=False)
                continue
            shard = shards.get(member.address, "")
            told = reason.partition(" (")[0], shard  # without what the system said
            if told != seen.told:
                seen.told = told
                self.unreached[seen.address] = reason
                known_ms = (now_ns - seen.since_ns) / NS_PER_MS
                news.append(
                    NodeUnreached(now_ns, seen.address, shard, reason, known_ms)
                )
        return news

    def _end(self, seen: _WaySeen, now_ns: int, *, is_gone: bool) -> list[NodeReached]:
        """Return that a node is reached, if it was told that it is not."""
        if seen.told is None:
            return []
        seen.told = None
        self.unreached.pop(seen.address, None)
        return [NodeReached(now_ns, seen.address, is_gone)]


def _key(member: Announced) -> tuple[str, int]:
    host, port = member.addresses[0]
    return member.id or host, port


def _silent(
    member: Announced, seen: _WaySeen, asked: Collection[NodeAddress], now_ns: int
) -> str | None:
    """Return what is said of a node that has never answered, although it was asked."""
    if seen.has_answered or not any(a in asked for a in member.addresses):
        return None
    if seen.asked_ns is None:
        seen.asked_ns = now_ns
    if now_ns - seen.asked_ns < SILENT_NS:
        return None
    return "it has never answered: does what address_map has for it lead there?"


def _misled(
    member: Announced, seen: _WaySeen, tellers: Mapping[NodeAddress, str]
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
