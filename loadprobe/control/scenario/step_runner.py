"""Carries out one step of a scenario, and what belongs to it on the side of the load.

After a step has settled, the lanes are sent to the endpoint that the group then
describes. While a step ends an endpoint, that endpoint is watched closely, on
connections of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import assert_never

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.config.keys import Config
from loadprobe.control.created import markers
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.settle import Withheld, mutate
from loadprobe.control.mutations.signs import TopologySource
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.faults import (
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    Patience,
)
from loadprobe.control.provider.replies import Endpoint, Group
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import AVAILABLE
from loadprobe.control.scenario.brake import Brake
from loadprobe.control.scenario.exec_step import run_command
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.keys import (
    AuthRotateStep,
    CreateStep,
    DeleteStep,
    ExecStep,
    HoldStep,
    Step,
    TlsStep,
    WaitStep,
)
from loadprobe.control.scenario.lanes import Darkness, LaneControl, LaneEndpoints
from loadprobe.control.scenario.tokens import is_missing, make_token, read_token
from loadprobe.control.scenario.turns import (
    Memory,
    Observation,
    StepTurn,
    is_for_all_shards,
    needs,
    remembered,
    resolve,
    turn_of,
    turns,
)
from loadprobe.control.watch.endpoint import EndpointWatch, WatchedEndpoint, watching
from loadprobe.control.watch.tls_scout import TlsScout
from loadprobe.core.events import (
    Emit,
    EndpointSeen,
    Event,
    HoldBegun,
    LanesBegun,
    PhaseEntered,
    StepBegun,
    StepEnded,
    StepProblem,
    TokenMade,
)
from loadprobe.core.steps import StepRecord, StepState
from loadprobe.drivers.resolver import Resolver
from loadprobe.drivers.tls import make_context, server_name
from loadprobe.errors import ControlError, LoadprobeError, ProbeCrashed, RunError

_REFUSAL_WAIT_S = 10.0
_ENDPOINT_PATIENCE_S = 60.0
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
    """

    turn: StepTurn
    operation: str
    shards: tuple[str, ...] = ()
    phases_ns: dict[str, int] = field(default_factory=dict)
    called_ns: int | None = None
    is_applied: bool = True

    def record(self, state: StepState, reason: str = "") -> StepRecord:
        return StepRecord(
            name=self.turn.name,
            operation=self.operation,
            state=state,
            shards=self.shards,
            phases_ns=self.phases_ns,
            reason=reason,
        )


