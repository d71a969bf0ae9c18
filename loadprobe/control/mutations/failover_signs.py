"""Tells whether a failover has happened and the shard is whole again.

Rule: three signs are read, none of which suffices alone: the API's status (it stays
"available" all the time), the provider's events (late, in English) and the cluster
itself (the only one that shows the new primary).
"""

import asyncio

from loadprobe.clock import NS_PER_S
from loadprobe.control.mutations import agreement
from loadprobe.control.mutations.changes import FailOver
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.mutations.signs import TopologySource
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.event_texts import (
    EventKind,
    EventMeaning,
    classify,
    is_ours,
)
from loadprobe.control.provider.faults import (
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    Patience,
)
from loadprobe.control.provider.replies import NodeGroup, ProviderRecord
from loadprobe.control.provider.state import AVAILABLE, GroupState
from loadprobe.core.events import CompletionTold, PrimaryPromoted
from loadprobe.core.phase_names import Phase
from loadprobe.core.topology.topology import Shard, Topology
from loadprobe.errors import ControlError

_CLOCK_SLACK_NS = 5 * NS_PER_S
_TOPOLOGY_WAIT_S = 10.0


class FailoverSigns:
    """Looks at the status, the events and the topology, and enters what they show.

    Enters the phases promoted (with from_node and to_node) and provider_completed as
    they are seen.

    Args:
        api: the open API.
        mutation: the failover.
        phases: where they are entered.
        topology: the cluster's view.
        patience_s: how long events may be refused for bad credentials.
    """

    def __init__(
        self,
        api: ElastiCacheApi,
        mutation: FailOver,
        phases: Phases,
        topology: TopologySource,
        *,
        patience_s: float,
    ) -> None:
        self._api = api
        self._mutation = mutation
        self._phases = phases
        self._topology = topology
        self._patience = Patience(limit_s=patience_s)
        self._node_group = ""
        self._called_unix_ns = 0
        self._earlier: frozenset[ProviderRecord] = frozenset()
        self._is_recovered = False
        self._former: Shard | None = None

    async def prepare(self, before: GroupState) -> None:
        """Note who is primary, and which events were there already."""
        (self._node_group,) = self._mutation.shards(before)
        self._earlier = frozenset(before.records or ())
        self._former = await self._find_shard(before.group.shards[self._node_group])
        self._called_unix_ns = self._api.provider_now_ns

    async def evidence(self, state: GroupState) -> str:
        """Return "event" or "topology"."""
        del state  # it stays as it was
        kinds = {meaning.kind for meaning in await self._new_meanings()}
        if EventKind.TEST_FAILOVER_CALLED in kinds:
            return "event"
        topology = self._topology.current
        is_promoted = topology is not None and self._is_promoted(topology)
        return "topology" if is_promoted else ""

    async def missing(self, state: GroupState) -> list[str]:
        """Return which of promotion, events, replicas and status lack."""
        self._look_at_topology()
        await self._look_at_events()
        missing: list[str] = [
            phase
            for phase in (Phase.PROMOTED, Phase.PROVIDER_COMPLETED)
            if phase not in self._phases.seen_ns
        ]
        if not self._is_recovered:
            missing.append("the provider's event 'Finished recovery'")
        if not missing and not await self._is_whole():
            missing.append("the shard's former replicas")
        if state.group.status != AVAILABLE:
            missing.append(f"status {AVAILABLE!r} (it is {state.group.status!r})")
        return missing

    async def pause(self, seconds: float) -> None:
        """Wait, but notice a promotion the moment it is seen."""
        if Phase.PROMOTED in self._phases.seen_ns:
            await asyncio.sleep(seconds)
        elif await self._topology.wait_for(self._is_promoted, seconds):
            self._look_at_topology()

    async def _find_shard(self, node_group: NodeGroup) -> Shard:
        """Find the node group in the topology: by slots, as names may differ."""

        def is_known(topology: Topology) -> bool:
            shard = agreement.shard_of(topology, node_group)
            return shard is not None and bool(shard.replicas)

        if not await self._topology.wait_for(is_known, _TOPOLOGY_WAIT_S):
            slot = min((first for first, _ in node_group.slots), default=0)
            raise ControlError(
                f"{self._mutation.describe()}: the group shows no primary with a "
                f"replica for slot {slot} after {_TOPOLOGY_WAIT_S:g} s; check that its "
                "nodes can be reached from here, and that [target] cluster says "
                "whether it has cluster mode"
            )
        assert self._topology.current is not None
        shard = agreement.shard_of(self._topology.current, node_group)
        assert shard is not None
        return shard

    @property
    def _shard_before(self) -> Shard:
        assert self._former is not None, "prepare() comes first"
        return self._former

    def _look_at_topology(self) -> None:
        topology = self._topology.current
        if Phase.PROMOTED in self._phases.seen_ns or topology is None:
            return
        if self._is_promoted(topology):
            shard = agreement.shard_named(topology, self._shard_before.name)
            assert shard is not None
            promoted = PrimaryPromoted(
                from_node=self._shard_before.primary.address,
                to_node=shard.primary.address,
            )
            self._phases.enter(promoted)

    def _is_promoted(self, topology: Topology) -> bool:
        shard = agreement.shard_named(topology, self._shard_before.name)
        return shard is not None and shard.primary.id != self._shard_before.primary.id

    async def _is_whole(self) -> bool:
        """Tell whether the shard has its former number of nodes, replicas linked."""
        topology = self._topology.current
        name, wanted = self._shard_before.name, len(self._shard_before.replicas)
        shard = agreement.shard_named(topology, name) if topology else None
        if shard is None or len(shard.replicas) < wanted:
            return False
        return await self._topology.linked_replicas(name) >= wanted

    async def _look_at_events(self) -> None:
        for meaning in await self._new_meanings():
            if meaning.kind is EventKind.FAILED:
                raise ControlError(
                    f"{self._mutation.describe()}: the provider gave it up: "
                    f"{meaning.record.message!r}"
                )
            if meaning.kind is EventKind.RECOVERY_FINISHED:
                self._is_recovered = True
            if (
                meaning.kind is EventKind.FAILOVER_COMPLETED
                and Phase.PROVIDER_COMPLETED not in self._phases.seen_ns
            ):
                completion = CompletionTold(
                    date_unix_ns=meaning.record.date_unix_ns,
                    message=meaning.record.message,
                    to_cluster=meaning.to_node,
                )
                self._phases.enter(completion)

    async def _new_meanings(self) -> list[EventMeaning]:
        """Return this shard's events since the call, oldest first.

        What was there before the call is left out by identity rather than by date,
        and the start is in the provider's time, so that a wrong clock on either side
        does not matter.
        """
        group_id, members = self._api.group_id, self._api.members
        try:
            records = await self._api.events_since(
                self._called_unix_ns - _CLOCK_SLACK_NS
            )
        except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
            self._patience.tolerate(fault)
            return []
        self._patience.reset()
        meanings = [
            classify(record, group_id=group_id, members=members)
            for record in records
            if record not in self._earlier
            and is_ours(record, group_id=group_id, members=members)
        ]
        return [m for m in meanings if m.node_group == self._node_group]
