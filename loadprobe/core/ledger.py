"""What was written and acknowledged, so that a stale, lost or impossible read is known.

Pure, one per lane and process; every key has a single writing process. The rule is to
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

_MOST_KEPT = 64
"""Versions of a key with a rival or without end; the oldest are forgiven beyond."""

_NO_END = 1 << 62


class ReadVerdict(Enum):
    """What a read says about the server."""

    OK = "ok"
    STALE = "stale"
    MISSING = "missing"
    FUTURE = "future"


class Ledger:
    """Versions of the keys of one lane in one process."""

    __slots__ = ("_acked", "_forgiven", "_highest", "_rivals", "_values")

    def __init__(self) -> None:
        self._acked: dict[int, int] = {}
        self._highest: dict[int, int] = {}
        self._rivals: dict[int, dict[int, int]] = {}
        self._forgiven: dict[int, tuple[int, int]] = {}
        self._values: dict[int, tuple[int, bytes]] = {}

    def begin_write(self, key: int, version: int) -> None:
        """Take note that a version is on its way; versions of a key only grow."""
        self._highest[key] = version
        rivals = self._rivals.get(key)
        if rivals is None:
            self._rivals[key] = {version: _NO_END}
        else:
            rivals[version] = _NO_END
            if len(rivals) > _MOST_KEPT:
                self._forgive(key, min(rivals))

    def acked(self, key: int, version: int, value: bytes) -> None:
        """Take note of an acknowledgement and of the value that is now expected.

        It may also come late, when the write was already given up as unknown.
        """
        self._end(key, version)
        if version >= self._acked.get(key, 0):
            self._acked[key] = version
            self._values[key] = (version, value)
            rivals = self._rivals.get(key)
            if rivals is not None:
                for old in [v for v, rival in rivals.items() if rival < version]:
                    self._forgive(key, old)

    def failed(self, key: int, version: int) -> None:
        """Take note that a version was certainly not applied."""
        self._drop(key, version)

    def seen(self, key: int, version: int, value: bytes) -> None:
        """Take note of a good value that was read, for a quick comparison."""
        if version in self._rivals.get(key, ()):
            self._end(key, version)
        known = self._values.get(key)
        if known is None or version >= known[0]:
            self._values[key] = (version, value)

    def expected(self, key: int) -> bytes | None:
        """Return the value that is certainly right to read now, if it is known."""
        known = self._values.get(key)
        return None if known is None else known[1]

    def acknowledged(self, key: int) -> int:
        """Return the highest acknowledged version, 0 if there is none."""
        return self._acked.get(key, 0)

    def acknowledged_keys(self) -> list[int]:
        """Return the keys with an acknowledged write."""
        return sorted(self._acked)

    def is_present(self, key: int) -> bool:
        """Tell whether the key is known to hold a value."""
        return key in self._values

    def judge_read(
        self, key: int, version: int | None, *, acked_at_send: int, was_present: bool
    ) -> ReadVerdict:
        """Judge what a read returned.

        Args:
            key: index of the key.
            version: version that was read, None for nil.
            acked_at_send: ``acknowledged(key)`` when the read was sent.
            was_present: ``is_present(key)`` when the read was sent.
        """
        if version is None:
            return ReadVerdict.MISSING if was_present else ReadVerdict.OK
        if version >= acked_at_send:
            # Newer than anything we sent: another program writes our keys.
            highest = self._highest.get(key)
            if highest is not None and version > highest:
                return ReadVerdict.FUTURE
            return ReadVerdict.OK
        rivals = self._rivals.get(key)
        if rivals is not None and rivals.get(version, 0) >= acked_at_send:
            return ReadVerdict.OK
        oldest_judged, acked_judged = self._forgiven.get(key, (0, 0))
        if version <= oldest_judged or acked_at_send <= acked_judged:
            return ReadVerdict.OK
        return ReadVerdict.STALE

    def _end(self, key: int, version: int) -> None:
        """Take note that a version was applied before now."""
        rival = self._highest.get(key, version)
        if rival <= version:
            self._drop(key, version)
            return
        rivals = self._rivals.setdefault(key, {})
        # An end that was noted before is the better one: it was earlier.
        rivals[version] = min(rival, rivals.get(version, _NO_END))
        if len(rivals) > _MOST_KEPT:
            self._forgive(key, min(rivals))

    def _drop(self, key: int, version: int) -> None:
        rivals = self._rivals.get(key)
        if rivals is not None:
            rivals.pop(version, None)
            if not rivals:
                del self._rivals[key]

    def _forgive(self, key: int, version: int) -> None:
        """Drop what is kept about a version without ever judging it too harshly.

        One without end may be found by any read to come: it and everything older is
        not judged any more. One with a rival can only be found by reads that were sent
        before a version above the rival was acknowledged.
        """
        rival = self._rivals[key][version]
        oldest_judged, acked_judged = self._forgiven.get(key, (0, 0))
        if rival == _NO_END:
            oldest_judged = max(oldest_judged, version)
        else:
            acked_judged = max(acked_judged, rival)
        self._forgiven[key] = (oldest_judged, acked_judged)
        self._drop(key, version)
