"""Digests: equal for equal contents in whatever order and slices, and only then."""

import struct
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.parity.contents import FIRST, Question, is_whole, read, weight_of
from tests.support.examples import examples

NAMES = st.binary(max_size=6)
HASHES = st.dictionaries(NAMES, NAMES, min_size=1, max_size=300)
SCORES = st.dictionaries(
    NAMES, st.floats(allow_nan=False, width=32), min_size=1, max_size=200
)
LISTS = st.lists(NAMES, min_size=1, max_size=400)
ORDERS = st.integers(0, 2**32)


@dataclass
class Holder:
    """A server with one key.

    Args:
        value: what the key holds.
        order: seed of the order of its elements, and of what SCAN tells twice.
        repeats: share of elements that SCAN tells twice.
    """

    value: Any
    order: int = 0
    repeats: float = 0.0
    asked: list[Question] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = Random(self.order)
        if isinstance(self.value, dict | set):
            self._elements = list(self.value)
            self._random.shuffle(self._elements)

    @property
    def type(self) -> bytes:
        """Return what TYPE says."""
        if isinstance(self.value, bytes | list | set):
            return {bytes: b"string", list: b"list", set: b"set"}[type(self.value)]
        is_zset = isinstance(next(iter(self.value.values())), float)
        return b"zset" if is_zset else b"hash"

    def reply(self, question: Question) -> Any:
        """Answer a question."""
        self.asked.append(question)
        words = question.before[-1], *question.after
        match words:
            case (b"STRLEN" | b"LLEN" | b"HLEN" | b"SCARD" | b"ZCARD",):
                return len(self.value)
            case b"GETRANGE" | b"LRANGE", first, last:
                return self.value[int(first) : int(last) + 1]
            case b"HSCAN" | b"SSCAN" | b"ZSCAN", cursor, b"COUNT", count:
                return self._scan(int(cursor), int(count))
        raise AssertionError(words)

    def _scan(self, cursor: int, count: int) -> list[Any]:
        part = self._elements[cursor : cursor + count]
        told = [e for e in part for _ in range(1 + self._is_repeated())]
        end = cursor + count
        following = b"0" if end >= len(self._elements) else b"%d" % end
        if isinstance(self.value, set):
            return [following, told]
        return [following, [w for e in told for w in (e, self._text(self.value[e]))]]

    def _is_repeated(self) -> bool:
        return self._random.random() < self.repeats

    def _text(self, value: Any) -> bytes:
        return value if isinstance(value, bytes) else b"%r" % value

    def digest(self) -> bytes | None:
        """Read the key to its end."""
        reading = read(self.type, self.reply(FIRST[self.type]))
        try:
            question = next(reading)
            while True:
                question = reading.send(self.reply(question))
        except StopIteration as end:
            digest: bytes | None = end.value
            return digest


@given(HASHES | SCORES | st.sets(NAMES, min_size=1, max_size=300), ORDERS, ORDERS)
@examples(60)
def test_order_does_not_matter(value: Any, one: int, other: int) -> None:
    """Elements that come in another order give the same digest."""
    assert Holder(value, one).digest() == Holder(value, other).digest() is not None


@given(
    st.one_of(
        st.tuples(HASHES, HASHES),
        st.tuples(LISTS, LISTS),
        st.tuples(st.binary(max_size=9000), st.binary(max_size=9000)),
        st.tuples(SCORES, SCORES),
    )
)
@examples(60)
def test_digests_are_equal_only_for_equal_contents(pair: tuple[Any, Any]) -> None:
    """Two contents have one digest if, and only if, they are one."""
    one, other = pair
    is_equal = Holder(one).digest() == Holder(other).digest()
    assert is_equal == (one == other)


@given(HASHES, st.data())
@examples(40)
def test_a_changed_value_changes_the_digest(
    value: dict[bytes, bytes], data: st.DataObject
) -> None:
    """One other field is another digest, wherever it is."""
    name = data.draw(st.sampled_from(sorted(value)))
    changed = {**value, name: value[name] + b"!"}
    assert Holder(value).digest() != Holder(changed).digest()


@given(st.sets(NAMES, min_size=65, max_size=300), ORDERS)
@examples(20)
def test_what_is_told_twice_gives_no_wrong_digest(
    value: set[bytes], order: int
) -> None:
    """With elements that SCAN tells twice there is the right digest or none."""
    right = Holder(value).digest()
    told = Holder(value, order, repeats=0.02).digest()
    assert told in (right, None)


@given(st.integers(4097, 2_000_000))
@examples(10)
def test_a_long_string_is_read_in_slices(length: int) -> None:
    """No reply is longer than a slice, and nothing is read twice."""
    holder = Holder(b"x" * length)
    assert holder.digest() is not None
    slices = [q for q in holder.asked if q.before == (b"GETRANGE",)]
    sizes = [int(q.after[1]) - int(q.after[0]) + 1 for q in slices]
    assert max(sizes) <= 262_144
    assert sum(sizes[:-1]) < length <= sum(sizes)


def test_slices_of_large_elements_become_small() -> None:
    """After large elements fewer are asked for, after small ones more."""
    large = Holder({b"%d" % n: b"x" * 20_000 for n in range(200)})
    small = Holder({b"%d" % n: b"x" for n in range(5000)})
    for holder, bound in ((large, 13), (small, 500)):
        assert holder.digest() is not None
        counts = [int(q.after[2]) for q in holder.asked if q.before == (b"HSCAN",)]
        assert counts[-1] == bound


def test_slices_count_by_what_they_hold() -> None:
    """Ten elements or 4 KiB are as much as a key, in whatever shape they come."""
    assert [weight_of(each) for each in (None, 7, b"", b"x" * 8192)] == [1, 1, 1, 3]
    assert weight_of([b"17", [b"x"] * 40]) == weight_of([b"x"] * 40) == 5


def test_scores_are_compared_as_numbers() -> None:
    """Versions write the same score differently."""
    one = read(b"zset", [b"0", [b"a", b"3.1000000000000001", b"b", b"-0"]])
    other = read(b"zset", [b"0", [b"b", b"0", b"a", b"3.1"]])
    digests = []
    for reading in (one, other):
        try:
            next(reading)
        except StopIteration as end:
            digests.append(end.value)
    assert digests[0] == digests[1]
    assert struct.pack("<d", 3.1) == struct.pack("<d", float("3.1000000000000001"))


def test_a_short_first_reply_is_all_there_is() -> None:
    """Strings and lists tell by their length, others by the cursor, streams never."""
    assert is_whole(b"string", b"x" * 4095)
    assert not is_whole(b"string", b"x" * 4096)
    assert not is_whole(b"list", [b"x"] * 64)
    assert is_whole(b"set", [b"0", []])
    assert not is_whole(b"hash", [b"7", []])
    assert not is_whole(b"stream", [])
