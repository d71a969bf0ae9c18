"""What is said of a scenario: its steps with phases, darkness and provider's events.

Pure. Times become UNIX ns and offsets from the API call of their step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS, ClockPair
from loadprobe.core.events import ProviderTold
from loadprobe.core.phase_names import Phase
from loadprobe.core.steps import Expectation, ScenarioRecord
from loadprobe.core.verdict.controller_log import ControllerLog
from loadprobe.core.verdict.instants import Instant
from loadprobe.core.verdict.measures import downtime_ms, ms
from loadprobe.core.verdict.phases import step_at
from loadprobe.core.verdict.scenario_document import (
    BlastRadius,
    LaneThere,
    P99Ms,
    PhaseTime,
    ProviderMoment,
    ScenarioSummary,
    StepLane,
    StepSummary,
)
from loadprobe.core.verdict.step_phases import (
    Blast,
    LanePhases,
    LoadSeen,
    P99Course,
    StepPhases,
)


@dataclass(frozen=True, slots=True)
class _Origin:
    """From where the times of a step count."""

    clock: ClockPair
    start_ns: int

    def phase(self, name: str, at: Instant | int) -> PhaseTime:
        if isinstance(at, int):
            return PhaseTime(name, self.clock.to_wall(at), ms(at - self.start_ns))
        return PhaseTime(
            name,
            self.clock.to_wall(at.at_ns),
            ms(at.at_ns - self.start_ns),
            ms(at.earliest_ns - self.start_ns),
            ms(at.latest_ns - self.start_ns),
        )

    def phases(self, found: Mapping[str, Instant | int | None]) -> list[PhaseTime]:
        """Return the phases that were seen, by time."""
        rows = [self.phase(name, at) for name, at in found.items() if at is not None]
        return sorted(rows, key=lambda row: row.at_unix_ns)


def summarize_scenario(
    record: ScenarioRecord,
    steps: Sequence[StepPhases],
    load: LoadSeen,
    *,
    clock: ClockPair,
    events: Sequence[ProviderTold],
    expectations: Sequence[Expectation],
) -> ScenarioSummary:
    """Return what is to be said of a scenario.

    Args:
        record: how it went.
        steps: what was seen of each step.
        load: what was measured meanwhile.
        clock: to show monotonic times as wall times.
        events: the provider's events.
        expectations: what was expected, judged.
    """
    told: dict[str, list[ProviderTold]] = {}
    for event in events:
        at_ns = clock.to_mono(event.date_unix_ns)
        about = event.node_group or None
        step = step_at(steps, at_ns, seen_ns=event.mono_ns, shard=about)
        if step is not None:
            told.setdefault(step.record.name, []).append(event)
    belonging = sum(len(lane.outages) for step in steps for lane in step.lanes)
    return ScenarioSummary(
        name=record.name,
        state=record.state,
        reason=record.reason,
        steps=[_step(s, clock, load, told.get(s.record.name, ())) for s in steps],
        expectations=list(expectations),
        outages_outside=len(load.outages) - belonging,
    )


def _step(
    step: StepPhases,
    clock: ClockPair,
    load: LoadSeen,
    events: Sequence[ProviderTold],
) -> StepSummary:
    record, log = step.record, load.controller
    seen = record.phases_ns
    start_ns = step.start_ns
    if start_ns is None:
        start_ns = min(seen.values(), default=0)
    origin = _Origin(clock, start_ns)
    moments = _moments(events, clock.to_wall(start_ns))
    return StepSummary(
        name=record.name,
        operation=record.operation,
        state=record.state,
        reason=record.reason,
        shards=list(record.shards),
        start_unix_ns=_wall(step.start_ns, clock),
        end_unix_ns=_wall(step.end_ns, clock),
        phases=origin.phases(
            {
                **{
                    phase: load.controller.dated(at_ns) for phase, at_ns in seen.items()
                },
                **_slot_phases(step, log),
                Phase.FIRST_ERROR: step.first_error,
                Phase.FIRST_PLANNED_ERROR: step.first_planned_error,
                Phase.PLANNED_SERVED: step.planned_served,
                Phase.FIRST_SERVED: step.first_served,
                Phase.P99_RECOVERED: step.p99_recovered_ns,
            }
        ),
        lanes=[
            _lane(lane, origin, load.shards.get(lane.lane, ())) for lane in step.lanes
        ],
        provider=sorted(moments, key=lambda moment: moment.date_unix_ns),
        slots_moved=sum(move.slots for move in step.slot_moves),
        went_over=[
            LaneThere(
                each.lane,
                (each.at_ns - start_ns) / NS_PER_MS,
                checked=each.checked,
                lost=each.lost,
                overwritten=each.overwritten,
                unread=each.unread,
            )
            for each in record.went_over
        ],
    )


def _slot_phases(step: StepPhases, log: ControllerLog) -> dict[str, Instant | int]:
    if not step.slot_moves:
        return {}
    first, last = step.slot_moves[0], step.slot_moves[-1]
    return {
        Phase.SLOTS_FIRST_MOVED: log.dated(first.at_ns),
        Phase.SLOTS_LAST_MOVED: log.dated(last.at_ns),
    }


def _lane(lane: LanePhases, origin: _Origin, shards: Sequence[str]) -> StepLane:
    return StepLane(
        lane=lane.lane,
        phases=origin.phases(
            {
                Phase.FIRST_ERROR: lane.first_error,
                Phase.FIRST_PLANNED_ERROR: lane.first_planned_error,
                Phase.PLANNED_SERVED: lane.planned_served,
                Phase.FIRST_SERVED: lane.first_served,
                Phase.P99_RECOVERED: lane.p99.recovered_ns if lane.p99 else None,
            }
        ),
        dark_ms=downtime_ms(lane.outages, shards),
        planned_ms=downtime_ms(lane.planned, shards),
        is_dark_at_end=lane.is_dark_at_end,
        p99_ms=None if lane.p99 is None else _p99(lane.p99),
        blast_radius=None if lane.blast is None else _blast(lane.blast),
        redirects=dict(lane.redirects),
    )


def _p99(p99: P99Course) -> P99Ms:
    return P99Ms(ms(p99.baseline_ns), ms(p99.limit_ns), ms(p99.worst_ns), p99.has_left)


def _blast(blast: Blast) -> BlastRadius:
    before_ns, worst_ns = blast.baseline_ns, blast.worst_ns
    return BlastRadius(
        shards=list(blast.shards),
        failed=blast.failed,
        shard=blast.shard,
        baseline_p99_ms=None if before_ns is None else ms(before_ns),
        worst_p99_ms=None if worst_ns is None else ms(worst_ns),
    )


def _moments(
    events: Sequence[ProviderTold], start_unix_ns: int
) -> list[ProviderMoment]:
    """Return what the provider told, each once.

    It tells some things twice, of the group and of a node of it: then the node counts.
    What it tells of two nodes are two things.
    """
    found = [_moment(event, start_unix_ns) for event in events]
    of_nodes = {(m.date_unix_ns, m.message) for m in found if m.node is not None}
    once = {
        (m.date_unix_ns, m.message, m.node): m
        for m in reversed(found)
        if m.node is not None or (m.date_unix_ns, m.message) not in of_nodes
    }
    return list(once.values())


def _moment(event: ProviderTold, start_unix_ns: int) -> ProviderMoment:
    return ProviderMoment(
        date_unix_ns=event.date_unix_ns,
        seen_unix_ns=event.seen_unix_ns,
        offset_ms=ms(event.date_unix_ns - start_unix_ns),
        message=event.message,
        node=event.node,
    )


def _wall(at_ns: int | None, clock: ClockPair) -> int | None:
    return None if at_ns is None else clock.to_wall(at_ns)
