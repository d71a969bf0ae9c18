"""Keeping a group without cluster mode known: who is its primary now.

Every node that is known is asked for its role; where the endpoints point is looked up,
and a node that is only known by that, or by the word of another one, is asked on a
connection of its own. Once a second in quiet times, every ten milliseconds while
anything fails: a promoted replica knows of it before the name does. Names are resolved
as often as their TTL allows while anything fails, and every few seconds otherwise.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socket import gaierror

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.topology.roles import (
    Address,
    RoleView,
    parse_replication,
    tell_group,
)
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers import resp
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.drivers.wire.node import WireNode
from loadprobe.drivers.wire.seed import ask_role
from loadprobe.errors import PreflightError

_CALM_S = 1.0
_HURRY_S = 0.01
_HURRY_FOR_NS = 500 * NS_PER_MS
_RESOLVE_S = 5.0
_RESOLVE_HURRIED_S = 0.1
# A node that does not answer any more does not keep its role: it may be frozen.
_SILENT_NS = 250 * NS_PER_MS
_STRANGER_NS = 100 * NS_PER_MS
_KNOWN_NS = 300 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The names of a group, as configured.

    Args:
        primary: host of the primary's endpoint.
        reader: host of the reader's endpoint, if there is one.
        port: of both.
    """

    primary: str
    reader: str | None
    port: int


