"""Replace every node of a group, shard by shard, and tell it in events.

Texts and order are those of a published log of an engine upgrade: of each node
"shutdown", "restarted", "patched"; replicas first, then the failover, then the old
primary.
"""

from collections.abc import Callable, Collection

from loadprobe.local.api.changes import Change
from loadprobe.local.api.groups import CACHE_NODE_ID, ReplicationGroup
from loadprobe.local.api.plane import Plane
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.replacement import replace_shard
from loadprobe.local.cluster.servers import ServerBinary

OnNode = Callable[[str, LocalNode], None]
_SHUTDOWN = f"Cache node {CACHE_NODE_ID} shutdown"
_RESTARTED = f"Cache node {CACHE_NODE_ID} restarted"
_PATCHED = "Cache cluster patched"


async def replace_all(
    plane: Plane,
    group: ReplicationGroup,
    change: Change,
    *,
    server: ServerBinary | None = None,
    on_node: OnNode = lambda _step, _node: None,
    is_stopped: Callable[[], bool] = lambda: False,
    without: Collection[str] = (),
) -> None:
    """Replace all nodes of a group.

    Args:
        plane: where events go.
        group: the group.
        change: told which nodes are done.
        server: another server program for the new nodes; None keeps the present one.
        on_node: called with each step of each node.
        is_stopped: asked before each shard; True ends it there.
        without: ids of node groups to leave alone.
    """
    for shard in list(group.cluster.shards):
        if is_stopped():
            return
        if shard.node_group_id in without:
            continue
        primary = await group.cluster.primary_of(shard.node_group_id)
        teller = _StepEvents(
            plane, group, change, primary, on_node, has_replicas=len(shard.nodes) > 1
        )
        await replace_shard(group.cluster, shard, server=server, on_step=teller.on_step)
        change.done_nodes.update(node.name for node in shard.nodes)


class _StepEvents:
    """Turns the steps of one shard into events.

    Names outlive processes: a new node bears the name of the one it replaces. All new
    nodes of a shard start together; what is told is that each replica restarted before
    the failover, and the old primary after it.
    """

    def __init__(
        self,
        plane: Plane,
        group: ReplicationGroup,
        change: Change,
        primary: LocalNode,
        on_node: OnNode,
        *,
        has_replicas: bool,
    ) -> None:
        self._has_replicas = has_replicas
        self._plane = plane
        self._group = group
        self._change = change
        self._primary = primary.name
        self._on_node = on_node
        self._has_failed_over = False

    def on_step(self, step: str, node: LocalNode) -> None:
        """Tell one step of one node."""
        self._on_node(step, node)
        if step == "promoted":
            self._tell_promotion(node)
        elif step == "removed":
            self._change.done_nodes.add(node.name)
            if node.name == self._primary and self._has_failed_over:
                self._tell(node.name, _RESTARTED, _PATCHED)
        elif node.name != self._primary or not self._has_replicas:
            if step == "started":
                self._tell(node.name, _SHUTDOWN)
            elif step == "synced":
                self._tell(node.name, _RESTARTED, _PATCHED)

    def _tell_promotion(self, node: LocalNode) -> None:
        if node.name == self._primary:
            return  # no replica took over
        self._has_failed_over = True
        done = f"Failover to replica node {node.name} completed"
        self._tell(node.name, done)
        if not self._group.is_serverless:
            self._plane.add_group_event(self._group, done)
        self._tell(self._primary, _SHUTDOWN)

    def _tell(self, name: str, *texts: str) -> None:
        for text in texts:
            self._plane.add_node_event(self._group, name, text)
