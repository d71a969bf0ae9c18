"""Slot ranges and the parsing of CLUSTER NODES."""

import pytest

from loadprobe.local.cluster.layout import (
    SLOTS,
    ClusterNodesLine,
    SlotRange,
    even_slots,
    is_whole,
    parse_nodes,
    plan_moves,
    ranges_of,
    slots_of,
)

# From redis-server 7.0.15; ids shortened.
NODES = """\
aa 127.0.0.1:7000@7100 myself,master - 0 0 1 connected 0-5461 9000 [5000->-bb]
bb 127.0.0.1:7001@7101 master - 0 1690000000000 2 connected 5462-10922
cc 127.0.0.1:7002@7102 slave aa 0 1690000000000 1 connected
dd 127.0.0.1:7003@7103 handshake - 0 0 0 disconnected
"""


def test_three_shards_have_the_slots_of_elasticache() -> None:
    """Three shards get 0-5461, 5462-10922 and 10923-16383."""
    assert [str(owned) for owned in even_slots(3)] == [
        "0-5461",
        "5462-10922",
        "10923-16383",
    ]


@pytest.mark.parametrize("shards", [1, 2, 5, 7, 90])
def test_slots_are_covered_once(shards: int) -> None:
    """Every slot belongs to exactly one shard, and shares differ by one at most."""
    ranges = even_slots(shards)
    covered = [slot for each in ranges for slot in range(each.first, each.last + 1)]
    assert covered == list(range(SLOTS))
    sizes = {each.last - each.first + 1 for each in ranges}
    assert max(sizes) - min(sizes) <= 1


def test_reads_roles_epochs_and_slots() -> None:
    """A line gives flags, primary, epoch and owned slots; moving slots are left out."""
    first, _, replica, _ = parse_nodes(NODES)
    assert first == ClusterNodesLine(
        node_id="aa",
        flags=frozenset({"myself", "master"}),
        primary_id="-",
        config_epoch=1,
        slots=(SlotRange(0, 5461), SlotRange(9000, 9000)),
    )
    assert (replica.primary_id, replica.slots) == ("aa", ())


def test_whole_means_ok_complete_and_without_doubt() -> None:
    """A view is whole when its state is ok and no node is missing or doubtful."""
    ok = {"cluster_state": "ok"}
    whole = parse_nodes(NODES)[:3]
    assert is_whole(ok, whole, nodes=3, replicas=1)
    assert not is_whole({"cluster_state": "fail"}, whole, nodes=3, replicas=1)
    assert not is_whole(ok, whole, nodes=4, replicas=1)
    assert not is_whole(ok, whole, nodes=3, replicas=2)
    assert not is_whole(ok, parse_nodes(NODES), nodes=4, replicas=1)


def test_ranges_hold_exactly_the_slots() -> None:
    """Slots become the fewest ranges, and ranges become the same slots again."""
    ranges = ranges_of([9, 3, 1, 2, 7])
    assert [str(each) for each in ranges] == ["1-3", "7-7", "9-9"]
    assert slots_of(ranges) == [1, 2, 3, 7, 9]
    assert ranges_of([]) == []


@pytest.mark.parametrize(
    ("shards", "keep"),
    [
        (2, ["0001", "0002", "0003"]),
        (3, ["0001", "0003"]),
        (5, ["0002"]),
        (4, ["0001", "0002", "0003", "0004"]),
    ],
)
def test_moves_even_out_the_slots(shards: int, keep: list[str]) -> None:
    """After the moves every kept shard has its share, and no slot moved needlessly."""
    owned = {f"{n + 1:04d}": [each] for n, each in enumerate(even_slots(shards))}
    owned |= {shard: owned.get(shard, []) for shard in keep}
    slots = {shard: set(slots_of(ranges)) for shard, ranges in owned.items()}
    moves = plan_moves(owned, keep)
    for move in moves:
        assert set(move.slots) <= slots[move.source]
        slots[move.source] -= set(move.slots)
        slots[move.target] |= set(move.slots)
    sizes = [len(slots[shard]) for shard in keep]
    assert sum(sizes) == SLOTS
    assert max(sizes) - min(sizes) <= 1
    assert all(not slots[shard] for shard in slots if shard not in keep)
    received = {move.target for move in moves}
    assert received.isdisjoint(move.source for move in moves)


def test_nothing_moves_between_even_shards() -> None:
    """Shards whose sizes differ by one slot are even."""
    owned = {f"{n + 1:04d}": [each] for n, each in enumerate(even_slots(3))}
    assert plan_moves(owned, list(owned)) == []
