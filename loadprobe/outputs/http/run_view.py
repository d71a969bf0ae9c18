"""What a run tells of itself over HTTP while it lasts.

It reads what was judged and counts nothing: the supervisor's own judgement, live view
and journal are the sources. It is asked in the supervisor's loop, so what takes long
with many outages is kept for a while: at most a twentieth of the time goes into it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadprobe import __version__
from loadprobe.clock import NS_PER_S, ClockPair, mono_now_ns, thread_cpu_ns
from loadprobe.core.budget.figures import ErrorBudget
from loadprobe.core.events import Emit, Event, MarkMade, ScenarioEnded
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.results import Sealed
from loadprobe.core.judging.shard_states import Place, ShardStates
from loadprobe.core.steps import ScenarioState
from loadprobe.core.topology.topology import Topology
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.blame import Blamed, Watched
from loadprobe.core.verdict.headline import END_WORDS, Findings, find_findings
from loadprobe.core.verdict.judged import JudgedRun, judge_run
from loadprobe.core.verdict.parts import outage_row
from loadprobe.core.verdict.plan_edges import is_planned_now
from loadprobe.outputs.folder.documents import event_line
from loadprobe.outputs.http.api_documents import (
    BudgetNow,
    Events,
    EventsQuery,
    LaneNow,
    MaintenanceNow,
    NumberedEvent,
    ObserverNow,
    Outages,
    OutagesQuery,
    RunState,
    ShardNow,
    Status,
    TopologyNow,
    VerdictNow,
    numbered,
    outage_now,
    topology_now,
)
from loadprobe.outputs.live.terminal import LaneState, LiveState

KEPT_EVENTS = 10_000
MOST_MARKS = 10_000
"""Marks of one run: the journal is on a disk that others need as well."""

MOST_SUMMED = 1000
"""With more outages the downtime waits for the end: summing it up would take long."""

_KEPT_FOR = 20
"""What was worked out is told for so many times the CPU time that took."""


@dataclass(frozen=True, slots=True)
class _Known:
    """The outages so far, the load judged by them, and how long both are told."""

    until_ns: int
    outages: Sequence[Blamed]
    current: Mapping[Scope, Outage]
    run: JudgedRun
    verdict: VerdictNow


class RunView:
    """Answers what the API is asked (see ``outputs.http.api``).

    Args:
        live: how it goes, before it begins.
        aggregate: the judged arrivals.
        clock: to show monotonic times as UNIX times.
        scenario: name of the scenario, None if there is none.
        outages: returns the latest outages, open ones included, with their causes,
            by time.
        emit: puts an event into the journal.
        quiet_ns: outages closer together than this are one incident.
        planned: returns the darkness that was planned so far.
        now_ns: monotonic clock.
        spent_ns: CPU time of this thread so far.

    Attributes:
        live: how it goes, as the live view shows it.
        state: where the run is in its life; the supervisor sets it.
        topology: as last seen.
        problem: returns what is wrong with the server's own files, or None.
        stale_reads: returns how many reads of primaries found an older value.
        budget: returns the error budgets, None without a target.
        maintenance: returns what others change.
    """

    def __init__(
        self,
        live: LiveState,
        aggregate: Aggregate,
        clock: ClockPair,
        *,
        scenario: str | None,
        outages: Callable[[], Sequence[Blamed]],
        emit: Emit,
        quiet_ns: int = NS_PER_S,
        planned: Callable[[], Sequence[Planned]] = tuple,
        now_ns: Callable[[], int] = mono_now_ns,
        spent_ns: Callable[[], int] = thread_cpu_ns,
    ) -> None:
        self.live = live
        self._aggregate = aggregate
        self._clock = clock
        self._scenario = scenario
        self._outages = outages
        self._emit = emit
        self._quiet_ns = quiet_ns
        self._planned = planned
        self._now_ns = now_ns
        self._spent_ns = spent_ns
        self._ended: tuple[str, ScenarioState] | None = None
        self._shards = ShardStates()
        self._events: deque[NumberedEvent] = deque(maxlen=KEPT_EVENTS)
        self._last_number = 0
        self._marks = 0
        self._known: _Known | None = None
        self.state: RunState = "starting"
        self.topology: Topology | None = None
        self.problem: Callable[[], str | None] = lambda: None
        self.stale_reads: Callable[[], int] = lambda: 0
        self.maintenance: Callable[[], MaintenanceNow] = MaintenanceNow
        self.budget: Callable[[], ErrorBudget | None] = lambda: None

    # --- what the supervisor reports -------------------------------------------------

    def take_sealed(self, sealed: Sealed) -> None:
        """Take what became certain."""
        self._shards.take(sealed)

    def take_event(self, event: Event) -> None:
        """Take a line of the journal."""
        self._last_number += 1
        line = event_line(event, self._clock)
        self._events.append(numbered(self._last_number, line))
        if isinstance(event, ScenarioEnded) and event.state in END_WORDS:
            self._ended = event.name, event.state

    # --- what is asked ---------------------------------------------------------------

    @property
    def lanes(self) -> list[str]:
        """Return the names of the lanes."""
        return [lane.name for lane in self._aggregate.lanes]

    def status(self) -> Status:
        """Return how the run is doing."""
        begin_ns = self._aggregate.begin_ns
        until_ns = self._aggregate.sealed_until_ns
        problem = self.problem()
        observer = self.live.observer
        return Status(
            version=__version__,
            state=self.state,
            run=self.live.run,
            target=self.live.target,
            scenario=self._scenario,
            now_unix_ns=self._clock.to_wall(self._now_ns()),
            since_unix_ns=None if begin_ns is None else self._clock.to_wall(begin_ns),
            judged_until_unix_ns=self._clock.to_wall(until_ns) if until_ns else None,
            planned_s=self.live.planned_s,
            lanes=self.lanes_now(),
            verdict=self._look().verdict,
            observer=ObserverNow(
                max_loop_lag_ms=observer.max_lag_ms,
                lateness_p99_ms=observer.lateness_p99_ms,
                blind_ms=observer.blind_ms,
                cpu_cores=observer.cpu_ratio,
            ),
            problems=[*self.live.problems, *([problem] if problem else [])],
        )

    def verdict(self) -> VerdictNow:
        """Return the verdict as far as it is known."""
        return self._look().verdict

    def judged(self) -> tuple[JudgedRun, Collection[Scope]]:
        """Return the load as far as it is judged, and where outages go on.

        What the run counts goes on to change.
        """
        known = self._look()
        return known.run, known.current.keys()

    @property
    def scopes(self) -> list[Scope]:
        """Return all scopes, by lane; new connections are the last of each."""
        lanes = self.lanes
        return sorted(
            self._aggregate.scope_totals,
            key=lambda scope: (lanes.index(scope.lane), scope.op.is_apart, scope),
        )

    def outages(self, query: OutagesQuery) -> Outages:
        """Return the latest outages that match."""
        known = self._look()
        since_ns = query.since_unix_ns
        since_ns = self._clock.to_mono(since_ns) if since_ns is not None else None
        matching = [
            part
            for part in known.outages
            if query.lane in (None, part.outage.scope.lane)
            and query.shard in (None, part.outage.scope.shard)
            and (
                since_ns is None
                or part.outage.end_ns >= since_ns
                or _is_open(part.outage, known.current)
            )
        ]
        rows = [
            outage_now(
                outage_row(part, clock=self._clock, incident=0),
                is_open=_is_open(part.outage, known.current),
            )
            for part in matching[-query.limit :]
        ]
        return Outages(len(matching), rows)

    def events(self, query: EventsQuery) -> Events:
        """Return the events that match: the first after a number, else the latest."""
        after, since_ns = query.after, query.since_unix_ns
        matching = [
            event
            for event in self._events
            if query.kind in (None, event.kind)
            and (after is None or event.number > after)
            and (since_ns is None or event.wall_ns >= since_ns)
        ]
        return Events(
            self._events[0].number if self._events else 0,
            self._last_number,
            matching[-query.limit :] if after is None else matching[: query.limit],
        )

    def shards(self) -> TopologyNow:
        """Return the shards as last seen."""
        return topology_now(self.topology)

    def maintenances(self) -> MaintenanceNow:
        """Return what others change, and are going to."""
        return self.maintenance()

    def budgets(self) -> BudgetNow:
        """Return the error budgets."""
        return BudgetNow(self.budget())

    def mark(self, text: str, by: str) -> NumberedEvent | str:
        """Put a note into the journal; return it, or why it cannot be done now."""
        if self.state == "starting":
            return "the load has not begun, and there is no journal yet; try again"
        if self._marks >= MOST_MARKS:
            return f"the run has {MOST_MARKS} marks already; it takes no more of them"
        self._marks += 1
        self._emit(MarkMade(self._now_ns(), text, by))
        return self._events[-1]

    @property
    def kept_events(self) -> int:
        """Return how many events can be asked for."""
        return len(self._events)

    def dark_by_plan(self) -> set[Place]:
        """Return where outages are going on that are by plan now, and no others."""
        planned = self._planned_now()
        others = self._aggregate.current().keys() - planned
        return {s[:2] for s in planned} - {s[:2] for s in others if not s.op.is_apart}

    # --- how it is found out ---------------------------------------------------------

    def lanes_now(self) -> list[LaneNow]:
        """Return how the lanes are doing."""
        states = self._shards.states(
            [s for s in self._aggregate.scope_totals if not s.op.is_apart],
            self._aggregate.current(),
            self.dark_by_plan(),
        )
        live = {lane.name: lane for lane in self.live.lanes}
        lanes: list[LaneNow] = []
        for lane in self._aggregate.lanes:
            now = live.get(lane.name) or LaneState(lane.name)
            shards = {
                shard: ShardNow(state, self._dark_since(now.dark_since_ns, shard))
                for (name, shard), state in sorted(states.items())
                if name == lane.name
            }
            lanes.append(
                LaneNow(
                    name=lane.name,
                    tls=lane.tls,
                    offered_per_s=now.offered_per_s,
                    served_per_s=now.served_per_s,
                    errors_per_s=dict(now.errors_per_s),
                    p50_ms=now.p50_ms,
                    p99_ms=now.p99_ms,
                    connections=now.connections,
                    shards=shards,
                )
            )
        return lanes

    def _planned_now(self) -> set[Scope]:
        """Return the scopes of the load's outages that are going on, by plan now."""
        planned, current = self._planned(), self._aggregate.current()
        return {
            scope
            for scope, outage in current.items()
            if not scope.op.is_apart and is_planned_now(outage, planned)
        }

    def _dark_since(self, dark_since_ns: Mapping[str, int], shard: str) -> int | None:
        since_ns = dark_since_ns.get(shard)
        return None if since_ns is None else self._clock.to_wall(since_ns)

    def _look(self) -> _Known:
        """Return the outages and the verdict, as they are or were a moment ago."""
        if self._known is None or self._now_ns() >= self._known.until_ns:
            begin_ns = self._spent_ns()
            current = self._aggregate.current()
            found = self._outages()
            run = self._judged(found)
            verdict = self._verdict(run)
            took_ns = self._spent_ns() - begin_ns
            until_ns = self._now_ns() + took_ns * _KEPT_FOR
            self._known = _Known(until_ns, found, current, run, verdict)
        return self._known

    def _judged(self, found: Iterable[Blamed]) -> JudgedRun:
        """Return the load so far, judged; what is apart from it is left out."""
        watched = Watched.so_far(self._aggregate, self._aggregate.sealed_until_ns)
        return judge_run(
            watched.of_load(),
            [part for part in found if not part.outage.scope.op.is_apart],
            clock=self._clock,
            quiet_ns=self._quiet_ns,
        )

    def _verdict(self, run: JudgedRun) -> VerdictNow:
        """Return the verdict as far as it is known before the end."""
        known = Findings(stale_reads=self.stale_reads(), scenario=self._ended)
        findings = find_findings(run, known, is_over=False)
        is_summed = len(run.outages) <= MOST_SUMMED
        return VerdictNow(
            state=findings.state,
            headline=findings.headline,
            incidents=findings.incidents,
            arrivals=sum(t.arrivals for t in run.totals),
            served=sum(t.served for t in run.totals),
            availability=run.availability,
            outages=len(run.outages),
            open_outages=sum(
                not scope.op.is_apart for scope in self._aggregate.current()
            ),
            planned_outages=len(run.planned),
            open_planned_outages=len(self._planned_now()),
            dropped_outages=run.watched.dropped_outages,
            downtime_ms=(
                run.downtime_of(run.witnesses, run.outages) if is_summed else None
            ),
        )


def _is_open(part: Outage, current: Mapping[Scope, Outage]) -> bool:
    """Tell whether an outage, or the last part of one, goes on."""
    now = current.get(part.scope)
    return now is not None and now.end_ns == part.end_ns
