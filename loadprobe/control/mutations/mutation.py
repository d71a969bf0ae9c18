"""What a change of a group is: the protocol of all mutations, and what most share.

Pure.
"""

from dataclasses import replace
from typing import ClassVar, Protocol

from loadprobe.control.mutations import agreement
from loadprobe.control.provider.replies import NodeGroup
from loadprobe.control.provider.serverless import Migration
from loadprobe.control.provider.state import AVAILABLE, ApiCall, GroupState, Need
from loadprobe.core.topology.topology import Topology


class Mutation(Protocol):
    """A change of one group.

    Attributes:
        operation: its name in the journal, such as "tls".
        needs: what the state must hold before it can be planned.
        settles_at: status of the group once it is done.
    """

    operation: ClassVar[str]
    needs: ClassVar[frozenset[Need]]
    settles_at: ClassVar[str]

    def shards(self, state: GroupState) -> tuple[str, ...]:
        """Return the node groups it touches; () means all."""

    def describe(self) -> str:
        """Return one line for people."""

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call to make, at most one; () if it is so already.

        Raises:
            ControlError: a guard knows that the call would be refused.
        """

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether the provider shows the target."""

    def agrees(self, topology: Topology, state: GroupState) -> bool:
        """Tell whether the cluster itself shows the target."""

    def after(self, state: GroupState) -> GroupState:
        """Return what the group is going to be once it is done, as far as is known.

        Later steps of a scenario are planned from it before any is carried out.
        """


class OfAllShards:
    """What most mutations share: all shards, an available group, nothing to ask.

    Nor do some change anything that a later one would be planned from.
    """

    __slots__ = ()

    needs: ClassVar[frozenset[Need]] = frozenset()
    settles_at: ClassVar[str] = AVAILABLE

    def shards(self, state: GroupState) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's
        """Return ()."""
        return ()

    def agrees(self, topology: Topology, state: GroupState) -> bool:
        """Tell whether the provider's shards serve all slots."""
        return agreement.is_complete(topology, state.group)

    def after(self, state: GroupState) -> GroupState:
        """Return the group as it is."""
        return state


def with_group(state: GroupState, **changes: object) -> GroupState:
    """Return the state with some members of the group changed."""
    return replace(state, group=replace(state.group, **changes))  # type: ignore[arg-type]


def with_serverless(state: GroupState, **changes: object) -> GroupState:
    """Return the state with some of what only a serverless cache has changed."""
    serverless = state.group.serverless
    if serverless is None:
        return state
    return with_group(state, serverless=replace(serverless, **changes))  # type: ignore[arg-type]


def with_migration(state: GroupState, migration: Migration | None) -> GroupState:
    """Return the state with another migration into a serverless cache, or none."""
    return with_serverless(state, migration=migration)


def shards_to_come(group_id: str, count: int, *, size: int) -> dict[str, NodeGroup]:
    """Return so many shards of so many nodes; which slots they have is not known."""
    ids = [f"{number:04d}" for number in range(1, count + 1)]
    return {
        id_: NodeGroup(
            id=id_,
            status=AVAILABLE,
            slots=(),
            members=tuple(f"{group_id}-{id_}-{n:03d}" for n in range(1, size + 1)),
        )
        for id_ in ids
    }


def modify(state: GroupState, **changes: object) -> ApiCall:
    """Return a call that changes some members of a group, at once.

    Without ApplyImmediately the change would wait for the maintenance window (API
    reference), and members that do not change stay out: sending the transit encryption
    again has broken unrelated changes.
    """
    arguments: dict[str, object] = {"ReplicationGroupId": state.group.id}
    return ApiCall(
        "ModifyReplicationGroup", arguments | changes | {"ApplyImmediately": True}
    )
