"""How the rate of a lane goes: paces, each from a time on until the next begins.

Pure. The *count* of a lane at a time is how many of its arrivals are due by then: a
line that bends where the rate changes and never jumps, in billionths of an arrival.
Arrival i is due where the count is i, so a change of rate loses no arrival, doubles
none, and leaves the order of shards and keys as it is. Whoever changes a rate works out
the pace once; every process gets the same numbers, so all agree to the nanosecond.
"""

import math
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple, Self

import msgspec

from loadprobe.clock import NS_PER_S

UNIT = 1_000_000_000
"""The count that one arrival adds."""


class Line(NamedTuple):
    """Where the rate is steady: due is ``(count * factor + offset) // unit``.

    Args:
        from_count: from here on.
    """

    from_count: int
    factor: int
    offset: int
    unit: int


class Pace(msgspec.Struct, frozen=True, dict=True):
    """The rate from a time on: it changes linearly, then stays.

    With rate ``a + (b - a) t / R`` the count grows by ``a t + (b - a) t^2 / 2R`` until
    ``t``; it has grown by x at ``t = 2x / (a + sqrt(a^2 + 2x (b - a) / R))`` (this form
    of the root also holds for a = 0, a = b and downward ramps). After the ramp, all is
    exact: rates are taken as the decimal numbers they are written as.

    Args:
        from_ns: when it begins, an offset from the start of the schedule.
        from_count: the count then.
        from_per_s: rate at its begin, 0 or above.
        to_per_s: rate from the end of the ramp on, above 0.
        ramp_s: length of the ramp; 0 is none.

    Raises:
        ValueError: a rate or the length is impossible.
    """

    from_ns: int
    from_count: int
    from_per_s: float
    to_per_s: float
    ramp_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no rate."""
        if not (self.to_per_s > 0 and math.isfinite(self.to_per_s)):
            raise ValueError(
                f"a rate of {self.to_per_s} arrivals per second is not above 0"
            )
        if not (self.from_per_s >= 0 and math.isfinite(self.from_per_s)):
            raise ValueError(
                f"a ramp cannot start at {self.from_per_s} arrivals per second"
            )
        if not (self.ramp_s >= 0 and math.isfinite(self.ramp_s)):
            raise ValueError(f"a ramp cannot last {self.ramp_s} s")

    @classmethod
    def steady(cls, rate_per_s: float) -> Self:
        """Return the pace of a rate that never changes."""
        return cls(0, 0, rate_per_s, rate_per_s)

    def changed(self, at_ns: int, to_per_s: float, ramp_s: float) -> Self:
        """Return the pace that follows from a time on.

        Args:
            at_ns: not before this one begins.
            to_per_s: its rate.
            ramp_s: how long it takes to get there, from the rate of that moment.
        """
        # In thousandths: numbers of a ramp that is cut short would grow for ever.
        rate_per_s = round(self.rate_per_s(at_ns), 3)
        return type(self)(at_ns, self.count_at(at_ns), rate_per_s, to_per_s, ramp_s)

    # --- in numbers ----------------------------------------------------------------

    @cached_property
    def _ramp_ns(self) -> Fraction:
        return _exact(self.ramp_s) * NS_PER_S

    @cached_property
    def _in_ramp(self) -> Fraction:
        """Return by how much the count grows in the ramp."""
        mean = (_exact(self.from_per_s) + _exact(self.to_per_s)) / 2
        return mean * self._ramp_ns * UNIT / NS_PER_S

    @cached_property
    def line(self) -> Line:
        """Return the part after the ramp."""
        per_count = NS_PER_S / (_exact(self.to_per_s) * UNIT)
        offset = (
            self.from_ns + self._ramp_ns - (self._in_ramp + self.from_count) * per_count
        )
        unit = math.lcm(per_count.denominator, offset.denominator)
        first = self.from_count + math.ceil(self._in_ramp)
        return Line(first, int(per_count * unit), int(offset * unit), unit)

    def due_ns(self, count: int) -> int:
        """Return when the count is reached, rounded down."""
        first, factor, offset, unit = self.line
        if count >= first:
            return (count * factor + offset) // unit
        grown = (count - self.from_count) / UNIT
        if grown <= 0:
            return self.from_ns
        start, slope = self.from_per_s, (self.to_per_s - self.from_per_s) / self.ramp_s
        # Rounding may put the root of a downward ramp a hair below zero.
        root = math.sqrt(max(start * start + 2 * grown * slope, 0.0))
        passed = int(2e9 * grown / (start + root))
        return self.from_ns + min(passed, int(self._ramp_ns))

    def count_at(self, at_ns: int) -> int:
        """Return the count at a time from its begin on.

        Rounded up: what is due before the time is due at a lower count.
        """
        passed = at_ns - self.from_ns
        if passed >= self._ramp_ns:
            rate = _exact(self.to_per_s)
            grown = self._in_ramp + (passed - self._ramp_ns) * rate * UNIT / NS_PER_S
        else:
            start, end = _exact(self.from_per_s), _exact(self.to_per_s)
            bend = (end - start) * passed / (2 * self._ramp_ns)
            grown = (start + bend) * passed * UNIT / NS_PER_S
        return self.from_count + math.ceil(grown)

    def rate_per_s(self, at_ns: int) -> float:
        """Return the rate at a time; before its begin that of its begin."""
        passed = max(0, at_ns - self.from_ns)
        if passed >= self._ramp_ns:
            return self.to_per_s
        share = float(passed / self._ramp_ns)
        return self.from_per_s + (self.to_per_s - self.from_per_s) * share


def _exact(number: float) -> Fraction:
    return Fraction(str(number))
