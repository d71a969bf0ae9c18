"""A key: how it is asked for, and what was written and acknowledged under it.

Pure. One object rather than one for each half: keys are used in turn, so by the time
that one is used again it has left the processor's cache, and every object it is made of
is fetched from memory once more. Measured with 10,000 keys: 0.1 us of 1.4 us of Python
per arrival.
"""

from loadprobe.core.load.ledger import History
from loadprobe.core.load.lifetimes import LONG_AGO


class KeyRecord(History):
    """What is needed to use a key; made once, when it is used first (about 0.5 KB).

    Args:
        index: of the key in the lane's keyspace.
        slot: its hash slot.
        read_slot: by what its reads are routed: the same, or ``READS`` more if replicas
            may answer them.
        get: the encoded command that reads it.
        set_head: the encoded command that writes it, up to the value.

    Attributes:
        renewed_ns: its TTL was last renewed then, or later (see ``Lifetimes``).
        held_ns: the same of the renewal before, which is relied on.
        renewed_at_ns: when that was acknowledged, monotonic.
    """

    __slots__ = (
        "get",
        "held_ns",
        "index",
        "read_slot",
        "renewed_at_ns",
        "renewed_ns",
        "set_head",
        "slot",
    )

    def __init__(
        self, index: int, *, slot: int, read_slot: int, get: bytes, set_head: bytes
    ) -> None:
        super().__init__()
        self.index = index
        self.slot = slot
        self.read_slot = read_slot
        self.get = get
        self.set_head = set_head
        self.renewed_ns = self.held_ns = LONG_AGO
        self.renewed_at_ns = 0

    def renewed(self, made_ns: int, acknowledged_ns: int) -> None:
        """Take note of a renewal that was acknowledged.

        Args:
            made_ns: when it was made, on the clock of ``Lifetimes``.
            acknowledged_ns: monotonic.
        """
        self.held_ns, self.renewed_ns = self.renewed_ns, made_ns
        self.renewed_at_ns = acknowledged_ns

    def found(self, made_ns: int, acknowledged_ns: int) -> None:
        """Take note that it was there before the load, and its TTL begun anew."""
        self.held_ns = self.renewed_ns = made_ns
        self.renewed_at_ns = acknowledged_ns
