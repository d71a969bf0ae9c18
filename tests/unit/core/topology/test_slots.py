"""Slots against known vectors and their own inverse."""

import pytest

from loadprobe.core.topology.slots import SLOTS, tag_for_slot
from tests.support.key_slots import key_slot


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"foo", 12182),
        (b"123456789", 0x31C3),
        (b"", 0),
        (b"{foo}bar", 12182),
        (b"a{foo}{bar}", 12182),
        (b"{user1000}.following", key_slot(b"user1000")),
        (b"foo{bar}{zap}", key_slot(b"bar")),
        (b"foo{{bar}}zap", key_slot(b"{bar")),
    ],
)
def test_known_slots(key: bytes, slot: int) -> None:
    """The slots are those of the cluster specification and its examples."""
    assert key_slot(key) == slot


def test_an_empty_tag_is_no_tag() -> None:
    """With an empty tag, or one that does not end, the whole key is hashed."""
    assert key_slot(b"foo{}{bar}") not in (key_slot(b""), key_slot(b"bar"))
    assert key_slot(b"x{foo") != 12182


def test_every_slot_has_a_tag() -> None:
    """The tag of a slot hashes to it, for all slots, and is short and different."""
    tags = [tag_for_slot(slot) for slot in range(SLOTS)]
    assert [key_slot(b"lp:{%b}:1" % tag) for tag in tags] == list(range(SLOTS))
    assert len(set(tags)) == SLOTS
    assert max(map(len, tags)) <= 6
