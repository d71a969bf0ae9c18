"""A key that another lane or process writes: what can be said of reads of it here.

Pure. Nothing is known of the writer's sends and acknowledgements, only what was read
here. The writer sends every version once, so a server applies it at most once: when a
version was read, and a read that was sent afterwards found another one, the first was
overwritten, whatever the order in which the two had been sent. A read that is sent
after *that* and finds the first again is stale: an acknowledged write is gone again
(after a failover, say), or another node is behind. Reads that overlap in time prove
nothing. Nil is right until a value was read; after that it is missing.

The writer gives the key a TTL, and alone knows when. What is known here of it: a
version that was found after another one had been was applied after the read that found
that one was sent.
"""

from loadprobe.core.load.key_record import KeyRecord
from loadprobe.core.load.ledger import ReadVerdict
from loadprobe.core.load.lifetimes import LONG_AGO
from loadprobe.core.load.values import NIL

_MOST_KEPT = 64
"""Overwritten versions that are known of a key; older ones are not called stale."""


class ForeignKey(KeyRecord):
    """A key that is only read here.

    ``acked_version`` counts what was observed: a read that was sent at count n was sent
    after the first n observations. See ``KeyRecord`` for the arguments. Nothing renews
    it here; ``held_ns`` is a time after which its value was certainly written.

    Attributes:
        read_ns: when the read was sent whose value ``seen`` takes next, on the clock of
            ``Lifetimes``.
    """

    __slots__ = (
        "_current",
        "_current_ns",
        "_overwritten",
        "_seen_at",
        "_sent_at",
        "read_ns",
    )

    def __init__(
        self, index: int, *, slot: int, read_slot: int, get: bytes, set_head: bytes
    ) -> None:
        super().__init__(
            index, slot=slot, read_slot=read_slot, get=get, set_head=set_head
        )
        self._current = 0
        self._seen_at = 0
        self._sent_at = 0
        self._current_ns = LONG_AGO
        self.read_ns = LONG_AGO
        self._overwritten: dict[int, int] = {}

    @property
    def settled_version(self) -> int:
        """Return 0: whoever writes it knows."""
        return 0

    def judge_read(
        self, version: int | None, *, acked_at_send: int, was_present: bool
    ) -> ReadVerdict:
        """Judge what a read returned; one that is fine is told to ``seen`` next.

        Args:
            version: version that was read, None for nil.
            acked_at_send: ``acked_version`` when the read was sent.
            was_present: whether a value was known when the read was sent.
        """
        if version is None:
            return ReadVerdict.MISSING if was_present else ReadVerdict.OK
        self._sent_at = acked_at_send
        overwritten_at = self._overwritten.get(version)
        if overwritten_at is not None and acked_at_send >= overwritten_at:
            return ReadVerdict.STALE
        return ReadVerdict.OK

    def seen(self, version: int, value: bytes) -> None:
        """Take note of a good value that was read, as the last call judged it."""
        if version == self._current or version in self._overwritten:
            if self.value is NIL:  # it was taken for expired, and was not
                self.value = value
            return
        self.acked_version += 1
        if self._current and self._sent_at >= self._seen_at:
            self.held_ns = self._current_ns
            self._overwritten[self._current] = self.acked_version
            if len(self._overwritten) > _MOST_KEPT:
                del self._overwritten[next(iter(self._overwritten))]
        self._current, self._seen_at = version, self.acked_version
        self._current_ns = self.read_ns
        self.value = value
