"""Carries out one mutation: waits its turn, sends it once, and sees it settle.

Rule: a mutation whose reply was lost is looked up, never repeated; what was refused for
its frequency, or never left this host, was not applied and is sent again.

Rule: whatever must be done before a call, or undone if nothing came of it, is asked for
by ``before_call`` and ``not_applied``. Phases tell people; nothing depends on them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.mutations import guards
from loadprobe.control.mutations.changes import FailOver
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.mutations.settle import Settling
from loadprobe.control.mutations.signs import TopologySource
from loadprobe.control.mutations.under_way import UnderWay
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.faults import (
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    has_bad_keys,
    is_throttled,
)
from loadprobe.control.provider.state import (
    ABSENT,
    AT_REST,
    AVAILABLE,
    ApiCall,
    GroupState,
)
from loadprobe.core.events import CallBegun, CallEvident, MutationFailed
from loadprobe.core.steps import StepRecord, StepState
from loadprobe.errors import ControlError

_RESTING = AT_REST | {ABSENT}
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0


class Withheld(ControlError):
    """The call was not made, or nothing was applied: it was not wanted any more."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long the parts of a mutation may take, in seconds.

    Args:
        deadline_s: from the accepted call to recovered replicas.
        poll_s: pause between looks at the API.
        evidence_s: patience: to look for a sign after a lost reply, to repeat what was
            not applied, to go on with refused credentials.
        ready_s: to wait for an available group before the call; None means
            ``deadline_s``.
    """

    deadline_s: float
    poll_s: float
    evidence_s: float = 60.0
    ready_s: float | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever has a call made, and what is asked of them.

    Args:
        obstacle: returns why the call is not to be made any more, "" if it is; asked
            again and again until it was accepted.
        before_call: called once, immediately before the call, with the time of its
            phase (monotonic ns); if it raises, no call is made.
        not_applied: called after ``before_call`` if the call has certainly changed
            nothing: it was refused, never left this host, or was not wanted any more.
    """

    obstacle: Callable[[], str] = lambda: ""
    before_call: Callable[[int], None] = lambda _: None
    not_applied: Callable[[], None] = lambda: None


async def mutate(
    api: ElastiCacheApi,
    mutation: Mutation,
    phases: Phases,
    *,
    topology: TopologySource,
    pace: TimeLimits,
    caller: Caller | None = None,
) -> StepRecord:
    """Change the group and wait until provider and cluster agree that it is done.

    Enters phases: api_call, accepted, modifying, settled, replicas_recovered, for a
    failover also promoted and provider_completed as they are seen; or failed, with a
    reason. A target that is there already enters none.

    Args:
        api: the open API.
        mutation: what to change.
        phases: where the phases go.
        topology: the running topology watch.
        pace: how long it may take.
        caller: is asked before the call; None is nobody.

    Returns:
        The step, SETTLED or UNNEEDED.

    Raises:
        Withheld: there was an obstacle before the call was accepted.
        ControlError: a guard failed, the call was refused or remained without an
            answer or a sign, or it did not settle in time.
        LoadprobeError: whatever ``before_call`` raised.
    """
    change = UnderWay(api, mutation, phases, topology, patience_s=pace.evidence_s)
    calling = _Calling(change, pace, caller or Caller())
    settling = Settling(change, poll_s=pace.poll_s)
    state = StepState.UNNEEDED
    try:
        async with api.changing:
            before = await calling.wait_until_ready()
            calls = mutation.plan(before)
            phases.shards = mutation.shards(before)
            for call in calls:
                state = StepState.SETTLED
                await calling.send(call, before)
                await settling.wait(pace.deadline_s)
    except Withheld:
        raise
    except ControlError as exc:
        phases.enter(MutationFailed(str(exc)))
        raise
    return phases.record(state)


