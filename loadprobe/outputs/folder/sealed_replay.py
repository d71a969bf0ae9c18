"""What was judged, added up again from the lines of ``sealed.ndjson``.

Pure: the lines of ``sealed_changes`` go in, what a verdict is made of comes out. After
the last line of a run that came to its end that is what the aggregate had at the end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadprobe.clock import NS_PER_S
from loadprobe.core.judging.activity import Activity, Work
from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.histogram import Histogram, SparseHistogram
from loadprobe.core.judging.lanes import LaneTotals
from loadprobe.core.judging.latency import KEPT_S, P99Log, SecondHistograms, SecondP99
from loadprobe.core.judging.outages import KEPT_OUTAGES, Outage
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.core.judging.results import Results, Sealed
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.folder.outage_growth import grow
from loadprobe.outputs.folder.sealed_lines import (
    Beginning,
    Checkpoint,
    Figures,
    LatencyPart,
    SealedLine,
    Written,
)


@dataclass(frozen=True, slots=True)
class Tails:
    """From which byte on the files of seconds are to be read.

    Args:
        series: of ``series.ndjson``: the last hours.
        histograms: of ``histograms.ndjson``: the same.
        unmerged: of ``histograms.ndjson``: what no line of latencies holds yet.
    """

    series: int = 0
    histograms: int = 0
    unmerged: int = 0


class SealedReplay:
    """Adds up lines (see the module).

    Args:
        beginning: of the first line.

    Attributes:
        until_ns: everything due before has been judged.
        begun_ns: the same after the first line: when the segment began.
        end_ns: the end of the load; None if the run did not come to its end.
        planned: darkness that was planned; what had no end goes on.
        figures: those of the probes.
        scenario: how it went, None if nothing of it is known.
        written: what was read back, None if nothing was.
        p99: the percentiles of the last hours.
        activity: what lanes did.
        lane_totals: what was counted of lanes.
        scope_totals: what was counted of scopes.
        closed: outages that ended, as far as they are kept.
        dropped: outages that ended and are not kept.
        cut: those of them that went on when the load ended.
        unfinished: outages that are not closed, as if they ended now.
        reopened: see ``Checkpoint``.
        served_ns: when scopes were served last, or a time shortly before that.
        nodes: names of shards by the nodes that were seen in them.
        counters: those of ``/metrics`` that are in nothing else.
        tails: what of the files of seconds is needed beside the lines.
    """

    def __init__(self, beginning: Beginning) -> None:
        self.beginning = beginning
        self.until_ns = 0
        self._before_ns: int | None = None
        self.begun_ns: int | None = None
        self.end_ns: int | None = None
        self.planned: Sequence[Planned] = ()
        self.figures = Figures()
        self.scenario: ScenarioRecord | None = None
        self.written: Written | None = None
        self.p99 = P99Log()
        self.activity = Activity()
        self.unfinished: dict[Scope, Outage] = {}
        self.reopened: dict[Scope, Outage] = {}
        self.served_ns: dict[Scope, int] = {}
        self.nodes: dict[str, str] = {}
        self.counters: dict[tuple[str, ...], float] = {}
        self._counted: list[tuple[str, ...]] = []
        self.lane_totals = {lane.name: LaneTotals() for lane in beginning.lanes}
        self.scope_totals: dict[Scope, ScopeTotals] = {}
        self._numbered: list[Scope] = []
        self.closed: list[Outage] = []
        self.dropped = 0
        self.cut: list[Outage] = []
        self._totals: list[ScopeTotals] = []
        self._marks: list[tuple[int, int, int]] = []
        self._merged: dict[str, tuple[int, int]] = {}

    def add(self, line: SealedLine) -> None:
        """Add a line to those before.

        Raises:
            LookupError: it speaks of a lane or scope that no line has introduced.
        """
        if self.begun_ns is None:
            self.begun_ns = line.until_ns
        else:
            self._before_ns = self.until_ns
        self.until_ns = line.until_ns
        for lane, begin_ns in line.begun_ns.items():
            self.lane_totals[lane].begin_ns = begin_ns
        for lane, start_ns, end_ns in line.blind:
            self.lane_totals[lane].add_blind(BlindSpan(lane, start_ns, end_ns))
        self._count(line)
        self._take_outages(line)
        if line.checkpoint is not None:
            self._take_checkpoint(line.checkpoint)
        for work in line.work:
            row = Work(work.attempts, work.connects, work.refreshes, work.raised)
            self.activity.add_work(work.lane, work.second * NS_PER_S, row)
        for each in line.redirects:
            counts = {each.kind: each.count}
            self.activity.add_redirects(each.lane, each.second * NS_PER_S, counts)
        self.p99.add(SecondP99(r.lane, r.shard, r.second, r.p99_ns) for r in line.p99)
        if line.latencies is not None:
            sizes = line.latencies.series_bytes, line.latencies.histograms_bytes
            self._marks.append((line.until_ns, *sizes))
            for part in line.latencies.lanes:
                self._merge(part)
                self._merged[part.lane] = line.until_ns, sizes[1]
        if line.planned is not None:
            self.planned = line.planned
        self.figures = line.figures or self.figures
        self.scenario = line.scenario or self.scenario
        self.written = line.written or self.written
        self.nodes |= line.nodes
        if line.counted is not None:
            self._counted += line.counted.names
            for number, value in line.counted.values:
                self.counters[self._counted[number]] = value
        self.end_ns = line.end_ns

    @property
    def tails(self) -> Tails:
        """Return from where on the files of seconds are needed."""
        since_ns = self.until_ns - KEPT_S * NS_PER_S
        old = [mark for mark in self._marks if mark[0] <= since_ns]
        series, histograms = old[-1][1:] if old else (0, 0)
        begun = [lane for lane, t in self.lane_totals.items() if t.begin_ns is not None]
        merged = [self._merged.get(lane, (0, 0))[1] for lane in begun]
        return Tails(series, histograms, min(merged, default=0))

    def merge_seconds(self, rows: Iterable[SecondHistograms]) -> None:
        """Add latencies of seconds, but for those that a line holds.

        Raises:
            LookupError: there is no such lane.
        """
        for row in rows:
            totals = self.lane_totals[row.lane]
            if (row.second + 1) * NS_PER_S <= self._merged.get(row.lane, (0, 0))[0]:
                continue
            _merge_into(totals.response, row.op, row.response)
            _merge_into(totals.service, row.op, row.service)

    def is_judged(self, second: int) -> bool:
        """Tell whether a second belongs to what the lines say."""
        return self.end_ns is not None or (second + 1) * NS_PER_S <= self.until_ns

    def results(self) -> Results:
        """Return what is known; outages that are not closed end now. Call it once."""
        scopes = dict(self.scope_totals)
        outages = list(self.closed)
        dropped = self.dropped
        rest = sorted(self.unfinished.values(), key=lambda o: (o.first_due_ns, o.scope))
        for outage in rest:
            scopes[outage.scope].add_outage(outage)
            if len(outages) < KEPT_OUTAGES:
                outages.append(outage)
            else:
                dropped += 1
        end_ns = self.until_ns if self.end_ns is None else self.end_ns
        begins = (totals.begin_ns for totals in self.lane_totals.values())
        return Results(
            start_ns=min(b for b in (*begins, end_ns) if b is not None),
            end_ns=end_ns,
            lanes=self.beginning.lanes,
            lane_totals=self.lane_totals,
            scope_totals=dict(sorted(scopes.items())),
            outages=sorted(outages, key=lambda o: (o.first_due_ns, o.scope)),
            dropped_outages=dropped,
            last=Sealed(self.until_ns),
        )

    def _count(self, line: SealedLine) -> None:
        for scope in line.scopes:
            self._numbered.append(scope)
            self.scope_totals[scope] = ScopeTotals()
            self._totals.append(self.scope_totals[scope])
        for served in line.served:
            totals = self._totals[served.scope]
            totals.counts[Outcome.SERVED] += served.arrivals
            totals.observed_ms += served.observed_ms
            totals.observed_ns += served.observed_ns
            if served.arrivals:
                self._note_served(self._numbered[served.scope])
        for failed in line.failed:
            totals = self._totals[failed.scope]
            for outcome, count in failed.outcomes.items():
                totals.counts[outcome] += count
            totals.classes.update(failed.classes)
            totals.dark_ms += failed.dark_ms
            totals.grey_ms += failed.grey_ms
            totals.unseen += failed.unseen
            totals.lost_ns += failed.lost_ns

    def _note_served(self, scope: Scope) -> None:
        """Note that a scope was served after the line before."""
        since_ns = self._before_ns
        if since_ns is None:
            since_ns = self.lane_totals[scope.lane].begin_ns
        if since_ns is not None:
            self.served_ns[scope] = since_ns

    def _take_outages(self, line: SealedLine) -> None:
        for outage in line.closed:
            self.unfinished.pop(outage.scope, None)
            self.scope_totals[outage.scope].add_outage(outage)
        self.closed += line.closed
        for number in line.dropped:
            scope = self._numbered[number]
            self.unfinished.pop(scope, None)
            self.scope_totals[scope].outages += 1
        lengths_ns = zip(line.dropped, line.dropped_ns, strict=False)
        for number, (seen_ns, unseen_ns) in lengths_ns:
            self._totals[number].outage_ns += seen_ns
            self._totals[number].outage_unseen_ns += unseen_ns
        self.dropped += len(line.dropped)
        self.cut += line.cut
        for outage in line.open:
            self.scope_totals[outage.scope]  # raises
            self.unfinished[outage.scope] = outage
        for growth in line.grown:
            scope = self._numbered[growth.scope]
            self.unfinished[scope] = grow(self.unfinished[scope], growth)

    def _take_checkpoint(self, before: Checkpoint) -> None:
        for lane, blind_ns in before.blind_ns.items():
            self.lane_totals[lane].blind_ns = blind_ns
        for row in before.scopes:
            totals = self._totals[row.scope]
            totals.outages = row.outages
            totals.outage_ns = row.outage_ns
            totals.outage_unseen_ns = row.outage_unseen_ns
            if row.served_ns is not None:
                self.served_ns[self._numbered[row.scope]] = row.served_ns
        self.dropped = before.dropped
        self.reopened = {outage.scope: outage for outage in before.reopened}

    def _merge(self, part: LatencyPart) -> None:
        totals = self.lane_totals[part.lane]
        _merge_all(totals.response, part.response)
        _merge_all(totals.service, part.service)
        totals.lateness.merge(Histogram.from_sparse(part.lateness))


def _merge_all(
    known: dict[OpKind, Histogram], parts: Mapping[str, SparseHistogram]
) -> None:
    for label, sparse in parts.items():
        _merge_into(known, op_of(label), Histogram.from_sparse(sparse))


def _merge_into(
    known: dict[OpKind, Histogram], op: OpKind, histogram: Histogram
) -> None:
    known.setdefault(op, Histogram()).merge(histogram)


def op_of(label: str) -> OpKind:
    """Return the op kind of a label.

    Raises:
        KeyError: there is none.
    """
    return OpKind[label.upper()]
