"""The one pipeline from decided arrivals to everything that is reported.

Pure: blocks of arrivals go in, in any order and split over any number of processes;
judged arrivals come out in whole milliseconds once every process has delivered them.
The result is the same for every order, split and batching.

What is kept in memory does not grow with the length of the run: arrivals live until
they have left the film ring, outages and blind spans are kept up to ``KEPT_OUTAGES``
and counted beyond, seconds and film frames are handed over by ``seal``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.intervals import Interval, intersection
from loadprobe.core.judging.before import Before
from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Block, Scope
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.deadlines import DeadlineRanges
from loadprobe.core.judging.evidence import AFTERMATH_NS
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.lanes import LaneInfo, LaneTotals
from loadprobe.core.judging.latency import Latencies
from loadprobe.core.judging.ms_samples import BlindCutter
from loadprobe.core.judging.outages import HISTORY_NS, KEPT_OUTAGES, Outage, Row
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.judging.results import Results, Sealed
from loadprobe.core.judging.ring import Ring, Slab
from loadprobe.core.judging.scope_state import ScopeState


@dataclass(slots=True)
class _Process:
    """What is known of a probe process; ``watermark_ns`` is None before its start."""

    watermark_ns: int | None = None
    blind: list[Interval] = field(default_factory=list)


class Aggregate:
    """Judge the arrivals of all lanes and processes.

    Args:
        lanes: the lanes; a process may belong to several. Without a process is one that
            there was before this aggregate went on.
        film_margin_ns: the film shows this much before and after every failure.
        asleep: processes that nobody waits for until they are started. A lane none of
            whose processes was started has no totals, and its ``begin_ns`` is None.
    """

    def __init__(
        self,
        lanes: Sequence[LaneInfo],
        *,
        film_margin_ns: int = NS_PER_S,
        asleep: Iterable[int] = (),
    ) -> None:
        self.lanes = tuple(lanes)
        self.lane_totals = {lane.name: LaneTotals() for lane in lanes}
        self.scope_totals: dict[Scope, ScopeTotals] = {}
        self.outages: list[Outage] = []
        self.dropped_outages = 0
        self.sealed_until_ns = 0
        self._lane_by_name = {lane.name: lane for lane in lanes}
        self._processes = {p: _Process() for lane in lanes for p in lane.processes}
        self._asleep = set(asleep)
        self._scopes: dict[Scope, ScopeState] = {}
        self._latencies = Latencies()
        self._blind_cutter = BlindCutter()
        self._ring = Ring(margin_ns=film_margin_ns)
        self._deadlines = DeadlineRanges(lanes)

    # what the supervisor reports

    def go_on(self, before: Before) -> None:
        """Go on with what was judged before, when nothing has begun yet.

        Until a process begins, it was blind. Lanes that are not here any more stay as
        they were: of what they saw nothing is known later.
        """
        self.sealed_until_ns = before.until_ns
        self.lane_totals |= before.lane_totals
        self.outages += before.outages
        self.dropped_outages = before.dropped_outages
        for scope, totals in before.scope_totals.items():
            if scope.lane in self._lane_by_name:
                self._open_scope(scope).go_on(totals, before)
            elif scope in before.going_on:
                self._leave(before.going_on[scope], totals)
            self.scope_totals[scope] = totals
        self.lanes += tuple(
            replace(lane, processes=())
            for lane in before.lanes
            if lane.name not in self._lane_by_name
        )
        for process in self._processes.values():
            process.watermark_ns = before.until_ns

    def _leave(self, outage: Outage, totals: ScopeTotals) -> None:
        """Keep an outage that went on when its lane was looked at last."""
        totals.add_outage(outage)
        if len(self.outages) < KEPT_OUTAGES:
            self.outages.append(outage)
        else:
            self.dropped_outages += 1

    def start_process(self, process: int, at_ns: int) -> None:
        """Take note that a process began (again); nothing of it is due before."""
        self._asleep.discard(process)
        state = self._processes[process]
        if state.watermark_ns is None or state.watermark_ns < at_ns:
            state.blind.append((state.watermark_ns or 0, at_ns))
            state.watermark_ns = at_ns
        self._begin(process, at_ns)

    def add(
        self,
        process: int,
        blocks: Mapping[Scope, Block],
        *,
        watermark_ns: int,
        stalls: Iterable[Interval] = (),
    ) -> None:
        """Take what a process decided since its last call.

        Args:
            process: its index; ``start_process`` came before.
            blocks: arrivals per scope, in any order; they must not change any more.
            watermark_ns: every arrival due before has been delivered now.
            stalls: when the process did not get to run.
        """
        state = self._processes[process]
        if state.watermark_ns is None:
            raise ValueError(f"process {process} delivers arrivals before its start")
        state.blind.extend(stalls)
        state.watermark_ns = max(state.watermark_ns, watermark_ns)
        for scope, block in blocks.items():
            scope_state = self._scopes.get(scope)
            if scope_state is None:
                scope_state = self._open_scope(scope)
            scope_state.add(process, block)

    def mark_blind(self, process: int, start_ns: int, end_ns: int) -> None:
        """Take note that nothing will be heard of a process about [start_ns, end_ns).

        For a process that is slow to start, hangs or died: sealing goes on without it.
        What it delivered itself before its end counts all the same. For a dead process
        start at ``watermark_ns(process)`` and call again as time passes.
        """
        state = self._processes[process]
        state.blind.append((start_ns, end_ns))
        if state.watermark_ns is None:
            state.watermark_ns = end_ns
        elif start_ns <= state.watermark_ns:
            state.watermark_ns = max(end_ns, state.watermark_ns)
        self._begin(process, start_ns)

    def watermark_ns(self, process: int) -> int | None:
        """Return up to where a process delivered everything; None before it began."""
        return self._processes[process].watermark_ns

    def change_deadline(self, lane: str, deadline_ns: int, from_ns: int) -> None:
        """Take note that arrivals of a lane have another deadline from now on.

        Args:
            lane: its name.
            deadline_ns: in ns after an arrival was due.
            from_ns: what is due from this time on has it.
        """
        self._deadlines.change(lane, deadline_ns, from_ns)
        self._use_deadlines(lane)

    def _use_deadlines(self, lane: str) -> None:
        found = self._deadlines.of(lane)
        for scope, state in self._scopes.items():
            if scope.lane == lane:
                state.use_deadlines(found.least_ns, found.most_ns)

    # what comes out

    def current(self) -> dict[Scope, Outage]:
        """Return the outages that are going on, as known now."""
        return {
            scope: outage
            for scope, state in self._scopes.items()
            if (outage := state.tracker.current) is not None
        }

    def unfinished(self) -> dict[Scope, Outage]:
        """Return the outages that are not closed, as if all ended with the last seal.

        These are those going on, and those over that wait for their error bars.
        """
        return {
            scope: outage
            for scope, state in self._scopes.items()
            if (outage := state.tracker.unfinished(self.sealed_until_ns)) is not None
        }

    def seal(self, *, until_ns: int | None = None) -> Sealed:
        """Judge what every process has delivered; in whole milliseconds.

        Args:
            until_ns: nothing due from here on is judged yet.
        """
        marks = [
            process.watermark_ns
            for index, process in self._processes.items()
            if index not in self._asleep
        ]
        known = [mark for mark in marks if mark is not None]
        if not known or len(known) < len(marks):
            return Sealed(self.sealed_until_ns)
        mark_ns = min(known)
        if until_ns is not None:
            mark_ns = min(mark_ns, until_ns)
        mark_ns = mark_ns // NS_PER_MS * NS_PER_MS
        if mark_ns <= self.sealed_until_ns:
            return Sealed(self.sealed_until_ns)
        return self._judge(mark_ns)

    def finish(self, end_ns: int) -> Results:
        """Judge everything there is and close what is open.

        Args:
            end_ns: the end of the load. A process that did not deliver up to it is
                blind for the rest. What is due later was on its way and is judged all
                the same, but no blind time reaches beyond, and an open outage only to
                the last failure of these.
        """
        for process in self._processes.values():
            mark = process.watermark_ns or 0
            if mark < end_ns:
                process.blind.append((mark, end_ns))
        latest_ns = max((s.latest_due_ns for s in self._scopes.values()), default=-1)
        sealed = self._judge(
            max(end_ns, latest_ns + 1, self.sealed_until_ns), end_ns=end_ns
        )
        sealed.is_last = True
        return Results(
            start_ns=end_ns if self.begin_ns is None else min(self.begin_ns, end_ns),
            end_ns=end_ns,
            lanes=self.lanes,
            lane_totals=self.lane_totals,
            scope_totals=dict(sorted(self.scope_totals.items())),
            outages=sorted(self.outages, key=lambda o: (o.first_due_ns, o.scope)),
            dropped_outages=self.dropped_outages,
            last=sealed,
        )

    @property
    def shard_response(self) -> Mapping[tuple[str, OpKind], Histogram]:
        """Return the response times of complete seconds by shard, of all lanes."""
        return self._latencies.by_shard

    @property
    def begin_ns(self) -> int | None:
        """Return when the first process began, or None before that."""
        begins = [t.begin_ns for t in self.lane_totals.values()]
        return min((b for b in begins if b is not None), default=None)

    def last_served_ns(self, scope: Scope) -> int | None:
        """Return when the last arrival of a scope was due that was served in time."""
        state = self._scopes.get(scope)
        row = None if state is None else state.last_served
        return None if row is None else row[0]

    # judging

    def _begin(self, process: int, at_ns: int) -> None:
        for lane in self.lanes:
            totals = self.lane_totals[lane.name]
            if process in lane.processes and (
                totals.begin_ns is None or at_ns < totals.begin_ns
            ):
                totals.begin_ns = at_ns

    def _open_scope(self, scope: Scope) -> ScopeState:
        deadlines = self._deadlines.of(scope.lane)
        state = ScopeState(
            scope,
            deadline_ns=deadlines.most_ns,
            begin_ns=self.lane_totals[scope.lane].begin_ns,
        )
        state.use_deadlines(deadlines.least_ns, deadlines.most_ns)
        self._scopes[scope] = state
        self.scope_totals[scope] = state.totals
        return state

    def _judge(self, until_ns: int, *, end_ns: int | None = None) -> Sealed:
        """Judge what is due before ``until_ns``; ``end_ns`` is given the last time."""
        is_last = end_ns is not None
        start_ns = self.sealed_until_ns
        observed_ns = until_ns if end_ns is None else end_ns
        sealed = Sealed(until_ns)
        blind = {
            index: process.blind
            for index, process in self._processes.items()
            if process.blind
        }
        cuts = {
            lane.name: self._take_blind(lane, start_ns, observed_ns, sealed)
            for lane in self.lanes
        }
        going_on: list[Outage] = []
        for scope, state in self._scopes.items():
            slab = state.take(start_ns, until_ns, blind)
            recent: list[Row] = []
            if slab.failures and state.tracker.is_idle:
                recent = self._ring.served(scope, start_ns - HISTORY_NS)
            state.judge(slab, cuts[scope.lane], recent)
            if is_last:
                state.tracker.close(observed_ns)
            self._add_lateness(scope, slab)
            self._latencies.add(scope, slab)
            self._ring.push(scope, slab)
            opened, closed = state.tracker.drain()
            sealed.opened += opened
            sealed.closed += closed
            for outage in closed:
                state.totals.add_outage(outage)
            sealed.seconds += state.take_seconds(None if is_last else until_ns)
            sealed.samples += state.take_samples()
            current = state.tracker.current
            if current is not None:
                going_on.append(current)
        sealed.closed.sort(key=lambda o: (o.first_due_ns, o.scope))
        room = KEPT_OUTAGES - len(self.outages)
        self.outages += sealed.closed[:room]
        self.dropped_outages += len(sealed.closed[room:])
        self._take_latencies(None if is_last else until_ns, sealed)
        sealed.samples += self._blind_cutter.cut(sealed.blind)
        sealed.film += sealed.blind
        sealed.film += self._ring.leave(
            None if is_last else until_ns, going_on=going_on, closed=sealed.closed
        )
        for process in self._processes.values():
            since_ns = until_ns - AFTERMATH_NS
            process.blind = [span for span in process.blind if span[1] > since_ns]
        self.sealed_until_ns = until_ns
        for name in self._deadlines.settle(until_ns):
            self._use_deadlines(name)
        return sealed

    def _take_blind(
        self, lane: LaneInfo, start_ns: int, until_ns: int, sealed: Sealed
    ) -> list[Interval]:
        """Return when all processes of the lane were blind in the given span."""
        totals = self.lane_totals[lane.name]
        if totals.begin_ns is None or not lane.processes:
            return []
        start_ns = max(start_ns, totals.begin_ns)
        if start_ns >= until_ns:
            return []
        cuts = intersection(
            [[(start_ns, until_ns)]]
            + [self._processes[index].blind for index in lane.processes]
        )
        for start, end in cuts:
            span = BlindSpan(lane.name, start, end)
            sealed.blind.append(span)
            totals.add_blind(span)
        return cuts

    def _add_lateness(self, scope: Scope, slab: Slab) -> None:
        if scope.op.is_apart or not self._lane_by_name[scope.lane].is_witness:
            return  # arrivals stand in line for a client: that is not our lateness
        lateness = self.lane_totals[scope.lane].lateness
        if slab.due and slab.sent == slab.due:  # a closed loop
            lateness.record(0, len(slab.due))
        else:
            lateness.record_many(
                [max(0, s - d) for d, s in zip(slab.due, slab.sent, strict=True)]
            )

    def _take_latencies(self, until_ns: int | None, sealed: Sealed) -> None:
        """Hand over the seconds that are complete, and add them to the totals."""
        sealed.histograms, sealed.p99 = self._latencies.take(until_ns)
        for entry in sealed.histograms:
            totals = self.lane_totals[entry.lane]
            totals.response.setdefault(entry.op, Histogram()).merge(entry.response)
            totals.service.setdefault(entry.op, Histogram()).merge(entry.service)
