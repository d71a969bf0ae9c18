"""One name for every shard, whoever tells of it.

Pure. Every driver in every probe process, and the topology watch, follows the cluster
by itself and names shards in the order in which it meets them. Of two shards that are
added together, one of them may meet the second first. Here what they tell is matched by
node ids, and their own ("local") names are translated to one ("canonical") name.

Rules it keeps: the shards of the first topology are "0001", "0002" ... by slots; a node
that was once seen in a shard tells that shard from then on; in one topology no two
shards have one name; the name of a shard that is gone is not given to a stranger.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from loadprobe.core.topology.topology import Range, Shard, Topology

_Match = Callable[[Shard], Iterable[str]]


@dataclass(slots=True)
class _Observer:
    """What one observer told.

    Args:
        local: canonical name by local name.
        last: canonical name by slots, in its last topology.
    """

    local: dict[str, str] = field(default_factory=dict)
    last: dict[tuple[Range, ...], str] = field(default_factory=dict)


class ShardNames:
    """Give canonical names to the shards of many observers' topologies."""

    def __init__(self) -> None:
        self._given = 0
        self._name_of_node: dict[str, str] = {}
        self._observers: dict[Hashable, _Observer] = {}

    @property
    def nodes(self) -> Mapping[str, str]:
        """Return the name of the shard of every node that was seen; it only grows."""
        return self._name_of_node

    def go_on(self, nodes: Mapping[str, str]) -> None:
        """Go on with the names that were given before, by node.

        Whoever has seen something meanwhile may have given more.
        """
        self._name_of_node = {**nodes, **self._name_of_node}
        self._given = max(map(int, self._name_of_node.values()), default=0)

    def see(self, observer: Hashable, topology: Topology) -> Topology:
        """Take an observer's topology; return it with canonical names.

        From now on ``canonical`` knows the local names in it.
        """
        known = self._observers.setdefault(observer, _Observer())
        names = self._match(known, topology.shards)
        for shard in sorted(topology.shards, key=lambda shard: shard.ranges):
            if shard.name not in names:
                self._given += 1
                names[shard.name] = f"{self._given:04d}"
        for shard in topology.shards:
            nodes = (shard.primary, *shard.replicas)
            for node in (*(node.id for node in nodes), *shard.members):
                self._name_of_node.setdefault(node, names[shard.name])
        known.local.update(names)
        known.last = {shard.ranges: names[shard.name] for shard in topology.shards}
        shards = [replace(shard, name=names[shard.name]) for shard in topology.shards]
        shards.sort(key=lambda shard: shard.name)
        return Topology(tuple(shards), self._given)

    def canonical(self, observer: Hashable, local: str) -> str:
        """Return the canonical name of a shard.

        Args:
            observer: who uses the local name.
            local: a name in a topology that it has told.

        Raises:
            KeyError: it has told of no such shard.
        """
        return self._observers[observer].local[local]

    def forget(self, observer: Hashable) -> None:
        """Forget an observer's local names: it begins anew, and may give them again."""
        if observer in self._observers:
            self._observers[observer].local.clear()

    def _match(self, known: _Observer, shards: Sequence[Shard]) -> dict[str, str]:
        """Return local name -> canonical name of the shards that are known.

        The surest signs come first: what a shard is told by, no other shard can be.
        """
        names: dict[str, str] = {}
        taken: set[str] = set()
        signs: tuple[_Match, ...] = (
            lambda shard: self._named_by([shard.primary.id]),
            lambda shard: self._named_by(node.id for node in shard.replicas),
            lambda shard: filter(None, [known.local.get(shard.name)]),
            lambda shard: self._named_by(sorted(shard.members)),
            lambda shard: filter(None, [known.last.get(shard.ranges)]),
        )
        for sign in signs:
            for shard in sorted(
                shards, key=lambda s: (s.name not in known.local, -s.epoch, s.ranges)
            ):
                if shard.name in names:
                    continue
                name = next((n for n in sign(shard) if n not in taken), None)
                if name is not None:
                    names[shard.name] = name
                    taken.add(name)
        return names

    def _named_by(self, nodes: Iterable[str]) -> Iterable[str]:
        return (self._name_of_node[n] for n in nodes if n in self._name_of_node)
