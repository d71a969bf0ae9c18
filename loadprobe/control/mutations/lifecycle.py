"""The changes that make and end what is controlled: create a group, delete either.

Pure, as ``changes``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from loadprobe.control.mutations import guards
from loadprobe.control.mutations.marks import MARK_TAG, as_tags, carries, not_ours
from loadprobe.control.mutations.mutation import (
    OfAllShards,
    shards_to_come,
    with_group,
)
from loadprobe.control.provider.secret import Secret
from loadprobe.control.provider.state import (
    ABSENT,
    AVAILABLE,
    ApiCall,
    GroupState,
    Need,
)
from loadprobe.core.topology.topology import Topology
from loadprobe.errors import ControlError


@dataclass(frozen=True, slots=True)
class CreateGroup(OfAllShards):
    """Create the group the API is opened for.

    Args:
        shard_count: number of shards; 1 without cluster mode.
        replicas: replicas of each shard.
        node_type: such as "cache.t4g.micro".
        engine: "redis" or "valkey".
        engine_version: None leaves it to the provider.
        tls_mode: transit encryption.
        is_cluster: with cluster mode.
        parameter_group: None leaves it to the provider.
        subnet_group: None leaves it to the provider.
        security_groups: ids; () leaves them to the provider.
        port: where clients connect; None leaves it to the provider.
        token: AUTH token; needs TLS.
        description: for people who find the group.
        tags: name -> value; who made it, and its mark, are added.
        mark: a random text that no other group has; "" for a group that loadprobe is
            never to delete.
        durability: of writes; None leaves it to the provider.
        snapshots: what it is seeded from: ARNs of RDB files in S3, or whatever the
            provider takes for them.
    """

    shard_count: int
    replicas: int
    node_type: str
    engine: Literal["redis", "valkey"] = "valkey"
    engine_version: str | None = None
    tls_mode: Literal["none", "preferred", "required"] = "none"
    is_cluster: bool = True
    parameter_group: str | None = None
    subnet_group: str | None = None
    security_groups: tuple[str, ...] = ()
    port: int | None = None
    token: Secret | None = None
    description: str = "made by loadprobe"
    tags: Mapping[str, str] = field(default_factory=dict)
    mark: str = ""
    snapshots: tuple[str, ...] = ()
    durability: Literal["sync", "async", "disabled"] | None = None
    operation: ClassVar[str] = "create"

    def describe(self) -> str:
        """Return one line for people."""
        return (
            f"group of {self.shard_count} x (1+{self.replicas}) {self.node_type} with "
            f"{self.engine} {self.engine_version or '(newest)'}"
            f"{', seeded from ' + ', '.join(self.snapshots) if self.snapshots else ''}"
        )

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        what = f"create {state.group.id}, a {self.describe()}"
        if state.is_there:
            raise ControlError(
                f"{what}: a group of that name exists and is {state.group.status!r}; "
                "choose another name, or delete it"
            )
        if self.shard_count != 1 and not self.is_cluster:
            raise ControlError(f"{what}: without cluster mode a group has one shard")
        if not 0 <= self.replicas <= guards.MOST_REPLICAS:
            raise ControlError(
                f"{what}: a shard has 0 to {guards.MOST_REPLICAS} replicas"
            )
        if self.token is not None:
            guards.check_new_token(self.token, self.tls_mode, what)
        return (ApiCall("CreateReplicationGroup", self._arguments(state.group.id)),)

    def _arguments(self, group_id: str) -> dict[str, object]:
        arguments: dict[str, object] = {
            "ReplicationGroupId": group_id,
            "ReplicationGroupDescription": self.description,
            "Engine": self.engine,
            "EngineVersion": self.engine_version,
            "CacheNodeType": self.node_type,
            "NumNodeGroups": self.shard_count,
            "ReplicasPerNodeGroup": self.replicas,
            # With cluster mode it cannot be off (observed refusal).
            "AutomaticFailoverEnabled": self.is_cluster or self.replicas > 0,
            "MultiAZEnabled": self.replicas > 0,
            "ClusterMode": "enabled" if self.is_cluster else "disabled",
            "TransitEncryptionEnabled": self.tls_mode != "none",
            "TransitEncryptionMode": self.tls_mode if self.tls_mode != "none" else None,
            "AuthToken": self.token,
            "CacheParameterGroupName": self.parameter_group,
            "CacheSubnetGroupName": self.subnet_group,
            "SecurityGroupIds": list(self.security_groups) or None,
            "Port": self.port,
            "Durability": self.durability,
            "SnapshotArns": list(self.snapshots) or None,
            "Tags": as_tags(self.mark, self.tags),
        }
        return {name: value for name, value in arguments.items() if value is not None}

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether the group has all its nodes."""
        members = [len(shard.members) for shard in state.group.shards.values()]
        return members == [self.replicas + 1] * self.shard_count

    def after(self, state: GroupState) -> GroupState:
        """Return the group."""
        return with_group(
            replace(state, tags={MARK_TAG: self.mark}),
            status=AVAILABLE,
            tls_mode=self.tls_mode,
            is_cluster=self.is_cluster,
            shards=shards_to_come(
                state.group.id, self.shard_count, size=self.replicas + 1
            ),
        )

    def agrees(self, topology: Topology, state: GroupState) -> bool:  # noqa: ARG002 - the protocol's
        """Return True: nobody watches a group that was not there."""
        return True


@dataclass(frozen=True, slots=True)
class DeleteGroup(OfAllShards):
    """Delete a group or cache that loadprobe made, without a final snapshot.

    Args:
        mark: the one it was created with; a group that does not carry it is not ours.
    """

    mark: str
    operation: ClassVar[str] = "delete"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TAGS})
    settles_at: ClassVar[str] = ABSENT

    def describe(self) -> str:
        """Return one line for people."""
        return "delete it, without a final snapshot"

    def plan(self, state: GroupState) -> tuple[ApiCall, ...]:
        """Return the call."""
        if not state.is_there:
            return ()
        if not carries(state, self.mark):
            raise ControlError(
                f"delete {state.group.id}: {not_ours(state)}, so nothing is deleted; "
                "delete it yourself if it is yours"
            )
        kind = state.group.kind
        arguments: dict[str, object] = {kind.argument: state.group.id}
        if kind.has_nodes:
            arguments["RetainPrimaryCluster"] = False
        return (ApiCall(kind.delete, arguments),)

    def is_reached(self, state: GroupState) -> bool:
        """Tell whether the provider knows it no more."""
        return not state.is_there

    def after(self, state: GroupState) -> GroupState:
        """Return a group that is gone."""
        return with_group(state, status=ABSENT)

    def agrees(self, topology: Topology, state: GroupState) -> bool:  # noqa: ARG002 - the protocol's
        """Return True: there is nothing left to look at."""
        return True
