"""No damage to a value goes unnoticed."""

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.load.values import Decoded, Flaw, ValueCodec

SIZES = st.integers(24, 400)  # short and long
KEYS = st.integers(0, 2**32 - 1)
VERSIONS = st.integers(0, 2**63)


@given(st.text(), SIZES, KEYS, VERSIONS)
def test_round_trip(lane: str, size: int, key: int, version: int) -> None:
    """Decoding gives back what was encoded."""
    codec = ValueCodec(lane, size)
    value = codec.encode(key, version)
    assert codec.decode(value) == Decoded(key, version)
    assert codec.encode_bulk(key, version) == b"$%d\r\n%b\r\n" % (size, value)


@given(SIZES, KEYS, VERSIONS, st.integers(0, 399), st.integers(1, 255))
def test_any_changed_byte_is_found(
    size: int, key: int, version: int, at: int, flip: int
) -> None:
    """A single changed byte anywhere is a flaw."""
    codec = ValueCodec("a", size)
    value = bytearray(codec.encode(key, version))
    value[at % size] ^= flip
    assert isinstance(codec.decode(bytes(value)), Flaw)


@given(SIZES, KEYS, VERSIONS, st.integers(0, 399))
def test_any_truncation_is_found(size: int, key: int, version: int, cut: int) -> None:
    """A value cut short is a flaw."""
    codec = ValueCodec("a", size)
    assert codec.decode(codec.encode(key, version)[: cut % size]) is Flaw.LENGTH


@given(SIZES, st.tuples(KEYS, KEYS), st.tuples(VERSIONS, VERSIONS), st.integers(1, 13))
def test_a_mixture_of_two_values_is_found(
    size: int, keys: tuple[int, int], versions: tuple[int, int], at: int
) -> None:
    """The head of one value with the rest of another never passes for a third."""
    codec = ValueCodec("a", size)
    one, two = map(codec.encode, keys, versions)
    decoded = codec.decode(one[:at] + two[at:])
    assert isinstance(decoded, Flaw) or decoded == Decoded(keys[1], versions[1])
