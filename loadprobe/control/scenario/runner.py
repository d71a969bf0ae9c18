"""Carries out a scenario under load: holds and steps in order, abort conditions, ends.

Rules: a mutation that was begun is observed to its end, whatever else happens; after an
abort or a failed step no further step is begun, and the load goes on for the time the
scenario says, so that the recovery is measured too. How it went is a value at any time
(see ``on_record``), because a run may end before its scenario does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from loadprobe.clock import mono_now_ns
from loadprobe.control.scenario.brake import Brake
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import Abort, Making, Step
from loadprobe.control.scenario.lanes import LoadView
from loadprobe.control.scenario.step_runner import StepRunner
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.control.scenario.turns import StepTurn, rounds, turn_of
from loadprobe.core.events import HoldBegun, ScenarioBegun, ScenarioEnded
from loadprobe.core.steps import ScenarioRecord, ScenarioState, StepRecord, StepState
from loadprobe.errors import ControlError, LoadprobeError

_LOOK_S = 0.25
_SHOWN_UNDONE = 5
_STOPPED_BEFORE = "the run was stopped before it began"

OnRecord = Callable[[ScenarioRecord], None]


async def run_scenario(
    scenario: Scenario, around: Surroundings, *, on_record: OnRecord | None = None
) -> ScenarioRecord:
    """Carry out a scenario; return how it went.

    Emits what ``core.events.controller`` and ``core.events.phases`` hold.

    A scenario without steps lasts until it is cancelled or aborted.

    Args:
        scenario: what was read.
        around: the run.
        on_record: called with the record so far whenever it changes; also before
            cancellation is passed on.
    """
    brake = Brake()
    steps = StepRunner(scenario, around, brake)
    return await _Running(scenario, around, steps, brake, on_record).run()


class _Running:
    """A scenario under way."""

    def __init__(
        self,
        scenario: Scenario,
        around: Surroundings,
        steps: StepRunner,
        brake: Brake,
        on_record: OnRecord | None,
    ) -> None:
        self._scenario = scenario
        self._steps = steps
        self._brake = brake
        self._load = around.load
        self._emit = around.emit
        self._on_record = on_record
        self._record = ScenarioRecord(scenario.name, ScenarioState.STOPPED)
        self._failure = ""
        self._left: deque[tuple[int, Step]] = deque(rounds(scenario))
        self._turns_left: deque[StepTurn] = deque()

    async def run(self) -> ScenarioRecord:
        """Carry out everything; return how it went."""
        self._emit(ScenarioBegun(mono_now_ns(), self._scenario.name))
        try:
            try:
                await self._carry_out_watched()
            finally:
                await self._steps.close()
        except asyncio.CancelledError:
            # Nothing is left to do if there were no steps; then it was not cut short.
            if self._scenario.steps:
                self._skip_the_rest()
                self._conclude(ScenarioState.STOPPED, _left_undone(self._record))
            else:
                self._conclude(ScenarioState.COMPLETED, "")
            raise
        self._tell_hold(self._scenario.after_s)
        await asyncio.sleep(self._scenario.after_s)
        return self._record

    async def _carry_out_watched(self) -> None:
        """Carry out the steps while the abort conditions are looked at; conclude."""
        problem: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch_load())
                await self._carry_out()
                watching.cancel()
        except* LoadprobeError as errors:
            problem = errors.exceptions[0]
        if problem is not None:
            raise problem
        if self._brake.reason:
            self._conclude(ScenarioState.ABORTED, self._brake.reason)
        elif self._failure:
            self._conclude(ScenarioState.FAILED, self._failure)
        else:
            self._conclude(ScenarioState.COMPLETED, "")

    async def _carry_out(self) -> None:
        has_baseline = False
        while self._left:
            number, step = self._left[0]
            if not has_baseline and not isinstance(step, Making):
                has_baseline = True
                await self._hold(self._scenario.baseline_s)
            await self._hold(step.hold_before_s)
            self._turns_left.extend(await self._turns(step, number))
            self._left.popleft()
            while self._turns_left:
                await self._take(self._turns_left.popleft())
                await self._hold(step.hold_after_s)
        if not self._scenario.steps:
            await self._brake.wait()

    def _skip_the_rest(self) -> None:
        """Write down, of a scenario that is stopped, what it did not get to."""
        rest = (turn_of(step, number) for number, step in self._left)
        for turn in (*self._turns_left, *rest):
            self._add_skipped(turn, _STOPPED_BEFORE)

    async def _turns(self, step: Step, number: int) -> tuple[StepTurn, ...]:
        if not self._obstacle:
            try:
                return await self._steps.turns(step, number)
            except ControlError as exc:
                self._failure = f"step {step.label}: {exc}"
        return (turn_of(step, number),)

    async def _take(self, turn: StepTurn) -> None:
        """Carry out a turn, or skip it."""
        if self._obstacle:
            self._add_skipped(turn, self._obstacle)
            return
        await self._steps.take(turn, self._add)
        last = self._record.steps[-1]
        if last.state is StepState.FAILED:
            self._failure = f"step {last.name}: {last.reason}"

    async def _hold(self, seconds: float) -> None:
        if seconds and not self._obstacle:
            self._tell_hold(seconds)
            await self._brake.pause(seconds)

    @property
    def _obstacle(self) -> str:
        """Why no further step is begun, "" if nothing speaks against it."""
        return self._brake.reason or self._failure

    # --- abort conditions ------------------------------------------------------------

    async def _watch_load(self) -> None:
        while True:
            reason = exceeded(self._scenario.abort, self._load)
            if reason:
                self._brake.pull(reason)
                return
            await asyncio.sleep(_LOOK_S)

    # --- the record ------------------------------------------------------------------

    def _add(self, step: StepRecord) -> None:
        self._record = replace(self._record, steps=(*self._record.steps, step))
        self._publish()

    def _add_skipped(self, turn: StepTurn, reason: str) -> None:
        self._add(
            StepRecord(
                name=turn.name,
                operation=turn.step.operation,
                state=StepState.SKIPPED,
                reason=reason,
            )
        )

    def _conclude(self, state: ScenarioState, reason: str) -> None:
        self._record = replace(self._record, state=state, reason=reason)
        self._emit(ScenarioEnded(mono_now_ns(), self._scenario.name, state, reason))
        self._publish()

    def _publish(self) -> None:
        if self._on_record is not None:
            self._on_record(self._record)

    def _tell_hold(self, seconds: float) -> None:
        self._emit(HoldBegun(mono_now_ns(), seconds))


def _left_undone(record: ScenarioRecord) -> str:
    """Return why a scenario ended that was stopped, and what it left undone."""
    names = [
        f"{step.name} (under way)" if step.state is StepState.FAILED else step.name
        for step in record.steps
        if step.state in (StepState.FAILED, StepState.SKIPPED)
    ]
    shown = ", ".join(names[:_SHOWN_UNDONE])
    more = len(names) - _SHOWN_UNDONE
    rest = f" and {more} more" if more > 0 else ""
    what = f"left undone: {shown}{rest}" if names else "all its steps were done"
    return f"the run was stopped before the scenario ended; {what}"


def exceeded(abort: Abort, load: LoadView) -> str:
    """Return which abort condition holds, with its numbers; "" if none does."""
    outage_ms, ratio = abort.max_outage_ms, abort.max_error_ratio
    wrong = abort.max_wrong
    if outage_ms is not None and load.longest_outage_ms() > outage_ms:
        return (
            f"an outage of {load.longest_outage_ms():.0f} ms that was not expected "
            f"(abort.max_outage_ms = {outage_ms:g})"
        )
    if ratio is not None and load.error_ratio() > ratio:
        return (
            f"a ratio of errors of {load.error_ratio():.4f} "
            f"(abort.max_error_ratio = {ratio:g})"
        )
    if wrong is not None and load.wrong() > wrong:
        return f"{load.wrong()} wrong replies (abort.max_wrong = {wrong})"
    return ""
