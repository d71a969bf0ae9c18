"""Topology from replies of real nodes, and how shards keep their names."""

from dataclasses import replace
from typing import Any

import pytest

from loadprobe.core.events import (
    NodeAdded,
    NodeRemoved,
    RoleChanged,
    ShardAdded,
    ShardRemoved,
    SlotsMoved,
)
from loadprobe.core.topology.changes import diff
from loadprobe.core.topology.slots import SLOTS
from loadprobe.core.topology.topology import (
    Node,
    NodesView,
    SlotsView,
    Topology,
    merge,
    parse_nodes,
    parse_slots,
    single,
)

ID = b"18a25e7d3e8f7693fe3085285b5a5ef8b18c5817"

# One letter per node; its port tells it, too.
Claims = dict[str, tuple[int, list[tuple[int, int]], str]]


def port(letter: str) -> int:
    """Return the port of a node."""
    return 7000 + ord(letter) - ord("a")


def view(claims: Claims) -> tuple[SlotsView, NodesView]:
    """Return a node's view: primary -> (epoch, ranges, replicas)."""
    rows: list[Any] = []
    lines: list[str] = []
    for primary, (epoch, ranges, replicas) in claims.items():
        nodes = [[b"10.0.0.1", port(n), n.encode(), []] for n in primary + replicas]
        rows += [[first, last, *nodes] for first, last in ranges]
        lines.append(f"{primary} 10.0.0.1:1@2 master - 0 0 {epoch} connected")
        lines += [
            f"{replica} 10.0.0.1:1@2 slave {primary} 0 0 {epoch} connected"
            for replica in replicas
        ]
    text = "\n".join(lines).encode()
    return parse_slots(rows, asked_host="asked"), parse_nodes(text)


def look(topology: Topology) -> dict[str, tuple[str, list[tuple[int, int]]]]:
    """Return name -> (primary, ranges)."""
    return {s.name: (s.primary.id, list(s.ranges)) for s in topology.shards}


THREE: Claims = {
    "a": (1, [(0, 5460)], "d"),
    "b": (2, [(5461, 10922)], "e"),
    "c": (3, [(10923, 16383)], "f"),
}
NOW_NS = 5
START = merge(None, *view(THREE))


@pytest.mark.parametrize(
    ("endpoint", "more", "host"),
    [
        (b"10.0.0.7", [], "10.0.0.7"),
        (b"::1", [], "::1"),
        (b"", [b"hostname", b"node1.lab.test"], "asked"),
        (b"node1.lab.test", [b"ip", b""], "node1.lab.test"),
        (None, [b"ip", b"", b"hostname", b"node1.lab.test"], "asked"),
        (b"?", [b"ip", b""], "asked"),
        (b"?", [b"ip", b"10.0.0.7"], "10.0.0.7"),
    ],
)
def test_endpoints(endpoint: bytes | None, more: list[bytes], host: str) -> None:
    """Each kind of endpoint that redis-server 7.0.15 sends is understood."""
    reply = [[0, 16382, [endpoint, 23791, ID, more]]]
    slots = parse_slots(reply, asked_host="asked")
    assert slots.rows == ((0, 16382, Node(ID.decode(), host, 23791), ()),)


def test_entries_without_metadata() -> None:
    """Servers before 7.0 send three items per node."""
    slots = parse_slots([[0, 1, [b"h", 1, b"x"], [b"h", 2, b"y"]]], asked_host="asked")
    assert slots.rows == ((0, 1, Node("x", "h", 1), (Node("y", "h", 2),)),)


@pytest.mark.parametrize(
    ("reply", "text"),
    [([[0, 1]], "no primary"), ([[0, 1, [b"h", 1]]], "lacks endpoint, port or id")],
)
def test_malformed_slots(reply: list[Any], text: str) -> None:
    """A reply of another shape is refused and shown."""
    with pytest.raises(ValueError, match=text):
        parse_slots(reply, asked_host="asked")


