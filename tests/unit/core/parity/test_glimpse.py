"""What two glimpses of a key show."""

import pytest

from loadprobe.core.parity.glimpse import (
    NO_KEY,
    Finding,
    Glimpse,
    compare,
    ends_between,
    has_changed,
)

S = 1_000_000_000
GONE = Glimpse(NO_KEY, b"", None, 0)


def string(content: bytes | None = b"1", ends_s: float | None = None) -> Glimpse:
    """Return a string that ends after so many seconds."""
    ends = None if ends_s is None else (int(ends_s * S), int(ends_s * S) + 1_000_000)
    return Glimpse(b"string", content, ends, 0)


@pytest.mark.parametrize(
    ("source", "target", "finding"),
    [
        (string(), string(), Finding.SAME),
        (GONE, GONE, Finding.SAME),
        (string(), GONE, Finding.MISSING_IN_TARGET),
        (GONE, string(), Finding.MISSING_IN_SOURCE),
        (string(), Glimpse(b"list", b"1", None, 0), Finding.TYPE),
        (string(), string(b"2"), Finding.VALUE),
        (string(None), string(b"2"), Finding.UNSTEADY),
        (string(ends_s=100), string(ends_s=101.9), Finding.SAME),
        (string(ends_s=100), string(ends_s=102.1), Finding.TTL),
        (string(ends_s=102.1), string(ends_s=100), Finding.TTL),
        (string(), string(ends_s=100), Finding.TTL),
        (string(b"2", ends_s=1), string(), Finding.VALUE),
        # about to end: it has ended on one side already
        (string(ends_s=1.9), GONE, Finding.SAME),
        (GONE, string(ends_s=1.9), Finding.SAME),
        (string(ends_s=2.1), GONE, Finding.MISSING_IN_TARGET),
    ],
)
def test_the_first_difference_counts(
    source: Glimpse, target: Glimpse, finding: Finding
) -> None:
    """Missing, then type, then value, then the end, within the tolerance."""
    assert compare(source, target, tolerance_ns=2 * S) is finding


def test_unknown_types_are_the_same_or_not_comparable() -> None:
    """What only its module understands is never called different."""
    one, other = (Glimpse(b"ReJSON-RL", content, None, 0) for content in (b"1", b"2"))
    unread = Glimpse(b"ReJSON-RL", None, None, 0)
    assert compare(one, one, tolerance_ns=S) is Finding.SAME
    assert compare(one, other, tolerance_ns=S) is Finding.NOT_COMPARABLE
    assert compare(unread, unread, tolerance_ns=S) is Finding.NOT_COMPARABLE
    assert not has_changed(unread, unread)


def test_a_slow_reply_invents_no_difference() -> None:
    """An end is known as well as the reply was quick."""
    slow = Glimpse(b"string", b"1", ends_between(10_000, 0, 30 * S), 0)
    late = Glimpse(b"string", b"1", ends_between(10_000, 25 * S, 25 * S), 0)
    assert compare(slow, late, tolerance_ns=0) is Finding.SAME
    assert not has_changed(slow, late)
    assert ends_between(-1, 0, S) is None


@pytest.mark.parametrize(
    ("before", "now", "is_changed"),
    [
        (string(), string(), False),
        (string(), GONE, True),
        (string(), string(b"2"), True),
        (string(None), string(None), True),
        (string(), string(ends_s=5), True),
        (string(ends_s=5), string(ends_s=5.2), False),
        (string(ends_s=5), string(ends_s=5.4), True),
        (GONE, GONE, False),
    ],
)
def test_changes_between_looks(before: Glimpse, now: Glimpse, is_changed: bool) -> None:
    """Content, type, and an end that was moved; what was not steady may have been."""
    assert has_changed(before, now) is is_changed
