"""The keys of a share of a lane: what is known of them, and how they are asked for."""

from loadprobe.config.keys import Lane
from loadprobe.core.load.foreign_key import ForeignKey
from loadprobe.core.load.key_record import KeyRecord
from loadprobe.core.load.keyspace import Keyspace
from loadprobe.core.load.ledger import ReadVerdict
from loadprobe.probe.content import make_content


class LaneKeys:
    """The keys of a share of a lane, and their histories.

    Args:
        lane: the lane.
        keyspace: which keys belong to the share.
        version_base: first version to write.

    Attributes:
        version: next version to write.
    """

    def __init__(self, lane: Lane, keyspace: Keyspace, *, version_base: int) -> None:
        self._records: dict[int, KeyRecord] = {}
        self.space = keyspace
        self.content = make_content(lane, keyspace)
        self.version = version_base

    def record(self, number: int) -> KeyRecord:
        """Return the record of a key, made when it is used first."""
        key = self._records.get(number)
        if key is None:
            key = self._records[number] = self.content.make_key(number)
        return key

    def acknowledged_keys(self) -> list[int]:
        """Return the keys with an acknowledged write of this run."""
        return sorted(
            number
            for number, key in self._records.items()
            if key.acked_version and not isinstance(key, ForeignKey)
        )

    def settled_version(self, number: int) -> int:
        """Return a version that is certainly there, or a newer one; 0 without any."""
        key = self._records.get(number)
        return 0 if key is None else key.settled_version

    def make_read(self, key: int) -> tuple[int, bytes]:
        """Return (slot, command) that read a key from its primary."""
        record = self.record(key)
        return record.slot, record.get

    def make_prefill(self, key: int) -> tuple[int, bytes, int]:
        """Return (slot, command, version) that write a key for the first time."""
        version = self.version
        self.version = version + 1
        record, content = self.record(key), self.content
        value = content.encode(key, version) + content.tail
        return record.slot, record.set_head + value, version

    def remember(self, key: int, version: int) -> None:
        """Take note of a version that a key is known to hold."""
        self.content.remember(self.record(key), version)

    def is_good(self, key: int, reply: object) -> bool:
        """Tell whether a reply is a good value of a key; it is remembered then."""
        version = self.content.version_of(key, reply)
        if version is None:
            return False
        self.remember(key, version)
        return True

    def is_lost(self, key: int, reply: object) -> bool:
        """Tell whether the acknowledged write of a key is gone from a reply."""
        record = self.record(key)
        verdict = self.content.judge(
            record, reply, acked_at_send=record.acked_version, known=record.value
        )
        return verdict not in (ReadVerdict.OK, ReadVerdict.FUTURE)
