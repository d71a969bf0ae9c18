"""Fails one shard over through the provider's API and watches it until it is whole.

Rule: the mutation is sent once. What follows is read from three witnesses, none of
which suffices alone: the API's status (it stays "available" all the time), the
provider's events (late, in English) and the cluster itself (the only one that shows
the new primary).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns, wall_now_ns
from loadprobe.control.api import ElastiCacheApi
from loadprobe.control.event_texts import EventKind, Meaning, classify
from loadprobe.control.faults import (
    ApiRefused,
    ApiUnanswered,
    ApiUnreachable,
    may_pass,
)
from loadprobe.control.shapes import Group, NodeGroup, ProviderRecord
from loadprobe.core.events import Emit, Event
from loadprobe.core.topology import Shard, Topology
from loadprobe.errors import ControlError

FAILOVERS_PER_DAY = 15
"""TestFailover accepts this many node groups in any 24 hours (API reference)."""

_DAY_NS = 24 * 3600 * NS_PER_S
_CLOCK_SLACK_NS = 5 * NS_PER_S
_TOPOLOGY_WAIT_S = 10.0

logger = logging.getLogger(__name__)


class TopologySource(Protocol):
    """What a failover needs of a ``TopologyWatch``."""

    @property
    def current(self) -> Topology | None:
        """The newest topology."""

    async def wait_for(
        self, predicate: Callable[[Topology], bool], deadline_s: float
    ) -> bool:
        """Wait until a topology satisfies the predicate; False at the deadline."""

    async def linked_replicas(self, shard: str) -> int:
        """Return how many replicas the shard's primary serves now."""


@dataclass(frozen=True, slots=True)
class FailoverResult:
    """A failover that settled.

    Args:
        shard: node group id.
        from_node: "host:port" of the former primary.
        to_node: "host:port" of the new primary.
        request_id: the provider's id of the call; "" if its reply was lost.
        phases_mono_ns: phase -> when we saw it, monotonic ns.
    """

    shard: str
    from_node: str
    to_node: str
    request_id: str
    phases_mono_ns: Mapping[str, int]


async def fail_over(
    api: ElastiCacheApi,
    shard: str,
    *,
    emit: Emit,
    topology: TopologySource,
    deadline_s: float,
    poll_s: float = 2.0,
    evidence_s: float = 60.0,
) -> FailoverResult:
    """Fail a shard over and wait until the group is whole again.

    Emits ``Event(source="controller", kind="phase")`` with the fields operation,
    shard, phase: api_call, accepted, then promoted, provider_completed as they are
    seen, at last settled; or failed, with a reason.

    Args:
        api: the open API.
        shard: node group id; "1" means "0001".
        emit: where phases go.
        topology: the running topology watch.
        deadline_s: seconds from the accepted call to settled.
        poll_s: pause between looks at the API.
        evidence_s: after a lost reply: seconds to look for a sign of the failover.

    Raises:
        ControlError: a check failed, the call was refused or remained without an
            answer or a sign, or the shard did not settle in time.
    """
    run = _Failover(api, shard, emit, topology, poll_s)
    try:
        await run.check()
        await run.call(evidence_s=evidence_s)
        await run.settle(deadline_s=deadline_s)
    except ControlError as exc:
        run.enter("failed", reason=str(exc))
        raise
    return run.result()


