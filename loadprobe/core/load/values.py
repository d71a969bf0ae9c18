"""Values that say which key and version they are, so a reply tells right from wrong.

Pure. Layout, big-endian:

    bytes 0-1    b"L1" (format and version)
    bytes 2-5    key index, unsigned
    bytes 6-13   version, unsigned
    bytes 14-17  CRC-32 of bytes 0-13, begun with the CRC-32 of the lane's name
    bytes 18-    padding: a fixed pattern of the lane, up to the value size

A value of another lane fails the checksum; any changed, missing or added byte is found.
"""

import struct
from enum import Enum
from typing import NamedTuple
from zlib import crc32

NIL = b"$-1\r\n"
"""The bulk string of RESP that says that there is no value."""

HEADER_BYTES = 18
_LONG_BYTES = 256
LEAST_VALUE_BYTES = 24
_FIELDS = struct.Struct(">2sIQ")
_CHECKSUM = struct.Struct(">I")
_MAGIC = b"L1"
_PATTERN = bytes(range(0x20, 0x7F))


class Flaw(Enum):
    """What is wrong with a value."""

    LENGTH = "length"
    MAGIC = "magic"
    CHECKSUM = "checksum"
    PADDING = "padding"


class Decoded(NamedTuple):
    """What a good value says about itself."""

    key: int
    version: int


class ValueCodec:
    """Makes and reads the values of a lane.

    Args:
        lane: name of the lane.
        value_bytes: size of a value, at least 24.

    Attributes:
        tail: the end of all bulk strings, if values are long, else empty. Without it a
            version of a key is a few dozen bytes: 10,000 whole values of 1 KiB, one
            used after the other, are always fetched from memory.
    """

    def __init__(self, lane: str, value_bytes: int) -> None:
        if value_bytes < LEAST_VALUE_BYTES:
            raise ValueError(
                f"a value of {value_bytes} bytes cannot describe itself; "
                f"at least {LEAST_VALUE_BYTES} are needed"
            )
        self._size = value_bytes
        self._salt = crc32(lane.encode())
        repeats = value_bytes // len(_PATTERN) + 1
        self._padding = (_PATTERN * repeats)[: value_bytes - HEADER_BYTES]
        self._head = b"$%d\r\n" % value_bytes
        end = self._padding + b"\r\n"
        self.tail, self._end = (end, b"") if value_bytes >= _LONG_BYTES else (b"", end)
        self._pack = struct.Struct(
            f">{len(self._head)}s{_FIELDS.size}sI{len(self._end)}s"
        ).pack

    def encode(self, key: int, version: int) -> bytes:
        """Return the value of a version of a key."""
        return self.encode_bulk(key, version)[len(self._head) : -2]

    def encode_bulk(self, key: int, version: int) -> bytes:
        """Return the same as a bulk string of RESP: the length, the value, CR LF."""
        return self.encode_begin(key, version) + self.tail

    def encode_begin(self, key: int, version: int) -> bytes:
        """Return the bulk string without its tail."""
        fields = _FIELDS.pack(_MAGIC, key, version)
        return self._pack(self._head, fields, crc32(fields, self._salt), self._end)

    def decode(self, value: bytes) -> Decoded | Flaw:
        """Return what a value says, or what is wrong with it."""
        if len(value) != self._size:
            return Flaw.LENGTH
        fields = value[:14]
        magic, key, version = _FIELDS.unpack(fields)
        if magic != _MAGIC:
            return Flaw.MAGIC
        if _CHECKSUM.unpack_from(value, 14)[0] != crc32(fields, self._salt):
            return Flaw.CHECKSUM
        if value[HEADER_BYTES:] != self._padding:
            return Flaw.PADDING
        return Decoded(key, version)
