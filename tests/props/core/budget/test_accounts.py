"""For any outages, blind times and restarts: budgets are those of brute force.

A course is told in whole seconds, and summed up beside the accounts as sets of seconds:
one big integer for each band, with a bit for each second.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from operator import or_

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.clock import NS_PER_S
from loadprobe.core.budget.account import Bands, Sums
from loadprobe.core.budget.accounts import Accounts, BudgetSnapshot, Dark, Entry, Seen
from loadprobe.core.budget.calendar import WINDOWS_NS, periods, window_start_ns
from loadprobe.core.intervals import Interval, difference
from tests.support.examples import examples

MONTH_S = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
BEGIN_S = MONTH_S - 7 * 3600
"""A month begins in the midst of the course."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Course:
    """What happens, in seconds since BEGIN_S.

    Args:
        outages: of reads and of writes; those of one do not overlap.
        planned: which of them are by plan.
        unseen: when nothing was looked at.
        ticks: how far it is judged with every entry.
        kills: which ticks are the last ones of a process, and whether the next one
            knows what was open then.
    """

    outages: list[Span]
    planned: list[bool]
    unseen: list[Span]
    ticks: list[int]
    kills: dict[int, bool]


@st.composite
def courses(draw: st.DrawFn) -> Course:
    """Draw a course of some hours."""
    outages: list[Span] = []
    for _ in range(2):
        at = 0
        gaps = st.sampled_from([3, 20, 59, 60, 61, 600, 3600, 7200])
        lengths = st.sampled_from([1, 2, 5, 60, 300, 3600, 8000])
        for gap, length in draw(st.lists(st.tuples(gaps, lengths), max_size=8)):
            outages.append((at + gap, at + gap + length))
            at += gap + length
    planned = draw(st.lists(st.booleans(), min_size=16, max_size=16))
    unseen = draw(
        st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 4_000)), max_size=4)
    )
    steps = draw(st.lists(st.sampled_from([5, 30, 50]), min_size=1, max_size=9))
    end_s = draw(st.sampled_from([90, 3_600, 25_200, 30_000, 45_000]))
    ticks: list[int] = []
    at = 0
    while at < end_s:
        at += steps[len(ticks) % len(steps)]
        ticks.append(at)
    kills = draw(
        st.dictionaries(st.integers(0, len(ticks) - 1), st.booleans(), max_size=4)
    )
    spans = [(start, start + length) for start, length in unseen]
    return Course(outages, planned, spans, ticks, kills)


def _bands(span: Span, *, planned: bool, until: int) -> Bands:
    """Return an outage as it is known at a time; its bars are a second wide."""
    start, end = span[0], min(span[1], until)
    rows = [(start + 1, end - 1), (start, end), (start - 1, min(end + 1, until))]
    lower, estimate, upper = ([_ns(row)] if row[0] < row[1] else [] for row in rows)
    if planned:
        return Bands(planned=estimate)
    return Bands(lower, estimate, upper)


def _ns(span: Span) -> Interval:
    return (BEGIN_S + span[0]) * NS_PER_S, (BEGIN_S + span[1]) * NS_PER_S


@dataclass
class Truth:
    """Which seconds are in which band, as bits."""

    bits: list[int] = field(default_factory=lambda: [0] * 5)

    def add(self, bands: Bands) -> None:
        """Add times."""
        for at, spans in enumerate(bands.all()):
            self.bits[at] |= reduce(or_, map(_bits, spans), 0)

    def sums(self, start_ns: int) -> Sums:
        """Return what lies after a time."""
        first = max(0, start_ns // NS_PER_S - BEGIN_S + 10)
        return Sums(*((bits >> first).bit_count() * NS_PER_S for bits in self.bits))


def _bits(span: Interval) -> int:
    start, end = (at_ns // NS_PER_S - BEGIN_S + 10 for at_ns in span)
    return ((1 << (end - start)) - 1) << start


class Play:
    """Tells a course to accounts, and to the truth."""

    def __init__(self, course: Course) -> None:
        self.accounts = Accounts()
        self.truth = Truth()
        self._course = course
        self._rows = dict(zip(course.outages, course.planned, strict=False))
        self._saved = BudgetSnapshot()
        self._log: list[bytes] = []
        self._told: set[Span] = set()

    def tick(self, before: int, until: int) -> None:
        """Judge some time."""
        rows = {
            span: is_planned
            for span, is_planned in self._rows.items()
            if span not in self._told and span[0] < until
        }
        known = {
            span: _bands(span, planned=is_planned, until=until)
            for span, is_planned in rows.items()
        }
        seen = difference([(before, until)], self._course.unseen)
        ended = [bands for span, bands in known.items() if span[1] < until]
        self._told |= {span for span in known if span[1] < until}
        going_on = Bands()
        for span, bands in known.items():
            if span[1] >= until:
                going_on = going_on.joined(bands)
        self._open = going_on
        seen_ns = [_ns(span) for span in seen]
        entry = Entry(
            until_ns=_ns((0, until))[1],
            seen=[Seen("tcp", ["0001"], seen_ns)],
            ended=[Dark("tcp", "0001", bands) for bands in ended],
            open=[Dark("tcp", "0001", going_on)] if going_on.count else [],
        )
        for bands in (*ended, Bands(seen=seen_ns)):
            self.truth.add(bands)
        self._log.append(msgspec.json.encode(entry))
        self.accounts.take(entry)

    def save(self) -> None:
        """Begin the file anew."""
        text = msgspec.json.encode(self.accounts.snapshot())
        self._saved = msgspec.json.decode(text, type=BudgetSnapshot)
        self._log.clear()

    def restart(self, until: int, *, is_resumed: bool) -> None:
        """Go on with what the file says, and all of that is told twice."""
        if not is_resumed:
            self.truth.add(self._open)
            self._told |= {s for s in self._rows if s[0] < until}
        text = msgspec.json.encode(self._saved)
        self.accounts = Accounts(msgspec.json.decode(text, type=BudgetSnapshot))
        for line in [*self._log, *self._log]:
            self.accounts.take(msgspec.json.decode(line, type=Entry))
        self.accounts.resume(_ns((0, until))[1])
        self.save()

    def check(self, until: int) -> None:
        """Compare all sums."""
        now_ns = _ns((0, until))[1]
        starts_ns = [
            *(period.start_ns for period in periods(now_ns)),
            *(window_start_ns(length, now_ns) for length in WINDOWS_NS.values()),
        ]
        truth = Truth(list(self.truth.bits))
        truth.add(self._open)
        expected = [truth.sums(start_ns) for start_ns in starts_ns]
        assert self.accounts.sums(("tcp", "0001"), starts_ns) == expected


@given(courses())
@examples(20)
def test_sums_are_those_of_brute_force(course: Course) -> None:
    """In every window and period, whatever was cut, told twice or told in parts."""
    play = Play(course)
    before = 0
    for number, until in enumerate(course.ticks):
        play.tick(before, until)
        before = until
        if number % 700 == 0:
            play.save()
            play.check(until)
        if number in course.kills:
            play.restart(until, is_resumed=course.kills[number])
            play.check(until)
    play.check(before)
