"""What was written and acknowledged, so that a stale, lost or impossible read is known.

Pure, one per lane and process; every key has a single writing process. The rule is to
be conservative: never call a read stale that a correct server could have given.

A write is *open* from its sending until its reply. A version v is *superseded* for
reads sent from now on when a later version w was acknowledged and v was no longer open
when w was sent: then the server had applied v before w. A write whose fate is unknown
(timeout, lost connection) stays open for ever: its bytes may still reach the server.
"""

from enum import Enum

_MOST_OPEN = 64


class ReadVerdict(Enum):
    """What a read says about the server."""

    OK = "ok"
    STALE = "stale"
    MISSING = "missing"
    FUTURE = "future"


class Ledger:
    """Versions of the keys of one lane in one process.

    Attributes:
        acknowledged_count: keys with an acknowledged write.
    """

    __slots__ = ("_acked", "_highest", "_open", "_values")

    def __init__(self) -> None:
        self._acked: dict[int, int] = {}
        self._highest: dict[int, int] = {}
        self._open: dict[int, set[int]] = {}
        self._values: dict[int, tuple[int, bytes]] = {}

    def begin_write(self, key: int, version: int) -> None:
        """Take note that a version is on its way; versions of a key only grow."""
        self._highest[key] = version
        opened = self._open.get(key)
        if opened is None:
            self._open[key] = {version}
        else:
            opened.add(version)
            if len(opened) > _MOST_OPEN:
                # Long forgotten by any server: the oldest fates stay unknown.
                opened.discard(min(opened))

    def acked(self, key: int, version: int, value: bytes) -> None:
        """Take note of an acknowledgement and of the value that is now expected."""
        opened = self._open.get(key)
        if opened is not None:
            opened.discard(version)
            if not opened:
                del self._open[key]
        if version >= self._acked.get(key, 0):
            self._acked[key] = version
            self._values[key] = (version, value)

    def failed(self, key: int, version: int) -> None:
        """Take note that a version was certainly not applied."""
        opened = self._open.get(key)
        if opened is not None:
            opened.discard(version)
            if not opened:
                del self._open[key]

    def seen(self, key: int, version: int, value: bytes) -> None:
        """Take note of a good value that was read, for a quick comparison."""
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
        if version in self._open.get(key, ()):
            return ReadVerdict.OK
        return ReadVerdict.STALE
