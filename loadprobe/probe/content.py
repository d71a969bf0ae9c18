"""What the keys of a lane hold: how they are asked for, and whether replies are right.

One key per arrival, or sets of keys with one hash tag that are read and written
together. A set is right only if all of its values are, and of the same version: MSET
and MGET of one slot are carried out as a whole.
"""

from collections.abc import Sequence
from typing import Protocol

from loadprobe.config.keys import Lane
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.foreign_key import ForeignKey
from loadprobe.core.load.key_record import KeyRecord
from loadprobe.core.load.key_set import KeySetRecord
from loadprobe.core.load.keyspace import Keyspace
from loadprobe.core.load.ledger import ReadVerdict
from loadprobe.core.load.values import NIL, Decoded, ValueCodec
from loadprobe.core.topology.slots import READS
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival, Asked


class Content(Protocol):
    """The keys and values of a lane.

    Attributes:
        absent: the reply to a read of absent keys, encoded.
        is_read_only: nothing is written here, so any version is right, and none.
        tail: the end of all values, if it is left out of what is kept of each.
        end: what follows what is kept in a command that writes: the tail, and the TTL.
    """

    absent: bytes
    is_read_only: bool
    tail: bytes
    end: bytes

    def make_key(self, number: int) -> KeyRecord:
        """Return the record of a key, or of a set of keys."""

    def encode(self, number: int, version: int) -> bytes:
        """Return what goes between the head of a command that writes and the end."""

    def encode_absent(self, number: int) -> bytes:
        """Return the command that reads what is never written."""

    def encode_renewal(self, number: int) -> bytes | None:
        """Return the command that begins the TTL anew; None if there is none."""

    def version_of(self, number: int, reply: object) -> int | None:
        """Return the version that a reply holds; None if it is not all right."""

    def judge(
        self, key: KeyRecord, reply: object, *, acked_at_send: int, known: bytes
    ) -> ReadVerdict | None:
        """Judge what a read returned; None if it is no value of ours.

        Args:
            key: what was read.
            reply: what came.
            acked_at_send: the acknowledged version when it was sent.
            known: what was known then to be right.
        """

    def remember(self, key: KeyRecord, version: int) -> None:
        """Take note that a version was read."""


