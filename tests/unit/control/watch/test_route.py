"""Which nodes' views are merged when they contradict each other."""

from loadprobe.control.watch.route import View, trusted
from loadprobe.core.topology.topology import Node, NodesView, SlotsView

NODES = NodesView({})


def view(*ports: int) -> View:
    """Return a view of one shard whose nodes have these ports."""
    primary, *replicas = (Node(f"n{i}", "h", port) for i, port in enumerate(ports))
    return SlotsView(((0, 16383, primary, tuple(replicas)),)), NODES


def test_a_view_with_an_outvoted_address_is_left_out() -> None:
    """One node that tells another port than two others is not believed at all."""
    right, wrong = view(1, 2), view(101, 2)
    assert trusted([right, wrong, right]) == [right, right]


def test_views_that_differ_in_roles_or_health_are_all_kept() -> None:
    """Only addresses are voted on; a missing or swapped node is no contradiction."""
    swapped = (
        SlotsView(((0, 16383, Node("n1", "h", 2), (Node("n0", "h", 1),)),)),
        NODES,
    )
    views = [view(1, 2), view(1), swapped]
    assert trusted(views) == views


def test_a_tie_keeps_both_sides() -> None:
    """With no majority there is no reason to disbelieve either."""
    views = [view(1), view(101)]
    assert trusted(views) == views
    assert trusted([]) == []


def test_a_change_of_address_is_believed_once_most_tell_it() -> None:
    """After a migration the last node with the old address is the one left out."""
    old, new = view(1), view(101)
    assert trusted([old, new, new]) == [new, new]
