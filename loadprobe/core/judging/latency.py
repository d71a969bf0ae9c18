"""Latencies second by second: histograms that merge, and what is remembered of them.

Pure. A lane's histograms go to the run folder; of every second only the 99th
percentiles stay in memory, of each lane and each of its shards.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import sub
from typing import NamedTuple

from loadprobe.clock import NS_PER_S
from loadprobe.core.judging.columns import Columns, Scope, split_served
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.core.judging.ring import Slab

KEPT_S = 6 * 3600
"""How many seconds of percentiles are remembered."""


@dataclass(frozen=True, slots=True)
class SecondHistograms:
    """The latencies of one lane and op kind, of arrivals due in one second.

    Args:
        lane: name of the lane.
        op: op kind.
        second: monotonic second (due time // 1 s).
        response: done - due of served and late arrivals, ns.
        service: done - sent of served and late arrivals, ns.
    """

    lane: str
    op: OpKind
    second: int
    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)


class SecondP99(NamedTuple):
    """99th percentile of the response times of one second, all op kinds of the load.

    ``shard`` is None for the whole lane. Served and late arrivals count; a second
    without any has no percentile.
    """

    lane: str
    shard: str | None
    second: int
    p99_ns: int


class Latencies:
    """Collects the latencies of judged arrivals until their second is complete.

    Attributes:
        by_shard: response times of all complete seconds and lanes, in ns.
    """

    def __init__(self) -> None:
        self.by_shard: dict[tuple[str, OpKind], Histogram] = {}
        self._open: dict[tuple[int, Scope], tuple[Histogram, Histogram]] = {}

    def add(self, scope: Scope, slab: Slab) -> None:
        """Take judged arrivals of a scope."""
        second, last = slab.start_ns // NS_PER_S, (slab.until_ns - 1) // NS_PER_S
        rest: Columns = slab.due, slab.sent, slab.done
        while second < last:  # rarely more than one second is cut
            part, rest = split_served(rest, (second + 1) * NS_PER_S)
            self._record(scope, second, *part)
            second = min(rest[0]) // NS_PER_S if rest[0] else last
        self._record(scope, second, *rest)
        for f in slab.failures:
            if f.outcome is Outcome.LATE:
                row = (f.due_ns,), (f.sent_ns,), (f.done_ns,)
                self._record(scope, f.due_ns // NS_PER_S, *row)

    def take(
        self, until_ns: int | None
    ) -> tuple[list[SecondHistograms], list[SecondP99]]:
        """Remove and return the seconds that end by ``until_ns`` (None: all)."""
        rows: dict[tuple[int, str, OpKind], SecondHistograms] = {}
        parts: dict[tuple[int, str, str], Histogram] = {}
        wholes: dict[tuple[int, str], Histogram] = {}
        for key in sorted(
            key
            for key in self._open
            if until_ns is None or (key[0] + 1) * NS_PER_S <= until_ns
        ):
            second, (lane, shard, op) = key
            response, service = self._open.pop(key)
            row = rows.setdefault(
                (second, lane, op), SecondHistograms(lane, op, second)
            )
            row.response.merge(response)
            row.service.merge(service)
            self.by_shard.setdefault((shard, op), Histogram()).merge(response)
            if op.is_apart:
                continue
            parts.setdefault((second, lane, shard), Histogram()).merge(response)
            wholes.setdefault((second, lane), Histogram()).merge(response)
        p99 = [
            SecondP99(lane, None, second, _p99(histogram))
            for (second, lane), histogram in wholes.items()
        ]
        p99 += (
            SecondP99(lane, shard, second, _p99(histogram))
            for (second, lane, shard), histogram in parts.items()
        )
        return [rows[key] for key in sorted(rows)], p99

    def _record(
        self,
        scope: Scope,
        second: int,
        due: Sequence[int],
        sent: Sequence[int],
        done: Sequence[int],
    ) -> None:
        if not due:
            return
        entry = self._open.get((second, scope))
        if entry is None:
            entry = self._open[second, scope] = (Histogram(), Histogram())
        response, service = entry
        times = list(map(sub, done, due))
        if sent == due:  # a closed loop: counted once, merged twice
            both = Histogram()
            both.record_many(times)
            response.merge(both)
            service.merge(both)
        else:
            response.record_many(times)
            service.record_many(list(map(sub, done, sent)))


def _p99(histogram: Histogram) -> int:
    value_ns = histogram.quantile(0.99)
    assert value_ns is not None, "a second that was recorded has a value"
    return round(value_ns)


class P99Log:
    """Remembers the percentiles of the last hours.

    Args:
        kept_s: seconds remembered at least, of each lane and shard.
    """

    def __init__(self, kept_s: int = KEPT_S) -> None:
        self._kept_s = kept_s
        self._columns: dict[tuple[str, str | None], tuple[array[int], array[int]]] = {}

    def add(self, rows: Iterable[SecondP99]) -> None:
        """Take seconds, later ones after earlier ones."""
        for lane, shard, second, p99_ns in rows:
            columns = self._columns.get((lane, shard))
            if columns is None:
                columns = self._columns[lane, shard] = (array("q"), array("q"))
            columns[0].append(second)
            columns[1].append(p99_ns)
            if len(columns[0]) > 2 * self._kept_s:
                for column in columns:
                    del column[: self._kept_s]

    def put_before(self, rows: Iterable[SecondP99]) -> None:
        """Take seconds that are all earlier than those there are."""
        later, self._columns = self._columns, {}
        self.add(rows)
        for place, columns in later.items():
            before = self._columns.setdefault(place, (array("q"), array("q")))
            for column, values in zip(before, columns, strict=True):
                column.extend(values)

    def between(
        self, lane: str, shard: str | None, first: int, until: int
    ) -> dict[int, int]:
        """Return second -> p99 (ns) of the seconds from ``first``, before ``until``.

        Args:
            lane: name of the lane.
            shard: one of its shards, or None for the whole lane.
            first: monotonic second.
            until: monotonic second.
        """
        columns = self._columns.get((lane, shard))
        if columns is None:
            return {}
        seconds, values = columns
        part = slice(bisect_left(seconds, first), bisect_left(seconds, until))
        return dict(zip(seconds[part], values[part], strict=True))
