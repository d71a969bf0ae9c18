"""Watches the cluster's own view of itself, on connections of its own.

Rule: one task per watched node, so that a hung node delays nobody's view but its own;
nothing a node does or fails to do ends the watch. Every node's view is merged into one
topology (see ``core.topology``), in which the higher config epoch wins.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config import Target
from loadprobe.control.node_views import NodeClient, NodeLogin, NodeSilent
from loadprobe.core.events import Emit, Event
from loadprobe.core.topology import (
    Node,
    NodesView,
    SlotsView,
    Topology,
    diff,
    merge,
    parse_nodes,
    parse_slots,
    single,
)

MAX_NODES = 12
"""Nodes asked at the same time; primaries first. Views spread by gossip in about a
second, so asking more of a large cluster tells little more."""

_BUSY_NS = 5 * NS_PER_S

logger = logging.getLogger(__name__)
_Address = tuple[str, int]
View = tuple[SlotsView, NodesView]
"""What one node tells: CLUSTER SLOTS and CLUSTER NODES."""


class TopologyWatch:
    """Polls CLUSTER SLOTS, NODES and INFO and emits what changed.

    Events have source "topology" and the kinds role_change, slots_moved, shard_added,
    shard_removed, node_added, node_removed (fields shard, detail), cluster_state
    (fields node, state: "ok", "fail" or "silent", reason) and epoch (fields epoch,
    previous). Without cluster mode there is one shard and nothing is polled.

    Args:
        target: configuration endpoint and login.
        emit: where events go.
        tls: connect by TLS.
        poll_s: pause between two polls of a node.
        busy_poll_s: the pause while something changed in the last five seconds.
        timeout_s: bound of each command, with the connection attempt it may need.

    Attributes:
        current: the newest topology; None until a node has answered.

    Raises:
        ConfigError, PreflightError: the login cannot be used.
    """

    def __init__(
        self,
        target: Target,
        emit: Emit,
        *,
        tls: bool,
        poll_s: float = 1.0,
        busy_poll_s: float = 0.1,
        timeout_s: float = 1.0,
    ) -> None:
        port = target.tls_port if tls and target.tls_port is not None else target.port
        self.current: Topology | None = None
        self._seed = (target.host, port)
        self._is_cluster = target.cluster
        self._emit = emit
        self._login = NodeLogin(target, tls=tls, timeout_s=timeout_s)
        self._poll_s = poll_s
        self._busy_poll_s = busy_poll_s
        self._busy_until_ns = 0
        self._epoch: int | None = None
        self._states: dict[_Address, str] = {}
        self._views: dict[_Address, View] = {}
        self._watched: set[_Address] = set()
        self._pulse = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        if not self._is_cluster:
            self._adopt(single(*self._seed))
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            while True:
                for address in self._wanted() - self._watched:
                    self._watched.add(address)
                    group.create_task(self._watch_node(address))
                await self._pulse.wait()

    async def wait_for(
        self, predicate: Callable[[Topology], bool], deadline_s: float
    ) -> bool:
        """Wait until a topology satisfies the predicate.

        Args:
            predicate: called with every new topology, at first with the current one.
            deadline_s: seconds to wait.

        Returns:
            True as soon as it holds; False at the deadline.
        """
        try:
            async with asyncio.timeout(deadline_s):
                while self.current is None or not predicate(self.current):
                    await self._pulse.wait()
        except TimeoutError:
            return False
        return True

    async def linked_replicas(self, shard: str) -> int:
        """Ask a shard's primary how many replicas it serves now; 0 if it is silent.

        Args:
            shard: name of the shard in ``current``.
        """
        shards = self.current.shards if self.current is not None else ()
        primary = next((s.primary for s in shards if s.name == shard), None)
        if primary is None:
            return 0
        client = self._login.open_node(primary.host, primary.port)
        try:
            return await client.linked_replicas()
        except NodeSilent:
            return 0
        finally:
            await client.close()

    async def _watch_node(self, address: _Address) -> None:
        client = self._login.open_node(*address)
        try:
            while address in self._wanted():
                await self._look(client, address)
                await self._pause()
        finally:
            self._watched.discard(address)
            self._views.pop(address, None)
            self._states.pop(address, None)
            await client.close()

    async def _look(self, client: NodeClient, address: _Address) -> None:
        """Ask one node, and merge again if its view is another one."""
        try:
            view = await client.view()
        except NodeSilent as silent:
            self._note_state(address, "silent", reason=str(silent))
            if self._views.pop(address, None) is not None:
                self._note_views()
            return
        self._note_state(address, view.info.get("cluster_state", "fail"))
        self._note_epoch(int(view.info.get("cluster_current_epoch", "0")))
        seen = parse_slots(view.slots, asked_host=client.host), parse_nodes(view.nodes)
        if self._views.get(address) != seen:
            self._views[address] = seen
            self._note_views()

    async def _pause(self) -> None:
        """Sleep one interval; a change seen elsewhere ends a long sleep early."""
        if mono_now_ns() < self._busy_until_ns:
            await asyncio.sleep(self._busy_poll_s)
            return
        try:
            async with asyncio.timeout(self._poll_s):
                await self._pulse.wait()
        except TimeoutError:
            pass

    def _wanted(self) -> set[_Address]:
        """Return the endpoint and up to MAX_NODES nodes, the primaries first."""
        shards = self.current.shards if self.current is not None else ()
        primaries = [shard.primary for shard in shards]
        replicas = [replica for shard in shards for replica in shard.replicas]
        nodes = [(node.host, node.port) for node in (*primaries, *replicas)]
        return {self._seed, *nodes[:MAX_NODES]}

    def _note_views(self) -> None:
        """Merge all views in a fixed order, and report what changed.

        For half a second nodes disagree about who is healthy, without an epoch to
        decide. Merging each view when its turn comes would let replicas flap; here the
        outcome depends on what the views are, not on the order of the replies.
        """
        topology = self.current
        for slots, nodes in trusted([self._views[key] for key in sorted(self._views)]):
            topology = merge(topology, slots, nodes)
        if topology is None or topology == self.current:
            return
        previous = self.current
        self._adopt(topology)
        if previous is None:
            return
        for change in diff(previous, topology):
            self._report(change.kind, shard=change.shard, detail=change.detail)

    def _note_state(self, address: _Address, state: str, *, reason: str = "") -> None:
        """Report a changed state of a node; it is "ok" until it says otherwise."""
        if self._states.get(address, "ok") != state:
            host, port = address
            self._report(
                "cluster_state", node=f"{host}:{port}", state=state, reason=reason
            )
        self._states[address] = state

    def _note_epoch(self, epoch: int) -> None:
        if self._epoch is not None and epoch > self._epoch:
            self._report("epoch", epoch=epoch, previous=self._epoch)
        self._epoch = max(epoch, self._epoch or 0)

    def _adopt(self, topology: Topology) -> None:
        self.current = topology
        self._wake()

    def _report(self, kind: str, **fields: object) -> None:
        now_ns = mono_now_ns()
        self._busy_until_ns = now_ns + _BUSY_NS
        self._emit(Event(now_ns, "topology", kind, fields))
        logger.info(kind, extra={f"lp_{key}": value for key, value in fields.items()})
        self._wake()

    def _wake(self) -> None:
        """Wake everybody who waits now, and let those who wait later wait."""
        self._pulse.set()
        self._pulse = asyncio.Event()


def trusted(views: list[View]) -> list[View]:
    """Return the views in which no node's address is outvoted by the other views.

    A node that has just restarted knows one port of each other node, from its file. A
    server with TLS on its cluster bus keeps the TLS port there, so until it has heard
    from the others it tells TLS ports to plaintext askers (redis-server 7.0.15).
    """
    told = [_nodes_of(slots) for slots, _ in views]
    votes = Counter(node for nodes in told for node in nodes)
    most: dict[str, int] = {}
    for node, count in votes.items():
        most[node.id] = max(count, most.get(node.id, 0))
    return [
        view
        for view, nodes in zip(views, told, strict=True)
        if all(votes[node] == most[node.id] for node in nodes)
    ]


def _nodes_of(slots: SlotsView) -> set[Node]:
    return {
        node for _, _, primary, replicas in slots.rows for node in (primary, *replicas)
    }
