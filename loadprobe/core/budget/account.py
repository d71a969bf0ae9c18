"""What is known of one shard on one lane: when it was seen, and when it was dark.

Pure; all times are UNIX nanoseconds. What happened lately stands as spans, so reads and
writes that were dark together count once, and what is told twice counts once. What is
older is *settled*: its lengths are added to minutes, later to hours, and nothing that
comes afterwards changes that time any more. So each instant is counted at most once,
whatever is told again after a restart, and the size of it all is bounded.
"""

from bisect import bisect_left
from collections.abc import Iterable
from operator import add
from typing import NamedTuple

import msgspec

from loadprobe.clock import NS_PER_S
from loadprobe.core.budget.calendar import DAY_NS, FINE_NS, HOUR_NS, MINUTE_NS
from loadprobe.core.intervals import Interval, difference, length, union

WAIT_NS = MINUTE_NS
"""Nothing younger is settled: outages are known later than they begin."""

LONGEST_WAIT_NS = HOUR_NS
"""Nor what may belong to an outage that goes on or to a blind time, up to this age."""

MOST_SPANS = 2_000
"""With more of them, what is older than ``WAIT_NS`` is settled whatever goes on."""

KEPT_NS = 32 * DAY_NS
_HISTORY_NS = NS_PER_S


class Bands(msgspec.Struct, frozen=True, array_like=True):
    """Times of a place; each is a set of disjoint spans, by time.

    Args:
        lower: it was certainly dark.
        estimate: it was dark, as far as it was seen.
        upper: it may have been dark.
        planned: it was dark by plan (estimate), which is in none of the others.
        seen: it was observed, dark or not.
    """

    lower: list[Interval] = []
    estimate: list[Interval] = []
    upper: list[Interval] = []
    planned: list[Interval] = []
    seen: list[Interval] = []

    @property
    def count(self) -> int:
        """Return the number of spans."""
        return sum(map(len, self.all()))

    def all(self) -> tuple[list[Interval], ...]:
        """Return the sets, in the order of ``Sums``."""
        return self.lower, self.estimate, self.upper, self.planned, self.seen

    def joined(self, other: "Bands") -> "Bands":
        """Return the times that are in either."""
        return Bands(
            *(
                _joined(own, more) if more else own
                for own, more in zip(self.all(), other.all(), strict=True)
            )
        )

    def since(self, start_ns: int) -> "Bands":
        """Return what is not before a time."""
        return Bands(*(_cut(spans, start_ns, None) for spans in self.all()))

    def sums(self, start_ns: int, end_ns: int | None = None) -> "Sums":
        """Return the lengths of what lies within [start_ns, end_ns)."""
        return Sums(*(length(_cut(spans, start_ns, end_ns)) for spans in self.all()))


