"""Keys are deleted by their names alone, whatever a server takes a pattern for."""

from collections.abc import Sequence
from typing import Any

from loadprobe.run.cleaning import _clean_node


class Careless:
    """A node that finds all keys, whatever is asked for."""

    def __init__(self, *keys: bytes) -> None:
        self._keys = list(keys)
        self.deleted: list[bytes] = []

    async def scan(
        self, _cursor: bytes, _pattern: bytes, *, count: int
    ) -> tuple[bytes, list[bytes]]:
        """Return all keys at once."""
        assert count
        return b"0", self._keys

    async def unlink(self, keys: Sequence[bytes]) -> None:
        """Delete keys."""
        self.deleted += keys


async def test_what_a_server_finds_is_looked_at_again() -> None:
    """A name that does not begin with a lane's prefix is never deleted."""
    others = (b"customer{1}", b"lp:tcp2:{1}0", b"lp:tcp:", b"xlp:tcp:{1}0")
    node: Any = Careless(b"lp:tcp:{1}0", *others, b"lp:tcp:{7}5")
    found = [
        count
        async for count in _clean_node(
            node, [b"lp:tcp:"], deletes=True, keys_per_s=1_000_000
        )
    ]
    assert sum(found) == 2
    assert sorted(node.deleted) == [b"lp:tcp:{1}0", b"lp:tcp:{7}5"]


async def test_names_without_a_tag_are_left_alone() -> None:
    """None of ours is without: they are no keys of one slot, and stop nothing."""
    others = (b"lp:tcp:{", b"lp:tcp:{1", b"lp:tcp:{}0", b"lp:tcp:{}1")
    node: Any = Careless(*others, b"lp:tcp:{7}5")
    found = [
        count
        async for count in _clean_node(
            node, [b"lp:tcp:"], deletes=True, keys_per_s=1_000_000
        )
    ]
    assert sum(found) == 1
    assert node.deleted == [b"lp:tcp:{7}5"]
