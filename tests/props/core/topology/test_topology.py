"""Merging views: the highest epoch owns a slot, in whatever order views arrive."""

from itertools import pairwise, permutations

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.topology.topology import (
    Node,
    NodeLine,
    NodesView,
    SlotsView,
    Topology,
    merge,
)
from tests.support.examples import examples

SLOTS = 16384
NODES = [Node(letter, "10.0.0.1", 7000 + at) for at, letter in enumerate("abcdef")]
# All views know all nodes, each with the epoch that it has in that view.
View = tuple[SlotsView, NodesView]


@st.composite
def histories(draw: st.DrawFn) -> list[View]:
    """Return views from successive moments of a cluster.

    Between moments one node takes a range over and gets the highest epoch, as with a
    failover or SETSLOT.
    """
    owner = ["a"] * SLOTS
    epochs = {node.id: 0 for node in NODES} | {"a": 1}
    views = [_view(owner, epochs)]
    for epoch in range(2, 2 + draw(st.integers(1, 3))):
        taker = draw(st.sampled_from("abcdef"))
        first, last = sorted(draw(st.tuples(*[st.integers(0, SLOTS - 1)] * 2)))
        owner[first : last + 1] = [taker] * (last + 1 - first)
        epochs[taker] = epoch
        views.append(_view(owner, epochs))
    return views


def _view(owner: list[str], epochs: dict[str, int]) -> View:
    starts = [0, *(s for s in range(1, SLOTS) if owner[s] != owner[s - 1]), SLOTS]
    by_id = {node.id: node for node in NODES}
    rows = tuple((a, b - 1, by_id[owner[a]], ()) for a, b in pairwise(starts))
    lines = {
        id_: NodeLine(id_, frozenset(["master"]), None, epoch)
        for id_, epoch in epochs.items()
    }
    return SlotsView(rows), NodesView(lines)


def owners(topology: Topology) -> dict[tuple[int, int], str]:
    """Return range -> primary; fails if two shards claim a slot."""
    found = {r: shard.primary.id for shard in topology.shards for r in shard.ranges}
    for (_, last), (first, _) in pairwise(sorted(found)):
        assert last < first
    return found


@given(histories())
def test_the_newest_view_is_reached(views: list[View]) -> None:
    """Following a cluster step by step, the topology is what the last view says."""
    topology: Topology | None = None
    for view in views:
        topology = merge(topology, *view)
    assert topology is not None
    assert owners(topology) == owners(merge(None, *views[-1]))


@given(histories(), st.integers(0, 3))
def test_merging_is_idempotent(views: list[View], at: int) -> None:
    """The same view a second time changes nothing."""
    topology: Topology | None = None
    for view in views:
        topology = merge(topology, *view)
    once = merge(topology, *views[at % len(views)])
    assert merge(once, *views[at % len(views)]) == once


@given(histories())
def test_stale_views_never_win(views: list[View]) -> None:
    """After the newest view, older ones give no slot back to a former owner."""
    topology = merge(None, *views[-1])
    before = owners(topology)
    for stale in views[:-1]:
        topology = merge(topology, *stale)
    assert owners(topology) == before


@examples(50)
@given(histories())
def test_names_are_unique(views: list[View]) -> None:
    """Whatever happens, no two shards have one name and none is named twice."""
    for order in list(permutations(views))[:6]:
        topology: Topology | None = None
        for view in order:
            topology = merge(topology, *view)
            names = [shard.name for shard in topology.shards]
            assert len(set(names)) == len(names)
            assert all(int(name) <= topology.names_given for name in names)
