"""The steps of a scenario that goes on, from the journal. Pure.

The controller's own record has a step when it has ended; a page that watches shows it
from its beginning on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from loadprobe.clock import ClockPair
from loadprobe.core.events import (
    Event,
    PhaseEntered,
    ProviderTold,
    ScenarioBegun,
    ScenarioEnded,
    StepBegun,
    StepEnded,
)
from loadprobe.core.judging.latency import P99Log
from loadprobe.core.steps import ScenarioRecord, ScenarioState, StepRecord, StepState
from loadprobe.core.verdict.controller_log import ControllerLog
from loadprobe.core.verdict.judged import JudgedRun
from loadprobe.core.verdict.phases import find_phases
from loadprobe.core.verdict.scenario_document import ScenarioSummary
from loadprobe.core.verdict.scenario_summary import summarize_scenario
from loadprobe.core.verdict.step_phases import LoadSeen


@dataclass(frozen=True, slots=True)
class ScenarioSoFar:
    """A scenario as far as it went.

    Args:
        record: as the controller's own; a step that goes on, and a scenario that does,
            has the state of one that was not ended well.
        going_on: names of the steps that go on.
        is_over: it has ended.
    """

    record: ScenarioRecord
    going_on: frozenset[str] = frozenset()
    is_over: bool = False


@dataclass(slots=True)
class StepsSoFar:
    """Takes the journal.

    Attributes:
        scenario: what it came to; None before there is a scenario.
    """

    scenario: ScenarioSoFar | None = None
    _begun: dict[str, StepRecord] = field(default_factory=dict)

    def take_event(self, event: Event) -> None:
        """Take a line of the journal."""
        match event:
            case ScenarioBegun():
                record = ScenarioRecord(event.name, ScenarioState.STOPPED)
                self.scenario = ScenarioSoFar(record)
            case StepBegun():
                self._put(StepRecord(event.step, event.operation, StepState.FAILED))
                self._tell({event.step}, set())
            case PhaseEntered() if event.step in self._begun:
                known = self._begun[event.step]
                shards = known.shards if event.shard is None else (event.shard,)
                seen = {**known.phases_ns, event.details.phase: event.mono_ns}
                self._put(replace(known, shards=shards, phases_ns=seen))
                self._tell(set(), set())
            case StepEnded() if event.step in self._begun:
                known = self._begun[event.step]
                self._put(replace(known, state=event.state, reason=event.reason))
                self._tell(set(), {event.step})
            case ScenarioEnded() if self.scenario is not None:
                known_so_far = self.scenario.record
                record = replace(known_so_far, state=event.state, reason=event.reason)
                self.scenario = ScenarioSoFar(record, is_over=True)

    def _put(self, step: StepRecord) -> None:
        self._begun[step.name] = step

    def _tell(self, begun: set[str], ended: set[str]) -> None:
        if self.scenario is None:
            return
        record = replace(self.scenario.record, steps=tuple(self._begun.values()))
        going_on = (self.scenario.going_on | begun) - ended
        self.scenario = replace(self.scenario, record=record, going_on=going_on)


def summarize_steps(
    so_far: ScenarioSoFar,
    run: JudgedRun,
    *,
    controller: ControllerLog,
    events: Sequence[ProviderTold],
    clock: ClockPair,
) -> ScenarioSummary:
    """Return what is to be said of a scenario that goes on.

    What takes an end to be known is left out: response times beside those before, and
    what was expected.

    Args:
        so_far: how far it went.
        run: the load, judged until now.
        controller: what the supervisor saw of itself and of slots.
        events: the provider's events.
        clock: to show monotonic times as wall times.
    """
    end_ns = run.watched.end_ns
    lanes = run.watched.lane_totals.values()
    load = LoadSeen(
        shards=run.shards,
        outages=run.outages,
        planned=run.planned,
        p99=P99Log(),
        begin_ns=min((lane.begin_ns or end_ns for lane in lanes), default=end_ns),
        end_ns=end_ns,
        controller=controller,
    )
    steps = find_phases(so_far.record.steps, load)
    return summarize_scenario(
        so_far.record, steps, load, clock=clock, events=events, expectations=()
    )