@dataclass(slots=True)
class _Failover:
    """One failover: what was there before, and what has been seen since."""

    api: ElastiCacheApi
    shard: str
    emit: Emit
    topology: TopologySource
    poll_s: float
    request_id: str = ""
    called_unix_ns: int = 0
    is_recovered: bool = False
    last_fault: str = ""
    earlier: frozenset[ProviderRecord] = frozenset()
    phases: dict[str, int] = field(default_factory=dict)
    _former: Shard | None = None
    _new_primary: str = ""

    @property
    def former(self) -> Shard:
        assert self._former is not None, "check() comes first"
        return self._former

    def enter(self, phase: str, *, mono_ns: int | None = None, **more: object) -> None:
        """Record and emit a phase."""
        at_ns = mono_now_ns() if mono_ns is None else mono_ns
        self.phases[phase] = at_ns
        fields = {"operation": "failover", "shard": self.shard, "phase": phase, **more}
        self.emit(Event(at_ns, "controller", "phase", fields))
        logger.info(
            "phase", extra={f"lp_{key}": value for key, value in fields.items()}
        )

    def result(self) -> FailoverResult:
        return FailoverResult(
            shard=self.shard,
            from_node=self.former.primary.address,
            to_node=self._new_primary,
            request_id=self.request_id,
            phases_mono_ns=dict(self.phases),
        )

    # Before the call

    async def check(self) -> None:
        """Refuse what cannot succeed, and note what is there."""
        group = await self.api.describe_group()
        if group.status != "available":
            raise ControlError(
                f"failover of shard {self.shard} of {group.id}: the group is "
                f"{group.status!r}, not 'available'; wait until it is"
            )
        node_group = _find_node_group(group, self.shard)
        self.shard = node_group.id
        if len(node_group.members) < 2:
            raise ControlError(
                f"failover of shard {self.shard} of {group.id}: it has no replica; add "
                "one before failing over"
            )
        await self._check_quota()
        self._former = await self._find_shard(node_group)

    async def _check_quota(self) -> None:
        records = await self.api.events_since(wall_now_ns() - _DAY_NS)
        self.earlier = frozenset(records)
        calls = [
            record
            for record in records
            if self._meaning(record).kind is EventKind.TEST_FAILOVER_CALLED
        ]
        if len(calls) >= FAILOVERS_PER_DAY:
            wait_s = (calls[0].date_unix_ns + _DAY_NS - wall_now_ns()) // NS_PER_S
            raise ControlError(
                f"failover of shard {self.shard}: {len(calls)} test failovers were "
                f"called in the last 24 hours and {FAILOVERS_PER_DAY} are allowed; the "
                f"oldest of them expires in {max(0, wait_s)} s"
            )

    async def _find_shard(self, node_group: NodeGroup) -> Shard:
        """Find the node group in the topology: by slots, as names may differ."""
        slot = node_group.slots[0][0] if node_group.slots else 0

        def is_known(topology: Topology) -> bool:
            shard = _shard_of_slot(topology, slot)
            return shard is not None and bool(shard.replicas)

        if not await self.topology.wait_for(is_known, _TOPOLOGY_WAIT_S):
            raise ControlError(
                f"failover of shard {self.shard}: the cluster shows no primary with a "
                f"replica for slot {slot} after {_TOPOLOGY_WAIT_S:g} s; check that its "
                "nodes can be reached from here and that cluster mode is on"
            )
        assert self.topology.current is not None
        shard = _shard_of_slot(self.topology.current, slot)
        assert shard is not None
        return shard

    # The call

    async def call(self, *, evidence_s: float) -> None:
        """Send the mutation once; after a lost reply look for its effect instead."""
        self.called_unix_ns = wall_now_ns()
        self.enter("api_call")
        try:
            call = await self.api.test_failover(self.shard)
        except ApiUnanswered as fault:
            evidence = await self._find_evidence(evidence_s)
            if evidence is None:
                raise ControlError(
                    f"{fault}; no sign of a failover of shard {self.shard} showed "
                    f"within {evidence_s:g} s, and the call was not repeated"
                ) from fault
            self.enter("accepted", evidence=evidence, reason=str(fault))
            return
        self.request_id = call.request_id
        self.enter(
            "accepted",
            mono_ns=call.after.mono_ns,
            request_id=call.request_id,
            call_ms=(call.after.mono_ns - call.before.mono_ns) / NS_PER_MS,
            provider_offset_ms=(
                None if call.offset_ns is None else call.offset_ns / NS_PER_MS
            ),
        )

    async def _find_evidence(self, evidence_s: float) -> str | None:
        try:
            async with asyncio.timeout(evidence_s):
                while True:
                    if await self._has_new_event(EventKind.TEST_FAILOVER_CALLED):
                        return "event"
                    if await self.topology.wait_for(self._is_promoted, self.poll_s):
                        return "topology"
        except TimeoutError:
            return None

    # After the call

    async def settle(self, *, deadline_s: float) -> None:
        """Watch all three witnesses until the shard is whole, or the deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                while not await self._is_settled():
                    await self._pause()
        except TimeoutError:
            missing = ", ".join(self._missing()) or "the shard's former replicas"
            fault = f"; last API fault: {self.last_fault}" if self.last_fault else ""
            raise ControlError(
                f"failover of shard {self.shard}: not settled {deadline_s:g} s after "
                f"the call was accepted; still missing: {missing}{fault}"
            ) from None
        self.enter("settled")

    async def _is_settled(self) -> bool:
        self._look_at_topology()
        await self._look_at_events()
        if self._missing() or not await self._is_whole():
            return False
        try:
            return (await self.api.describe_group()).status == "available"
        except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
            self._tolerate(fault)
            return False

    async def _pause(self) -> None:
        """Wait one poll interval, but notice a promotion the moment it is seen."""
        if "promoted" in self.phases:
            await asyncio.sleep(self.poll_s)
        elif await self.topology.wait_for(self._is_promoted, self.poll_s):
            self._look_at_topology()

    def _missing(self) -> list[str]:
        missing = [
            phase
            for phase in ("promoted", "provider_completed")
            if phase not in self.phases
        ]
        if not self.is_recovered:
            missing.append("the provider's event 'Finished recovery'")
        return missing

    def _look_at_topology(self) -> None:
        topology = self.topology.current
        if "promoted" in self.phases or topology is None:
            return
        if self._is_promoted(topology):
            shard = _shard_named(topology, self.former.name)
            assert shard is not None
            self._new_primary = shard.primary.address
            self.enter(
                "promoted",
                from_node=self.former.primary.address,
                to_node=self._new_primary,
            )

    def _is_promoted(self, topology: Topology) -> bool:
        shard = _shard_named(topology, self.former.name)
        return shard is not None and shard.primary.id != self.former.primary.id

    async def _is_whole(self) -> bool:
        """Tell whether the shard has its former number of nodes, replicas linked."""
        topology = self.topology.current
        shard = _shard_named(topology, self.former.name) if topology else None
        wanted = len(self.former.replicas)
        if shard is None or len(shard.replicas) < wanted:
            return False
        return await self.topology.linked_replicas(shard.name) >= wanted

    async def _look_at_events(self) -> None:
        for meaning in await self._new_meanings():
            if meaning.kind is EventKind.RECOVERY_FINISHED:
                self.is_recovered = True
            if (
                meaning.kind is EventKind.FAILOVER_COMPLETED
                and "provider_completed" not in self.phases
            ):
                self.enter(
                    "provider_completed",
                    date_unix_ns=meaning.record.date_unix_ns,
                    message=meaning.record.message,
                    to_cluster=meaning.to_node,
                )

    async def _has_new_event(self, kind: EventKind) -> bool:
        return any(meaning.kind is kind for meaning in await self._new_meanings())

    async def _new_meanings(self) -> list[Meaning]:
        """Return this shard's events since the call, oldest first.

        What was there before the call is left out by identity rather than by date,
        and the start is in the provider's time, so that a wrong clock on either side
        does not matter.
        """
        offset_ns = self.api.offset_ns or 0
        start = self.called_unix_ns + offset_ns - _CLOCK_SLACK_NS
        try:
            records = await self.api.events_since(start)
        except (ApiRefused, ApiUnanswered, ApiUnreachable) as fault:
            self._tolerate(fault)
            return []
        meanings = [self._meaning(r) for r in records if r not in self.earlier]
        return [meaning for meaning in meanings if meaning.node_group == self.shard]

    def _meaning(self, record: ProviderRecord) -> Meaning:
        return classify(record, group_id=self.api.group_id, members=self.api.members)

    def _tolerate(self, fault: ApiRefused | ApiUnanswered | ApiUnreachable) -> None:
        if not may_pass(fault):
            raise fault
        self.last_fault = str(fault)


def _find_node_group(group: Group, shard: str) -> NodeGroup:
    wanted = shard.zfill(4) if shard.isdigit() else shard
    found = group.shards.get(wanted)
    if found is None:
        known = ", ".join(sorted(group.shards)) or "none"
        raise ControlError(
            f"failover of shard {shard!r}: {group.id} has no such node group; known: "
            f"{known}"
        )
    return found


def _shard_of_slot(topology: Topology, slot: int) -> Shard | None:
    for shard in topology.shards:
        if any(first <= slot <= last for first, last in shard.ranges):
            return shard
    return None


def _shard_named(topology: Topology, name: str) -> Shard | None:
    return next((shard for shard in topology.shards if shard.name == name), None)
