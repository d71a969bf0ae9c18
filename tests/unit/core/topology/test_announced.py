"""All nodes that are announced, and those of them that nothing leads to."""

from collections.abc import Mapping
from typing import Any

import pytest

from loadprobe.core.events import NodeReached, NodeUnreached
from loadprobe.core.topology.announced import Announced, announced
from loadprobe.core.topology.reached import SILENT_NS, ReachLog
from loadprobe.core.topology.topology import join_address, parse_nodes, parse_slots

MS = 1_000_000
S = 1_000 * MS
REST = "0 0 1 connected"


def line(id_: str, address: str, flags: str = "master") -> str:
    """Return a line of CLUSTER NODES."""
    return f"{id_} {address} {flags} - {REST}"


def told(*lines: str, slots: list[Any] | None = None) -> list[Announced]:
    """Return what one node tells of all."""
    rows = [] if slots is None else [[0, 16383, *slots]]
    nodes = parse_nodes("\n".join(lines).encode())
    return announced([(parse_slots(rows, asked_host="h"), nodes)])


@pytest.mark.parametrize(
    ("address", "addresses", "ip"),
    [
        ("10.0.0.1:6379@16379", (("10.0.0.1", 6379),), "10.0.0.1"),
        (
            "10.0.0.1:6379@16379,a.example",
            (("a.example", 6379), ("10.0.0.1", 6379)),
            "10.0.0.1",
        ),
        ("10.0.0.1:6379@16379,,shard-id=9", (("10.0.0.1", 6379),), "10.0.0.1"),
        ("::1:6379@16379", (("::1", 6379),), "::1"),
    ],
)
def test_a_node_without_slots_is_known_by_each_of_its_names(
    address: str, addresses: tuple[tuple[str, int], ...], ip: str
) -> None:
    """Before it serves, it is not known by which of them it will be announced."""
    assert told(line("a", address)) == [Announced(addresses, ip, "a")]


def test_a_node_with_slots_is_announced_as_slots_say() -> None:
    """The name that redirects use comes first, the address is still known."""
    (found,) = told(
        line("a", "10.0.0.1:6379@16379"), slots=[[b"a.example", 6379, b"a"]]
    )
    assert found.address == "a.example:6379"
    assert found.inside == ("10.0.0.1", 6379)


@pytest.mark.parametrize("flags", ["master,fail", "handshake", "noaddr", "slave,fail"])
def test_nodes_that_are_away_are_left_out(flags: str) -> None:
    """Nothing has to lead to a node that failed, or is hardly known."""
    assert told(line("a", "10.0.0.1:6379@16379", flags)) == []
    assert told(line("a", ":0@0", "master")) == []


def test_an_address_of_ipv6_is_in_brackets() -> None:
    """An address and a port can be told apart."""
    assert join_address("::1", 1) == "[::1]:1"
    assert join_address("a", 1) == "a:1"


NODE = Announced((("10.0.0.1", 6379),), "10.0.0.1", "id-one")
AT = NODE.addresses[0]
NO_ENTRY = {NODE.address: "address_map has no entry for it (no route): add one"}


def seen(log: ReachLog, now_ns: int, **more: Any) -> list[Any]:
    """Return what a log tells of the one node at a time."""
    known: Mapping[str, Any] = {
        "shards": {},
        "tellers": {},
        "asked": (),
        "unmapped": {},
    }
    members = more.pop("members", [NODE])
    return list(log.take(members, **{**known, **more}, now_ns=now_ns))


def test_a_node_that_nothing_leads_to_is_told_once() -> None:
    """It is told when it comes, when it begins to matter, and when it is mended."""
    log = ReachLog()
    (first,) = seen(log, S, unmapped=NO_ENTRY)
    assert first == NodeUnreached(S, NODE.address, "", NO_ENTRY[NODE.address], 0.0)
    assert log.unreached == NO_ENTRY
    other_words = {NODE.address: "address_map has no entry for it (timeout): add one"}
    assert seen(log, 2 * S, unmapped=other_words) == []
    (primary,) = seen(log, 3 * S, unmapped=NO_ENTRY, shards={NODE.address: "0001"})
    assert (primary.shard, primary.known_ms) == ("0001", 2000.0)
    assert seen(log, 4 * S) == [NodeReached(4 * S, NODE.address, is_gone=False)]
    assert log.unreached == {}


def test_a_node_that_leaves_is_told_if_it_was_not_reached() -> None:
    """Nobody has to mend what is gone; of one that was reached nothing is said."""
    log = ReachLog()
    seen(log, S, unmapped=NO_ENTRY)
    assert seen(log, 2 * S, members=[]) == [
        NodeReached(2 * S, NODE.address, is_gone=True)
    ]
    assert seen(log, 3 * S) == []
    assert seen(log, 4 * S, members=[]) == []


def test_another_node_behind_an_entry_is_told() -> None:
    """A rule that still leads to the node before is stale, though somebody answers."""
    log = ReachLog()
    (told_,) = seen(log, S, tellers={AT: "id-other"})
    assert "another node (id-other) answers there" in told_.reason
    assert len(seen(log, 2 * S, tellers={AT: "id-one"})) == 1


def test_a_node_that_never_answers_is_told_after_a_time() -> None:
    """It may need a moment to start, and nothing is said before somebody asks it."""
    log = ReachLog()
    assert seen(log, 0) == seen(log, 60 * S) == []
    assert seen(log, 61 * S, asked=[AT]) == []
    assert seen(log, 61 * S + SILENT_NS - 1, asked=[AT]) == []
    (told_,) = seen(log, 61 * S + SILENT_NS, asked=[AT])
    assert "never answered" in told_.reason


def test_a_node_that_ceases_to_answer_is_no_matter_of_the_way() -> None:
    """It is down, and the arrivals tell that; what replaces it is another node."""
    log = ReachLog()
    seen(log, 0, asked=[AT], tellers={AT: "id-one"})
    assert seen(log, 99 * S, asked=[AT]) == []
    heir = Announced(NODE.addresses, "10.0.0.9", "id-two")
    seen(log, 100 * S, members=[heir], asked=[AT])
    (told_,) = seen(log, 100 * S + SILENT_NS, members=[heir], asked=[AT])
    assert told_.node == NODE.address
