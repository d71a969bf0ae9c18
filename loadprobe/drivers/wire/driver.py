"""The wire driver: our own RESP on our own sockets, the witness of every verdict.

What happens to connections is kept apart from what happens to arrivals (``sending``):
this is where the nodes are found, and where they are followed to.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.base import DriverStats, OnTopology, Sink
from loadprobe.drivers.renewal import Renewal
from loadprobe.drivers.settings import DriverSettings
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.drivers.wire.discovery import Discovery
from loadprobe.drivers.wire.members import reached
from loadprobe.drivers.wire.renew import renew_login
from loadprobe.drivers.wire.roles import Endpoints, Roles
from loadprobe.drivers.wire.seed import ask_seed
from loadprobe.drivers.wire.sending import Sending
from loadprobe.errors import PreflightError

_CUT_OVER_S = 5.0
_TRIM_S = 1.0
_RESTART_S = 0.5
# The endpoint is asked so often while no node that is known can be reached.
_SEED_EVERY_S = 0.25
# Between two connections of a node that is back: arrivals borrow meanwhile, and a
# TLS handshake takes more than a millisecond of the loop that measures.
_PACE_TCP_S = 0.002
_PACE_TLS_S = 0.006
_LOOK_AGAIN_NS = 10 * NS_PER_S
_LOOK_PAUSE_S = 0.02


class WireDriver:
    """Sends the arrivals of one lane over its own connections.

    Args:
        settings: what the lane asks.
        dialer: opens connections, by TLS if the settings say so.
        sink: receives the end of every arrival.
        on_topology: called with every new topology, before arrivals are routed by it.
    """

    waiting_error = ErrorClass.UNREACHABLE  # it waited for a first connection

    def __init__(
        self,
        settings: DriverSettings,
        dialer: Dialer,
        sink: Sink,
        *,
        on_topology: OnTopology,
    ) -> None:
        self._is_cluster = settings.target.cluster
        self._seed = settings.endpoint
        self._known = settings.known
        self._cut_over = settings.cut_over
        self._on_topology = on_topology
        self._group: asyncio.TaskGroup | None = None
        self._switching: asyncio.Task[None] | None = None
        self._next_cut_over: int | None = None
        self._sending = Sending(settings, sink, keeping=self)
        self._members = self._sending.members
        self.dialer = dialer
        self._discovery = self._make_discovery(settings.target.reader_host)
        self._later_pace_s = _PACE_TCP_S if dialer.context is None else _PACE_TLS_S
        self.pace_s = self._later_pace_s if settings.gently else 0.0
        self.submit = self._sending.submit
        self.deliver = self._sending.deliver

    def _make_discovery(self, reader: str | None) -> Discovery | Roles:
        if self._is_cluster:
            return Discovery(
                self._members.to_ask,
                self._apply,
                self._count_refresh,
                self._members.is_up,
            )
        host, port = self._seed
        return Roles(
            self._members.nodes.values,
            self.dialer,
            self._apply,
            self._count_refresh,
            Endpoints(host, reader, port),
        )

    def take_stats(self) -> DriverStats:
        """Return what was counted since the last call."""
        return self._sending.take_stats()

    @property
    def stats(self) -> DriverStats:
        """Return what was counted since ``take_stats`` was called last."""
        return self._sending.stats

    @property
    def topology(self) -> Topology | None:
        """Return the newest topology known."""
        return self._discovery.topology

    # --- life ------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Connect, call ``ready``, stay connected until cancelled.

        Raises:
            PreflightError: the first connections could not be made.
        """
        topology = self._known or await self._find()
        self._discovery.topology = topology
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._members.start(group)
            self._apply(topology)
            if self._known is None:
                if self.pace_s and self._is_cluster:
                    await self._look_again()
                # Beside others that probe, the rest comes in its time.
                await self._members.wait_for_connections(all_of_them=not self.pace_s)
            else:
                # In mid-run, and what cannot be reached is what is to be measured.
                await asyncio.sleep(_RESTART_S)
            group.create_task(self._discovery.run())
            if self._is_cluster:
                group.create_task(self._keep_in_touch())
            self.pace_s = self._later_pace_s
            ready()
            try:
                while True:
                    await asyncio.sleep(_TRIM_S)
                    self._members.trim()
            finally:
                self._members.close()

    async def _look_again(self) -> None:
        """Ask the endpoint again until a connection to every primary is there.

        A transport that has just come to be served is not announced by all nodes yet.
        """
        until_ns = mono_now_ns() + _LOOK_AGAIN_NS
        while mono_now_ns() < until_ns:
            primaries = [n for n in self._members.primaries if not n.retired]
            if await reached(primaries, lambda node: bool(node.live), _LOOK_PAUSE_S):
                return
            with suppress(PreflightError):
                self._discovery.topology = topology = await self._find()
                self._apply(topology)

    async def _find(self) -> Topology:
        """Learn the topology from the endpoint, whatever is known so far.

        Raises:
            PreflightError: the endpoint could not be asked, or tells nothing.
        """
        host, port = self._seed
        if isinstance(self._discovery, Roles):
            return await self._discovery.find()
        slots, nodes = await ask_seed(self.dialer, host, port)
        topology = self._discovery.read(host, slots, nodes)
        if topology is None:
            raise PreflightError(
                f"the cluster at {host}:{port} has no slots assigned; "
                "wait until it is created, or check CLUSTER NODES"
            )
        return topology

    # --- topology --------------------------------------------------------------

    def _apply(self, topology: Topology) -> None:
        """Route by a new topology, after telling the lane about it."""
        self._on_topology(topology, self._cut_over)
        self._members.apply(topology)

    def use_endpoint(self, host: str, port: int, *, cut_over: int | None) -> None:
        """Find the topology through another endpoint from now on.

        Args:
            host: the endpoint.
            port: its port.
            cut_over: None: of the same cluster. A number: of another cluster, which is
                switched to once it is known and connected to; arrivals go on to the
                old one until then.
        """
        self._seed = host, port
        self.dialer.use_endpoint(host, port)
        if isinstance(self._discovery, Roles):
            self._discovery.use_endpoint(host, port)
        assert self._group is not None
        if cut_over is None and not self._is_cluster:
            cut_over = self._cut_over  # another endpoint is all there is to know
        if cut_over is not None:
            self._next_cut_over = cut_over
        if self._next_cut_over is None:
            self._discovery.hurry()
            self._group.create_task(self._ask_again())
            return
        if self._switching is not None:
            self._switching.cancel()
        self._switching = self._group.create_task(self._switch(self._next_cut_over))

    def use_login(self, username: str | None, password: str | None) -> None:
        """Log in as somebody from now on; open connections stay."""
        self.dialer.use_login(username, password)

    async def renew_login(self, spread_s: float) -> Renewal:
        """Log in anew on open connections, spread over a time."""
        return await renew_login(self._members.nodes.values(), self.dialer, spread_s)

    async def use_certificates(self, target: Target, context: ssl.SSLContext) -> None:
        """Use other certificates for new connections; open ones stay."""
        self.dialer.use_certificates(target, context)

    async def _switch(self, cut_over: int) -> None:
        """Connect to another cluster, and only then send arrivals to it."""
        while True:
            try:
                topology = await self._find()
            except PreflightError:
                await asyncio.sleep(_SEED_EVERY_S)
                continue
            primaries = self._members.prepare(topology)
            if await reached(primaries, lambda node: bool(node.live), _CUT_OVER_S):
                break
        await reached(primaries, lambda node: node.is_complete, _CUT_OVER_S)
        self._cut_over = cut_over
        self._next_cut_over = None
        self._discovery.switch(topology)

    async def _keep_in_touch(self) -> None:
        """Ask the endpoint again while all nodes that are known are gone."""
        while True:
            await asyncio.sleep(_SEED_EVERY_S)
            if not self._members.is_reachable:
                await self._ask_again()

    async def _ask_again(self) -> None:
        """Ask the endpoint once, beside the nodes that are known."""
        host, port = self._seed
        try:
            slots, nodes = await ask_seed(self.dialer, host, port)
        except PreflightError:
            return  # the arrivals tell the story
        if (host, port) != self._seed or self._next_cut_over is not None:
            return  # it may tell of the cluster that is being left
        self._count_refresh()
        # A view that one node alone tells is doubted, if there are others to ask.
        is_trusted = not self._members.is_reachable
        assert isinstance(self._discovery, Discovery), "there are slots"
        self._discovery.learn(host, slots, nodes, is_trusted=is_trusted)

    def _count_refresh(self) -> None:
        self.stats.refreshes += 1

    def hurry(self) -> None:
        """Look at the topology soon."""
        self._discovery.hurry()

    def suspect(self, slot: int) -> None:
        """Take note that an arrival for a slot failed: has its shard a new primary?"""
        self._sending.suspect(slot)

    def resumed_ns(self, slot: int) -> int:
        """Return when the server of a slot last spoke after a silence; 0 if never."""
        return self._members.owner[slot].pulse.resumed_ns

    # --- beside the load -------------------------------------------------------

    def request(self, slot: int, command: bytes) -> "asyncio.Future[object]":
        """Send a command on any connection to the owner of a slot.

        Raises:
            ConnectionError: there is no connection to it.
        """
        node = self._members.owner[slot]
        connection = node.borrow()
        if connection is None:
            raise ConnectionRefusedError(f"no connection to {node.host}:{node.port}")
        return connection.request(command)

    def live_connections(self) -> dict[str, int]:
        """Return the number of live connections per shard, replicas included."""
        return self._members.live_connections()
