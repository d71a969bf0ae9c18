"""One name for every shard: whatever is seen by whom, in whatever order."""

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.topology.shard_names import ShardNames
from loadprobe.core.topology.slots import SLOTS
from loadprobe.core.topology.topology import (
    Node,
    NodeLine,
    NodesView,
    SlotsView,
    Topology,
    merge,
)
from tests.support.examples import examples

OBSERVERS = 3


@dataclass(frozen=True)
class Group:
    """A shard as it really is: which one, its nodes (primary first) and its epoch."""

    lineage: int
    nodes: tuple[str, ...]
    epoch: int
    ranges: tuple[tuple[int, int], ...] = ()


World = tuple[Group, ...]


def spread(groups: list[Group]) -> World:
    """Give every group its part of the slots, in the order of the list."""
    count = len(groups)
    bounds = [SLOTS * i // count for i in range(count + 1)]
    return tuple(
        replace(group, ranges=((first, end - 1),))
        for group, first, end in zip(groups, bounds, bounds[1:], strict=False)
    )


@dataclass
class History:
    """What happens to a cluster; moments that may be seen in either order are sets."""

    moments: list[list[World]] = field(default_factory=list)
    lineage_of: dict[str, int] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)

    def node(self, lineage: int) -> str:
        """Make a node of a group."""
        self.made["nodes"] += 1
        name = f"n{self.made['nodes']}"
        self.lineage_of[name] = lineage
        return name

    def epoch(self) -> int:
        """Return a new highest epoch."""
        self.made["epochs"] += 1
        return self.made["epochs"]

    def group(self) -> Group:
        """Make a group of two nodes."""
        self.made["groups"] += 1
        lineage = self.made["groups"]
        nodes = self.node(lineage), self.node(lineage)
        return Group(lineage, nodes, self.epoch())


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Return a history of failovers, replacements, additions and removals."""
    history = History()
    groups = [history.group() for _ in range(draw(st.integers(1, 3)))]
    history.moments.append([spread(groups)])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(groups) - 1))
        old = groups[at]
        match draw(st.sampled_from(["failover", "replace", "add two", "remove"])):
            case "failover":
                nodes = (*old.nodes[1:], old.nodes[0])
                groups[at] = replace(old, nodes=nodes, epoch=history.epoch())
            case "replace":  # in turn, until no node is left of what there was
                for _ in old.nodes:
                    first, *rest = groups[at].nodes
                    joined = (first, *rest, history.node(old.lineage))
                    groups[at] = replace(groups[at], nodes=joined)
                    history.moments.append([spread(groups)])
                    promoted = joined[1:]
                    groups[at] = replace(
                        groups[at], nodes=promoted, epoch=history.epoch()
                    )
                    history.moments.append([spread(groups)])
            case "add two":
                new = [history.group(), history.group()]
                history.moments.append(
                    [spread([*groups, new[0]]), spread([*groups, new[1]])]
                )
                groups += new
            case "remove" if len(groups) > 1:
                del groups[at]
        # Who gets slots has the higher epoch.
        groups = [replace(group, epoch=history.epoch()) for group in groups]
        history.moments.append([spread(groups)])
    return history


def look(world: World, before: Topology | None) -> Topology:
    """Return what an observer knows after it asked a node of a world."""
    rows = []
    lines: dict[str, NodeLine] = {}
    for group in world:
        primary, *replicas = (Node(n, "10.0.0.1", int(n[1:])) for n in group.nodes)
        rows += [(a, b, primary, tuple(replicas)) for a, b in group.ranges]
        for node in group.nodes:
            is_primary = node == primary.id
            lines[node] = NodeLine(
                node,
                frozenset(["master" if is_primary else "slave"]),
                None if is_primary else primary.id,
                group.epoch,
            )
    return merge(before, SlotsView(tuple(rows)), NodesView(lines))


@examples(300)
@given(histories(), st.randoms(use_true_random=False))
def test_all_observers_tell_of_a_shard_by_one_name(
    history: History, chance: Random
) -> None:
    """One shard has one name and one name is of one shard, for all and for ever.

    Every observer names shards as it meets them: of two that are added together, one
    sees the one first, another the other.
    """
    journeys = [
        [chance.choice(moment) for moment in history.moments] for _ in range(OBSERVERS)
    ]
    names = ShardNames()
    known: list[Topology | None] = [None] * OBSERVERS
    name_of: dict[int, str] = {}
    lineage_of: dict[str, int] = {}
    waiting = list(range(OBSERVERS))
    while waiting:
        who = chance.choice(waiting)
        local = known[who] = look(journeys[who].pop(0), known[who])
        canonical = names.see(who, local)
        for shard in canonical.shards:
            lineage = history.lineage_of[shard.primary.id]
            assert name_of.setdefault(lineage, shard.name) == shard.name
            assert lineage_of.setdefault(shard.name, lineage) == lineage
        by_primary = {shard.primary: shard.name for shard in canonical.shards}
        for shard in local.shards:
            assert names.canonical(who, shard.name) == by_primary[shard.primary]
        if not journeys[who]:
            waiting.remove(who)
    first = [group.lineage for group in history.moments[0][0]]
    assert [name_of[n] for n in first] == [f"{i + 1:04d}" for i in range(len(first))]