class _Calling:
    """The time until a call was accepted."""

    def __init__(self, change: UnderWay, pace: TimeLimits, caller: Caller) -> None:
        self._change = change
        self._mutation, self._what = change.mutation, change.what
        self._phases, self._signs = change.phases, change.signs
        self._pace = pace
        self._caller = caller

    async def wait_until_ready(self) -> GroupState:
        """Wait for a group that can take a mutation."""
        pace = self._pace
        ready_s = pace.deadline_s if pace.ready_s is None else pace.ready_s
        reason = "the provider did not answer"
        try:
            async with asyncio.timeout(ready_s):
                while True:
                    state = await self._change.look(self._mutation.needs)
                    self._check_wanted()
                    reason = self._busy(state) if state is not None else reason
                    if state is not None and not reason:
                        self._change.topology.follow(state.group)
                        self._change.was_there = state.is_there
                        return state
                    await asyncio.sleep(self._pace.poll_s)
        except TimeoutError:
            raise ControlError(
                f"{self._what}: not begun after waiting {ready_s:g} s: {reason}"
                f"{self._change.last_fault}"
            ) from None

    def _busy(self, state: GroupState) -> str:
        group = state.group
        if group.status not in _RESTING:
            return (
                f"the {group.named} is {group.status!r}, not {AVAILABLE!r}; wait until "
                "it is"
            )
        if not isinstance(self._mutation, FailOver):
            return ""
        self._mutation.plan(state)  # what will be refused anyway is not waited for
        replaced = guards.unfinished_replacement(state)
        return f"a node of shard {replaced} is still being replaced" if replaced else ""

    def _check_wanted(self) -> None:
        obstacle = self._caller.obstacle()
        if obstacle:
            raise Withheld(f"{self._what}: not begun: {obstacle}")

    async def send(self, call: ApiCall, before: GroupState) -> None:
        """Send the call until it was applied or refused, and applied at most once."""
        await self._signs.prepare(before)
        self._check_wanted()
        now_ns = mono_now_ns()
        self._caller.before_call(now_ns)
        self._phases.enter(CallBegun(call.shown()), mono_ns=now_ns)
        try:
            unanswered = await self._send(call)
        except (ApiRefused, ApiUnreachable, Withheld):
            self._caller.not_applied()
            raise
        if unanswered is not None:
            await self._look_up(unanswered)

    async def _send(self, call: ApiCall) -> ApiUnanswered | None:
        """Send the call; return the fault of one whose reply was lost."""
        give_up_ns = mono_now_ns() + int(self._change.patience_s * NS_PER_S)
        pause_s = _FIRST_PAUSE_S
        attempts = 1
        while True:
            try:
                made = await self._change.api.send(call)
            except ApiUnanswered as fault:
                return fault
            except (ApiRefused, ApiUnreachable) as fault:
                if not _may_repeat(fault, call) or mono_now_ns() >= give_up_ns:
                    raise
                self._change.patience.last = str(fault)
            else:
                self._phases.accept(made, attempts=attempts)
                return None
            await asyncio.sleep(pause_s)
            self._check_wanted()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            attempts += 1

    async def _look_up(self, fault: ApiUnanswered) -> None:
        """Look for the effect of a call whose reply was lost."""
        try:
            async with asyncio.timeout(self._change.patience_s):
                while True:
                    state = await self._change.look()
                    sign = await self._signs.evidence(state) if state else ""
                    if sign:
                        break
                    await self._signs.pause(self._pace.poll_s)
        except TimeoutError:
            raise ControlError(
                f"{fault}; no sign of it ({self._what}) showed within "
                f"{self._change.patience_s:g} s, and the call was not repeated"
            ) from fault
        self._phases.enter(CallEvident(evidence=sign, reason=str(fault)))


def _may_repeat(fault: ApiRefused | ApiUnreachable, call: ApiCall) -> bool:
    """Tell whether a call that was not applied may be sent again.

    A failover refused for the customer's rate has met its daily quota, which does not
    pass by waiting.
    """
    if isinstance(fault, ApiUnreachable) or has_bad_keys(fault):
        return True
    is_quota = call.operation == "TestFailover" and "Throttl" not in fault.code
    return is_throttled(fault) and not is_quota
