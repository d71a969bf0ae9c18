"""How orders and messages cross the pipes: length in 4 bytes, then MessagePack."""

import struct

import msgspec

from loadprobe.probe.messages import FromProbe
from loadprobe.probe.orders import ToProbe

_HEADER = struct.Struct(">I")
HEADER_BYTES = _HEADER.size
MAX_FRAME_BYTES = 256 * 1024 * 1024


def encode_frame(message: ToProbe | FromProbe) -> bytes:
    """Return header and payload of one message."""
    payload = msgspec.msgpack.encode(message)
    return _HEADER.pack(len(payload)) + payload


def frame_length(header: bytes) -> int:
    """Return the payload length in bytes that a header announces.

    Raises:
        ValueError: the length is impossible: the stream is not ours.
    """
    length = int(_HEADER.unpack(header)[0])
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes is announced; the pipe is corrupt")
    return length


decode_to_probe = msgspec.msgpack.Decoder(ToProbe).decode
decode_from_probe = msgspec.msgpack.Decoder(FromProbe).decode
