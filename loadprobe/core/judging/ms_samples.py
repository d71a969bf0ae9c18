"""Failing milliseconds as samples of time series, cut from judged arrivals.

Pure. Only what matters becomes a sample: every millisecond with a failure, and the
first one after it without, so that a series that rose also falls. Milliseconds in which
the probe was blind are none of the target's and are left out.
"""

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import Interval
from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.outcome import Outcome


class MsKind(StrEnum):
    """What the samples of a series count."""

    ERRORS = "cell_errors"
    OPS = "cell_ops"
    BLIND = "cell_blind"
    PLANNED = "cell_planned"


class MsSeries(NamedTuple):
    """A series: arrivals of a scope, blind time of a lane, or a plan for a shard."""

    kind: MsKind
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MsSamples:
    """Samples of one series, by time; sealed, so they never change.

    Args:
        series: what they belong to.
        ms: due times in whole monotonic milliseconds, ascending.
        values: one for each; arrivals, or for blind and announced time the number of
            milliseconds from this one on.
    """

    series: MsSeries
    ms: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[int]" = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        return len(self.ms)

    @property
    def size_bytes(self) -> int:
        """Return about how much memory they take."""
        return 500 + (self.ms.itemsize + self.values.itemsize) * len(self.ms)

    def add(self, ms: int, value: int) -> None:
        """Add a sample, later than those before."""
        self.ms.append(ms)
        self.values.append(value)


class SampleCutter:
    """Cuts the samples of one scope.

    Args:
        scope: the scope.
    """

    def __init__(self, scope: Scope) -> None:
        labels = scope.lane, scope.shard, scope.op.label
        self._series = {
            outcome: MsSeries(
                MsKind.OPS if outcome is Outcome.SERVED else MsKind.ERRORS,
                (*labels, outcome.label),
            )
            for outcome in Outcome
        }
        # An earlier run may have left its series above zero.
        self._above_zero: set[Outcome] = {Outcome.SERVED}

    @property
    def is_at_rest(self) -> bool:
        """Tell whether no series has to come down to zero yet."""
        return self._above_zero <= {Outcome.SERVED}

    def cut(
        self,
        failing: Collection[int],
        lit: Collection[int],
        failures: Iterable[Failure],
        served_due_ns: Iterable[int],
    ) -> list[MsSamples]:
        """Return the samples of newly judged arrivals, one batch a series.

        Args:
            failing: milliseconds with failures, blind ones left out.
            lit: milliseconds with served arrivals, blind ones left out.
            failures: failed arrivals.
            served_due_ns: due times of the served ones.
        """
        if not failing and self.is_at_rest:
            return []
        found: dict[int, Counter[Outcome]] = {ms: Counter() for ms in failing}
        for failure in failures:
            counts = found.get(failure.due_ns // NS_PER_MS)
            if counts is not None:
                counts[failure.outcome] += 1
        served = Counter(due // NS_PER_MS for due in served_due_ns)
        batches: dict[Outcome, MsSamples] = {}
        for ms in sorted({*lit, *failing}):
            counts = found.get(ms, Counter())
            if not counts and self.is_at_rest:
                continue
            if ms in lit:
                counts[Outcome.SERVED] = served[ms]
            present = set(counts)
            for outcome in sorted(present | self._above_zero):
                batch = batches.get(outcome)
                if batch is None:
                    batch = batches[outcome] = MsSamples(self._series[outcome])
                batch.add(ms, counts[outcome])
            self._above_zero = present
        return list(batches.values())


class BlindCutter:
    """Makes samples of the blind time of lanes."""

    def __init__(self) -> None:
        self._until_ms: dict[str, int] = {}

    def cut(self, spans: Iterable[BlindSpan]) -> list[MsSamples]:
        """Return one sample a span, at its beginning, with its milliseconds."""
        batches: dict[str, MsSamples] = {}
        for span in spans:
            first_ms = max(span.start_ns // NS_PER_MS, self._until_ms.get(span.lane, 0))
            until_ms = -(-span.end_ns // NS_PER_MS)
            if first_ms >= until_ms:
                continue
            self._until_ms[span.lane] = until_ms
            batch = batches.setdefault(
                span.lane, MsSamples(MsSeries(MsKind.BLIND, (span.lane,)))
            )
            batch.add(first_ms, until_ms - first_ms)
        return list(batches.values())


class PlanCutter:
    """Makes samples of the time in which shards of lanes are to be dark."""

    def __init__(self) -> None:
        self._until_ms: dict[tuple[str, str], int] = {}

    def cut(
        self, spans: Mapping[tuple[str, str], Iterable[Interval]], *, until_ns: int
    ) -> list[MsSamples]:
        """Return samples like those of blind time, of what was not told of yet.

        Args:
            spans: when each shard of a lane is to be dark, disjoint and by time.
            until_ns: everything due before is sealed.
        """
        batches: list[MsSamples] = []
        for place, times in spans.items():
            batch = MsSamples(MsSeries(MsKind.PLANNED, place))
            for start_ns, end_ns in times:
                known_ms = self._until_ms.get(place, 0)
                first_ms = max(-(-start_ns // NS_PER_MS), known_ms)
                end_ms = min(end_ns, until_ns) // NS_PER_MS
                if first_ms < end_ms:
                    self._until_ms[place] = end_ms
                    batch.add(first_ms, end_ms - first_ms)
            if len(batch):
                batches.append(batch)
        return batches