class StepRunner:
    """Carries out steps, one at a time (see the module).

    Args:
        scenario: whose steps they are.
        api: the open API of the group.
        topology: the running topology watch.
        lanes: the lanes of the run.
        emit: where events go.
        poll_s: pause between looks at the API.
        config: where the lanes are at first, and which group it is about.
        brake: ends holds and waits.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        api: ElastiCacheApi,
        topology: TopologySource,
        lanes: LaneControl,
        emit: Emit,
        poll_s: float,
        config: Config,
        brake: Brake,
    ) -> None:
        self._api = api
        self._topology = topology
        self._lanes = lanes
        self._emit = emit
        self._poll_s = poll_s
        assert config.control is not None, "the API is open"
        self._control = config.control
        self._target = config.target
        self._brake = brake
        self._darkness = Darkness(scenario.expected, lanes)
        self._endpoints = LaneEndpoints(scenario, config.target, lanes)
        self._memory = Memory()

    async def turns(self, step: Step, number: int) -> tuple[StepTurn, ...]:
        """Return the turns of a step in a round, of a group as it is.

        Raises:
            ControlError: the group cannot be described.
        """
        if not is_for_all_shards(step):
            return (turn_of(step, number),)
        return turns(step, number, await self._api.describe_state())

    async def take(self, turn: StepTurn, note: Note) -> None:
        """Carry out a turn; its failure is part of the record.

        Args:
            turn: what to carry out.
            note: called with the record once; also before cancellation is passed on.
        """
        progress = _Progress(turn, turn.step.operation)
        self._emit(StepBegun(mono_now_ns(), turn.name, progress.operation))
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
        has_settled = "settled" in progress.phases_ns
        self._darkness.break_off(
            progress.turn.step.label, at_ns, has_settled=has_settled
        )

    def _tell(self, progress: _Progress, state: StepState, reason: str = "") -> None:
        name, operation = progress.turn.name, progress.operation
        self._emit(StepEnded(mono_now_ns(), name, operation, state, reason))

    async def _carry_out(self, progress: _Progress) -> tuple[StepState, str]:
        """Carry out the turn; return how it ended, and why if it was cut short."""
        turn = progress.turn
        state = await self._api.describe_state(needs(turn.step), missing_ok=True)
        self._memory = remembered(self._memory, turn.step, state)
        if isinstance(turn.step, AuthRotateStep):
            tokens = {**self._memory.tokens, turn.step.label: self._token(turn.step)}
            self._memory = replace(self._memory, tokens=tokens)
        what = resolve(turn, state, self._memory)
        if isinstance(what, Observation):
            await self._observe(what, progress)
            if self._brake.reason and not isinstance(what, ExecStep):
                return StepState.SKIPPED, f"cut short by {self._brake.reason}"
            return StepState.SETTLED, ""
        return await self._mutate(what, progress, before=state.group), ""

    # --- steps that change nothing ---------------------------------------------------

    async def _observe(self, step: Observation, progress: _Progress) -> None:
        progress.phases_ns["begun"] = mono_now_ns()
        self._darkness.begin(step.label, progress.phases_ns["begun"])
        match step:
            case HoldStep():
                self._emit(HoldBegun(mono_now_ns(), step.seconds))
                await self._brake.pause(step.seconds)
            case WaitStep():
                await self._wait(step)
            case ExecStep():
                await run_command(
                    step.command,
                    step=progress.turn.name,
                    emit=self._emit,
                    timeout_s=step.timeout_s,
                    secrets=self._secrets(),
                )
            case _:
                assert_never(step)
        progress.phases_ns["settled"] = mono_now_ns()
        self._darkness.end(step.label, progress.phases_ns["settled"])

    async def _wait(self, step: WaitStep) -> None:
        deadline_ns = mono_now_ns() + int(step.deadline_s * NS_PER_S)
        patience = Patience(limit_s=_ENDPOINT_PATIENCE_S)
        while not self._brake.reason:
            try:
                state = await self._api.describe_state()
            except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
                patience.tolerate(fault)
                if mono_now_ns() >= deadline_ns:
                    raise
                await self._brake.pause(self._poll_s)
                continue
            patience.reset()
            status = state.group.status
            wanted = AVAILABLE if step.until == "settled" else step.until
            pending = state.pending if step.until == "settled" else {}
            if status == wanted and not pending:
                return
            if mono_now_ns() >= deadline_ns:
                left = f", pending: {', '.join(pending)}" if pending else ""
                raise ControlError(
                    f"step {step.label}: the group {state.group.id} is {status!r}"
                    f"{left} after {step.deadline_s:g} s, not {step.until!r}; raise "
                    "deadline_s, or see its events for the reason"
                )
            await self._brake.pause(self._poll_s)

    def _secrets(self) -> list[Secret]:
        password = self._target.read_password()
        known = [] if password is None else [Secret(password)]
        return [*known, *self._memory.tokens.values()]

    def _token(self, step: AuthRotateStep) -> Secret:
        if is_missing(step):
            make_token(step)
            text = f"made a new token in {step.token_file} (mode 0600)"
            self._emit(TokenMade(mono_now_ns(), step.label, text))
        return read_token(step)

    # --- mutations -------------------------------------------------------------------

    async def _mutate(
        self, mutation: Mutation, progress: _Progress, *, before: Group
    ) -> StepState:
        step = progress.turn.step
        progress.operation = mutation.operation
        begun_ns = mono_now_ns()

        def note_phase(event: Event) -> None:
            if isinstance(event, PhaseEntered):
                progress.phases_ns[event.details.phase] = event.mono_ns
            self._emit(event)

        def before_call(now_ns: int) -> None:
            progress.called_ns = now_ns
            if isinstance(step, CreateStep):
                markers.write(self._control, now_ns=self._api.provider_now_ns)
            self._darkness.begin(step.label, now_ns)

        def not_applied() -> None:
            progress.is_applied = False
            if isinstance(step, CreateStep):
                markers.remove(self._control)

        async with AsyncExitStack() as stack:
            watch = self._ending_endpoint(step, before)
            if watch is not None:
                await stack.enter_async_context(watching(watch))
            if isinstance(step, TlsStep) and before.tls_mode == "none":
                await self._expect_tls(stack, progress.turn.name)
            record = await mutate(
                self._api,
                mutation,
                step=progress.turn.name,
                emit=note_phase,
                topology=self._topology,
                deadline_s=step.deadline_s,
                poll_s=self._poll_s,
                obstacle=lambda: self._brake.reason,
                before_call=before_call,
                not_applied=not_applied,
            )
            progress.shards = record.shards
            if watch is not None:
                await self._note_end(watch, progress)
        self._darkness.begin(step.label, begun_ns)  # if there was no call to begin at
        await self._follow(step, before)
        if progress.turn.is_last:
            self._darkness.end(step.label, mono_now_ns())
        return record.state

    async def _follow(self, step: Step, before: Group) -> None:
        """Bring the load to where the group is after a step."""
        if isinstance(step, DeleteStep):
            markers.remove(self._control)
            return
        if isinstance(step, AuthRotateStep):
            token = self._memory.tokens[step.label]
            await self._lanes.use_password(token.reveal())
        group = await self._described()
        await self._endpoints.follow(step, before=before.tls_mode, group=group)

    async def _described(self) -> Group:
        patience = Patience(limit_s=_ENDPOINT_PATIENCE_S)
        try:
            async with asyncio.timeout(_ENDPOINT_PATIENCE_S):
                while True:
                    try:
                        return await self._api.describe_group()
                    except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
                        patience.tolerate(fault)
                    await asyncio.sleep(self._poll_s)
        except TimeoutError:
            raise ControlError(
                "it settled, but the endpoint of the group could not be read for "
                f"{_ENDPOINT_PATIENCE_S:g} s, so the load stays where it is; last "
                f"fault: {patience.last}"
            ) from None

    # --- endpoints that end ----------------------------------------------------------

    def _ending_endpoint(self, step: Step, before: Group) -> EndpointWatch | None:
        """Return a watch of the endpoint that a step ends, None if it ends none."""
        if not isinstance(step, TlsStep) or before.tls_mode != "preferred":
            return None
        tls = {"required": False, "none": True}.get(step.mode)
        if tls is None:
            return None
        endpoint = self._endpoints.of(tls=tls)
        if not tls:
            watched = WatchedEndpoint(
                endpoint, resolver=Resolver(self._target.name_server)
            )
            return EndpointWatch(watched, self._emit)
        watched = WatchedEndpoint(
            endpoint,
            context=make_context(self._target),
            server_name=server_name(self._target, endpoint.host),
            resolver=Resolver(self._target.name_server),
        )
        return EndpointWatch(watched, self._emit)

    async def _expect_tls(self, stack: AsyncExitStack, step: str) -> None:
        """Have the lanes that wait for TLS begin as soon as it is served."""
        plain = self._endpoints.of(tls=False)
        if plain.host and any(lane.tls for lane in self._lanes.lanes):
            target = self._target.at(tls=False, host=plain.host, port=plain.port)
            await stack.enter_async_context(self._waking(TlsScout(target), step))

    @asynccontextmanager
    async def _waking(self, scout: TlsScout, step: str) -> AsyncIterator[None]:
        looking = asyncio.create_task(scout.first_served())
        waking = asyncio.create_task(self._wake_at(looking, step))
        try:
            yield
        except BaseException:
            waking.cancel()
            raise
        finally:
            looking.cancel()  # what is found by now is made use of
            await asyncio.wait({waking})
            if not waking.cancelled():
                waking.result()

    async def _wake_at(
        self, looking: "asyncio.Task[tuple[Endpoint, int]]", step: str
    ) -> None:
        await asyncio.wait({looking})
        if looking.cancelled():
            return
        endpoint, served_ns = looking.result()
        self._emit(
            EndpointSeen(
                served_ns,
                endpoint.host,
                endpoint.port,
                tls=True,
                state="accepting",
                reason="",
                gap_ms=None,
            )
        )
        try:
            woken = await self._lanes.wake(
                tls=True, host=endpoint.host, port=endpoint.port
            )
        except RunError:
            return  # it is tried again when the step has settled
        if woken:
            late_ms = (mono_now_ns() - served_ns) / NS_PER_MS
            text = (
                f"the TLS lanes were told to begin {late_ms:.0f} ms after the first "
                "handshake that was served; before they began they observed nothing"
            )
            self._emit(LanesBegun(mono_now_ns(), step, text))

    async def _note_end(self, watch: EndpointWatch, progress: _Progress) -> None:
        """Note when the endpoint ended, as the proof that it did."""
        if await watch.wait_refused(_REFUSAL_WAIT_S) and watch.refused_ns is not None:
            progress.phases_ns["endpoint_refused"] = watch.refused_ns
        else:
            text = (
                f"{watch.name} still takes connections {_REFUSAL_WAIT_S:g} s after the "
                "step has settled"
            )
            self._emit(StepProblem(mono_now_ns(), progress.turn.name, text))
        if watch.cut_ns is not None:
            progress.phases_ns["endpoint_cut"] = watch.cut_ns
