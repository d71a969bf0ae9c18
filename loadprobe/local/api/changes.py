"""A change of a replication group: what the API shows while it is under way.

Every mutation is one change: accepted at once, performed in the background, settled at
its end. A group has one change at a time. Pure: the plane performs it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from loadprobe.local.cluster.settings import TlsMode


@dataclass(slots=True)
class Change:
    """What a mutation makes of a group, and what the API shows meanwhile.

    Args:
        action: the API action.
        perform: does the work; what it raises makes the change fail.
        complete: called when the work is done, as the status goes back.
        give_up: called when the work failed, as the status goes back.
        status: Status of the group and of what is touched, while it is under way.
        member_status: CacheClusterStatus of what is touched; "" for ``status``.
        shards: ids of the node groups touched; None means all.
        nodes: names of the nodes touched; None means all of those node groups.
        pending: the group's PendingModifiedValues meanwhile.
        node_pending: PendingModifiedValues of each node touched, until it is done.
        done_event: text of the group's event at the end; "" for none.
        failed_event: text of the group's event if it fails; "" for the usual one.
        is_visible: whether status and pending values show yet.
        leaving: node groups and nodes that are being deleted.
        done_nodes: nodes to which ``node_pending`` does not apply any more.
        more_nodes: how many nodes it adds.
        old_shards: the node groups there were when it began.
        old_nodes: the nodes there were when it began.
        tls_mode: the transit encryption mode to show until it is settled.
    """

    action: str
    perform: Callable[["Change"], Awaitable[None]]
    complete: Callable[[], None] = lambda: None
    give_up: Callable[[], None] = lambda: None
    status: str = "modifying"
    member_status: str = ""
    shards: frozenset[str] | None = None
    nodes: frozenset[str] | None = None
    pending: dict[str, Any] = field(default_factory=dict)
    node_pending: dict[str, Any] = field(default_factory=dict)
    done_event: str = ""
    failed_event: str = ""
    is_visible: bool = False
    leaving: set[str] = field(default_factory=set)
    done_nodes: set[str] = field(default_factory=set)
    more_nodes: int = 0
    old_shards: frozenset[str] = frozenset()
    old_nodes: frozenset[str] = frozenset()
    tls_mode: TlsMode = "none"

    def shard_status(self, node_group_id: str) -> str:
        """Return the Status of a node group while the change is visible."""
        if node_group_id in self.leaving:
            return "deleting"
        if node_group_id not in self.old_shards:
            return "creating"
        return self.status if self.touches(node_group_id) else "available"

    def node_status(self, node_group_id: str, name: str) -> str:
        """Return the CacheClusterStatus of a node while the change is visible."""
        if name in self.leaving:
            return "deleting"
        if name not in self.old_nodes:
            return "creating"
        if not self.touches(node_group_id):
            return "available"
        if self.nodes is not None and name not in self.nodes:
            return "available"
        return self.member_status or self.shard_status(node_group_id)

    def pending_of(self, node_group_id: str, name: str) -> dict[str, Any]:
        """Return the PendingModifiedValues of a node."""
        if name in self.done_nodes or not self.touches(node_group_id):
            return {}
        return self.node_pending

    def touches(self, node_group_id: str) -> bool:
        """Tell whether a node group is touched by the change."""
        return self.shards is None or node_group_id in self.shards
