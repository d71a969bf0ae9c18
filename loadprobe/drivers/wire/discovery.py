"""Keeping the topology fresh: who serves which slots, asked of the nodes themselves.

Once a second in quiet times, every ten milliseconds while anything fails; then the
other nodes of the failing shards are asked first, because a promoted replica knows of
its promotion before anybody else. Views are merged by config epoch, so a stale one
never wins. Asking never waits: a frozen node does not delay the others.
"""

import asyncio
from collections.abc import Callable, Iterable

import hiredis

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.topology.topology import Node as TopologyNode
from loadprobe.core.topology.topology import (
    NodesView,
    SlotsView,
    Topology,
    merge,
    parse_nodes,
    parse_slots,
)
from loadprobe.drivers import resp
from loadprobe.drivers.wire.node import WireNode

_CALM_S = 1.0
_HURRY_S = 0.01
_HURRY_FOR_NS = 500 * NS_PER_MS
_TELLERS = 2


class Discovery:
    """The topology of one driver.

    Args:
        nodes: returns the nodes to ask now; they change with every call.
        changed: called with every topology that differs from the one before.
        asked: called for every view that is asked for.
        is_up: tells whether a node answers where it is known to be.
    """

    def __init__(
        self,
        nodes: Callable[[], Iterable[WireNode]],
        changed: Callable[[Topology], None],
        asked: Callable[[], None],
        is_up: Callable[[TopologyNode], bool],
    ) -> None:
        self._nodes = nodes
        self._changed = changed
        self._asked = asked
        self._is_up = is_up
        self._hurry_until_ns = 0
        self._wake = asyncio.Event()
        self._questions: dict[WireNode, asyncio.Future[object]] = {}
        self._learnt: dict[WireNode, object] = {}
        self._doubted: dict[TopologyNode, set[str]] = {}
        self._switches = 0
        self.topology: Topology | None = None

    def hurry(self) -> None:
        """Ask often for a while: something failed or was redirected."""
        self._hurry_until_ns = mono_now_ns() + _HURRY_FOR_NS
        self._wake.set()

    async def run(self) -> None:
        """Ask for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                hurried = mono_now_ns() < self._hurry_until_ns
                for node in self._nodes():
                    if node.live and self._is_free(node):
                        self._ask(node, group)
                self._wake.clear()
                if hurried:
                    await asyncio.sleep(_HURRY_S)
                else:
                    try:
                        async with asyncio.timeout(_CALM_S):
                            await self._wake.wait()
                    except TimeoutError:
                        pass

    def _is_free(self, node: WireNode) -> bool:
        """Tell whether the last question to a node was answered."""
        asked = self._questions.get(node)
        return asked is None or asked.done()

    def _ask(self, node: WireNode, group: asyncio.TaskGroup) -> None:
        connection = node.borrow()
        assert connection is not None
        self._asked()
        asked = self._questions[node] = connection.request(resp.CLUSTER_SLOTS)
        group.create_task(self._take(node, asked))

    async def _take(self, node: WireNode, asked: "asyncio.Future[object]") -> None:
        switches = self._switches
        try:
            reply = await asked
            if isinstance(reply, hiredis.ReplyError):
                return
            if reply == self._learnt.get(node) and not self._leads_back(node, reply):
                return
            connection = node.borrow()
            if connection is None:
                return
            nodes = await connection.request(resp.CLUSTER_NODES)
        except OSError:
            return  # the connection ended; the arrivals on it tell the story
        finally:
            if self._questions.get(node) is asked:
                del self._questions[node]
            del asked  # its exception refers to this frame
        if switches != self._switches or node.retired:
            return  # it tells of the cluster that was left
        if self.learn(node.host, reply, nodes):
            self._learnt = {n: r for n, r in self._learnt.items() if not n.retired}
            self._learnt[node] = reply

    def switch(self, topology: Topology) -> None:
        """Follow another cluster; what nodes of this one were asked is ignored."""
        self._switches += 1
        self._doubted = {}
        self.topology = topology
        self._changed(topology)

    def read(self, host: str, slots: object, nodes: object) -> Topology | None:
        """Return the topology that one node tells, whatever is known so far.

        Shards keep their names where they can be recognised. None if it tells nothing.

        Args:
            host: the node that was asked (it stands for "me" in the reply).
            slots: reply to CLUSTER SLOTS.
            nodes: reply to CLUSTER NODES, or an error reply.
        """
        view = _parse(host, slots, nodes)
        if view is None:
            return None
        topology = merge(self.topology, *view, afresh=True)
        return topology if topology.shards else None

    def learn(
        self, host: str, slots: object, nodes: object, *, is_trusted: bool = False
    ) -> bool:
        """Merge one node's view; return whether it could be used.

        Args:
            host: the node that was asked (it stands for "me" in the reply).
            slots: reply to CLUSTER SLOTS.
            nodes: reply to CLUSTER NODES, or an error reply.
            is_trusted: believe new addresses of other nodes.
        """
        view = _parse(host, slots, nodes)
        if view is None:
            return False
        slots_view, nodes_view = view
        if (
            nodes_view is not None
            and not self._is_believed(slots_view, nodes_view)
            and not is_trusted
        ):
            return False
        merged = merge(self.topology, slots_view, nodes_view)
        if not merged.shards:
            return False
        if merged != self.topology:
            self.topology = merged
            self._changed(merged)
        return True

    def _known(self) -> dict[str, TopologyNode]:
        """Return the nodes that are known, by their ids."""
        shards = self.topology.shards if self.topology is not None else ()
        return {
            node.id: node
            for shard in shards
            for node in (shard.primary, *shard.replicas)
        }

    def _leads_back(self, teller: WireNode, reply: object) -> bool:
        """Tell whether a reply of before has another address of a node that is lost.

        It counts again then. Another view has led to where nobody answers, and whoever
        told that may be gone: a node whose plaintext port is being closed calls itself
        by that with TLS (redis-server 7.0.15 with tls-cluster).
        """
        known = self._known()
        lost = {node.id for node in known.values() if not self._is_up(node)}
        view = _parse(teller.host, reply, None) if lost else None
        if view is None:
            return False
        told = (n for _, _, p, replicas in view[0].rows for n in (p, *replicas))
        return any(node.id in lost and node != known[node.id] for node in told)

    def _is_believed(self, slots: SlotsView, nodes: NodesView) -> bool:
        """Tell whether every known node is told at its known address.

        A new address is believed from the node itself, from two nodes, or if nobody
        answers at the known one, which may be what was wrong. A node that
        has just been restarted tells TLS ports to plaintext askers until it has heard
        from the others (redis-server 7.0.15 with tls-cluster).
        """
        if self.topology is None:
            return True
        known = self._known()
        teller = nodes.teller
        believed = True
        doubted: dict[TopologyNode, set[str]] = {}
        for node in {n for _, _, p, replicas in slots.rows for n in (p, *replicas)}:
            if node.id not in known or known[node.id] == node or node.id == teller:
                continue
            if not self._is_up(known[node.id]):
                continue
            tellers = self._doubted.get(node, set()) | {teller}
            doubted[node] = tellers
            if len(tellers) < _TELLERS:
                believed = False
        self._doubted = doubted
        return believed


def _parse(
    host: str, slots: object, nodes: object
) -> tuple[SlotsView, NodesView | None] | None:
    """Return a view, or None of a node that speaks oddly; the others know as well."""
    if not isinstance(slots, list):
        return None
    try:
        nodes_view = parse_nodes(nodes) if isinstance(nodes, bytes) else None
        return parse_slots(slots, asked_host=host), nodes_view
    except (ValueError, TypeError):
        return None
