"""Values, byte by byte."""

import pytest

from loadprobe.core.load.values import Decoded, Flaw, ValueCodec


def test_a_value_says_what_it_is() -> None:
    """What was encoded is decoded, in exactly the size that was asked for."""
    for size in (24, 25, 64, 1000):
        codec = ValueCodec("tls", size)
        value = codec.encode(10_000_000, 1_700_000_000_000_000)
        assert len(value) == size
        assert codec.decode(value) == Decoded(10_000_000, 1_700_000_000_000_000)


def test_layout() -> None:
    """The fields are where the documentation says, big-endian."""
    value = ValueCodec("tls", 30).encode(0x01020304, 5)
    assert value[:2] == b"L1"
    assert value[2:6] == b"\x01\x02\x03\x04"
    assert value[6:14] == b"\0\0\0\0\0\0\0\x05"


def test_flaws() -> None:
    """Each kind of damage has its name."""
    codec = ValueCodec("tls", 40)
    value = codec.encode(1, 2)
    assert codec.decode(value[:-1]) is Flaw.LENGTH
    assert codec.decode(value + b"x") is Flaw.LENGTH
    assert codec.decode(b"") is Flaw.LENGTH
    assert codec.decode(b"X" + value[1:]) is Flaw.MAGIC
    assert codec.decode(value[:13] + b"\x07" + value[14:]) is Flaw.CHECKSUM
    assert codec.decode(value[:-1] + b"\0") is Flaw.PADDING


def test_a_value_of_another_lane_is_recognised() -> None:
    """Lanes do not take each other's values for their own."""
    assert ValueCodec("a", 40).decode(ValueCodec("b", 40).encode(1, 2)) is Flaw.CHECKSUM


def test_too_small() -> None:
    """A size that cannot hold the description is refused."""
    with pytest.raises(ValueError, match="23 bytes cannot describe itself"):
        ValueCodec("a", 23)
