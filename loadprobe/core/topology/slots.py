"""Hash slots: the slot of any key, a hash tag for any slot.

Pure. The slot of a key is CRC16/XMODEM modulo 16384 over the key, or over the part
between the first ``{`` and the first ``}`` after it if that part is not empty (Redis
cluster specification).
"""

from binascii import crc_hqx
from functools import cache
from itertools import count

SLOTS = 16384
READS = SLOTS
"""What is added to the slot of a read that a replica may answer, to route it apart."""


def slot_of(key: bytes) -> int:
    """Return the slot of a key."""
    begin = key.find(b"{")
    if begin >= 0:
        end = key.find(b"}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1 : end]
    return crc_hqx(key, 0) % SLOTS


@cache
def slot_tags() -> tuple[bytes, ...]:
    """Return a short hash tag for each of the 16384 slots.

    Found by trying the decimal numbers in turn, once per process; every tag has at
    most six digits.
    """
    tags: list[bytes | None] = [None] * SLOTS
    missing = SLOTS
    for number in count():
        tag = b"%d" % number
        slot = crc_hqx(tag, 0) % SLOTS
        if tags[slot] is None:
            tags[slot] = tag
            missing -= 1
            if not missing:
                break
    return tuple(tag for tag in tags if tag is not None)


def tag_for_slot(slot: int) -> bytes:
    """Return the hash tag of one slot."""
    return slot_tags()[slot]
