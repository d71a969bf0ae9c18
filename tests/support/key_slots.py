"""Which slot a key belongs to (Redis cluster specification)."""

from binascii import crc_hqx

from loadprobe.core.topology.slots import SLOTS


def key_slot(key: bytes) -> int:
    """Return the hash slot of a key, 0..16383."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS
