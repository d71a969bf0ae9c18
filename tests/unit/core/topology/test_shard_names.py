"""Canonical names of shards (the general case is in tests/props)."""

import pytest

from loadprobe.core.topology.shard_names import ShardNames
from loadprobe.core.topology.topology import Node, Range, Shard, Topology

HALF = ((0, 8191),)
REST = ((8192, 16383),)
ALL = ((0, 16383),)


def shard(name: str, nodes: str, *ranges: Range) -> Shard:
    """Return a shard; every letter is a node, the primary first."""
    primary, *replicas = (Node(letter, "h", ord(letter)) for letter in nodes)
    return Shard(name, ranges, primary, tuple(replicas), 1, frozenset(nodes))


def topology(*shards: Shard) -> Topology:
    """Return a topology."""
    return Topology(shards, len(shards))


def names_of(seen: Topology) -> dict[str, str]:
    """Return canonical name by primary."""
    return {shard.primary.id: shard.name for shard in seen.shards}


START = topology(shard("0001", "ab", *HALF), shard("0002", "cd", *REST))


def test_names_at_the_start_are_in_the_order_of_slots() -> None:
    """Whatever they are called locally, "0001" has the lowest slots."""
    swapped = topology(shard("0001", "cd", *REST), shard("0002", "ab", *HALF))
    names = ShardNames()
    seen = names.see("x", swapped)
    assert names_of(seen) == {"a": "0001", "c": "0002"}
    assert [shard.name for shard in seen.shards] == ["0001", "0002"]
    assert names.canonical("x", "0001") == "0002"
    assert seen.names_given == 2


def test_two_observers_that_meet_new_shards_in_another_order() -> None:
    """Each uses its own names, and both mean the same shard."""
    names = ShardNames()
    for who in "xy":
        names.see(who, START)
    names.see("x", topology(*START.shards, shard("0003", "e", (0, 1))))
    names.see("y", topology(*START.shards, shard("0003", "f", (2, 3))))
    for who, (third, fourth) in (("x", "ef"), ("y", "fe")):
        seen = names.see(
            who,
            topology(
                *START.shards,
                shard("0003", third, (0, 1)),
                shard("0004", fourth, (2, 3)),
            ),
        )
        assert names_of(seen) == {"a": "0001", "c": "0002", "e": "0003", "f": "0004"}
    assert names.canonical("x", "0003") == names.canonical("y", "0004") == "0003"
    assert names.canonical("x", "0004") == names.canonical("y", "0003") == "0004"


def test_the_name_of_a_removed_shard_is_not_given_again() -> None:
    """A new shard with the same slots, and the same local name, is another one."""
    names = ShardNames()
    names.see("x", START)
    names.see("x", topology(shard("0001", "ab", *ALL)))
    again = topology(shard("0001", "ab", *HALF), shard("0003", "ef", *REST))
    assert names_of(names.see("x", again)) == {"a": "0001", "e": "0003"}
    assert names_of(names.see("late", again)) == {"a": "0001", "e": "0003"}


def test_a_shard_of_a_cluster_that_took_over_keeps_the_name() -> None:
    """With other nodes throughout, a shard is told by its slots."""
    names = ShardNames()
    names.see("x", START)
    names.see("y", START)
    other = topology(shard("0001", "uv", *HALF), shard("0002", "wx", *REST))
    assert names_of(names.see("x", other)) == {"u": "0001", "w": "0002"}
    # One that is still at the old cluster, and follows later.
    assert names_of(names.see("y", START)) == {"a": "0001", "c": "0002"}
    assert names_of(names.see("y", other)) == {"u": "0001", "w": "0002"}


def test_an_observer_that_begins_anew_may_use_its_names_again() -> None:
    """What a restarted process calls "0001" is not what it called so before."""
    names = ShardNames()
    names.see("x", START)
    names.see("x", topology(*START.shards, shard("0003", "ef", (0, 9))))
    names.forget("x")
    with pytest.raises(KeyError):
        names.canonical("x", "0001")
    names.see("x", topology(shard("0001", "ef", (0, 9)), shard("0002", "cd", *REST)))
    assert names.canonical("x", "0001") == "0003"
    assert names.canonical("x", "0002") == "0002"
    names.forget("never seen")


def test_a_replica_that_changed_sides_does_not_take_the_name_along() -> None:
    """The shard of a node is that of the others around it, if it is not the primary."""
    names = ShardNames()
    names.see("x", START)
    moved = topology(shard("0001", "a", *HALF), shard("0002", "gbd", *REST))
    assert names_of(names.see("x", moved)) == {"a": "0001", "g": "0002"}


def test_names_of_before_and_those_given_meanwhile() -> None:
    """Shards that were seen while others measured keep their names."""
    names = ShardNames()
    names.go_on({"a": "0001", "b": "0001", "c": "0002"})
    third = shard("0003", "e", (0, 1))
    names.see("x", topology(*START.shards, third))
    names.go_on({"a": "0001", "b": "0001", "c": "0002", "z": "0004"})
    seen = names.see("y", topology(*START.shards, third, shard("0004", "f", (2, 3))))
    assert names_of(seen) == {"a": "0001", "c": "0002", "e": "0003", "f": "0005"}
