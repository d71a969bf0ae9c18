"""Carries out one mutation: waits its turn, sends it once, and watches it to its end.

Rule: a mutation whose reply was lost is looked up, never repeated; what was refused for
its frequency, or never left this host, was not applied and is sent again. One loop with
its own deadline settles all mutations: the status alone is wrong in both directions, as
it may still be "available" after the call, and "modifying" may be too short to be seen.

Rule: whatever must be done before a call, or undone if nothing came of it, is asked for
by ``before_call`` and ``not_applied``. Phases tell people; nothing depends on them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.mutations import agreement, guards
from loadprobe.control.mutations.changes import FailOver, RotateAuth
from loadprobe.control.mutations.failover_signs import FailoverSigns
from loadprobe.control.mutations.lifecycle import CreateGroup, DeleteGroup
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.mutations.signs import Signs, StateSigns, TopologySource
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.faults import (
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    Patience,
    has_bad_keys,
    is_throttled,
)
from loadprobe.control.provider.state import (
    ABSENT,
    AVAILABLE,
    CREATE_FAILED,
    DELETING,
    MIGRATING,
    ApiCall,
    GroupState,
    Need,
)
from loadprobe.core.events import (
    CallBegun,
    CallEvident,
    Emit,
    EndpointFollowed,
    MutationFailed,
    MutationSettled,
    ReplicasRecovered,
    StatusChanging,
)
from loadprobe.core.steps import StepRecord, StepState
from loadprobe.errors import ControlError

_RESTING = frozenset({AVAILABLE, MIGRATING, CREATE_FAILED, ABSENT})
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0


class Withheld(ControlError):
    """The call was not made, or nothing was applied: it was not wanted any more."""


def _unhindered() -> str:
    return ""


def _unprepared(_now_ns: int) -> None:
    return None


def _unconcerned() -> None:
    return None


async def mutate(
    api: ElastiCacheApi,
    mutation: Mutation,
    *,
    step: str,
    emit: Emit,
    topology: TopologySource,
    deadline_s: float,
    poll_s: float,
    evidence_s: float = 60.0,
    ready_s: float | None = None,
    obstacle: Callable[[], str] = _unhindered,
    before_call: Callable[[int], None] = _unprepared,
    not_applied: Callable[[], None] = _unconcerned,
) -> StepRecord:
    """Change the group and wait until provider and cluster agree that it is done.

    Emits phases (see ``Phases``): api_call, accepted, modifying, settled,
    replicas_recovered, for a failover also promoted and provider_completed as they are
    seen; or failed, with a reason. A target that is there already emits none.

    Args:
        api: the open API.
        mutation: what to change.
        step: the step's name, for the journal.
        emit: where phases go.
        topology: the running topology watch.
        deadline_s: seconds from the accepted call to recovered replicas.
        poll_s: pause between looks at the API.
        evidence_s: patience in seconds: to look for a sign after a lost reply, to
            repeat what was not applied, to go on with refused credentials.
        ready_s: seconds to wait for an available group before the call; None means
            ``deadline_s``.
        obstacle: returns why the call is not to be made any more, "" if it is; asked
            again and again until it was accepted.
        before_call: called once, immediately before the call, with the time of its
            phase (monotonic ns); if it raises, no call is made.
        not_applied: called after ``before_call`` if the call has certainly changed
            nothing: it was refused, never left this host, or was not wanted any more.

    Returns:
        The step, SETTLED or UNNEEDED.

    Raises:
        Withheld: there was an obstacle before the call was accepted.
        ControlError: a guard failed, the call was refused or remained without an
            answer or a sign, or it did not settle in time.
        LoadprobeError: whatever ``before_call`` raised.
    """
    phases = Phases(step, mutation.operation, emit)
    run = _Mutating(
        api,
        mutation,
        phases,
        topology,
        poll_s=poll_s,
        patience_s=evidence_s,
        obstacle=obstacle,
        before_call=before_call,
        not_applied=not_applied,
    )
    state = StepState.UNNEEDED
    try:
        async with api.changing:
            before = await run.wait_until_ready(
                deadline_s if ready_s is None else ready_s
            )
            calls = mutation.plan(before)
            phases.shards = mutation.shards(before)
            for call in calls:
                state = StepState.SETTLED
                await run.send(call, before)
                await run.settle(deadline_s)
    except Withheld:
        raise
    except ControlError as exc:
        phases.enter(MutationFailed(str(exc)))
        raise
    return StepRecord(
        name=step,
        operation=mutation.operation,
        state=state,
        shards=phases.shards,
        phases_ns=phases.seen_ns,
    )


class _Mutating:
    """One mutation under way."""

    def __init__(
        self,
        api: ElastiCacheApi,
        mutation: Mutation,
        phases: Phases,
        topology: TopologySource,
        *,
        poll_s: float,
        patience_s: float,
        obstacle: Callable[[], str],
        before_call: Callable[[int], None],
        not_applied: Callable[[], None],
    ) -> None:
        self._api = api
        self._obstacle = obstacle
        self._before_call = before_call
        self._not_applied = not_applied
        self._mutation = mutation
        self._phases = phases
        self._topology = topology
        self._poll_s = poll_s
        self._patience_s = patience_s
        self._patience = Patience(limit_s=patience_s)
        self._what = mutation.describe()
        self._was_there = False
        self._missing: list[str] = []
        self._signs = self._choose_signs()

    def _choose_signs(self) -> Signs:
        if isinstance(self._mutation, FailOver):
            return FailoverSigns(
                self._api,
                self._mutation,
                self._phases,
                self._topology,
                patience_s=self._patience_s,
            )
        return StateSigns(
            self._api, self._mutation, self._topology, quiet_s=self._patience_s
        )

    # Before the call

    async def wait_until_ready(self, ready_s: float) -> GroupState:
        """Wait for a group that can take a mutation."""
        reason = "the provider did not answer"
        try:
            async with asyncio.timeout(ready_s):
                while True:
                    state = await self._look(self._mutation.needs)
                    self._check_wanted()
                    reason = self._busy(state) if state is not None else reason
                    if state is not None and not reason:
                        self._topology.follow(state.group)
                        self._was_there = state.is_there
                        return state
                    await asyncio.sleep(self._poll_s)
        except TimeoutError:
            raise ControlError(
                f"{self._what}: not begun after waiting {ready_s:g} s: {reason}"
                f"{self._last_fault()}"
            ) from None

    def _busy(self, state: GroupState) -> str:
        group = state.group
        if group.status not in _RESTING:
            return (
                f"the group {group.id} is {group.status!r}, not {AVAILABLE!r}; wait "
                "until it is"
            )
        if not isinstance(self._mutation, FailOver):
            return ""
        self._mutation.plan(state)  # what will be refused anyway is not waited for
        replaced = guards.unfinished_replacement(state)
        return f"a node of shard {replaced} is still being replaced" if replaced else ""

    def _check_wanted(self) -> None:
        obstacle = self._obstacle()
        if obstacle:
            raise Withheld(f"{self._what}: not begun: {obstacle}")

    # The call

    async def send(self, call: ApiCall, before: GroupState) -> None:
        """Send the call until it was applied or refused, and applied at most once."""
        await self._signs.prepare(before)
        self._check_wanted()
        now_ns = mono_now_ns()
        self._before_call(now_ns)
        self._phases.enter(CallBegun(call.shown()), mono_ns=now_ns)
        try:
            unanswered = await self._send(call)
        except (ApiRefused, ApiUnreachable, Withheld):
            self._not_applied()
            raise
        if unanswered is not None:
            await self._look_up(unanswered)

    async def _send(self, call: ApiCall) -> ApiUnanswered | None:
        """Send the call; return the fault of one whose reply was lost."""
        give_up_ns = mono_now_ns() + int(self._patience_s * NS_PER_S)
        pause_s = _FIRST_PAUSE_S
        attempts = 1
        while True:
            try:
                made = await self._api.send(call)
            except ApiUnanswered as fault:
                return fault
            except (ApiRefused, ApiUnreachable) as fault:
                if not _may_repeat(fault, call) or mono_now_ns() >= give_up_ns:
                    raise
                self._patience.last = str(fault)
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
            async with asyncio.timeout(self._patience_s):
                while True:
                    state = await self._look()
                    sign = await self._signs.evidence(state) if state else ""
                    if sign:
                        break
                    await self._signs.pause(self._poll_s)
        except TimeoutError:
            raise ControlError(
                f"{fault}; no sign of it ({self._what}) showed within "
                f"{self._patience_s:g} s, and the call was not repeated"
            ) from fault
        self._phases.enter(CallEvident(evidence=sign, reason=str(fault)))

    # After the call

    async def settle(self, deadline_s: float) -> None:
        """Watch until the mutation is done and the replicas are back."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._until_nothing_misses(self._missing_to_settle)
                self._phases.enter(MutationSettled())
                if isinstance(self._mutation, RotateAuth):
                    self._topology.use_password(self._mutation.token)
                if isinstance(self._mutation, CreateGroup | DeleteGroup):
                    return
                await self._until_nothing_misses(self._missing_replicas)
        except TimeoutError:
            reached = "settled, but not whole" if self._is_settled else "not settled"
            raise ControlError(
                f"{self._what}: {reached} {deadline_s:g} s after the call was "
                f"accepted; still missing: {', '.join(self._missing)}"
                f"{self._last_fault()}"
            ) from None
        self._phases.enter(ReplicasRecovered())

    @property
    def _is_settled(self) -> bool:
        return "settled" in self._phases.seen_ns

    async def _until_nothing_misses(
        self, find: Callable[[GroupState], Awaitable[list[str]]]
    ) -> None:
        self._missing = ["an answer of the provider"]
        while True:
            state = await self._look(self._mutation.needs & {Need.UPDATES})
            if state is not None:
                self._missing = await find(state)
                if not self._missing:
                    return
            await self._signs.pause(self._poll_s)

    async def _missing_to_settle(self, state: GroupState) -> list[str]:
        self._check_alive(state)
        self._note_move()
        status = state.group.status
        is_moving = status not in {AVAILABLE, ABSENT}
        if is_moving and "modifying" not in self._phases.seen_ns:
            self._phases.enter(StatusChanging(status))
        missing = await self._signs.missing(state)
        if self._topology.is_endpoint_behind:
            missing.append("the endpoint at the new primary")
        return missing

    def _note_move(self) -> None:
        """Enter a move of the endpoint since the call."""
        move, seen_ns = self._topology.endpoint_move, self._phases.seen_ns
        if move is None or "endpoint_moved" in seen_ns:
            return
        if move.at_ns > seen_ns.get("api_call", move.at_ns):
            followed = EndpointFollowed(
                from_addresses=", ".join(move.before),
                to_addresses=", ".join(move.after),
                gap_ms=move.gap_ms,
            )
            self._phases.enter(followed, mono_ns=move.at_ns)

    def _check_alive(self, state: GroupState) -> None:
        """End the wait for a group that will never get there."""
        group = state.group
        self._was_there = self._was_there or state.is_there
        if group.status == CREATE_FAILED:
            raise ControlError(
                f"{self._what}: the provider could not create {group.id}: its status "
                f"is {group.status!r}; see its events for the reason, and delete it"
            )
        if isinstance(self._mutation, DeleteGroup) or not self._was_there:
            return
        if group.status in {ABSENT, DELETING}:
            raise ControlError(
                f"{self._what}: the group {group.id} was deleted by somebody else "
                f"meanwhile (it is {group.status!r})"
            )

    async def _missing_replicas(self, state: GroupState) -> list[str]:
        self._check_alive(state)
        self._topology.follow(state.group)
        group, topology = state.group, self._topology.current
        if topology is None:
            return []
        if not group.is_cluster and not self._topology.is_at(group.endpoint):
            return []  # lanes are at the source of a migration, or at a tunnel's end
        missing: list[str] = []
        for node_group in group.shards.values():
            wanted = len(node_group.members) - 1
            shard = agreement.shard_of(topology, node_group)
            linked = await self._topology.linked_replicas(shard.name) if shard else 0
            if linked < wanted:
                missing.append(f"replicas of {node_group.id} ({linked} of {wanted})")
        return missing

    async def _look(self, needs: Collection[Need] = ()) -> GroupState | None:
        """Describe the group; None for a fault that may pass."""
        try:
            state = await self._api.describe_state(needs, missing_ok=True)
        except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
            self._patience.tolerate(fault)
            return None
        self._patience.reset()
        return state

    def _last_fault(self) -> str:
        last = self._patience.last
        return f"; last API fault: {last}" if last else ""


def _may_repeat(fault: ApiRefused | ApiUnreachable, call: ApiCall) -> bool:
    """Tell whether a call that was not applied may be sent again.

    A failover refused for the customer's rate has met its daily quota, which does not
    pass by waiting.
    """
    if isinstance(fault, ApiUnreachable) or has_bad_keys(fault):
        return True
    is_quota = call.operation == "TestFailover" and "Throttl" not in fault.code
    return is_throttled(fault) and not is_quota
