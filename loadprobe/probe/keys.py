"""The keys of a share of a lane: what is known of them, and how they are asked for."""

from loadprobe.clock import boot_now_ns, mono_now_ns
from loadprobe.config.keys import Lane
from loadprobe.core.load.foreign_key import ForeignKey
from loadprobe.core.load.key_record import KeyRecord
from loadprobe.core.load.keyspace import Keyspace
from loadprobe.core.load.ledger import ReadVerdict
from loadprobe.core.load.lifetimes import LONG_AGO, Lifetimes
from loadprobe.drivers.base import Arrival
from loadprobe.probe.content import make_content


class LaneKeys:
    """The keys of a share of a lane, and their histories.

    Args:
        lane: the lane.
        keyspace: which keys belong to the share.
        version_base: first version to write.

    Attributes:
        version: next version to write.
        lifetimes: until when they are certainly there.
        spare: the spare keys that are used.
        gone: keys of the share that have expired and are to be written anew.
    """

    def __init__(self, lane: Lane, keyspace: Keyspace, *, version_base: int) -> None:
        self._records: dict[int, KeyRecord] = {}
        self._is_filled = lane.prefill and not lane.read_only
        self.space = keyspace
        self.content = make_content(lane, keyspace)
        self.version = version_base
        self.lifetimes = Lifetimes(
            lane.key_ttl_s, now_ns=boot_now_ns(), version=version_base
        )
        self.spare: list[int] = []
        self.gone: set[int] = set()

    def record(self, number: int) -> KeyRecord:
        """Return the record of a key, made when it is used first."""
        key = self._records.get(number)
        if key is None:
            key = self._records[number] = self.content.make_key(number)
            if self.space.owns(number) and number not in self.space.owned():
                self.spare.append(number)
        return key

    def known_record(self, number: int) -> KeyRecord | None:
        """Return the record of a key, None if it was not used yet."""
        return self._records.get(number)

    def acknowledged_keys(self) -> dict[int, int]:
        """Return key -> version of the newest acknowledged writes of this run.

        Take it before keys are read again: what is acknowledged while a read is on its
        way may have been applied after it.
        """
        return {
            number: key.acked_version
            for number, key in sorted(self._records.items())
            if key.acked_version and not isinstance(key, ForeignKey)
        }

    def settled(self, number: int) -> tuple[int, int]:
        """Return a version that is there, or a newer one, and since when its TTL runs.

        The version is 0 if there is none.
        """
        key = self._records.get(number)
        version = 0 if key is None else key.settled_version
        if key is None or not version:
            return 0, LONG_AGO
        return version, self.set_ns(key, version)

    def make_read(self, key: int) -> tuple[int, bytes]:
        """Return (slot, command) that read a key from its primary."""
        record = self.record(key)
        return record.slot, record.get

    def make_write(self, key: int) -> tuple[int, bytes, int]:
        """Return (slot, command, version) that write a key beside the load."""
        version = self.version
        self.version = version + 1
        record, content = self.record(key), self.content
        value = content.encode(key, version) + content.end
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

    # --- what may be gone ----------------------------------------------------------

    def set_ns(self, key: KeyRecord, version: int, *, by_renewals: bool = True) -> int:
        """Return a time before which the TTL of a key certainly did not begin.

        Args:
            key: one of this share.
            version: of it that was acknowledged; 0 if none was.
            by_renewals: rely on renewals, too.
        """
        made_ns = self.lifetimes.made_ns(version)
        held_ns = key.held_ns if by_renewals else LONG_AGO
        return max(made_ns, held_ns if held_ns >= self.lifetimes.moved_ns else LONG_AGO)

    def is_lost(
        self, key: int, reply: object, *, acked: int, by_renewals: bool = True
    ) -> bool | None:
        """Tell whether an acknowledged write is gone from a reply that came just now.

        Args:
            key: which.
            reply: to a read that was sent when the write had been acknowledged.
            acked: its version.
            by_renewals: rely on renewals of the TTL: they were made where it was read.

        Returns:
            None if nothing is there, and the key may have expired.
        """
        record = self.record(key)
        verdict = self.content.judge(
            record, reply, acked_at_send=acked, known=record.value
        )
        if verdict is ReadVerdict.MISSING:
            since_ns = self.set_ns(record, acked, by_renewals=by_renewals)
            return True if self.lifetimes.is_sure(since_ns, boot_now_ns()) else None
        if verdict is ReadVerdict.OK and self.content.version_of(key, reply) is None:
            return None  # it was taken for expired before
        return verdict not in (ReadVerdict.OK, ReadVerdict.FUTURE)

    def excuses(self, arrival: Arrival) -> bool:
        """Tell whether a read may find nothing; the key is taken for expired then.

        Only what was known when the read was sent counts: a write or a renewal that
        was acknowledged later may have come after it.
        """
        key = arrival.key
        assert key is not None
        if isinstance(key, ForeignKey):
            is_same = arrival.version == key.acked_version
            since_ns = key.held_ns if is_same else LONG_AGO
            if since_ns < self.lifetimes.moved_ns:
                since_ns = LONG_AGO
        else:
            was_renewed = key.renewed_at_ns < arrival.sent
            since_ns = self.set_ns(key, arrival.version, by_renewals=was_renewed)
        if self.lifetimes.is_sure(since_ns, boot_now_ns()):
            return False
        if arrival.version == key.acked_version:
            self.take_expired(key)
        return True

    def take_expired(self, key: KeyRecord) -> None:
        """Take note that a key has expired; one that is to be there is written anew."""
        key.expired()
        if self._is_filled and not isinstance(key, ForeignKey):
            self.gone.add(key.index)

    def date(self, arrival: Arrival) -> None:
        """Take note of when a read was sent whose value is remembered next."""
        key = arrival.key
        if isinstance(key, ForeignKey):
            key.read_ns = boot_now_ns() - (mono_now_ns() - arrival.sent)