def test_nodes_of_a_real_server() -> None:
    """Hostnames, IPv6, migrating slots and auxiliary fields are understood."""
    view = parse_nodes(
        ID + b" :23791@23792,node1.lab.test myself,master - 0 0 4 connected 0-16382\n"
        b"p ::1:23791@23792 slave " + ID + b" 0 0 4 connected\n"
        b"q 10.0.0.1:1@2,,shard-id=77 master,fail? - 0 0 9 disconnected 5 [7->-x]\n"
    )
    assert view.nodes[ID.decode()].flags == {"myself", "master"}
    assert view.nodes[ID.decode()].primary_id is None
    assert view.nodes["p"].primary_id == ID.decode()
    assert view.nodes["q"].epoch == 9
    with pytest.raises(ValueError, match="has 2 fields"):
        parse_nodes(b"x y\n")


def test_names_by_slots() -> None:
    """At first shards are named in the order of their slots."""
    backwards = dict(reversed(THREE.items()))
    assert look(merge(None, *view(backwards))) == {
        "0001": ("a", [(0, 5460)]),
        "0002": ("b", [(5461, 10922)]),
        "0003": ("c", [(10923, 16383)]),
    }


def test_failover_keeps_the_name_and_stale_views_lose() -> None:
    """A promoted replica is the shard; the old primary's view does not undo it."""
    after: Claims = {
        "d": (9, [(0, 5460)], ""), "b": THREE["b"], "c": THREE["c"]
    }  # fmt: skip
    promoted = merge(START, *view(after))
    assert look(promoted)["0001"] == ("d", [(0, 5460)])
    assert look(merge(promoted, *view(THREE))) == look(promoted)
    change = RoleChanged(NOW_NS, "0001", "10.0.0.1:7000 -> 10.0.0.1:7003")
    assert change in diff(START, promoted, NOW_NS)


def test_replies_of_different_moments() -> None:
    """CLUSTER SLOTS from before a failover with newer CLUSTER NODES undo nothing.

    A replica shows its primary's epoch, so the demoted node would win by that.
    """
    after: Claims = {
        "d": (9, [(0, 5460)], "a"), "b": THREE["b"], "c": THREE["c"]
    }  # fmt: skip
    promoted = merge(START, *view(after))
    old_slots, _ = view(THREE)
    _, new_nodes = view(after)
    assert look(merge(promoted, old_slots, new_nodes)) == look(promoted)


def test_failover_to_a_replica_that_was_not_listed() -> None:
    """A promoted node nobody knew takes the name with all the slots."""
    after: Claims = {
        "x": (9, [(0, 5460)], ""), "b": THREE["b"], "c": THREE["c"]
    }  # fmt: skip
    assert look(merge(START, *view(after)))["0001"] == ("x", [(0, 5460)])


def test_scale_out_and_in() -> None:
    """A new primary is a new shard; the name of one that ended is not used again."""
    out: Claims = {
        "a": (1, [(100, 5460)], "d"),
        "b": THREE["b"],
        "c": THREE["c"],
        "g": (10, [(0, 99)], ""),
    }
    four = merge(START, *view(out))
    assert look(four)["0004"] == ("g", [(0, 99)])
    assert look(four)["0001"] == ("a", [(100, 5460)])
    assert [type(c) for c in diff(START, four, NOW_NS)] == [SlotsMoved, ShardAdded]
    back: Claims = {
        "a": (11, [(0, 5460)], "d"), "b": THREE["b"], "c": THREE["c"]
    }  # fmt: skip
    three = merge(four, *view(back))
    assert look(three) == look(START)
    assert [type(c) for c in diff(four, three, NOW_NS)] == [SlotsMoved, ShardRemoved]
    again = dict(out)
    again["a"], again["h"] = (11, [(100, 5460)], "d"), (12, [(0, 99)], "")
    del again["g"]
    assert "0005" in look(merge(three, *view(again)))