class Roles:
    """The topology of one driver, without cluster mode (beside ``Discovery``).

    Args:
        nodes: returns all nodes that are known.
        dialer: opens connections to others, and resolves names.
        changed: called with every topology that differs from the one before.
        asked: called for every view that is asked for.
        endpoints: the names.
    """

    def __init__(
        self,
        nodes: Callable[[], Iterable[WireNode]],
        dialer: Dialer,
        changed: Callable[[Topology], None],
        asked: Callable[[], None],
        endpoints: Endpoints,
    ) -> None:
        self._nodes = nodes
        self._dialer = dialer
        self._changed = changed
        self._asked = asked
        self._views: dict[Address, RoleView] = {}
        self._questions: dict[WireNode, asyncio.Future[object]] = {}
        self._asked_ns: dict[WireNode, int] = {}
        self._strangers: dict[Address, int] = {}
        self._met: dict[Address, int] = {}
        self._points: frozenset[Address] = frozenset()
        self._moved: frozenset[Address] = frozenset()
        self._others: frozenset[Address] = frozenset()
        self._hurry_until_ns = 0
        self._wake = asyncio.Event()
        self._switches = 0
        self.endpoints = endpoints
        self.topology: Topology | None = None

    def hurry(self) -> None:
        """Ask often for a while: something failed."""
        self._hurry_until_ns = mono_now_ns() + _HURRY_FOR_NS
        self._wake.set()

    def use_endpoint(self, host: str, port: int) -> None:
        """Look where another name points from now on; ``switch`` comes later.

        The reader's endpoint is only known of the group that is left.
        """
        is_same = host == self.endpoints.primary
        reader = self.endpoints.reader if is_same else None
        self.endpoints = Endpoints(host, reader, port)

    async def find(self) -> Topology:
        """Learn the group from its endpoint, whatever is known so far.

        Raises:
            PreflightError: the endpoint could not be asked.
        """
        endpoints = self.endpoints
        try:
            points = await self._resolve(endpoints.primary)
        except gaierror:
            points = frozenset({(endpoints.primary, endpoints.port)})
        views: dict[Address, RoleView] = {}
        wanted, problem = sorted(points), PreflightError("nobody was asked")
        for address in wanted:
            try:
                view = await ask_role(self._dialer, *address)
            except PreflightError as exc:
                problem = exc
                continue
            if view is None:
                continue
            views[address] = view
            if view.primary is not None and view.primary not in wanted:
                wanted.append(view.primary)
        topology = tell_group(views, None, points)
        if topology is None or (not views and str(problem) != "nobody was asked"):
            raise problem
        return topology

    def switch(self, topology: Topology) -> None:
        """Follow another group; what nodes of this one were asked is ignored."""
        self._switches += 1
        self._views.clear()
        self._points = self._others = self._moved = frozenset()
        self.topology = topology
        self._changed(topology)
        self.hurry()

    async def run(self) -> None:
        """Ask for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_names())
            while True:
                is_hurried = mono_now_ns() < self._hurry_until_ns
                self._ask_all(group)
                self._wake.clear()
                if is_hurried:
                    await asyncio.sleep(_HURRY_S)
                else:
                    await self._wait(_CALM_S)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    # --- names -------------------------------------------------------------------

    async def _resolve(self, host: str) -> frozenset[Address]:
        found = await self._dialer.resolver.resolve(host)
        return frozenset((address, self.endpoints.port) for address in found)

    async def _follow_names(self) -> None:
        while True:
            switches, endpoints = self._switches, self.endpoints
            found: list[frozenset[Address]] = []
            names = (
                (endpoints.primary, self._points),
                (endpoints.reader, self._others),
            )
            for host, known in names:
                try:
                    found.append(await self._resolve(host) if host else frozenset())
                except gaierror:
                    found.append(known)  # it has not moved, as far as is known
            if switches == self._switches and endpoints == self.endpoints:
                points, self._others = found
                if points != self._points:
                    self._moved = points if self._points else frozenset()
                    self._points = points
                    self._tell()
            is_hurried = mono_now_ns() < self._hurry_until_ns
            if is_hurried:
                await asyncio.sleep(_RESOLVE_HURRIED_S)
            else:
                await self._wait(_RESOLVE_S)

    # --- roles -------------------------------------------------------------------

    def _ask_all(self, group: asyncio.TaskGroup) -> None:
        now_ns = mono_now_ns()
        known: dict[Address, WireNode] = {}
        for node in self._nodes():
            address = node.host, node.port
            if not node.retired and node.live:
                known[address] = node
                question = self._questions.get(node)
                if question is None or question.done():
                    self._asked_ns[node] = now_ns
                    self._ask(node, group)
                elif now_ns - self._asked_ns.get(node, now_ns) > _SILENT_NS:
                    self._forget(address)
        for address in [a for a in self._views if a not in known]:
            if now_ns - self._met.get(address, 0) > _KNOWN_NS:
                self._forget(address)
        for node in [n for n in self._asked_ns if not n.live]:
            del self._asked_ns[node], self._questions[node]
        told = {view.primary for view in self._views.values() if view.primary}
        for address in {*self._points, *self._others, *told}.difference(known):
            self._ask_stranger(address, now_ns, group)

    def _forget(self, address: Address) -> None:
        if self._views.pop(address, None) is not None:
            self._tell()

    def _ask(self, node: WireNode, group: asyncio.TaskGroup) -> None:
        connection = node.borrow()
        assert connection is not None
        self._asked()
        asked = self._questions[node] = connection.request(resp.REPLICATION)
        group.create_task(self._take(node, asked))

    async def _take(self, node: WireNode, asked: "asyncio.Future[object]") -> None:
        switches = self._switches
        try:
            reply = await asked
        except OSError:
            return  # the connection ended; the arrivals on it tell the story
        finally:
            del asked  # its exception refers to this frame
        if switches != self._switches or node.retired:
            return
        self._learn((node.host, node.port), reply)

    def _ask_stranger(
        self, address: Address, now_ns: int, group: asyncio.TaskGroup
    ) -> None:
        if now_ns - self._strangers.get(address, 0) < _STRANGER_NS:
            return
        self._strangers[address] = now_ns
        group.create_task(self._meet(address))

    async def _meet(self, address: Address) -> None:
        """Ask a node that has no connections, on one for that alone."""
        switches = self._switches
        self._asked()
        try:
            view = await ask_role(self._dialer, *address)
        except PreflightError:
            return
        if view is not None and switches == self._switches:
            self._met[address] = mono_now_ns()
            self._put(address, view)

    def _learn(self, address: Address, reply: object) -> None:
        if not isinstance(reply, bytes):
            return  # it may not be ours to ask
        try:
            view = parse_replication(reply, address)
        except ValueError:
            return
        self._put(address, view)

    def _put(self, address: Address, view: RoleView) -> None:
        if self._views.get(address) != view:
            self._views[address] = view
            self._tell()

    def _tell(self) -> None:
        topology = tell_group(self._views, self.topology, self._moved)
        if topology is None or topology == self.topology:
            return
        if self.topology is None or topology.shards[0].epoch > _epoch(self.topology):
            self._moved = frozenset()
        self.topology = topology
        self._changed(topology)


def _epoch(topology: Topology) -> int:
    return topology.shards[0].epoch
