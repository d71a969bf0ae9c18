"""Keys and arrivals by example."""

import pytest

from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.keyspace import KEPT_NAMES, ArrivalPlan, Keyspace
from loadprobe.core.topology.slots import SLOTS, tag_for_slot
from tests.support.key_slots import key_slot

WHOLE = (0, SLOTS - 1)


def test_names() -> None:
    """A key and its absent twin have different names in the slot that is told."""
    keyspace = Keyspace("tls", 1000, 0, 1)
    tag = tag_for_slot(keyspace.slot(26)).decode()
    assert keyspace.key(26) == f"lp:tls:{{{tag}}}:1a".encode()
    assert keyspace.absent_key(26) == f"lp:tls:{{{tag}}}:absent:1a".encode()
    assert key_slot(keyspace.key(26)) == keyspace.slot(26)
    assert key_slot(keyspace.absent_key(26)) == keyspace.slot(26)


def test_names_beyond_the_kept_ones() -> None:
    """Keys whose names are not kept are named by the same rule."""
    keyspace = Keyspace("a", 2 * KEPT_NAMES + 4, 1, 2)
    for k in (2 * KEPT_NAMES - 1, 2 * KEPT_NAMES + 1, 2 * KEPT_NAMES + 3):
        assert keyspace.key(k).endswith(f":{k:x}".encode())
        assert key_slot(keyspace.key(k)) == keyspace.slot(k)


def test_names_do_not_depend_on_the_number_of_processes() -> None:
    """A key written by a run with one process is found by a run with four."""
    alone = Keyspace("a", 100, 0, 1)
    for index in range(4):
        part = Keyspace("a", 100, index, 4)
        assert [part.key(k) for k in part.owned()] == [
            alone.key(k) for k in part.owned()
        ]


def test_a_shard_without_keys_gets_a_spare_key() -> None:
    """While slots move one by one, even a shard of one slot has a key of ours."""
    one = Keyspace("a", 5, 0, 2)
    other = Keyspace("a", 5, 1, 2)
    shards = [[(0, 8000), (8002, SLOTS - 1)], [(8001, 8001)], []]
    (spare,) = one.assign(shards)[1]
    (foreign,) = other.assign(shards)[1]
    assert one.slot(spare) == 8001 == key_slot(one.key(spare))
    assert spare >= 5
    assert one.key(spare) != other.key(foreign)
    assert one.assign(shards)[2] == []


def test_slots_that_nobody_serves_have_no_keys() -> None:
    """Keys in uncovered slots are left out."""
    keyspace = Keyspace("a", 100, 0, 1)
    (assigned,) = keyspace.assign([[(0, 8191)]])
    assert all(keyspace.slot(k) <= 8191 for k in assigned)
    assert len(assigned) < 100 == keyspace.owned_count


@pytest.mark.parametrize(
    ("lane", "keys", "index", "count", "text"),
    [
        ("a", 5, 2, 2, "no slice 2 of 2"),
        ("a", 0, 0, 1, "keyspace of 0 keys"),
        ("a{b", 5, 0, 1, "a name without braces"),
    ],
)
def test_impossible_keyspaces(
    lane: str, keys: int, index: int, count: int, text: str
) -> None:
    """What cannot work is refused when the keyspace is made."""
    with pytest.raises(ValueError, match=text):
        Keyspace(lane, keys, index, count)


def test_plan_by_example() -> None:
    """Two shards, half reads of which half miss: turns and kinds are spread."""
    plan = ArrivalPlan(2, read_ratio=0.5, miss_ratio=0.5)
    seen = [plan.lookup(i) for i in range(16)]
    assert [shard for shard, _, _ in seen] == [0, 1] * 8
    for shard in (0, 1):
        mine = [(op, miss) for s, op, miss in seen if s == shard]
        assert [op for op, _ in mine].count(OpKind.READ) == 4
        assert sum(miss for _, miss in mine) == 2


def test_only_reads_and_only_writes() -> None:
    """The ratios 0 and 1 mean never and always."""
    reads = ArrivalPlan(3, read_ratio=1.0)
    writes = ArrivalPlan(3, read_ratio=0.0, miss_ratio=1.0)
    misses = ArrivalPlan(3, read_ratio=1.0, miss_ratio=1.0)
    for i in range(50):
        assert reads.lookup(i)[1:] == (OpKind.READ, False)
        assert writes.lookup(i)[1:] == (OpKind.WRITE, False)
        assert misses.lookup(i)[1:] == (OpKind.READ, True)


def test_impossible_plans() -> None:
    """A plan needs a shard, a slice that exists and ratios between 0 and 1."""
    with pytest.raises(ValueError, match="no plan for 0 shards"):
        ArrivalPlan(0, read_ratio=0.5)
    with pytest.raises(ValueError, match="slice 3 of 3"):
        ArrivalPlan(1, slice_index=3, slice_count=3, read_ratio=0.5)
    with pytest.raises(ValueError, match=r"read ratio 1\.5"):
        ArrivalPlan(1, read_ratio=1.5)
