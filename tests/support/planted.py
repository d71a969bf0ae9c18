"""Keys of every type, the same on two sides, and differences of every kind in between.

Commands are tuples of words; the key is the second one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loadprobe.core.parity.glimpse import Finding

Words = tuple[str | int, ...]
_LARGE = 1_500
"""Elements of a collection that is read in several slices."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A key, and how it is made.

    Args:
        key: its name.
        finding: what a comparison has to find.
        source: commands for the source.
        target: commands for the target.
    """

    key: str
    finding: Finding
    source: list[Words]
    target: list[Words]


def hash_of(key: str, size: int, *, value: str = "v") -> Words:
    """Return a hash."""
    pairs = [word for n in range(size) for word in (f"field:{n}", f"{value}{n}")]
    return ("HSET", key, *pairs)


def backwards(words: Words, step: int = 1) -> Words:
    """Return the same elements in another order, ``step`` words each."""
    items = words[2:]
    parts = [items[at : at + step] for at in range(0, len(items), step)]
    return (*words[:2], *(word for part in reversed(parts) for word in part))


def _members(key: str, size: int) -> Words:
    return ("SADD", key, *(f"member:{n}" for n in range(size)))


def _scores(key: str, size: int) -> Words:
    return ("ZADD", key, *(w for n in range(size) for w in (f"{n}.5", f"member:{n}")))


def _items(key: str, size: int) -> Words:
    return ("RPUSH", key, *(f"item:{n}" for n in range(size)))


def _entries(key: str, size: int) -> list[Words]:
    added: list[Words] = [("XADD", key, f"{n}-1", "f", f"v{n}") for n in range(1, size)]
    return [*added, ("XGROUP", key, "CREATE", "readers", "1-1")]


_MAKERS: dict[str, Callable[[str], list[Words]]] = {
    "string": lambda key: [("SET", key, f"value of {key}")],
    "string-long": lambda key: [("SET", key, f"{key} " * 60_000)],
    "list": lambda key: [_items(key, 5)],
    "list-long": lambda key: [_items(key, _LARGE)],
    "hash": lambda key: [hash_of(key, 5)],
    "hash-long": lambda key: [hash_of(key, _LARGE)],
    "set": lambda key: [_members(key, 5)],
    "set-long": lambda key: [_members(key, _LARGE)],
    "zset": lambda key: [_scores(key, 5)],
    "zset-long": lambda key: [_scores(key, _LARGE)],
    "stream": lambda key: _entries(key, 5),
    "stream-long": lambda key: _entries(key, 200),
}
KINDS = tuple(_MAKERS)
_SHORT = tuple(kind for kind in KINDS if not kind.endswith("-long"))

_SPOILT: dict[str, Callable[[str], list[Words]]] = {
    "string": lambda key: [("APPEND", key, "!")],
    "string-long": lambda key: [("SETRANGE", key, 300_000, "!")],
    "list": lambda key: [("LSET", key, 3, "another")],
    "list-long": lambda key: [("LSET", key, _LARGE - 7, "another")],
    "hash": lambda key: [("HSET", key, "field:2", "another")],
    "hash-long": lambda key: [("HSET", key, f"field:{_LARGE - 1}", "another")],
    "set": lambda key: [("SREM", key, "member:1"), ("SADD", key, "another")],
    "set-long": lambda key: [("SREM", key, "member:77"), ("SADD", key, "member:x")],
    "zset": lambda key: [("ZADD", key, "7.25", "member:3")],
    "zset-long": lambda key: [("ZADD", key, "1e-9", f"member:{_LARGE // 2}")],
    "stream": lambda key: [("XGROUP", key, "SETID", "readers", "3-1")],
    "stream-long": lambda key: [("XDEL", key, "150-1")],
}
"""What makes each of them another value."""


def same(kind: str, number: int) -> Planted:
    """Return a key that is the same on both sides, though made in another order."""
    key = f"same:{kind}:{number}"
    made = _MAKERS[kind](key)
    other = made
    if kind.startswith("set"):
        other = [backwards(made[0])]
    elif kind.startswith(("hash", "zset")):
        other = [backwards(made[0], 2)]
    return Planted(key, Finding.SAME, made, other)


def same_end(number: int, at_ms: int) -> Planted:
    """Return a key that ends at a time (UNIX, ms), on one side half a second later."""
    key = f"same:end:{number}"
    made: list[Words] = [("SET", key, "x")]
    return Planted(
        key,
        Finding.SAME,
        [*made, ("PEXPIREAT", key, at_ms)],
        [*made, ("PEXPIREAT", key, at_ms + 500)],
    )


def planted(per_kind: int) -> Iterator[Planted]:
    """Yield differences of every kind, in turn of every type; large ones are few."""
    for number in range(per_kind):
        kind = _SHORT[number % len(_SHORT)] if number >= len(KINDS) else KINDS[number]
        make = _MAKERS[kind]
        key = f"only-source:{kind}:{number}"
        yield Planted(key, Finding.MISSING_IN_TARGET, make(key), [])
        key = f"only-target:{kind}:{number}"
        yield Planted(key, Finding.MISSING_IN_SOURCE, [], make(key))
        key = f"type:{kind}:{number}"
        other = KINDS[(KINDS.index(kind) + 2) % len(KINDS)]
        yield Planted(key, Finding.TYPE, make(key), _MAKERS[other](key))
        key = f"value:{kind}:{number}"
        spoilt = [*make(key), *_SPOILT[kind](key)]
        sides = (make(key), spoilt) if number % 2 else (spoilt, make(key))
        yield Planted(key, Finding.VALUE, *sides)
        key = f"ttl:{kind}:{number}"
        ends: list[Words] = [("PEXPIRE", key, 700_000 + 100_000 * (number % 3))]
        other_ends: list[Words] = [("PEXPIRE", key, 600_000)] if number % 2 else []
        yield Planted(key, Finding.TTL, [*make(key), *ends], [*make(key), *other_ends])


def sent(words: Words) -> Words:
    """Return a command as it is sent: groups of streams name their key third."""
    if words[0] == "XGROUP":
        return (words[0], words[2], words[1], *words[3:])
    return words
