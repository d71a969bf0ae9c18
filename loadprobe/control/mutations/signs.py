"""Who tells whether a mutation has begun, and whether it is done.

``StateSigns`` serves all mutations that the provider's state shows; a failover, which
it does not show, has its own (see ``failover_signs``).
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.mutations.mutation import Mutation
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.event_texts import EventKind, classify, is_ours
from loadprobe.control.provider.faults import ApiRefused, ApiUnanswered, ApiUnreachable
from loadprobe.control.provider.replies import Endpoint, Group, ProviderRecord
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.serverless import Migration
from loadprobe.control.provider.state import AVAILABLE, MIGRATING, GroupState
from loadprobe.control.watch.names import NameMove
from loadprobe.core.topology.topology import Topology
from loadprobe.errors import ControlError

_LOOK_BACK_NS = 15 * 60 * NS_PER_S


class TopologySource(Protocol):
    """What a mutation needs of a ``TopologyWatch``."""

    @property
    def current(self) -> Topology | None:
        """The newest topology."""

    @property
    def endpoint_move(self) -> NameMove | None:
        """The last move of the primary's endpoint, if it is a name that moves."""

    def is_at(self, endpoint: Endpoint | None) -> bool:
        """Tell whether what is watched is the group that has an endpoint."""

    @property
    def is_endpoint_behind(self) -> bool:
        """Tell whether the primary's endpoint points to a former primary."""

    async def wait_for(
        self, predicate: Callable[[Topology], bool], deadline_s: float
    ) -> bool:
        """Wait until a topology satisfies the predicate; False at the deadline."""

    async def linked_replicas(self, shard: str) -> int:
        """Return how many replicas the shard's primary serves now."""

    async def follows_source(self, endpoint: Endpoint) -> bool:
        """Tell whether a node is itself in step with another server."""

    def follow(self, group: Group) -> None:
        """Change the transport if the group serves the present one no more."""

    def use_password(self, password: Secret) -> None:
        """Log in with another password from the next connection on."""


