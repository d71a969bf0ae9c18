"""Readings that are changed under way, streams, and types that nobody knows."""

from typing import Any

import pytest

from loadprobe.core.parity.contents import MOST_OPAQUE_BYTES, read


def finish(type_name: bytes, first: Any, *replies: Any) -> bytes | None:
    """Answer a reading with replies in turn; return its digest."""
    reading = read(type_name, first)
    left = iter(replies)
    try:
        next(reading)
        while True:
            reading.send(next(left))
    except StopIteration as end:
        assert next(left, None) is None, "a reply was not asked for"
        digest: bytes | None = end.value
        return digest


LONG = b"x" * 4096
MANY = [b"x"] * 64


@pytest.mark.parametrize(
    ("type_name", "first", "replies"),
    [
        (b"string", LONG, (5000, b"")),  # it has become shorter
        (b"string", LONG, (5000, b"x" * 1000)),  # longer than it was said to be
        (b"string", LONG, (5000, b"x" * 904, 6000)),  # appended to
        (b"list", MANY, (70, [])),
        (b"list", MANY, (65, [b"y"], 66)),
        (b"set", [b"8", [b"a", b"b"]], (3, [b"0", [b"a", b"c"]])),  # one twice
        (b"set", [b"8", [b"a", b"b"]], (3, [b"0", [b"c"]], 4)),  # one more came
    ],
)
def test_what_is_changed_while_it_is_read_has_no_digest(
    type_name: bytes, first: Any, replies: tuple[Any, ...]
) -> None:
    """Nothing is said of it, rather than something wrong."""
    assert finish(type_name, first, *replies) is None


def stream(
    *, length: int = 2, last: bytes = b"2-0", end: bytes | None = None, acked: int = 1
) -> bytes | None:
    """Return the digest of a stream with two entries and two groups."""
    entries = [[b"1-0", [b"f", b"v"]], [b"2-0", [b"g", b"w"]]]
    groups = [
        [
            b"name",
            name,
            b"consumers",
            1,
            b"pending",
            acked,
            b"last-delivered-id",
            b"1-0",
        ]
        for name in (b"b", b"a")
    ]
    told = [
        [b"length", length, b"last-generated-id", each] for each in (last, end or last)
    ]
    return finish(b"stream", entries, told[0], groups, told[1])


def test_streams_have_ids_and_groups() -> None:
    """What consumers would notice is in the digest."""
    assert stream() == stream() is not None
    assert stream(last=b"3-0") != stream()
    assert stream(acked=2) != stream()
    assert stream(end=b"3-0") is None


def test_a_long_stream_is_read_from_id_to_id() -> None:
    """The next slice begins after the last entry, also on servers before 6.2."""
    entries = [[b"1-%d" % n, [b"f", b"v"]] for n in range(64)]
    reading = read(b"stream", entries)
    told = [b"length", 65, b"last-generated-id", b"1-64"]
    next(reading)
    question = reading.send(told)
    assert question.before == (b"XRANGE",)
    assert question.after[:2] == (b"1-64", b"+")
    assert reading.send([[b"1-64", [b"f", b"v"]]]).before == (b"XINFO", b"GROUPS")


def test_unknown_types_are_compared_by_dump() -> None:
    """Its version and checksum do not count; what is too large is not asked for."""
    one = finish(b"ReJSON-RL", None, 100, b"payload" + b"\x0b\x0012345678")
    other = finish(b"ReJSON-RL", None, 100, b"payload" + b"\x0a\x0087654321")
    assert one == other is not None
    assert finish(b"ReJSON-RL", None, 100, b"paYload" + b"\x0b\x0012345678") != one
    assert finish(b"ReJSON-RL", None, MOST_OPAQUE_BYTES + 1) is None
    assert finish(b"ReJSON-RL", None, None) is None
    assert finish(b"ReJSON-RL", None, 100, None) is None
