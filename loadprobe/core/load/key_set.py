"""Keys that are always read and written together: one history each.

Pure. All keys of a set lie in one slot, and one command (MSET, MGET) is about all of
them, which a server carries out as a whole. So all keys have the same versions.
"""

from collections.abc import Callable

from loadprobe.core.load.key_record import KeyRecord
from loadprobe.core.load.ledger import History


class KeySetRecord(KeyRecord):
    """The keys of a set; ``value`` is the reply to a read of all of them.

    Args:
        index: of the set; ``slot``, ``read_slot``, ``get`` and ``set_head`` are those
            of all its keys (see ``KeyRecord``).
        indexes: of the keys, at least one.
        encode: returns the bulk string of a version of a key.

    Attributes:
        members: the history of each key.
    """

    __slots__ = ("_encode", "_head", "_indexes", "members")

    def __init__(
        self,
        index: int,
        *,
        slot: int,
        read_slot: int,
        get: bytes,
        set_head: bytes,
        indexes: range,
        encode: Callable[[int, int], bytes],
    ) -> None:
        super().__init__(
            index, slot=slot, read_slot=read_slot, get=get, set_head=set_head
        )
        self._indexes = indexes
        self._encode = encode
        self._head = b"*%d\r\n" % len(indexes)
        self.members = [History() for _ in indexes]
        self._show()

    def _show(self) -> None:
        self.acked_version = self.members[0].acked_version
        self.value = self._head + b"".join([member.value for member in self.members])

    @property
    def settled_version(self) -> int:
        """Return the version that all keys have at least; 0 if none is settled."""
        return min(member.settled_version for member in self.members)

    def begin_write(self, version: int) -> None:
        """Take note that a version of all keys is on its way."""
        for member in self.members:
            member.begin_write(version)

    def acked(self, version: int, value: bytes) -> None:  # noqa: ARG002
        """Take note that a version of all keys was acknowledged."""
        for member, index in zip(self.members, self._indexes, strict=True):
            member.acked(version, self._encode(index, version))
        self._show()

    def failed(self, version: int) -> None:
        """Take note that a version was certainly applied to none."""
        for member in self.members:
            member.failed(version)

    def expired(self) -> None:
        """Take note that all keys may be gone."""
        for member in self.members:
            member.expired()
        self._show()

    def seen(self, version: int, value: bytes) -> None:  # noqa: ARG002
        """Take note that a version of all keys was read."""
        for member, index in zip(self.members, self._indexes, strict=True):
            member.seen(version, self._encode(index, version))
        self._show()