class Sums(NamedTuple):
    """Lengths of ``Bands`` in some time, in ns."""

    lower_ns: int = 0
    estimate_ns: int = 0
    upper_ns: int = 0
    planned_ns: int = 0
    seen_ns: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums of both."""
        return Sums(*map(add, self, other))


NOTHING = Sums()


def _joined(own: list[Interval], more: list[Interval]) -> list[Interval]:
    """Return the union; quick if what is added is not older than most of it."""
    first_ns = min(more)[0]
    at = bisect_left(own, first_ns, key=lambda span: span[1])
    return own[:at] + union([*own[at:], *more])


def _cut(spans: list[Interval], start_ns: int, end_ns: int | None) -> list[Interval]:
    if not spans or (spans[0][0] >= start_ns and end_ns is None):
        return spans
    return [
        (max(start, start_ns), end if end_ns is None else min(end, end_ns))
        for start, end in spans
        if end > start_ns and (end_ns is None or start < end_ns)
    ]


class Account(msgspec.Struct):
    """The account of one place.

    Args:
        settled_ns: everything before is in ``minutes`` and ``hours``.
        recent: what happened since.
        open: outages that go on, as known now; not in ``recent``.
        minutes: number of a UNIX minute -> its sums; none if nothing was seen.
        hours: the same of hours that are older.
    """

    settled_ns: int = 0
    recent: Bands = Bands()
    open: Bands = Bands()
    minutes: dict[int, Sums] = {}
    hours: dict[int, Sums] = {}

    def add(self, bands: Bands) -> None:
        """Take more of what happened; what is settled stays as it is."""
        self.recent = self.recent.joined(bands.since(self.settled_ns))

    def go_on(self, bands: Bands) -> None:
        """Take the outages that go on, instead of those of the last time."""
        self.open = bands.since(self.settled_ns)

    def leave_open(self) -> None:
        """Keep what is known of outages of which no more may be heard."""
        self.add(self.open)
        self.open = Bands()

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is known."""
        return not (self.minutes or self.hours or self.recent.count or self.open.count)

    def settled(self, start_ns: int) -> Sums:
        """Return the lengths of what is settled, from the beginning of a bucket on."""
        found = [
            NOTHING,
            *(s for m, s in self.minutes.items() if m * MINUTE_NS >= start_ns),
            *(s for h, s in self.hours.items() if h * HOUR_NS >= start_ns),
        ]
        return Sums(*map(sum, zip(*found, strict=True)))

    def unsettled(self) -> Bands:
        """Return what is not settled, with what goes on."""
        return self.recent.joined(self.open)

    # --- settling --------------------------------------------------------------------

    def settle(self, until_ns: int) -> None:
        """Settle what is old enough.

        Args:
            until_ns: everything before was judged.
        """
        ripe_ns = (until_ns - WAIT_NS) // MINUTE_NS * MINUTE_NS
        if ripe_ns <= self.settled_ns:
            return
        if self.recent.count + self.open.count <= MOST_SPANS:
            held_ns = max(self._held_ns(until_ns), until_ns - LONGEST_WAIT_NS)
            ripe_ns = min(ripe_ns, held_ns // MINUTE_NS * MINUTE_NS)
        if ripe_ns > self.settled_ns:
            self._settle(ripe_ns)
            self._age()

    def _held_ns(self, until_ns: int) -> int:
        """Return from when on something may belong to what is not over."""
        held_ns = min(
            (spans[0][0] for spans in self.open.all() if spans), default=until_ns
        )
        seen = self.recent.seen
        whole = [(seen[0][0], until_ns)] if seen else []
        for start_ns, end_ns in difference(whole, seen):
            # An outage after a time that was not seen may have begun in it.
            if end_ns > until_ns - WAIT_NS:
                held_ns = min(held_ns, start_ns - _HISTORY_NS)
        return held_ns

    def _settle(self, until_ns: int) -> None:
        known = self.recent.joined(self.open)
        for minute in _buckets(known, until_ns, MINUTE_NS):
            start_ns = minute * MINUTE_NS
            sums = known.sums(start_ns, start_ns + MINUTE_NS)
            self.minutes[minute] = self.minutes.get(minute, NOTHING).plus(sums)
        self.recent = self.recent.since(until_ns)
        self.open = self.open.since(until_ns)
        self.settled_ns = until_ns

    def _age(self) -> None:
        """Make hours of old minutes, and drop old hours."""
        fine_ns = (self.settled_ns - FINE_NS - MINUTE_NS) // HOUR_NS * HOUR_NS
        for minute in [m for m in self.minutes if m * MINUTE_NS < fine_ns]:
            hour = minute * MINUTE_NS // HOUR_NS
            sums = self.minutes.pop(minute)
            self.hours[hour] = self.hours.get(hour, NOTHING).plus(sums)
        kept_ns = self.settled_ns - KEPT_NS
        for hour in [h for h in self.hours if h * HOUR_NS < kept_ns]:
            del self.hours[hour]

    def rewind(self, now_ns: int) -> None:
        """Forget what is said of a time that has not come: a clock was wrong then.

        What is said of the running hour may go with it.
        """
        if self.settled_ns <= now_ns:
            return
        now_ns = now_ns // MINUTE_NS * MINUTE_NS
        self.settled_ns = now_ns
        self.recent = self.open = Bands()
        self.minutes = {
            m: s for m, s in self.minutes.items() if (m + 1) * MINUTE_NS <= now_ns
        }
        self.hours = {
            h: s for h, s in self.hours.items() if (h + 1) * HOUR_NS <= now_ns
        }


def _buckets(bands: Bands, until_ns: int, size_ns: int) -> Iterable[int]:
    """Return the numbers of the buckets before a time that anything lies in."""
    numbers: set[int] = set()
    for start_ns, end_ns in union(span for spans in bands.all() for span in spans):
        last_ns = min(end_ns, until_ns) - 1
        numbers.update(range(start_ns // size_ns, last_ns // size_ns + 1))
    return sorted(numbers)