class Signs(Protocol):
    """Looks at whatever shows a mutation."""

    async def prepare(self, before: GroupState) -> None:
        """Note what is there before the call."""

    async def evidence(self, state: GroupState) -> str:
        """Return what shows that the call was applied, "" if nothing does."""

    async def missing(self, state: GroupState) -> list[str]:
        """Return what is still missing until it is settled."""

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until something changes that matters."""


class StateSigns:
    """Compares the provider's state and the cluster's view with the target.

    Args:
        api: the open API.
        mutation: what is to come true.
        topology: the cluster's view.
        quiet_s: a mutation whose target was there before the call (a new token, slots
            to be spread) and that shows no sign of having begun in this time was too
            short to be seen.
    """

    def __init__(
        self,
        api: ElastiCacheApi,
        mutation: Mutation,
        topology: TopologySource,
        *,
        quiet_s: float,
    ) -> None:
        self._api = api
        self._mutation = mutation
        self._topology = topology
        self._quiet_ns = int(quiet_s * NS_PER_S)
        self._before: GroupState | None = None
        self._earlier: frozenset[ProviderRecord] | None = None
        self._has_begun = False
        self._has_migrated = False
        self._looked_ns: int | None = None

    async def prepare(self, before: GroupState) -> None:
        """Note the state and the events that were there already."""
        self._before = before
        records = await self._records()
        self._earlier = None if records is None else frozenset(records)

    async def evidence(self, state: GroupState) -> str:
        """Return the first of: status, pending, target, state, event."""
        sign = self._sign(state)
        if sign:
            return sign
        return "event" if await self._new_records() else ""

    async def missing(self, state: GroupState) -> list[str]:
        """Return which of status, pending, target and topology lack."""
        mutation, group = self._mutation, state.group
        if self._looked_ns is None:
            self._looked_ns = mono_now_ns()
        self._has_begun = self._has_begun or bool(self._sign(state))
        pending = self._pending(state)
        missing: list[str] = []
        if group.status != mutation.settles_at:
            missing.append(f"status {mutation.settles_at!r} (it is {group.status!r})")
        if pending:
            missing.append(f"the end of what is pending ({', '.join(pending)})")
        if not mutation.is_reached(state):
            missing.append(f"the target ({mutation.describe()})")
        elif not self._is_believed() and not await self._is_tested():
            missing.append("a sign that it began")
        if not self._agrees(state):
            missing.append("the same in the cluster's own view")
        if mutation.settles_at == MIGRATING:
            missing += await self._missing_source(state)
        self._check_migration(group)
        if missing and group.status in {AVAILABLE, MIGRATING}:
            await self._check_not_given_up()
        return missing

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def _sign(self, state: GroupState) -> str:
        """Return what differs from before the call, "" if nothing does."""
        before = self._before
        assert before is not None, "prepare() comes first"
        if state.group.status != before.group.status:
            return "status"
        if self._pending(state):
            return "pending"
        if self._mutation.is_reached(state) and not self._mutation.is_reached(before):
            return "target"
        now = replace(state.group, call=before.group.call)
        is_same = now == before.group and state.clusters == before.clusters
        return "" if is_same else "state"

    def _pending(self, state: GroupState) -> list[str]:
        """Return what is pending and was not before: that waits for its window."""
        assert self._before is not None
        earlier = self._before.pending
        return [k for k, v in state.pending.items() if earlier.get(k) != v]

    def _is_believed(self) -> bool:
        """Tell whether a reached target is this call's doing.

        Right after a call the status may still be "available" and nothing pending. A
        target that was not there before speaks for itself; one that was does not.
        """
        assert self._before is not None
        assert self._looked_ns is not None
        if self._has_begun or not self._mutation.is_reached(self._before):
            return True
        return mono_now_ns() - self._looked_ns >= self._quiet_ns

    def _agrees(self, state: GroupState) -> bool:
        topology = self._topology.current or Topology(())
        return self._mutation.agrees(topology, state)

    async def _missing_source(self, state: GroupState) -> list[str]:
        if state.group.status == MIGRATING:
            self._has_migrated = True
            endpoint = state.group.endpoint
            is_in_step = endpoint is not None and await self._topology.follows_source(
                endpoint
            )
            return [] if is_in_step else ["a primary in step with the source"]
        if self._has_migrated:
            raise ControlError(
                f"{self._mutation.describe()}: the {state.group.named} is "
                f"{state.group.status!r} again, so the provider gave it up; see its "
                "events for the reason"
            )
        return []

    def _check_migration(self, group: Group) -> None:
        """End the wait for a migration into a serverless cache that failed since."""
        assert self._before is not None
        now, earlier = _migration_of(group), _migration_of(self._before.group)
        has_failed = now is not None and now.has_failed and now != earlier
        if now is not None and has_failed:
            raise ControlError(
                f"{self._mutation.describe()}: the migration into {group.id} is "
                f"{now.status!r}; see its events for the reason"
            )

    async def _is_tested(self) -> bool:
        """Tell whether an event says that a test is over: nothing else shows it."""
        kinds = [self._kind(record) for record in await self._new_records()]
        return EventKind.MIGRATION_TESTED in kinds

    def _kind(self, record: ProviderRecord) -> EventKind:
        group_id, members = self._api.group_id, self._api.members
        return classify(record, group_id=group_id, members=members).kind

    async def _check_not_given_up(self) -> None:
        for record in await self._new_records():
            if self._kind(record) is EventKind.FAILED:
                raise ControlError(
                    f"{self._mutation.describe()}: the provider gave it up: "
                    f"{record.message!r} ({record.source_identifier})"
                )

    async def _new_records(self) -> list[ProviderRecord]:
        """Return our events that were not there before the call."""
        if self._earlier is None:
            return []
        group_id, members = self._api.group_id, self._api.members
        return [
            record
            for record in await self._records() or ()
            if record not in self._earlier
            and is_ours(record, group_id=group_id, members=members)
        ]

    async def _records(self) -> tuple[ProviderRecord, ...] | None:
        """Return recent events, None if they cannot be had: others tell more."""
        try:
            return await self._api.events_since(
                self._api.provider_now_ns - _LOOK_BACK_NS
            )
        except (ApiRefused, ApiUnanswered, ApiUnreachable):
            return None


def _migration_of(group: Group) -> Migration | None:
    return group.serverless.migration if group.serverless is not None else None