def test_a_former_replica_does_not_take_its_shards_name() -> None:
    """When a replica becomes the primary of a new shard, the old one keeps its name."""
    after: Claims = {
        "d": (10, [(0, 99)], ""),
        "a": (1, [(100, 5460)], ""),
        "b": THREE["b"],
        "c": THREE["c"],
    }
    names = look(merge(START, *view(after)))
    assert names["0001"] == ("a", [(100, 5460)])
    assert names["0004"] == ("d", [(0, 99)])


def test_a_cluster_created_anew_replaces_the_old_one() -> None:
    """If none of the known nodes exists any more, lower epochs do not matter."""
    anew = merge(
        START, *view({"x": (1, [(0, 8000)], ""), "y": (2, [(8001, 16383)], "")})
    )
    assert {shard.primary.id for shard in anew.shards} == {"x", "y"}
    assert {shard.name for shard in anew.shards} == {"0004", "0005"}


def test_a_view_without_epochs_is_taken_as_it_is() -> None:
    """Where CLUSTER NODES is not allowed, the newest view counts."""
    slots, _ = view({"x": (0, [(0, 16383)], "")})
    assert [s.primary.id for s in merge(START, slots, None).shards] == ["x"]


def test_an_empty_view_changes_nothing() -> None:
    """A node that knows no slots does not take any away."""
    nodes = view(THREE)[1]
    assert merge(START, SlotsView(()), nodes) == START


def test_replicas_come_and_go() -> None:
    """Replicas that are added and removed are reported with their addresses."""
    changed = dict(THREE, a=(1, [(0, 5460)], "g"))
    assert diff(START, merge(START, *view(changed)), NOW_NS) == [
        NodeAdded(NOW_NS, "0001", "10.0.0.1:7006"),
        NodeRemoved(NOW_NS, "0001", "10.0.0.1:7003"),
    ]
    assert diff(START, START, NOW_NS) == []


def test_single() -> None:
    """Without cluster mode one shard has all the slots."""
    (shard,) = single("::1", 6379).shards
    assert (shard.name, shard.ranges) == ("0001", ((0, 16383),))
    assert shard.primary.address == "[::1]:6379"


def test_another_port_of_the_same_nodes_is_no_change() -> None:
    """A node is known by its id: told for another transport, it is where it was."""
    moved = Topology(
        tuple(
            replace(
                shard,
                primary=replace(shard.primary, port=shard.primary.port + 100),
                replicas=tuple(replace(n, port=n.port + 100) for n in shard.replicas),
            )
            for shard in START.shards
        )
    )
    assert moved != START
    assert diff(START, moved, NOW_NS) == []
    one, other = single("10.0.0.1", 1), single("10.0.0.1", 2)
    assert {type(change) for change in diff(one, other, NOW_NS)} == {
        RoleChanged,
        NodeAdded,
        NodeRemoved,
    }


def test_afresh_only_the_names_are_left() -> None:
    """Another cluster is taken as it is, with low epochs; equal slots keep the name."""
    other: Claims = {
        "x": (1, [(0, 5460)], "y"),
        "z": (0, [(5461, 16383)], ""),
    }
    assert look(merge(START, *view(other), afresh=True)) == {
        "0001": ("x", [(0, 5460)]),
        "0004": ("z", [(5461, 16383)]),
    }
    same: Claims = {n: (0, ranges, rest) for n, (_, ranges, rest) in THREE.items()}
    lower = merge(START, *view(same), afresh=True)
    assert look(lower) == look(START)
    assert {shard.epoch for shard in lower.shards} == {0}


def test_a_map_has_no_more_rows_than_slots() -> None:
    """Each would be compared with all others."""
    row = [0, 0, [b"h", 6379, b"a"]]
    assert len(parse_slots([row] * SLOTS, asked_host="h").rows) == SLOTS
    with pytest.raises(ValueError, match="16385 rows"):
        parse_slots([row] * (SLOTS + 1), asked_host="h")
