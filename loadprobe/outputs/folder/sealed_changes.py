"""What has changed of judged arrivals since the last line of ``sealed.ndjson``.

It reads what the aggregate counted and counts nothing itself. Called a few times a
second at most: it costs nothing per arrival.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.histogram import Histogram, SparseHistogram
from loadprobe.core.judging.lanes import LaneTotals
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.judging.results import Sealed
from loadprobe.outputs.folder.outage_growth import growth_of
from loadprobe.outputs.folder.sealed_lines import (
    Checkpoint,
    FailedLine,
    Growth,
    LatenciesLine,
    LatencyPart,
    ScopeBefore,
    SealedLine,
    ServedLine,
)


@dataclass(slots=True)
class _Scope:
    """The counts of a scope as they were last written, and its number."""

    number: int
    counts: list[int] = field(default_factory=lambda: [0] * len(Outcome))
    classes: Counter[ErrorClass] = field(default_factory=Counter)
    observed_ms: int = 0
    observed_ns: int = 0
    dark_ms: int = 0
    grey_ms: int = 0
    unseen: int = 0
    lost_ns: int = 0

    @classmethod
    def of(cls, number: int, totals: ScopeTotals) -> "_Scope":
        return cls(
            number,
            list(totals.counts),
            totals.classes.copy(),
            totals.observed_ms,
            totals.observed_ns,
            totals.dark_ms,
            totals.grey_ms,
            totals.unseen,
            totals.lost_ns,
        )

    def served(self, now: "_Scope") -> ServedLine | None:
        """Return what was served since."""
        served = now.counts[Outcome.SERVED] - self.counts[Outcome.SERVED]
        observed_ms = now.observed_ms - self.observed_ms
        observed_ns = now.observed_ns - self.observed_ns
        if not served and not observed_ms:
            return None
        return ServedLine(self.number, served, observed_ms, observed_ns)

    def failed(self, now: "_Scope") -> FailedLine | None:
        """Return what else was counted since."""
        outcomes: dict[Outcome, int] = {
            outcome: now.counts[outcome] - self.counts[outcome]
            for outcome in Outcome
            if outcome is not Outcome.SERVED
            and now.counts[outcome] != self.counts[outcome]
        }
        if not outcomes and now.unseen == self.unseen:
            return None
        return FailedLine(
            self.number,
            outcomes,
            {
                error: count - self.classes[error]
                for error, count in now.classes.items()
                if count != self.classes[error]
            },
            now.dark_ms - self.dark_ms,
            now.grey_ms - self.grey_ms,
            now.unseen - self.unseen,
            now.lost_ns - self.lost_ns,
        )


@dataclass(slots=True)
class _Latencies:
    """The latencies of a lane as they were last written."""

    response: dict[OpKind, Histogram] = field(default_factory=dict)
    service: dict[OpKind, Histogram] = field(default_factory=dict)
    lateness: Histogram = field(default_factory=Histogram)

    @classmethod
    def of(cls, totals: LaneTotals) -> "_Latencies":
        return cls(
            {op: histogram.copy() for op, histogram in totals.response.items()},
            {op: histogram.copy() for op, histogram in totals.service.items()},
            totals.lateness.copy(),
        )


class SealedChanges:
    """Gathers what was sealed, and returns it line by line.

    Args:
        aggregate: the judged arrivals.
        is_first: there is nothing before; else the first line has all that was judged.
    """

    def __init__(self, aggregate: Aggregate, *, is_first: bool = True) -> None:
        self._aggregate = aggregate
        self._is_checkpoint = not is_first
        self._scopes: dict[Scope, _Scope] = {}
        self._begun_ns: dict[str, int] = {}
        self._blind: dict[str, list[BlindSpan]] = {}
        self._closed: list[Outage] = []
        self._ended: list[Outage] = []
        self._dropped = 0
        self._open: dict[Scope, Outage] = {}
        self._latencies: dict[str, _Latencies] = {}
        if not is_first:
            self._closed = list(aggregate.outages)
            self._dropped = aggregate.dropped_outages
            self._blind = {
                lane: list(totals.blind)
                for lane, totals in aggregate.lane_totals.items()
            }

    def take(self, sealed: Sealed) -> None:
        """Take what became certain with one seal."""
        for span in sealed.blind:
            spans = self._blind.setdefault(span.lane, [])
            if spans and spans[-1].end_ns == span.start_ns:
                spans[-1] = BlindSpan(span.lane, spans[-1].start_ns, span.end_ns)
            else:
                spans.append(span)
        dropped = self._aggregate.dropped_outages - self._dropped
        self._dropped += dropped
        kept = len(sealed.closed) - dropped
        self._closed += sealed.closed[:kept]
        self._ended += sealed.closed[kept:]

    def make_line(self) -> SealedLine:
        """Return what has changed since the last line, latencies left out."""
        scopes, served, failed = self._count()
        for outage in (*self._closed, *self._ended):
            self._open.pop(outage.scope, None)
        opened, grown = self._unfinished()
        line = SealedLine(
            until_ns=self._aggregate.sealed_until_ns,
            checkpoint=self._checkpoint() if self._is_checkpoint else None,
            begun_ns=self._begun(),
            scopes=scopes,
            served=served,
            failed=failed,
            blind=[
                (span.lane, span.start_ns, span.end_ns)
                for spans in self._blind.values()
                for span in spans
            ],
            closed=self._closed,
            dropped=[self._scopes[outage.scope].number for outage in self._ended],
            dropped_ns=[(outage.seen_ns, outage.unseen_ns) for outage in self._ended],
            cut=[outage for outage in self._ended if outage.open_end],
            open=opened,
            grown=grown,
        )
        self._blind, self._closed, self._ended = {}, [], []
        self._is_checkpoint = False
        return line

    def make_latencies(
        self, lanes: Iterable[str], *, series_bytes: int, histograms_bytes: int
    ) -> LatenciesLine:
        """Return the latencies since the last time.

        Args:
            lanes: of these; each takes some milliseconds.
            series_bytes: length of ``series.ndjson``.
            histograms_bytes: length of ``histograms.ndjson``.
        """
        parts: list[LatencyPart] = []
        for lane in lanes:
            before = self._latencies.get(lane, _Latencies())
            now = _Latencies.of(self._aggregate.lane_totals[lane])
            self._latencies[lane] = now
            parts.append(
                LatencyPart(
                    lane,
                    _since(before.response, now.response),
                    _since(before.service, now.service),
                    now.lateness.since(before.lateness).to_sparse(),
                )
            )
        return LatenciesLine(parts, series_bytes, histograms_bytes)

    def _checkpoint(self) -> Checkpoint:
        """Return what the line with all that was judged cannot say otherwise."""
        aggregate = self._aggregate
        return Checkpoint(
            {lane: totals.blind_ns for lane, totals in aggregate.lane_totals.items()},
            [
                ScopeBefore(
                    self._scopes[scope].number,
                    totals.outages,
                    totals.outage_ns,
                    totals.outage_unseen_ns,
                    aggregate.last_served_ns(scope),
                )
                for scope, totals in aggregate.scope_totals.items()
            ],
            aggregate.dropped_outages,
        )

    def _begun(self) -> dict[str, int]:
        begun = {
            lane: totals.begin_ns
            for lane, totals in self._aggregate.lane_totals.items()
            if totals.begin_ns is not None
            and totals.begin_ns != self._begun_ns.get(lane)
        }
        self._begun_ns |= begun
        return begun

    def _count(self) -> tuple[list[Scope], list[ServedLine], list[FailedLine]]:
        added: list[Scope] = []
        served: list[ServedLine] = []
        failed: list[FailedLine] = []
        for scope, totals in self._aggregate.scope_totals.items():
            before = self._scopes.get(scope)
            if before is None:
                before = _Scope(len(self._scopes))
                added.append(scope)
            now = self._scopes[scope] = _Scope.of(before.number, totals)
            served_row, failed_row = before.served(now), before.failed(now)
            if served_row is not None:
                served.append(served_row)
            if failed_row is not None:
                failed.append(failed_row)
        return added, served, failed

    def _unfinished(self) -> tuple[list[Outage], list[Growth]]:
        opened: list[Outage] = []
        grown: list[Growth] = []
        for scope, now in self._aggregate.unfinished().items():
            before = self._open.get(scope)
            self._open[scope] = now
            if before == now:
                continue
            growth = None
            if before is not None:
                growth = growth_of(self._scopes[scope].number, before, now)
            if growth is None:
                opened.append(now)
            else:
                grown.append(growth)
        return opened, grown


def _since(
    before: dict[OpKind, Histogram], now: dict[OpKind, Histogram]
) -> dict[str, SparseHistogram]:
    return {
        op.label: histogram.since(before.get(op, Histogram())).to_sparse()
        for op, histogram in now.items()
    }
