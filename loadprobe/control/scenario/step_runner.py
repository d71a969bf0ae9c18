"""Carries out one step of a scenario, and what belongs to it on the side of the load.

After a step has settled, the lanes are sent to the endpoint that the group then
describes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from loadprobe.clock import mono_now_ns
from loadprobe.control.created import markers
from loadprobe.control.mutations.mutate import Caller, TimeLimits, Withheld, mutate
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.provider.faults import (
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    Patience,
)
from loadprobe.control.provider.replies import Group
from loadprobe.control.provider.secret import Secret
from loadprobe.control.scenario.brake import Brake
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import (
    AuthRotateStep,
    DeleteStep,
    ExecStep,
    Making,
    Step,
    cuts_over,
)
from loadprobe.control.scenario.lanes import Darkness, LaneEndpoints
from loadprobe.control.scenario.observing import Observing
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.control.scenario.tokens import is_missing, make_token, read_token
from loadprobe.control.scenario.transferring import Transferring
from loadprobe.control.scenario.transports import Transports
from loadprobe.control.scenario.turns import (
    Memory,
    Observation,
    StepTurn,
    Transfer,
    is_for_all_shards,
    needs,
    remembered,
    resolve,
    turn_of,
    turns,
)
from loadprobe.core.events import (
    StepBegun,
    StepEnded,
    TokenMade,
)
from loadprobe.core.phase_names import Phase
from loadprobe.core.steps import StepRecord, StepState, WentOver
from loadprobe.errors import ControlError, LoadprobeError, ProbeCrashed

_PATIENCE_S = 60.0
_STOPPED = "the run ended while it was under way"

Note = Callable[[StepRecord], None]


@dataclass(slots=True)
class _Progress:
    """What has been seen of the turn under way.

    Args:
        turn: which.
        operation: its name in the journal.
        shards: which it is about; () means all.
        phases_ns: phase -> when it was seen, for the record.
        called_ns: when the call was begun; None before it.
        is_applied: False if the call has certainly changed nothing.
        went_over: the lanes that it led to another cluster.
    """

    turn: StepTurn
    operation: str
    shards: tuple[str, ...] = ()
    phases_ns: dict[str, int] = field(default_factory=dict)
    called_ns: int | None = None
    is_applied: bool = True
    went_over: tuple[WentOver, ...] = ()

    def record(self, state: StepState, reason: str = "") -> StepRecord:
        return StepRecord(
            name=self.turn.name,
            operation=self.operation,
            state=state,
            shards=self.shards,
            phases_ns=self.phases_ns,
            reason=reason,
            went_over=self.went_over,
        )


class StepRunner:
    """Carries out steps, one at a time (see the module).

    Args:
        scenario: whose steps they are.
        around: the run.
        brake: ends holds and waits.
    """

    def __init__(self, scenario: Scenario, around: Surroundings, brake: Brake) -> None:
        self._around = around
        self._target = around.config.target
        self._brake = brake
        self._darkness = Darkness(scenario.expected, around.lanes)
        self._endpoints = LaneEndpoints(scenario, self._target, around.lanes)
        self._observing = Observing(around, brake)
        self._transports = Transports(around, self._endpoints)
        self._transferring = Transferring(around, self._endpoints, brake)
        self._memory = Memory(markers.new_mark())

    async def close(self) -> None:
        """End what goes on beside the steps."""
        await self._transferring.close()

    async def turns(self, step: Step, number: int) -> tuple[StepTurn, ...]:
        """Return the turns of a step in a round, of a group as it is.

        Raises:
            ControlError: the group cannot be described.
        """
        if not is_for_all_shards(step):
            return (turn_of(step, number),)
        return turns(step, number, await self._around.group_api.describe_state())

    async def take(self, turn: StepTurn, note: Note) -> None:
        """Carry out a turn; its failure is part of the record.

        Args:
            turn: what to carry out.
            note: called with the record once; also before cancellation is passed on.
        """
        progress = _Progress(turn, turn.step.operation)
        self._around.emit(StepBegun(mono_now_ns(), turn.name, progress.operation))
        try:
            record = progress.record(*await self._carry_out(progress))
        except ProbeCrashed:
            raise
        except Withheld as exc:
            self._break_off(progress)
            record = progress.record(StepState.SKIPPED, str(exc))
        except LoadprobeError as exc:  # also lanes that cannot go where the group is
            self._break_off(progress)
            record = progress.record(StepState.FAILED, str(exc))
        except asyncio.CancelledError:
            self._tell(progress, StepState.FAILED, _STOPPED)
            note(progress.record(StepState.FAILED, _STOPPED))
            raise
        self._tell(progress, record.state, record.reason)
        note(record)

    def _break_off(self, progress: _Progress) -> None:
        """End the darkness that a failed step accounts for."""
        at_ns: int = mono_now_ns()
        if not progress.is_applied and progress.called_ns is not None:
            at_ns = progress.called_ns
        has_settled = Phase.SETTLED in progress.phases_ns
        self._darkness.break_off(
            progress.turn.step.label, at_ns, has_settled=has_settled
        )

    def _tell(self, progress: _Progress, state: StepState, reason: str = "") -> None:
        name, operation = progress.turn.name, progress.operation
        self._around.emit(StepEnded(mono_now_ns(), name, operation, state, reason))

    async def _carry_out(self, progress: _Progress) -> tuple[StepState, str]:
        """Carry out the turn; return how it ended, and why if it was cut short."""
        turn = progress.turn
        state = await self._around.describe_state(needs(turn.step))
        self._memory = remembered(self._memory, turn.step, state)
        if isinstance(turn.step, AuthRotateStep):
            tokens = {**self._memory.tokens, turn.step.label: self._token(turn.step)}
            self._memory = replace(self._memory, tokens=tokens)
        what = resolve(turn, state, self._memory)
        if isinstance(what, Transfer):
            await self._transfer(what, progress, state.group)
            if self._brake.reason:
                return StepState.SKIPPED, f"cut short by {self._brake.reason}"
            return StepState.SETTLED, ""
        if isinstance(what, Observation):
            await self._observe(what, progress)
            if self._brake.reason and not isinstance(what, ExecStep):
                return StepState.SKIPPED, f"cut short by {self._brake.reason}"
            return StepState.SETTLED, ""
        return await self._mutate(what, progress, before=state.group), ""

    # --- steps that change nothing ---------------------------------------------------

    async def _observe(self, step: Observation, progress: _Progress) -> None:
        progress.phases_ns[Phase.BEGUN] = mono_now_ns()
        self._darkness.begin(step.label, progress.phases_ns[Phase.BEGUN])
        await self._observing.take(
            step, name=progress.turn.name, secrets=self._secrets()
        )
        progress.phases_ns[Phase.SETTLED] = mono_now_ns()
        self._darkness.end(step.label, progress.phases_ns[Phase.SETTLED])

    async def _transfer(
        self, step: Transfer, progress: _Progress, group: Group
    ) -> None:
        phases = Phases(progress.turn.name, step.operation, self._around.emit)
        progress.phases_ns = phases.seen_ns
        self._darkness.begin(step.label, mono_now_ns())
        progress.went_over = await self._transferring.take(step, phases, group)
        self._darkness.end(step.label, mono_now_ns())

    def _secrets(self) -> list[Secret]:
        password = self._target.read_password()
        known = [] if password is None else [Secret(password)]
        return [*known, *self._memory.tokens.values()]

    def _token(self, step: AuthRotateStep) -> Secret:
        if is_missing(step):
            make_token(step)
            text = f"made a new token in {step.token_file} (mode 0600)"
            self._around.emit(TokenMade(mono_now_ns(), step.label, text))
        return read_token(step)

    # --- mutations -------------------------------------------------------------------

    async def _mutate(
        self, mutation: Mutation, progress: _Progress, *, before: Group
    ) -> StepState:
        step = progress.turn.step
        progress.operation = mutation.operation
        begun_ns = mono_now_ns()

        def before_call(now_ns: int) -> None:
            progress.called_ns = now_ns
            if isinstance(step, Making):
                markers.write(
                    self._around.control,
                    now_ns=self._around.group_api.provider_now_ns,
                    mark=self._memory.mark,
                )
            self._darkness.begin(step.label, now_ns)

        def not_applied() -> None:
            progress.is_applied = False
            if isinstance(step, Making):
                markers.remove(self._around.control)

        name = progress.turn.name
        phases = Phases(name, mutation.operation, self._around.emit)
        progress.phases_ns = phases.seen_ns
        async with self._transports.watched(step, before, name=name) as watch:
            record = await mutate(
                self._around.group_api,
                mutation,
                phases,
                topology=self._around.topology,
                pace=TimeLimits(deadline_s=step.deadline_s, poll_s=self._around.poll_s),
                caller=Caller(lambda: self._brake.reason, before_call, not_applied),
            )
            progress.shards = record.shards
            if watch is not None:
                progress.phases_ns |= await self._transports.note_end(watch, name=name)
        self._darkness.begin(step.label, begun_ns)  # if there was no call to begin at
        await self._follow(step, before)
        if progress.turn.is_last:
            self._darkness.end(step.label, mono_now_ns())
        return record.state

    async def _follow(self, step: Step, before: Group) -> None:
        """Bring the load to where the group is after a step."""
        if isinstance(step, DeleteStep):
            markers.remove(self._around.control)
            return
        if isinstance(step, AuthRotateStep):
            token = self._memory.tokens[step.label]
            await self._around.lanes.use_password(token.reveal())
        group = await self._described()
        await self._endpoints.follow(step, before=before.tls_mode, group=group)
        if cuts_over(step) and not self._endpoints.is_elsewhere:
            self._around.lanes.release_writes()

    async def _described(self) -> Group:
        patience = Patience(limit_s=_PATIENCE_S)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while True:
                    try:
                        return await self._around.group_api.describe_group()
                    except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
                        patience.tolerate(fault)
                    await asyncio.sleep(self._around.poll_s)
        except TimeoutError:
            raise ControlError(
                "it settled, but the endpoint of the group could not be read for "
                f"{_PATIENCE_S:g} s, so the load stays where it is; last "
                f"fault: {patience.last}"
            ) from None
