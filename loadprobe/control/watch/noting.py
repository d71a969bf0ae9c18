"""What is made of all that nodes tell: one topology, and events of what changed.

Everything that a node told stays with its route (see ``Route``); here it is merged, and
compared with what was known. Nobody is asked here.
"""

import asyncio
import logging

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.watch.names import NameWatch
from loadprobe.control.watch.node_answers import ReadView
from loadprobe.control.watch.route import Address, Route
from loadprobe.core.events import Emit, EpochRaised, NodeStateSeen, TopologyChange
from loadprobe.core.events.lines import plain
from loadprobe.core.topology.changes import diff
from loadprobe.core.topology.roles import RoleView
from loadprobe.core.topology.shard_names import ShardNames
from loadprobe.core.topology.topology import Topology

_BUSY_NS = 5 * NS_PER_S
_OBSERVER = "topology watch"

logger = logging.getLogger(__name__)


class Noting:
    """Merges what nodes tell on a route, and reports what changed.

    Args:
        names: gives shards their names.
        emit: where events go (see ``TopologyWatch``).

    Attributes:
        current: the newest topology; None until a node has answered.
    """

    def __init__(self, names: ShardNames, emit: Emit) -> None:
        self.current: Topology | None = None
        self._names = names
        self._emit = emit
        self._busy_until_ns = 0
        self._pulse = asyncio.Event()

    # --- who waits for news --------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Tell whether something changed in the last five seconds."""
        return mono_now_ns() < self._busy_until_ns

    async def woken(self) -> None:
        """Wait until something is different."""
        await self._pulse.wait()

    def wake(self) -> None:
        """Wake everybody who waits now, and let those who wait later wait."""
        self._pulse.set()
        self._pulse = asyncio.Event()

    # --- what is told --------------------------------------------------------------

    def change_route(self) -> None:
        """Take note that nodes are asked on another route from now on."""
        self._names.forget(_OBSERVER)  # it names shards from ``current`` now
        self.wake()

    def take(self, route: Route, address: Address, told: ReadView | RoleView) -> bool:
        """Take what a node answered; return whether it tells of other nodes now."""
        if isinstance(told, RoleView):
            self._note_state(route, address, "ok")
            if route.roles.get(address) == told:
                return False
            route.roles[address] = told
            self.look_again(route)
            return True
        self._note_state(route, address, told.state)
        self._note_epoch(route, told.epoch)
        if route.views.get(address) == told.nodes:
            return False
        route.views[address] = told.nodes
        self.look_again(route)
        self.wake()  # a node without slots is no change of the topology
        return True

    def take_silence(self, route: Route, address: Address, reason: str) -> None:
        """Take note that a node did not answer: what it told before counts no more."""
        self._note_state(route, address, "silent", reason=reason)
        was_known = route.views.pop(address, None) is not None
        if route.roles.pop(address, None) is not None or was_known:
            self.look_again(route)

    def take_pointed(self, route: Route, names: NameWatch) -> None:
        """Take note that the endpoint points elsewhere, or does for the first time."""
        if names.moved is not None:
            self._busy_until_ns = mono_now_ns() + _BUSY_NS
        self.look_again(route)
        self.wake()

    # --- what changed --------------------------------------------------------------

    def look_again(self, route: Route) -> None:
        """Merge all views, and report what changed."""
        if route.names is not None:
            self._note_roles(route, route.names)
            return
        topology = route.merged(self.current)
        if topology is None or topology == route.topology:
            return
        previous = self.current
        is_news = route.topology is not None or not route.is_other_cluster
        self._adopt(route, topology)
        if previous is None or self.current is None or not is_news:
            return
        for change in diff(previous, self.current, mono_now_ns()):
            self._report(change)

    def _note_roles(self, route: Route, names: NameWatch) -> None:
        """Find out who is the primary, and report what changed."""
        known, topology = route.topology, route.told_group(names)
        if topology is None or not (route.roles or known):
            return
        primary = topology.shards[0].primary
        if primary.host in names.addresses:
            route.is_endpoint_followed = True
        if topology == known:
            return
        if known is None or known.shards[0].primary != primary:
            route.promoted_ns = mono_now_ns()
        self._adopt(route, topology)
        if known is not None:
            for change in diff(known, topology, mono_now_ns()):
                self._report(change)
            self.wake()

    def _note_state(
        self, route: Route, address: Address, state: str, *, reason: str = ""
    ) -> None:
        """Report a changed state of a node; it is "ok" until it says otherwise."""
        if route.states.get(address, "ok") != state:
            host, port = address
            self._report(NodeStateSeen(mono_now_ns(), f"{host}:{port}", state, reason))
        route.states[address] = state

    def _note_epoch(self, route: Route, epoch: int) -> None:
        if route.epoch is not None and epoch > route.epoch:
            self._report(EpochRaised(mono_now_ns(), epoch, previous=route.epoch))
        route.epoch = max(epoch, route.epoch or 0)

    def _adopt(self, route: Route, topology: Topology) -> None:
        if topology != route.topology:
            route.topology = topology
            self.current = self._names.see(_OBSERVER, topology)
            self.wake()

    def _report(self, event: TopologyChange | NodeStateSeen | EpochRaised) -> None:
        self._busy_until_ns = event.mono_ns + _BUSY_NS
        self._emit(event)
        _, kind, fields = plain(event)
        logger.info(kind, extra={f"lp_{key}": value for key, value in fields.items()})
        self.wake()
