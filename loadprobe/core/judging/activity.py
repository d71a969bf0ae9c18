"""What lanes did, second by second: served arrivals, worst replies, work they caused.

Pure. Kept for the last hours only, as numbers in arrays: a run may last for weeks.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from loadprobe.clock import NEVER_NS, NS_PER_S
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.latency import KEPT_S, SecondHistograms
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind, Outcome


class Work(NamedTuple):
    """What a client did to its target.

    Args:
        attempts: commands sent for arrivals, with those that were tried again.
        connects: attempts to connect, also those that failed.
        refreshes: times the topology was asked for.
        raised: operations that ended with an error of the client.
    """

    attempts: int = 0
    connects: int = 0
    refreshes: int = 0
    raised: int = 0


class SecondLog:
    """Counts per second of many things.

    Args:
        width: how many counts each thing has.
        kept_s: seconds remembered at least.
        typecode: of the arrays that hold them.
    """

    def __init__(
        self, width: int, kept_s: int = KEPT_S, *, typecode: Literal["I", "q"] = "q"
    ) -> None:
        self._width = width
        self._typecode = typecode
        self._kept_s = kept_s
        self._first: dict[tuple[str, ...], int] = {}
        self._columns: dict[tuple[str, ...], list[array[int]]] = {}

    def add(self, key: tuple[str, ...], second: int, counts: Sequence[int]) -> None:
        """Add counts to those of a second; one that was forgotten stays so."""
        columns = self._columns.get(key)
        if columns is None or second >= self._end(key) + self._kept_s:
            columns = self._empty()
            self._columns[key], self._first[key] = columns, second
        if second < self._first[key]:
            if self._end(key) - second > self._kept_s:
                return
            missing = self._first[key] - second
            for column in columns:
                column[:0] = array(self._typecode, [0] * missing)
            self._first[key] = second
        missing = second + 1 - self._end(key)
        for column, count in zip(columns, counts, strict=True):
            if missing > 0:
                column.extend([0] * missing)
            column[second - self._first[key]] += count
        if len(columns[0]) > 2 * self._kept_s:
            for column in columns:
                del column[: self._kept_s]
            self._first[key] += self._kept_s

    def between(
        self, key: tuple[str, ...], first: int, until: int
    ) -> "list[array[int]]":
        """Return the counts of the seconds from ``first``, before ``until``."""
        columns = self._columns.get(key)
        if columns is None:
            return self._empty()
        begin = self._first[key]
        part = slice(max(0, first - begin), max(0, until - begin))
        return [column[part] for column in columns]

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        """Yield what there are counts of."""
        return iter(self._columns)

    def __len__(self) -> int:
        """Return how many seconds are kept, of all things together."""
        return sum(len(columns[0]) for columns in self._columns.values())

    def _empty(self) -> "list[array[int]]":
        return [array(self._typecode) for _ in range(self._width)]

    def _end(self, key: tuple[str, ...]) -> int:
        return self._first[key] + len(self._columns[key][0])


class Activity:
    """Remembers what lanes did in the last hours."""

    def __init__(self) -> None:
        self._arrivals = SecondLog(2, typecode="I")
        self._worst = SecondLog(1)
        self._work = SecondLog(len(Work._fields))
        self._redirects = SecondLog(1)
        self._counted: set[str] = set()

    def add_seconds(self, rows: Iterable[SecondCounts]) -> None:
        """Take complete seconds of judged arrivals."""
        for row in rows:
            counts = sum(row.counts), row.counts[Outcome.SERVED]
            lane, shard, op = row.scope
            if not op.is_apart:
                key = lane, shard, op.witnessed_as.label
                self._arrivals.add(key, row.second, counts)

    def add_histograms(self, rows: Iterable[SecondHistograms]) -> None:
        """Take complete seconds of latencies."""
        for row in rows:
            longest_ns = row.response.max_ns or 0
            self.add_longest(row.lane, row.op, row.second, longest_ns)

    def add_longest(self, lane: str, op: OpKind, second: int, longest_ns: int) -> None:
        """Take the longest response time of a complete second; 0 is none."""
        if not op.is_apart:
            self._worst.add((lane, op.label), second, (longest_ns,))

    def add_work(self, lane: str, at_ns: int, work: Work) -> None:
        """Take what a lane did until a time, counted in that second."""
        self._work.add((lane,), at_ns // NS_PER_S, work)
        if work.attempts:
            self._counted.add(lane)

    def add_redirects(self, lane: str, at_ns: int, counts: Mapping[str, int]) -> None:
        """Take the redirects that a lane followed until a time, by kind."""
        for kind, count in counts.items():
            self._redirects.add((lane, kind), at_ns // NS_PER_S, (count,))

    @property
    def kept(self) -> int:
        """Return how many seconds are kept, of all lanes and scopes together."""
        logs = self._arrivals, self._worst, self._work, self._redirects
        return sum(map(len, logs))

    def redirects(self, lane: str, first: int, until: int) -> dict[str, int]:
        """Return the redirects that a lane followed in some seconds, by kind."""
        counts = {
            key[1]: sum(self._redirects.between(key, first, until)[0])
            for key in self._redirects
            if key[0] == lane
        }
        return {kind: count for kind, count in sorted(counts.items()) if count}

    def is_counted(self, lane: str) -> bool:
        """Tell whether attempts of a lane were ever counted: some clients hide them."""
        return lane in self._counted

    def served(self, scope: Scope, start_ns: int, end_ns: int) -> int:
        """Return how many arrivals were served in the seconds that a span touches.

        Of all op kinds that go where that of the scope goes.
        """
        key = scope.lane, scope.shard, scope.op.witnessed_as.label
        return sum(self._arrivals.between(key, *seconds_of(start_ns, end_ns))[1])

    def never_ended(self, outages: Iterable[Outage]) -> list[Outage]:
        """Return the outages after which their scope was served no more.

        One whose scope got no arrivals for long has no end that is known. It has ended
        if its scope went dark again later, or was served in any later second.
        """
        last: dict[Scope, Outage] = {}
        for outage in outages:
            known = last.get(outage.scope)
            if known is None or outage.first_due_ns > known.first_due_ns:
                last[outage.scope] = outage
        return [
            outage
            for outage in last.values()
            if outage.open_end
            and not self.served(
                outage.scope, (outage.hull_end_ns // NS_PER_S + 1) * NS_PER_S, NEVER_NS
            )
        ]

    def arrivals(self, lane: str, first: int, until: int) -> int:
        """Return how many arrivals of a lane were due in some seconds."""
        return sum(
            sum(self._arrivals.between(key, first, until)[0])
            for key in self._arrivals
            if key[0] == lane
        )

    def worst_ns(self, lane: str, first: int, until: int) -> int | None:
        """Return the longest response time of arrivals due in some seconds.

        Of served and late arrivals; None if there are none.
        """
        rows = (self._worst.between((lane, op.label), first, until) for op in OpKind)
        return max((longest for (row,) in rows for longest in row), default=0) or None

    def work(self, lane: str, first: int, until: int) -> Work:
        """Return what a lane did in some seconds."""
        return Work(*map(sum, self._work.between((lane,), first, until)))


def seconds_of(start_ns: int, end_ns: int) -> tuple[int, int]:
    """Return the seconds that a span touches: first, and the one after the last."""
    return start_ns // NS_PER_S, max(-(-end_ns // NS_PER_S), start_ns // NS_PER_S + 1)
