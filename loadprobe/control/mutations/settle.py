"""Watches a mutation that was accepted until it has settled: all show it as done.

One loop with its own deadline does so for all mutations: the status alone is wrong in
both directions, as it may still be "available" after the call, and "modifying" may be
too short to be seen.
"""

import asyncio
from collections.abc import Awaitable, Callable

from loadprobe.control.mutations import agreement
from loadprobe.control.mutations.changes import RotateAuth
from loadprobe.control.mutations.lifecycle import CreateGroup, DeleteGroup
from loadprobe.control.mutations.serverless import CreateCache
from loadprobe.control.mutations.under_way import UnderWay
from loadprobe.control.provider.state import (
    ABSENT,
    AVAILABLE,
    CREATE_FAILED,
    DELETING,
    GroupState,
    Need,
)
from loadprobe.core.events import (
    EndpointFollowed,
    MutationSettled,
    ReplicasRecovered,
    StatusChanging,
)
from loadprobe.core.phase_names import Phase
from loadprobe.errors import ControlError


class Settling:
    """The time from an accepted call until provider and cluster agree.

    Args:
        change: the mutation.
        poll_s: pause between looks at the API.
    """

    def __init__(self, change: UnderWay, *, poll_s: float) -> None:
        self._change = change
        self._mutation, self._what = change.mutation, change.what
        self._phases, self._signs = change.phases, change.signs
        self._topology = change.topology
        self._poll_s = poll_s
        self._missing: list[str] = []

    async def wait(self, deadline_s: float) -> None:
        """Watch until the mutation has settled and the replicas are back.

        Raises:
            ControlError: it did not in so many seconds, or never will.
        """
        try:
            async with asyncio.timeout(deadline_s):
                await self._until_nothing_misses(self._missing_to_settle)
                self._phases.enter(MutationSettled())
                if isinstance(self._mutation, RotateAuth):
                    self._topology.use_password(self._mutation.token)
                if isinstance(self._mutation, CreateGroup | CreateCache | DeleteGroup):
                    return
                await self._until_nothing_misses(self._missing_replicas)
        except TimeoutError:
            reached = "settled, but not whole" if self._is_settled else "not settled"
            raise ControlError(
                f"{self._what}: {reached} {deadline_s:g} s after the call was "
                f"accepted; still missing: {', '.join(self._missing)}"
                f"{self._change.last_fault}"
            ) from None
        self._phases.enter(ReplicasRecovered())

    @property
    def _is_settled(self) -> bool:
        return Phase.SETTLED in self._phases.seen_ns

    async def _until_nothing_misses(
        self, find: Callable[[GroupState], Awaitable[list[str]]]
    ) -> None:
        self._missing = ["an answer of the provider"]
        while True:
            state = await self._change.look(self._mutation.needs & {Need.UPDATES})
            if state is not None:
                self._missing = await find(state)
                if not self._missing:
                    return
            await self._signs.pause(self._poll_s)

    async def _missing_to_settle(self, state: GroupState) -> list[str]:
        self._check_alive(state)
        status = state.group.status
        is_moving = status not in {AVAILABLE, ABSENT}
        if is_moving and Phase.MODIFYING not in self._phases.seen_ns:
            self._phases.enter(StatusChanging(status))
        missing = await self._signs.missing(state)
        self._note_move()  # here: it may move while signs are looked for
        if self._topology.is_endpoint_behind:
            missing.append("the endpoint at the new primary")
        return missing

    def _note_move(self) -> None:
        """Enter a move of the endpoint since the call."""
        move, seen_ns = self._topology.endpoint_move, self._phases.seen_ns
        if move is None or "endpoint_moved" in seen_ns:
            return
        if move.at_ns > seen_ns.get(Phase.API_CALL, move.at_ns):
            followed = EndpointFollowed(
                from_addresses=", ".join(move.before),
                to_addresses=", ".join(move.after),
                gap_ms=move.gap_ms,
            )
            self._phases.enter(followed, mono_ns=move.at_ns)

    def _check_alive(self, state: GroupState) -> None:
        """End the wait for a group that will never get there."""
        group = state.group
        self._change.was_there = self._change.was_there or state.is_there
        if group.status == CREATE_FAILED:
            raise ControlError(
                f"{self._what}: the provider could not create {group.id}: its status "
                f"is {group.status!r}; see its events for the reason, and delete it"
            )
        if isinstance(self._mutation, DeleteGroup) or not self._change.was_there:
            return
        if group.status in {ABSENT, DELETING}:
            raise ControlError(
                f"{self._what}: the {group.named} was deleted by somebody else "
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
