"""Second looks: what stands is found, what moves or passes is not."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.parity.glimpse import Finding, Glimpse, compare
from loadprobe.core.parity.suspects import MOST_LOOKS, BothSeen, SuspectFate, Suspects
from tests.support.examples import examples

SETTLE_NS = 5_000
CONTENTS = st.sampled_from([b"1", b"2", b"3", None])


def seen(source: bytes | None, target: bytes | None) -> BothSeen:
    """Return what two contents of a string show."""
    one = Glimpse(b"string", source, None, 0)
    other = Glimpse(b"string", target, None, 0)
    return BothSeen(compare(one, other, tolerance_ns=0), one, other)


@given(st.lists(st.tuples(CONTENTS, CONTENTS), min_size=1, max_size=8))
@examples(100)
def test_every_suspect_has_the_fate_of_its_looks(
    looks: list[tuple[bytes | None, bytes | None]],
) -> None:
    """It differs after two looks in a row that are the same; else it is changing."""
    looks = [look for look in looks if seen(*look).finding is not Finding.SAME]
    looks = [*looks, *[(b"4", b"5"), (b"5", b"4")] * MOST_LOOKS]
    suspects, now_ns = Suspects(SETTLE_NS), 0
    suspects.add(b"key", seen(*looks[0]), now_ns)
    for number, (before, look) in enumerate(pairwise(looks), 2):
        assert suspects.take_due(now_ns + SETTLE_NS - 1, 9) == []
        now_ns += SETTLE_NS
        assert suspects.take_due(now_ns, 9) == [b"key"]
        fate = suspects.judge(b"key", seen(*look), now_ns)
        if look == before and None not in look:
            assert fate is SuspectFate.DIFFERENT
        elif number == MOST_LOOKS:
            assert fate is SuspectFate.CHANGING
        else:
            assert fate is SuspectFate.AGAIN
            continue
        assert not suspects
        return


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 7))
@examples(100)
def test_nobody_is_taken_twice_or_forgotten(numbers: list[int], most: int) -> None:
    """Each key that was added is taken once, in order, and kept until it is judged."""
    suspects = Suspects(SETTLE_NS)
    keys = [b"%d" % number for number in numbers]
    for key in keys:
        suspects.add(key, seen(b"1", b"2"), 0)
    assert suspects.take_due(SETTLE_NS - 1, most) == []
    taken: list[bytes] = []
    while part := suspects.take_due(SETTLE_NS, most):
        assert len(part) <= most
        taken += part
    assert taken == list(dict.fromkeys(keys))
    assert sorted(suspects.keys) == sorted(set(keys))
    assert suspects.take_due(SETTLE_NS * 99, most) == []


def test_suspects_of_an_earlier_life_are_looked_at_twice() -> None:
    """What was seen of them is not known any more."""
    suspects = Suspects(SETTLE_NS)
    suspects.restore([b"a", b"b", b"a"], 7)
    assert suspects.take_due(7, 9) == [b"a", b"b"]
    assert suspects.judge(b"a", seen(b"1", b"2"), 7) is SuspectFate.AGAIN
    suspects.drop(b"b")
    assert suspects.take_due(6 + SETTLE_NS, 9) == []
    assert suspects.take_due(7 + SETTLE_NS, 9) == [b"a"]
    assert suspects.judge(b"a", seen(b"1", b"2"), 7) is SuspectFate.DIFFERENT
    assert len(suspects) == 0
