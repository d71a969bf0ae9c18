"""How what a key holds is read in slices, and made into a digest.

Pure: a reading is a generator that yields questions and is sent the replies. It returns
the digest, or None if the key was changed meanwhile. No slice is much larger than
``SLICE_BYTES``, but for a single element that is: neither side holds a large collection
in memory, nor does the server stand still for one.

The elements of hashes, sets and sorted sets come in any order, so their digests are
summed modulo 2^128. SCAN may tell an element twice while a table is resized, and one
that comes or goes meanwhile or not: so their number has to be that of the collection,
before and after.
"""

import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any, NamedTuple

SLICE_BYTES = 256 * 1024
"""Aimed at for one reply."""

MOST_OPAQUE_BYTES = 16 * 1024 * 1024
"""Of a key of an unknown type: DUMP tells all of it at once."""

_FIRST_BYTES = 4096
_FIRST_ITEMS = 64
_MOST_ITEMS = 500
"""Of a slice: SCAN takes a server about a microsecond for each, or some."""

_WEIGHT_ITEMS, _WEIGHT_BYTES = 10, 4096
_DUMP_END = 10
"""Version and checksum at the end of what DUMP tells: versions write it differently."""

_FULL = 1 << 128
_DIGEST_BYTES = 16
_CURSOR_END = b"0"


class Question(NamedTuple):
    """A command about one key.

    Args:
        before: its words before the key.
        after: its words after the key.
    """

    before: tuple[bytes, ...]
    after: tuple[bytes, ...] = ()


Reading = Generator[Question, Any, bytes | None]


def ask(*before: bytes, after: tuple[bytes, ...] = ()) -> Question:
    """Return a command about one key."""
    return Question(before, after)


_COUNTED = b"0", b"COUNT", b"%d" % _FIRST_ITEMS
FIRST = {
    b"string": ask(b"GETRANGE", after=(b"0", b"%d" % (_FIRST_BYTES - 1))),
    b"list": ask(b"LRANGE", after=(b"0", b"%d" % (_FIRST_ITEMS - 1))),
    b"hash": ask(b"HSCAN", after=_COUNTED),
    b"set": ask(b"SSCAN", after=_COUNTED),
    b"zset": ask(b"ZSCAN", after=_COUNTED),
    b"stream": ask(b"XRANGE", after=(b"-", b"+", b"COUNT", b"%d" % _FIRST_ITEMS)),
}
"""Type -> what is asked first: all of most keys."""

COMPARABLE = frozenset(FIRST)
"""Types whose content is compared whatever versions the servers have."""

_LENGTH = {b"hash": ask(b"HLEN"), b"set": ask(b"SCARD"), b"zset": ask(b"ZCARD")}
_SCAN = {b"hash": b"HSCAN", b"set": b"SSCAN", b"zset": b"ZSCAN"}


def is_whole(type_name: bytes, first: Any) -> bool:
    """Tell whether the first reply is all that a key holds."""
    if type_name == b"string":
        return len(first) < _FIRST_BYTES
    if type_name == b"list":
        return len(first) < _FIRST_ITEMS
    return type_name in _SCAN and first[0] == _CURSOR_END


def weight_of(reply: Any) -> int:
    """Return how many keys a slice counts as, for the rate: what it costs a server."""
    if isinstance(reply, bytes):
        return 1 + len(reply) // _WEIGHT_BYTES
    if not isinstance(reply, list):
        return 1
    is_scan = len(reply) == 2 and isinstance(reply[1], list)
    return 1 + len(reply[1] if is_scan else reply) // _WEIGHT_ITEMS


def read(type_name: bytes, first: Any) -> Reading:
    """Return a reading of a key.

    Args:
        type_name: its type.
        first: the reply to ``FIRST[type_name]``; None for other types.
    """
    if type_name == b"string":
        return _read_string(first)
    if type_name == b"list":
        return _read_list(first)
    if type_name in _SCAN:
        return _read_scanned(type_name, first)
    if type_name == b"stream":
        return _read_stream(first)
    return _read_opaque()


def _read_string(first: bytes) -> Reading:
    digest = _new(first)
    if is_whole(b"string", first):
        return digest.digest()
    length = yield ask(b"STRLEN")
    at = len(first)
    while at < length:
        end = b"%d" % (at + SLICE_BYTES - 1)
        part = yield ask(b"GETRANGE", after=(b"%d" % at, end))
        if not part:
            return None
        digest.update(part)
        at += len(part)
    is_steady = at == length and (yield ask(b"STRLEN")) == length
    return digest.digest() if is_steady else None


def _read_list(first: list[bytes]) -> Reading:
    digest, at = _new(), len(first)
    _add(digest, first)
    if is_whole(b"list", first):
        return digest.digest()
    length = yield ask(b"LLEN")
    items, size = first, _FIRST_ITEMS
    while at < length:
        size = _next_size(items, size)
        after = b"%d" % at, b"%d" % (at + size - 1)
        items = yield ask(b"LRANGE", after=after)
        if not items:
            return None
        _add(digest, items)
        at += len(items)
    is_steady = at == length and (yield ask(b"LLEN")) == length
    return digest.digest() if is_steady else None


