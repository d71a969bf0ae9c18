"""What was written and acknowledged, so that a stale, lost or impossible read is known.

Pure, one history per key; every key has a single writing process. The rule is to
be conservative: never call a read stale that a correct server could have given.

A write *ends* when its reply arrives, or when its value is first read: it was applied
before. One of which nothing is heard (timeout, lost connection) does not end: its bytes
may reach the server yet. A server may apply writes that overlap in time in any order,
so version v may be what a later read finds unless some version w was *sent after v
ended* and acknowledged before the read was sent. Versions of a key grow in the order of
sending; hence it is enough to keep, per version, the highest version that had been sent
when it ended: its *rival*. A read of v is stale iff v's rival is below the version that
was acknowledged when the read was sent. Without overlap the rival of v is v itself and
nothing is kept.
"""

from enum import Enum

from loadprobe.core.load.values import NIL

_MOST_KEPT = 64
"""Versions of a key with a rival or without end; the oldest are forgiven beyond."""

_NO_END = 1 << 62
_NO_RIVALS: dict[int, int] = {}  # what most keys have: it stays empty


class ReadVerdict(Enum):
    """What a read says about the server."""

    OK = "ok"
    STALE = "stale"
    MISSING = "missing"
    FUTURE = "future"


class History:
    """The versions of one key.

    Attributes:
        acked_version: highest acknowledged version, 0 if there is none.
        value: what is certainly right to read now, as a bulk string, long ones without
            their tail (see ``ValueCodec``); NIL if the key is not known to hold any.
    """

    __slots__ = (
        "_acked_judged",
        "_highest",
        "_oldest_judged",
        "_on_its_way",
        "_rivals",
        "_value_version",
        "acked_version",
        "value",
    )

    def __init__(self) -> None:
        self._highest = 0
        self._on_its_way = 0  # the highest version, until it ends; else 0
        self._rivals = _NO_RIVALS
        self._oldest_judged = 0
        self._acked_judged = 0
        self._value_version = 0
        self.acked_version = 0
        self.value = NIL

    @property
    def settled_version(self) -> int:
        """Return the acknowledged version if no older one can be found any more.

        0 if there is none, or if a write may still be applied, known or forgiven.
        Whoever reads the key later, also without this history, finds that version or a
        newer one, unless it was lost.
        """
        is_open = self._on_its_way or self._rivals or self._oldest_judged
        is_settled = not is_open and self.acked_version > self._acked_judged
        return self.acked_version if is_settled else 0

    def begin_write(self, version: int) -> None:
        """Take note that a version is on its way; versions only grow."""
        earlier = self._on_its_way
        self._highest = self._on_its_way = version
        if earlier:  # nothing was heard of it yet
            self._add_rival(earlier, _NO_END)

    def acked(self, version: int, value: bytes) -> None:
        """Take note of an acknowledgement and of the value to expect now.

        It may also come late, when the write was already given up as unknown.
        """
        if version == self._on_its_way:
            self._on_its_way = 0
        else:
            self._end(version)
        if version >= self.acked_version:
            self.acked_version = self._value_version = version
            self.value = value
            rivals = self._rivals
            if rivals:
                for old in [v for v, rival in rivals.items() if rival < version]:
                    self._forgive(old)

    def failed(self, version: int) -> None:
        """Take note that a version was certainly not applied."""
        if version == self._on_its_way:
            self._on_its_way = 0
        else:
            self._rivals.pop(version, None)

    def seen(self, version: int, value: bytes) -> None:
        """Take note of a good value that was read."""
        if version == self._on_its_way:
            self._on_its_way = 0
        elif version in self._rivals:
            self._end(version)
        if self.value is NIL or version >= self._value_version:
            self._value_version = version
            self.value = value

    def expired(self) -> None:
        """Take note that the key may be gone, as its TTL has passed: nil is right."""
        self.value = NIL

    def judge_read(
        self, version: int | None, *, acked_at_send: int, was_present: bool
    ) -> ReadVerdict:
        """Judge what a read returned.

        Args:
            version: version that was read, None for nil.
            acked_at_send: ``acked_version`` when the read was sent.
            was_present: whether ``value`` was known when the read was sent.
        """
        if version is None:
            return ReadVerdict.MISSING if was_present else ReadVerdict.OK
        if version >= acked_at_send:
            # Newer than anything we sent: another program writes our keys.
            if self._highest and version > self._highest:
                return ReadVerdict.FUTURE
            return ReadVerdict.OK
        if version == self._on_its_way:
            return ReadVerdict.OK
        if self._rivals.get(version, 0) >= acked_at_send:
            return ReadVerdict.OK
        if version <= self._oldest_judged or acked_at_send <= self._acked_judged:
            return ReadVerdict.OK
        return ReadVerdict.STALE

    def _end(self, version: int) -> None:
        """Take note that a version was applied before now."""
        rivals = self._rivals
        rival = self._highest
        if rival <= version:
            rivals.pop(version, None)
            return
        # An end that was noted before is the better one: it was earlier.
        self._add_rival(version, min(rival, rivals.get(version, _NO_END)))

    def _add_rival(self, version: int, rival: int) -> None:
        """Keep the rival of a version."""
        if self._rivals is _NO_RIVALS:
            self._rivals = {}
        self._rivals[version] = rival
        if len(self._rivals) > _MOST_KEPT:
            self._forgive(min(self._rivals))

    def _forgive(self, version: int) -> None:
        """Drop what is kept about a version without ever judging it too harshly.

        One without end may be found by any read to come: it and everything older is
        not judged any more. One with a rival can only be found by reads that were sent
        before a version above the rival was acknowledged.
        """
        rival = self._rivals.pop(version)
        if rival == _NO_END:
            self._oldest_judged = max(self._oldest_judged, version)
        else:
            self._acked_judged = max(self._acked_judged, rival)
