"""The changes of how large a group is: its shards, and their replicas.

Pure, as ``changes``.
"""

from dataclasses import dataclass
from typing import ClassVar

from loadprobe.control.mutations import agreement, guards
from loadprobe.control.mutations.mutation import (
    OfAllShards,
    shards_to_come,
    with_group,
)
from loadprobe.control.provider.state import ApiCall, GroupState
from loadprobe.core.topology.topology import Topology
from loadprobe.errors import ControlError

_BALANCE_RATIO = 0.02
"""Shards whose slots differ by no more than this share of the mean are balanced."""


@dataclass(frozen=True, slots=True)
class Scale(OfAllShards):
    """Have so many shards; the same number as before spreads the slots evenly.

    Shards that go are those with the highest ids, so that the outcome is known before.
    """

    count: int
    operation: ClassVar[str] = "scale"

    def describe(self) -> str:
        """Return one line for people."""
        return f"number of shards to {self.count}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        group = state.group
        if not group.is_cluster:
            raise ControlError(
                f"{self.describe()}: {group.id} is without cluster mode and has one "
                "shard; create a group with cluster mode"
            )
        if self.count < 1:
            raise ControlError(f"{self.describe()}: a group has at least one shard")
        if self.count == len(group.shards) and _is_balanced(state):
            return ()
        arguments: dict[str, object] = {
            "ReplicationGroupId": group.id,
            "NodeGroupCount": self.count,
            "ApplyImmediately": True,
        }
        removed = sorted(group.shards)[self.count :]
        if removed:
            arguments["NodeGroupsToRemove"] = removed
        return (ApiCall("ModifyReplicationGroupShardConfiguration", arguments),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether there are so many shards, all with slots."""
        shards = state.group.shards.values()
        has_slots = [bool(shard.slots) for shard in shards]
        return len(has_slots) == self.count and (all(has_slots) or not any(has_slots))

    def after(self, state: GroupState) -> GroupState:
        """Return the group with so many shards, as large as its smallest."""
        group = state.group
        sizes = [len(shard.members) for shard in group.shards.values()] or [1]
        shards = shards_to_come(group.id, self.count, size=min(sizes))
        return with_group(state, shards=shards)

    def agrees(self, topology: Topology, state: GroupState) -> bool:
        """Tell whether the slots are where the provider says."""
        group = state.group
        return agreement.is_complete(topology, group) and agreement.has_same_slots(
            topology, group
        )


@dataclass(frozen=True, slots=True)
class SetReplicas(OfAllShards):
    """Have so many replicas in every shard."""

    count: int
    operation: ClassVar[str] = "replicas"

    def describe(self) -> str:
        """Return one line for people."""
        return f"replicas of each shard to {self.count}"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        guards.check_available(state, self.describe())
        guards.check_replicas(state, self.count, self.describe())
        counts = {len(shard.members) - 1 for shard in state.group.shards.values()}
        if counts == {self.count}:
            return ()
        grows = any(count < self.count for count in counts)
        arguments = {
            "ReplicationGroupId": state.group.id,
            "NewReplicaCount": self.count,
            "ApplyImmediately": True,
        }
        operation = "IncreaseReplicaCount" if grows else "DecreaseReplicaCount"
        return (ApiCall(operation, arguments),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether every shard has so many."""
        shards = state.group.shards.values()
        return all(len(shard.members) - 1 == self.count for shard in shards)

    def after(self, state: GroupState) -> GroupState:
        """Return the group with so many replicas in every shard."""
        group = state.group
        shards = shards_to_come(group.id, len(group.shards), size=self.count + 1)
        return with_group(state, shards=shards)

    def agrees(self, topology: Topology, state: GroupState) -> bool:
        """Tell whether every primary shows so many."""
        return agreement.is_complete(topology, state.group) and agreement.has_replicas(
            topology, self.count
        )


def _is_balanced(state: GroupState) -> bool:
    counts = [agreement.slot_count(shard) for shard in state.group.shards.values()]
    if not any(counts):
        return False
    mean = sum(counts) / len(counts)
    return max(counts) - min(counts) <= max(1, _BALANCE_RATIO * mean)
