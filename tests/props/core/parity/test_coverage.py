"""Coverage: no key that is there all the time is missed, whatever moves meanwhile."""

from dataclasses import dataclass, field
from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.parity.coverage import (
    ALL_SLOTS,
    NO_SLOTS,
    Coverage,
    parse_own_slots,
    slots_of,
)
from loadprobe.core.topology.slots import SLOTS
from tests.support.examples import examples

NODES, GROUPS, KEYS = 3, 6, 8
WIDTH = SLOTS // GROUPS + 1


@cache
def group_slots(group: int) -> int:
    """Return the slots of one of the groups of slots that move together."""
    first = group * WIDTH
    return slots_of([(first, min(first + WIDTH, SLOTS) - 1)])


@dataclass
class MovingCluster:
    """A cluster whose slots move while it is scanned.

    A key that moves may come to any place of the other node, also to one that a scan is
    past already.
    """

    random: Random
    places: list[list[tuple[int, int] | None]] = field(default_factory=list)
    owner: dict[int, int] = field(default_factory=dict)
    moving: dict[int, int] = field(default_factory=dict)
    lives: list[int] = field(default_factory=lambda: [0] * NODES)

    def __post_init__(self) -> None:
        self.places = [[] for _ in range(NODES)]
        for group in range(GROUPS):
            self.owner[group] = group % NODES
            for number in range(KEYS):
                self.put(group % NODES, (group, number))

    def put(self, node: int, key: tuple[int, int]) -> None:
        """Put a key anywhere on a node; places of others stay."""
        free = [at for at, each in enumerate(self.places[node]) if each is None]
        if free and self.random.random() < 0.8:
            self.places[node][self.random.choice(free)] = key
        else:
            self.places[node].append(key)

    def owned(self, node: int) -> int:
        """Return what a node owns alone."""
        found = NO_SLOTS
        for group, owner in self.owner.items():
            if owner == node and group not in self.moving:
                found |= group_slots(group)
        return found

    def change(self) -> None:
        """Let something happen: a move begins, goes on or ends; a node restarts."""
        what = self.random.random()
        if what < 0.3:
            group = self.random.randrange(GROUPS)
            target = self.random.randrange(NODES)
            if group not in self.moving and target != self.owner[group]:
                self.moving[group] = target
        elif what < 0.9 and self.moving:
            group = self.random.choice(sorted(self.moving))
            source, target = self.owner[group], self.moving[group]
            keys = [key for key in self.places[source] if key and key[0] == group]
            for key in keys[:3]:
                self.places[source][self.places[source].index(key)] = None
                self.put(target, key)
            if not keys[3:]:
                self.owner[group] = self.moving.pop(group)
        elif what > 0.97:
            node = self.random.randrange(NODES)
            self.lives[node] += 1
            self.random.shuffle(self.places[node])


@given(st.integers(0, 2**32), st.floats(0.0, 0.9))
@examples(40)
def test_no_key_is_missed_while_slots_move(seed: int, unrest: float) -> None:
    """When all slots are covered, each key was seen on the node where it was."""
    random = Random(seed)
    cluster, coverage = MovingCluster(random), Coverage()
    seen: set[tuple[int, int]] = set()
    while coverage.uncovered:
        if coverage.rounds == 10:
            unrest = 0.0  # moves end some time
            while cluster.moving:
                cluster.change()
        coverage.drop({n for n in coverage.walks if not cluster.owned(int(n))})
        for node in range(NODES):
            owned = cluster.owned(node)
            if not owned & coverage.uncovered:
                continue
            life = str(cluster.lives[node])
            walk = coverage.begin(str(node), life, owned)
            at = int(walk.cursor)
            while at < len(cluster.places[node]):
                if str(cluster.lives[node]) != life:
                    break
                key = cluster.places[node][at]
                if key is not None:
                    seen.add(key)
                    walk.looked += 1
                at += 1
                walk.cursor = b"%d" % at
                if random.random() < unrest:
                    cluster.change()
                    coverage.confirm(walk, cluster.owned(node))
            if str(cluster.lives[node]) == life:
                coverage.end(walk, cluster.owned(node))
        coverage.rounds += 1
    assert seen == {(group, n) for group in range(GROUPS) for n in range(KEYS)}


def test_a_walk_covers_what_was_owned_at_both_ends() -> None:
    """What came or went meanwhile stays to be walked again."""
    coverage = Coverage()
    walk = coverage.begin("a:1", "x", slots_of([(0, 100)]))
    walk.looked = 7
    assert coverage.end(walk, slots_of([(50, 200)])) == slots_of([(50, 100)])
    assert coverage.uncovered == ALL_SLOTS & ~slots_of([(50, 100)])
    assert coverage.keys_looked == 7


def test_a_slot_that_was_away_for_a_while_is_not_covered() -> None:
    """Its keys may have come back to where the walk was already."""
    coverage = Coverage()
    walk = coverage.begin("a:1", "x", slots_of([(0, 100)]))
    coverage.confirm(walk, slots_of([(0, 6), (8, 100)]))
    coverage.confirm(walk, slots_of([(0, 100)]))
    assert coverage.end(walk, slots_of([(0, 100)])) == slots_of([(0, 6), (8, 100)])


def test_a_walk_goes_on_in_the_same_life_only() -> None:
    """A cursor means nothing to another process; its keys are counted anew."""
    coverage = Coverage()
    walk = coverage.begin("a:1", "x", ALL_SLOTS)
    walk.cursor, walk.looked = b"99", 500
    assert coverage.begin("a:1", "x", NO_SLOTS) is walk
    assert coverage.keys_looked == 500
    assert not coverage.confirm(walk, NO_SLOTS)
    anew = coverage.begin("a:1", "x", ALL_SLOTS)
    assert (anew.cursor, anew.owned) == (b"0", ALL_SLOTS), "it would cover nothing"
    anew.cursor, anew.looked = b"99", 500
    anew = coverage.begin("a:1", "y", ALL_SLOTS)
    assert (anew.cursor, coverage.keys_looked) == (b"0", 0)
    coverage.drop(["a:1", "b:1"])
    assert not coverage.walks


LINE = "id 127.0.0.1:1@2 {flags} - 0 0 7 connected {slots}\n"
OTHER = "other 127.0.0.1:2@3 master - 0 0 8 connected 101-200\n"


@pytest.mark.parametrize(
    ("flags", "slots", "owned"),
    [
        ("myself,master", "0-5 9", [(0, 5), (9, 9)]),
        ("myself,master", "0-5 [3->-other]", [(0, 2), (4, 5)]),
        ("myself,master", "0-5 [77-<-other]", [(0, 5)]),
        ("myself,master", "", []),
        ("myself,slave", "0-5", []),
    ],
)
def test_own_slots_are_those_without_a_move(
    flags: str, slots: str, owned: list[tuple[int, int]]
) -> None:
    """A slot that is given away or taken over is not owned alone."""
    text = OTHER + LINE.format(flags=flags, slots=slots)
    assert parse_own_slots(text.encode()) == slots_of(owned)


@pytest.mark.parametrize("text", [b"", b"too few fields", OTHER.encode()])
def test_what_is_no_reply_is_refused(text: bytes) -> None:
    """It ends the comparison rather than cover nothing for ever."""
    with pytest.raises(ValueError, match="CLUSTER NODES"):
        parse_own_slots(text)