def _read_scanned(type_name: bytes, first: list[Any]) -> Reading:
    pairs, words = _ELEMENTS[type_name]
    cursor, items = first
    elements = _Elements()
    elements.add(pairs(items))
    if cursor == _CURSOR_END:
        return elements.digest()
    length = yield _LENGTH[type_name]
    size = _FIRST_ITEMS
    while cursor != _CURSOR_END:
        size = _next_size(items, size, words=words)
        after = cursor, b"COUNT", b"%d" % size
        cursor, items = yield ask(_SCAN[type_name], after=after)
        elements.add(pairs(items))
    is_steady = elements.count == length and (yield _LENGTH[type_name]) == length
    return elements.digest() if is_steady else None


def _read_stream(first: list[Any]) -> Reading:
    """Read entries, the last id that was given, and consumer groups.

    Of groups their names, how far they are, and how much is not acknowledged.
    """
    begun = yield ask(b"XINFO", b"STREAM")
    digest, entries, size = _new(), first, _FIRST_ITEMS
    while entries:
        for name, fields in entries:
            _add(digest, [name, b"%d" % len(fields or ()), *(fields or ())])
        if len(entries) < size:
            break
        size = _next_size([part for _, part in entries], size)
        after = _after(entries[-1][0]), b"+", b"COUNT", b"%d" % size
        entries = yield ask(b"XRANGE", after=after)
    groups = yield ask(b"XINFO", b"GROUPS")
    for group in sorted(map(_pairs, groups), key=lambda group: bytes(group[b"name"])):
        parts = group[b"name"], group[b"last-delivered-id"], b"%d" % group[b"pending"]
        _add(digest, parts)
    ended = yield ask(b"XINFO", b"STREAM")
    marks = [
        (told[b"length"], told[b"last-generated-id"])
        for told in map(_pairs, [begun, ended])
    ]
    _add(digest, [marks[0][1]])
    return digest.digest() if marks[0] == marks[1] else None


def _read_opaque() -> Reading:
    """Read what only its module understands, as DUMP tells it.

    Two servers may write the same key differently: equal is equal, different is not.
    """
    size = yield ask(b"MEMORY", b"USAGE")
    if not isinstance(size, int) or size > MOST_OPAQUE_BYTES:
        return None
    dump = yield ask(b"DUMP")
    return _new(dump[:-_DUMP_END]).digest() if isinstance(dump, bytes) else None


def _pairs(flat: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _after(entry_id: bytes) -> bytes:
    """Return the id that follows (before 6.2 XRANGE knows no open ends)."""
    time, _, sequence = entry_id.partition(b"-")
    return b"%b-%d" % (time, int(sequence) + 1)


def _next_size(items: Sequence[Any], size: int, *, words: int = 1) -> int:
    """Return how many elements make a slice, from those of the last one.

    Args:
        items: of the last slice.
        size: how many were asked for.
        words: items that make an element.
    """
    if not items:
        return min(2 * size, _MOST_ITEMS)
    flat = chain.from_iterable(
        item if isinstance(item, list) else (item,) for item in items
    )
    read_bytes = sum(map(len, flat)) + 8 * len(items)
    fit = SLICE_BYTES * len(items) // (words * read_bytes)
    return max(1, min(fit, _MOST_ITEMS, 4 * size))


def _new(begin: bytes = b"") -> blake2b:
    return blake2b(begin, digest_size=_DIGEST_BYTES)


def _add(digest: blake2b, parts: Sequence[bytes]) -> None:
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)


class _Elements:
    """Adds elements up in any order."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, elements: Iterator[bytes]) -> None:
        """Add elements, each in one text."""
        for element in elements:
            self._sum += int.from_bytes(_new(element).digest())
            self.count += 1

    def digest(self) -> bytes:
        """Return the digest of all elements."""
        return b"%d:%x" % (self.count, self._sum % _FULL)


def _fields(items: list[bytes]) -> Iterator[bytes]:
    for field, value in zip(items[::2], items[1::2], strict=True):
        yield b"%d:%b%b" % (len(field), field, value)


def _scores(items: list[bytes]) -> Iterator[bytes]:
    """Yield members with their scores: versions write the same number differently."""
    for member, score in zip(items[::2], items[1::2], strict=True):
        yield struct.pack("<d", float(score) + 0.0) + member


_ELEMENTS: dict[bytes, tuple[Callable[[list[bytes]], Iterator[bytes]], int]] = {
    b"hash": (_fields, 2),
    b"set": (iter, 1),
    b"zset": (_scores, 2),
}
"""Type -> how a reply becomes elements, and of how many words each is."""
