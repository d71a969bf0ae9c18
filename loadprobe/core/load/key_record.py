"""A key: how it is asked for, and what was written and acknowledged under it.

Pure. One object rather than one for each half: keys are used in turn, so by the time
that one is used again it has left the processor's cache, and every object it is made of
is fetched from memory once more. Measured with 10,000 keys: 0.1 us of 1.4 us of Python
per arrival.
"""

from loadprobe.core.load.ledger import History


class KeyRecord(History):
    """What is needed to use a key; made once, when it is used first (about 0.5 KB).

    Args:
        index: of the key in the lane's keyspace.
        slot: its hash slot.
        read_slot: by what its reads are routed: the same, or ``READS`` more if replicas
            may answer them.
        get: the encoded command that reads it.
        set_head: the encoded command that writes it, up to the value.
    """

    __slots__ = ("get", "index", "read_slot", "set_head", "slot")

    def __init__(
        self, index: int, *, slot: int, read_slot: int, get: bytes, set_head: bytes
    ) -> None:
        super().__init__()
        self.index = index
        self.slot = slot
        self.read_slot = read_slot
        self.get = get
        self.set_head = set_head