class SingleKeys:
    """One key per arrival: GET and SET.

    Args:
        lane: the lane.
        keyspace: names its keys.
    """

    absent = NIL

    def __init__(self, lane: Lane, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._codec = ValueCodec(lane.key_prefix, lane.value_bytes)
        self._apart = _apart(lane)
        self.is_read_only = lane.read_only
        self.tail = self._codec.tail
        self._ttl_s = lane.key_ttl_s
        self.end = self.tail
        if self._ttl_s:
            self.end += resp.encode_ttl(self._ttl_s)
        self.encode = self._codec.encode_begin

    def make_key(self, number: int) -> KeyRecord:
        """Return the record of a key, which another share of its lanes may write."""
        name, slot = self._name(number), self._keyspace.slot(number)
        get = resp.encode_get(name)
        head = resp.encode_set_head(name, with_ttl=self._ttl_s > 0)
        return (KeyRecord if self._keyspace.owns(number) else ForeignKey)(
            number, slot=slot, read_slot=slot + self._apart, get=get, set_head=head
        )

    def _name(self, number: int) -> bytes:
        space = self._keyspace
        return space.key(number) if space.owns(number) else space.foreign_key(number)

    def encode_absent(self, number: int) -> bytes:
        """Return a GET of what is never written."""
        return resp.encode_get(self._keyspace.absent_key(number))

    def encode_renewal(self, number: int) -> bytes | None:
        """Return EXPIRE, or PERSIST if keys have no TTL: another run gave it one."""
        return resp.encode_expire(self._name(number), self._ttl_s)

    def ask_read(self, number: int) -> Asked:
        """Return a read of a key in plain values."""
        return Asked(self._name(number))

    def ask_absent(self, number: int) -> Asked:
        """Return a read of what is never written."""
        return Asked(self._keyspace.absent_key(number))

    def ask_write(self, number: int, version: int) -> Asked:
        """Return the writing of a version of a key."""
        value = self._codec.encode(number, version)
        return Asked(self._name(number), value, self._ttl_s)

    def version_of(self, number: int, reply: object) -> int | None:
        """Return the version that a reply holds; None if it is not all right."""
        return _version(self._codec, number, reply)

    def judge(
        self, key: KeyRecord, reply: object, *, acked_at_send: int, known: bytes
    ) -> ReadVerdict | None:
        """Judge what a GET returned."""
        version = self.version_of(key.index, reply)
        if version is None and reply is not None:
            return None
        return key.judge_read(
            version, acked_at_send=acked_at_send, was_present=known is not NIL
        )

    def remember(self, key: KeyRecord, version: int) -> None:
        """Take note that a version was read."""
        key.seen(version, self.encode(key.index, version))


class KeySets:
    """Sets of keys in one slot: MGET and MSET.

    The keys of set k are named as key k, with ``.0``, ``.1`` ... behind it. They have
    no TTL: MSET takes none.

    Args:
        lane: the lane.
        keyspace: names its sets.
    """

    tail = b""
    end = b""

    def __init__(self, lane: Lane, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._count = lane.multi_key
        self._codec = ValueCodec(lane.key_prefix, lane.value_bytes)
        self._apart = _apart(lane)
        self.is_read_only = lane.read_only
        self.absent = b"*%d\r\n" % self._count + NIL * self._count

    def _indexes(self, number: int) -> range:
        return range(number * self._count, (number + 1) * self._count)

    def _names(self, name: bytes) -> list[bytes]:
        return [b"%b.%d" % (name, i) for i in range(self._count)]

    def make_key(self, number: int) -> KeyRecord:
        """Return the record of a set."""
        names = self._names(self._keyspace.key(number))
        words = 1 + 2 * self._count
        head = b"*%d\r\n$4\r\nMSET\r\n%b" % (words, resp.encode_bulk(names[0]))
        slot = self._keyspace.slot(number)
        return KeySetRecord(
            number,
            slot=slot,
            read_slot=slot + self._apart,
            get=resp.encode(b"MGET", *names),
            set_head=head,
            indexes=self._indexes(number),
            encode=self._codec.encode_bulk,
        )

    def encode(self, number: int, version: int) -> bytes:
        """Return the values of a version, with the names of all keys but the first."""
        names = self._names(self._keyspace.key(number))
        values = [self._codec.encode_bulk(i, version) for i in self._indexes(number)]
        rest = zip(names[1:], values[1:], strict=True)
        return values[0] + b"".join(
            [resp.encode_bulk(name) + value for name, value in rest]
        )

    def encode_absent(self, number: int) -> bytes:
        """Return an MGET of what is never written."""
        names = self._names(self._keyspace.absent_key(number))
        return resp.encode(b"MGET", *names)

    def encode_renewal(self, number: int) -> bytes | None:  # noqa: ARG002
        """Return nothing: they have no TTL."""
        return None

    def _values(self, reply: object) -> Sequence[object] | None:
        is_set = isinstance(reply, list) and len(reply) == self._count
        return reply if is_set else None  # type: ignore[return-value]

    def version_of(self, number: int, reply: object) -> int | None:
        """Return the version that all values of a reply have; None if they have not."""
        values = self._values(reply)
        if values is None:
            return None
        pairs = zip(self._indexes(number), values, strict=True)
        versions = {_version(self._codec, index, value) for index, value in pairs}
        return versions.pop() if len(versions) == 1 else None

    def judge(
        self, key: KeyRecord, reply: object, *, acked_at_send: int, known: bytes
    ) -> ReadVerdict | None:
        """Judge what an MGET returned; the set is as right as its worst key."""
        values = self._values(reply)
        version = self.version_of(key.index, reply)
        if values is None or (version is None and any(v is not None for v in values)):
            return None
        present = self._values(resp.parse(known))
        assert present is not None
        assert isinstance(key, KeySetRecord)
        verdicts = {
            member.judge_read(
                version, acked_at_send=acked_at_send, was_present=value is not None
            )
            for member, value in zip(key.members, present, strict=True)
        }
        worst = ReadVerdict.FUTURE, ReadVerdict.MISSING, ReadVerdict.STALE
        return next((v for v in worst if v in verdicts), ReadVerdict.OK)

    def remember(self, key: KeyRecord, version: int) -> None:
        """Take note that a version was read."""
        key.seen(version, b"")


def make_content(lane: Lane, keyspace: Keyspace) -> Content:
    """Return the content of a lane's keys."""
    kind = SingleKeys if lane.multi_key == 1 else KeySets
    return kind(lane, keyspace)


def _apart(lane: Lane) -> int:
    """Return what is added to the slot of a read to route it."""
    return 0 if lane.read_from == "primary" else READS


def _version(codec: ValueCodec, index: int, value: object) -> int | None:
    found = codec.decode(value) if isinstance(value, bytes) else None
    if isinstance(found, Decoded) and found.key == index:
        return found.version
    return None


class Expiry(Protocol):
    """Knows which keys may be gone because their TTL has passed."""

    def excuses(self, arrival: Arrival) -> bool:
        """Tell whether a read may find nothing; the key is taken for expired then."""

    def date(self, arrival: Arrival) -> None:
        """Take note of when a read was sent whose value is remembered next."""


def is_right(content: Content, arrival: Arrival, reply: object, expiry: Expiry) -> bool:
    """Judge the content of a reply, count what it shows, take it into the ledger.

    A replica that does not know a write yet is stale, not wrong: also if it does not
    know the key. A key that may have expired is neither.
    """
    recorder = arrival.recorder
    key = arrival.key
    if key is None:
        good = reply == resp.parse(content.absent)
        recorder.wrong += not good
        return good
    if arrival.op is OpKind.WRITE:
        if reply != resp.OK:
            recorder.wrong += 1
            return False
        key.acked(arrival.version, arrival.value)
        recorder.acknowledged += 1
        return True
    verdict = content.judge(
        key, reply, acked_at_send=arrival.version, known=arrival.value
    )
    if verdict is not None and content.is_read_only:
        # Others write these keys, or nobody does.
        verdict = ReadVerdict.OK
    if verdict is ReadVerdict.OK:
        version = content.version_of(key.index, reply)
        if version is not None:
            expiry.date(arrival)
            content.remember(key, version)
        return True
    if verdict is ReadVerdict.MISSING and expiry.excuses(arrival):
        recorder.expired += 1
        return True
    is_behind = (
        verdict is ReadVerdict.MISSING and recorder.scope.op is OpKind.REPLICA_READ
    )
    if is_behind or verdict is ReadVerdict.STALE:
        recorder.stale += 1
        return True
    recorder.wrong += 1
    return False
