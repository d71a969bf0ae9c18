"""Keys are spread and arrivals take turns, for any number of shards and processes."""

import math
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.keyspace import ArrivalPlan, Keyspace
from loadprobe.core.topology.slots import SLOTS
from tests.support.examples import examples
from tests.support.key_slots import key_slot

RATIOS = st.sampled_from([0.0, 0.1, 0.5, 0.8, 0.95, 1.0]) | st.floats(0, 1)
COUNTS = st.integers(1, 8)


def cut(points: list[int]) -> list[list[tuple[int, int]]]:
    """Return shards that begin at the given slots and at 0."""
    starts = sorted({0, *points})
    return [[(a, b - 1)] for a, b in pairwise([*starts, SLOTS])]


SHARDS = st.lists(st.integers(1, SLOTS - 1), max_size=6).map(cut)


@given(st.integers(1, 5000), SHARDS)
def test_every_shard_has_its_share(
    keys: int, shards: list[list[tuple[int, int]]]
) -> None:
    """A range of slots holds its share of the keys to within 7 keys.

    (6.81 is the worst of all ranges and of all numbers of keys up to 5000.)
    """
    assigned = Keyspace("a", keys, 0, 1).assign(shards)
    for ((first, last),), own in zip(shards, assigned, strict=True):
        share = keys * (last + 1 - first) / SLOTS
        assert max(share - 7, 1) <= len(own) <= share + 7


@given(st.integers(200, 3000), st.integers(1, 12), SHARDS)
def test_every_process_has_its_share(
    keys: int, count: int, shards: list[list[tuple[int, int]]]
) -> None:
    """The keys of every process are spread too: to within 9 keys."""
    for index in range(count):
        keyspace = Keyspace("a", keys, index, count)
        assigned = keyspace.assign(shards)
        for ((first, last),), own in zip(shards, assigned, strict=True):
            share = keyspace.owned_count * (last + 1 - first) / SLOTS
            assert abs(len(own) - share) <= 9


@examples(40)
@given(st.integers(1, 400), COUNTS, SHARDS)
def test_every_key_has_one_owner_and_one_shard(
    keys: int, count: int, shards: list[list[tuple[int, int]]]
) -> None:
    """Processes share the keys without overlap; each is in the shard of its slot."""
    seen: Counter[bytes] = Counter()
    real = 0
    for index in range(count):
        keyspace = Keyspace("a", keys, index, count)
        for ((first, last),), own in zip(shards, keyspace.assign(shards), strict=True):
            assert own
            assert own == sorted(own)
            for k in own:
                assert first <= keyspace.slot(k) <= last
                assert key_slot(keyspace.key(k)) == keyspace.slot(k)
                seen[keyspace.key(k)] += 1
                real += k < keys
    assert max(seen.values()) == 1
    assert real == keys


def plans(
    shards: int, count: int, read_ratio: float, miss_ratio: float
) -> list[ArrivalPlan]:
    """Return the plans of all processes."""
    return [
        ArrivalPlan(
            shards,
            slice_index=index,
            slice_count=count,
            read_ratio=read_ratio,
            miss_ratio=miss_ratio,
        )
        for index in range(count)
    ]


@given(st.integers(1, 9), COUNTS, st.integers(0, 10**12), st.integers(1, 9))
def test_shards_take_turns(shards: int, count: int, start: int, times: int) -> None:
    """Shards are probed evenly in any window, and no gap is longer than S + 1."""
    parts = plans(shards, count, 0.8, 0.0)
    window = range(start, start + (times + 1) * shards * count)
    turns = [parts[i % count].lookup(i)[0] for i in window]
    for shard in range(shards):
        places = [at for at, turn in enumerate(turns) if turn == shard]
        gaps = [b - a for a, b in pairwise([-1, *places, len(turns)])]
        if math.gcd(shards, count) == 1:
            assert len(places) == len(turns) // shards
            assert max(gaps) <= shards
        else:
            assert max(gaps) <= shards + 1


@given(st.integers(1, 9), COUNTS, st.integers(0, 10**6), RATIOS, RATIOS)
def test_every_process_probes_every_shard_and_keeps_the_ratios(
    shards: int, count: int, rounds: int, read_ratio: float, miss_ratio: float
) -> None:
    """Per process and shard, reads and misses are exact to one over any window."""
    for index, plan in enumerate(plans(shards, count, read_ratio, miss_ratio)):
        start = rounds * shards * count
        length = 40
        seen = [
            plan.lookup(i)
            for i in range(start + index, start + length * shards * count, count)
        ]
        for shard in range(shards):
            mine = [(op, miss) for turn, op, miss in seen if turn == shard]
            assert len(mine) == length
            for size in (1, 7, length):
                reads = sum(op is OpKind.READ for op, _ in mine[:size])
                misses = sum(miss for _, miss in mine[:size])
                assert abs(reads - size * read_ratio) <= 1
                assert abs(misses - reads * miss_ratio) <= 1


@examples(40)
@given(st.integers(1, 6), COUNTS, st.data())
def test_a_table_says_the_same_as_the_rule(
    shards: int, count: int, data: st.DataObject
) -> None:
    """Arrivals far apart agree with the rule, whether a table is kept or not."""
    ratios = st.sampled_from([0.0, 0.2, 0.5, 0.75, 1.0])
    read_ratio, miss_ratio = data.draw(ratios), data.draw(ratios)
    plan = ArrivalPlan(
        shards, slice_count=count, read_ratio=read_ratio, miss_ratio=miss_ratio
    )
    for i in data.draw(st.lists(st.integers(0, 10**9), min_size=5, max_size=30)):
        assert plan.lookup(i) == plan._compute(i)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 10**6))
def test_a_change_of_the_number_of_shards_leaves_no_long_gap(
    before: int, after: int, at: int
) -> None:
    """Where one plan follows another, each remaining shard is soon probed again."""
    old, new = (ArrivalPlan(s, read_ratio=0.8) for s in (before, after))
    turns = [
        *(old.lookup(i)[0] for i in range(at, at + 2 * before)),
        *(new.lookup(i)[0] for i in range(at + 2 * before, at + 2 * (before + after))),
    ]
    for shard in range(min(before, after)):
        places = [place for place, turn in enumerate(turns) if turn == shard]
        assert max(b - a for a, b in pairwise(places)) < before + after
