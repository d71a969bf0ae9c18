"""What one side showed of a key at one look, and how two sides are compared.

Pure. Nothing of a value is kept but its digest. When a key ends is an interval, from
when it was asked for and answered, so that a slow reply invents no difference.
"""

from dataclasses import dataclass
from enum import StrEnum

from loadprobe.core.parity.contents import COMPARABLE

NO_KEY = b"none"
"""What TYPE says of a key that is not there."""

_NS_PER_MS = 1_000_000
_JITTER_NS = 250 * _NS_PER_MS
"""An end that moves by less has not been moved: it is rounded, and clocks drift."""


class Finding(StrEnum):
    """What two sides show, the first that holds."""

    SAME = "same"
    MISSING_IN_TARGET = "missing in target"
    MISSING_IN_SOURCE = "missing in source"
    TYPE = "type"
    VALUE = "value"
    TTL = "ttl"
    NOT_COMPARABLE = "not comparable"
    UNSTEADY = "unsteady"
    """It was changed while it was read: nothing can be said."""


DIFFERENCES = (
    Finding.MISSING_IN_TARGET,
    Finding.MISSING_IN_SOURCE,
    Finding.TYPE,
    Finding.VALUE,
    Finding.TTL,
)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A key as one side showed it.

    Args:
        type: as TYPE says.
        content: digest of what it holds; None: it changed while it was read, or cannot
            be read.
        ends: between which times it ends by itself, monotonic ns; None: it does not.
        seen_ns: when it was asked for.
    """

    type: bytes
    content: bytes | None
    ends: tuple[int, int] | None
    seen_ns: int

    @property
    def is_there(self) -> bool:
        """Tell whether there is such a key."""
        return self.type != NO_KEY


def ends_between(pttl_ms: int, asked_ns: int, told_ns: int) -> tuple[int, int] | None:
    """Return between which times a key ends; None: it does not.

    Args:
        pttl_ms: what PTTL says: -1 without an end, -2 without a key.
        asked_ns: when it was asked, monotonic.
        told_ns: when the reply was there.
    """
    if pttl_ms < 0:
        return None
    left_ns = pttl_ms * _NS_PER_MS
    return asked_ns + left_ns, told_ns + left_ns + _NS_PER_MS


def _apart_ns(one: tuple[int, int], other: tuple[int, int]) -> int:
    """Return by how much two intervals are apart, 0 if they overlap."""
    return max(one[0] - other[1], other[0] - one[1], 0)


def compare(source: Glimpse, target: Glimpse, *, tolerance_ns: int) -> Finding:
    """Return what two glimpses of a key show.

    A key that one side has no more and that ends on the other one within the tolerance
    is the same on both.

    Args:
        source: of the source.
        target: of the target.
        tolerance_ns: ends may be so far apart.
    """
    if not (source.is_there and target.is_there):
        return _compare_missing(source, target, tolerance_ns)
    if source.type != target.type:
        return Finding.TYPE
    if source.type not in COMPARABLE:
        is_same = source.content is not None and source.content == target.content
        if not is_same:
            return Finding.NOT_COMPARABLE
    elif source.content is None or target.content is None:
        return Finding.UNSTEADY
    elif source.content != target.content:
        return Finding.VALUE
    if source.ends is None or target.ends is None:
        return Finding.SAME if source.ends is target.ends else Finding.TTL
    is_close = _apart_ns(source.ends, target.ends) <= tolerance_ns
    return Finding.SAME if is_close else Finding.TTL


def _compare_missing(source: Glimpse, target: Glimpse, tolerance_ns: int) -> Finding:
    if source.is_there is target.is_there:
        return Finding.SAME
    left = source if source.is_there else target
    gone = target if source.is_there else source
    if left.ends is not None and left.ends[0] - gone.seen_ns <= tolerance_ns:
        return Finding.SAME
    if source.is_there:
        return Finding.MISSING_IN_TARGET
    return Finding.MISSING_IN_SOURCE


def has_changed(before: Glimpse, now: Glimpse) -> bool:
    """Tell whether a key was changed on one side between two looks, or may have been.

    Args:
        before: the earlier look.
        now: the later look.
    """
    if before.type != now.type:
        return True
    if before.type in COMPARABLE and (
        before.content is None or before.content != now.content
    ):
        return True
    if before.ends is None or now.ends is None:
        return before.ends is not now.ends
    return _apart_ns(before.ends, now.ends) > _JITTER_NS
