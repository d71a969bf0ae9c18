"""A replication group: a local cluster plus what the API says about it.

Operations start changes of a group; how it is shown is in ``rendering``.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loadprobe.local.api.changes import Change
from loadprobe.local.api.endpoints import LocalEndpoints
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.node_types import DEFAULT_NODE_TYPE
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.layout import LocalShard
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.settings import TlsMode

CACHE_NODE_ID = "0001"
NO_ENDPOINTS = frozenset({"creating", "create-failed", "deleting"})


@dataclass(slots=True)
class ReplicationGroup:
    """One group.

    Args:
        group_id: ReplicationGroupId.
        cluster: the servers.
        created: ReplicationGroupCreateTime.
        engine: "redis" or "valkey".
        description: Description.
        resting_status: Status while no change is visible: "available", "creating",
            "migrating" or "create-failed".
        node_type: CacheNodeType: a label, the servers do not change with it.
        parameter_group: CacheParameterGroupName, a label too.
        maintenance_window: PreferredMaintenanceWindow, a label too.
        automatic_failover: whether TestFailover is possible (a replica provided).
        multi_az: MultiAZ.
        is_owned: whether the servers live and end with the control plane.
        is_rotating: whether two auth tokens are valid.
        token_changed: AuthTokenLastModifiedDate.
        change: the change under way, if any.
        deferred: the change that waits for the maintenance window, if any.
        replacing: the failover under way, if any.
        endpoints: its names, without cluster mode.
        tags: name -> value.
        is_serverless: it is what serves a serverless cache, and is shown as that.
    """

    group_id: str
    cluster: LocalCluster
    created: datetime
    engine: str
    description: str = "local cluster"
    resting_status: str = "available"
    node_type: str = DEFAULT_NODE_TYPE
    parameter_group: str | None = None
    maintenance_window: str | None = None
    automatic_failover: bool = True
    multi_az: bool = True
    is_owned: bool = False
    is_rotating: bool = False
    token_changed: datetime | None = None
    change: Change | None = None
    deferred: Change | None = None
    replacing: asyncio.Task[None] | None = None
    endpoints: LocalEndpoints | None = None
    tags: dict[str, str] = field(default_factory=dict)
    is_serverless: bool = False

    @property
    def word(self) -> str:
        """What it is, in texts."""
        return "serverless cache" if self.is_serverless else "replication group"

    @property
    def source_type(self) -> str:
        """SourceType of its events."""
        return "serverless-cache" if self.is_serverless else "replication-group"

    @property
    def visible(self) -> Change | None:
        """The change under way, as soon as the API shows it."""
        return self.change if self.change and self.change.is_visible else None

    @property
    def status(self) -> str:
        """Status."""
        return self.visible.status if self.visible else self.resting_status

    @property
    def pending(self) -> dict[str, Any]:
        """PendingModifiedValues."""
        shown = self.visible or self.deferred
        return shown.pending if shown else {}

    @property
    def tls_mode(self) -> TlsMode:
        """The transit encryption mode shown: the old one until a change is settled."""
        return self.change.tls_mode if self.change else self.cluster.tls_mode

    @property
    def node_count(self) -> int:
        """How many nodes there are, with those that a change is going to add."""
        there = len(self.cluster.nodes)
        if self.change is None:
            return there
        return max(there, len(self.change.old_nodes) + self.change.more_nodes)

    @property
    def has_replicas(self) -> bool:
        """Whether any node group has a replica."""
        return any(len(shard.nodes) > 1 for shard in self.cluster.shards)

    @property
    def is_idle(self) -> bool:
        """Whether a change may begin now."""
        is_busy = self.change is not None or self.is_failing_over
        return self.resting_status == "available" and not is_busy

    @property
    def is_failing_over(self) -> bool:
        """Whether a failover is under way, up to the recovery of the old primary."""
        return self.replacing is not None and not self.replacing.done()

    def shard(self, node_group_id: str) -> LocalShard:
        """Return a node group, or raise the API's fault."""
        for shard in self.cluster.shards:
            if shard.node_group_id == node_group_id:
                return shard
        raise ApiFault(
            "NodeGroupNotFoundFault",
            f"Node group {node_group_id} not found in {self.group_id}.",
        )

    def shard_status(self, shard: LocalShard) -> str:
        """Return the Status of a node group."""
        if self.visible:
            return self.visible.shard_status(shard.node_group_id)
        return self._resting_part_status

    def node_status(self, shard: LocalShard, node: LocalNode) -> str:
        """Return the CacheClusterStatus of a node."""
        if self.visible:
            return self.visible.node_status(shard.node_group_id, node.name)
        return self._resting_part_status

    def node_pending(self, shard: LocalShard, node: LocalNode) -> dict[str, Any]:
        """Return the PendingModifiedValues of a node."""
        shown = self.visible or self.deferred
        return shown.pending_of(shard.node_group_id, node.name) if shown else {}

    def node_type_of(self, node: LocalNode) -> str:
        """Return the CacheNodeType of a node: a new one once the node is replaced."""
        shown = self.visible
        if shown and node.name in shown.done_nodes:
            return str(shown.node_pending.get("CacheNodeType", self.node_type))
        return self.node_type

    @property
    def bad_state(self) -> str:
        """Code of the fault of what cannot be done in its state."""
        if self.is_serverless:
            return "InvalidServerlessCacheStateFault"
        return "InvalidReplicationGroupState"

    def require_available(self) -> None:
        """Raise the API's fault unless a change may begin now."""
        self._require("available")

    def require_migrating(self) -> None:
        """Raise the API's fault unless a migration may be completed now."""
        self._require("migrating")

    def require_deletable(self) -> None:
        """Raise the API's fault unless the group may be deleted now."""
        if self.resting_status != "create-failed" or self.change:
            self._require("available")

    @property
    def _resting_part_status(self) -> str:
        # Node groups and nodes of a migrating group: no status is documented.
        resting = self.resting_status
        return "available" if resting == "migrating" else resting

    def _require(self, resting_status: str) -> None:
        reason = ""
        if self.change is not None:
            reason = f"{self.change.action} is under way"
        elif self.is_failing_over:
            reason = "a failover is under way"
        elif self.resting_status != resting_status:
            reason = f"it is {self.resting_status}"
        if reason:
            raise ApiFault(
                self.bad_state,
                f"{self.word.capitalize()} {self.group_id} is not in state "
                f"{resting_status}: {reason}.",
            )
