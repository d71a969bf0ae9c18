"""Watches the cluster's own view of itself, on connections of its own.

Rule: one task per watched node, so that a hung node delays nobody's view but its own;
nothing a node does or fails to do ends the watch. Every node's view is merged into one
topology (see ``Route``), in which the higher config epoch wins.

The watch has one transport at a time. When it changes to another endpoint, what it knew
stays in ``current`` until a node has answered there; what the old nodes do by then (a
port that closes) is no news.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.control.provider.replies import Endpoint, Group
from loadprobe.control.provider.secret import Secret
from loadprobe.control.watch.names import NameMove, NameWatch, first_address
from loadprobe.control.watch.node_answers import NodeSilent
from loadprobe.control.watch.node_views import NodeClient, NodeLogin, named_user
from loadprobe.control.watch.noting import Noting
from loadprobe.control.watch.route import Address, Route
from loadprobe.core.events import Emit
from loadprobe.core.topology.announced import (
    Announced,
    announced,
    announced_roles,
)
from loadprobe.core.topology.shard_names import ShardNames
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.resolver import Resolver
from loadprobe.drivers.tls import is_ip

_BUSY_POLL_S = 0.1
_TIMEOUT_S = 1.0
"""Bound of each command, with the connection attempt it may need."""


class TopologyWatch:
    """Polls CLUSTER SLOTS, NODES and INFO and emits what changed.

    Events have source "topology" and the kinds role_change, slots_moved, shard_added,
    shard_removed, node_added, node_removed (fields shard, detail), cluster_state
    (fields node, state: "ok", "fail" or "silent", reason) and epoch (fields epoch,
    previous). Without cluster mode there is one shard; nodes are asked for their role
    (INFO replication), and the endpoint is followed as a name (see ``names``).

    Args:
        target: configuration endpoint and login; without a host nothing is watched
            until an endpoint is there (see ``use_endpoint``).
        emit: where events go.
        tls: connect by TLS.
        names: gives shards their names; share it with the probes.
        poll_s: pause between two polls of a node; shorter while something changed in
            the last five seconds.

    Attributes:
        engine: engine and version, of the node that changed last; "" if unknown.
        heard_ns: when a node answered last, monotonic; None if none did yet.

    Raises:
        ConfigError, PreflightError: the login cannot be used.
    """

    def __init__(
        self,
        target: Target,
        emit: Emit,
        *,
        tls: bool,
        names: ShardNames | None = None,
        poll_s: float = 1.0,
    ) -> None:
        self.engine = ""
        self._target = target
        self._emit = emit
        self._noting = Noting(names if names is not None else ShardNames(), emit)
        self._password: str | None = None
        self._resolver = Resolver(target.name_server)
        self._route = self._make_route(tls=tls, is_other_cluster=False)
        self._poll_s = poll_s
        self.heard_ns: int | None = None

    @property
    def current(self) -> Topology | None:
        """Return the newest topology; None until a node has answered."""
        return self._noting.current

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                route = self._route
                if not route.seed[0]:
                    pass  # there is no cluster yet
                else:
                    if route.names is not None and not route.has_names_task:
                        route.has_names_task = True
                        group.create_task(self._follow_name(route, route.names))
                    for address in route.wanted() - route.watched:
                        route.watched.add(address)
                        group.create_task(self._watch_node(route, address))
                await self._noting.woken()

    def use_endpoint(
        self, *, tls: bool, host: str, port: int, replace: bool = False
    ) -> None:
        """Watch through another endpoint from now on.

        Args:
            tls: connect by TLS.
            host: the endpoint.
            port: its port.
            replace: it is another cluster; that its nodes are others is no change.

        Raises:
            ConfigError, PreflightError: the login cannot be used.
        """
        self._target = self._target.at(tls=tls, host=host, port=port)
        route = self._make_route(tls=tls, is_other_cluster=replace)
        if replace or (route.seed, route.tls) != (self._route.seed, self._route.tls):
            self._route = route
            self._noting.change_route()

    def go_over(self, target: Target, password: str | None, *, tls: bool) -> None:
        """Watch another cluster from now on; that its nodes are others is no change.

        Args:
            target: the cluster, which may have another shape.
            password: what to log in with there.
            tls: connect by TLS.

        Raises:
            ConfigError, PreflightError: the login cannot be used.
        """
        self._target, self._password = target, password
        self._route = self._make_route(tls=tls, is_other_cluster=True)
        self._noting.change_route()

    def follow(self, group: Group) -> None:
        """Change the transport if a group does not serve the present one any more.

        The endpoint is kept otherwise: the one that was configured may be a tunnel.
        """
        tls = {"none": False, "required": True}.get(group.tls_mode, self._route.tls)
        is_stranded = tls != self._route.tls or not self._route.seed[0]
        if is_stranded and group.endpoint is not None:
            endpoint = group.endpoint
            self.use_endpoint(tls=tls, host=endpoint.host, port=endpoint.port)

    def use_password(self, password: Secret) -> None:
        """Log in with another password from now on; open connections stay."""
        self.use_login(named_user(self._target.username), password.reveal())

    def use_login(self, username: str | None, password: str | None) -> None:
        """Log in as somebody from now on; open connections stay."""
        self._target = msgspec.structs.replace(self._target, username=username)
        self._password = password
        self._route.login.use_login(username, password)

    def use_certificates(self, target: Target) -> None:
        """Use what certificate files hold now for new connections; open ones stay.

        Raises:
            PreflightError: a certificate file cannot be used.
        """
        self._target = self._target.with_certificates_of(target)
        self._route.login.use_certificates(target)

    def _make_route(self, *, tls: bool, is_other_cluster: bool) -> Route:
        seed = self._target.host, self._target.port_of(tls=tls)
        login = self._make_login(tls=tls)
        names = None
        if not self._target.cluster and seed[0]:
            names = NameWatch(seed[0], self._resolver, self._emit)
        return Route(seed, tls, login, is_other_cluster, names)

    def _make_login(self, *, tls: bool) -> NodeLogin:
        return NodeLogin(
            self._target, tls=tls, timeout_s=_TIMEOUT_S, password=self._password
        )

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
                    await self._noting.woken()
        except TimeoutError:
            return False
        return True

    async def follows_source(self, endpoint: Endpoint) -> bool:
        """Tell whether a node without TLS is itself in step with another server."""
        host = await first_address(self._resolver, endpoint.host)
        client = self._make_login(tls=False).open_node(host, endpoint.port)
        try:
            return await client.follows_source()
        except NodeSilent:
            return False
        finally:
            await client.close()

    async def linked_replicas(self, shard: str) -> int:
        """Ask a shard's primary how many replicas it serves now; 0 if it is silent.

        Args:
            shard: name of the shard in ``current``.
        """
        shards = self.current.shards if self.current is not None else ()
        primary = next((s.primary for s in shards if s.name == shard), None)
        if primary is None:
            return 0
        client = self.open_node(primary.host, primary.port)
        try:
            return await client.linked_replicas()
        except NodeSilent:
            return 0
        finally:
            await client.close()

    @property
    def tls(self) -> bool:
        """Tell by which transport nodes are asked."""
        return self._route.tls

    @property
    def members(self) -> list[Announced]:
        """Return all nodes that are announced, also those without slots."""
        route = self._route
        if route.names is not None:
            return announced_roles(route.topology) if route.topology else []
        return announced(route.views.values())

    @property
    def tellers(self) -> dict[Address, str]:
        """Return the id of the node that answered at an announced address."""
        views = self._route.views.items()
        return {address: nodes.teller for address, (_, nodes) in views}

    @property
    def asked(self) -> set[Address]:
        """Return the announced addresses that are asked now."""
        return set(self._route.watched)

    async def changed(self, within_s: float) -> None:
        """Wait until something is different, or for a time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._noting.woken()

    def open_node(self, host: str, port: int) -> NodeClient:
        """Return a client of a node, not yet connected, that logs in as it is now."""
        return self._route.login.open_node(host, port)

    @property
    def endpoint_move(self) -> NameMove | None:
        """The last move of the primary's endpoint; None with cluster mode."""
        names = self._route.names
        return names.moved if names is not None else None

    def is_at(self, endpoint: Endpoint | None) -> bool:
        """Tell whether this watch is at an endpoint of the group itself."""
        return endpoint is not None and endpoint.host == self._route.seed[0]

    @property
    def is_endpoint_behind(self) -> bool:
        """Tell whether the endpoint still points to a node that was the primary.

        An endpoint that never pointed to a primary (a tunnel) cannot be behind.
        """
        route = self._route
        if route.names is None or not route.is_endpoint_followed or not self.current:
            return False
        if is_ip(route.names.host):
            return False
        (shard,) = self.current.shards
        return shard.primary.host not in route.names.addresses

    async def _follow_name(self, route: Route, names: NameWatch) -> None:
        """Look where the endpoint points, as often as nodes are asked."""
        while route is self._route:
            if await names.look():
                self._noting.take_pointed(route, names)
            await self._pause()

    async def _watch_node(self, route: Route, address: Address) -> None:
        client = route.login.open_node(*address)
        try:
            while route is self._route and address in route.wanted():
                if await self._look(route, client, address):
                    await self._pause()
                else:
                    await client.close()
                    client = route.login.open_node(*address)
        finally:
            route.forget(address)
            await client.close()
        if route is self._route:  # what it told last may have outvoted the others
            self._noting.look_again(route)

    async def _look(self, route: Route, client: NodeClient, address: Address) -> bool:
        """Ask one node, and merge again if its view is another one.

        Returns:
            False if it has to be asked again by a client that logs in as it is now.
        """
        try:
            view = (
                (await client.view()).read(client.host)
                if route.names is None
                else await client.role(address)
            )
        except NodeSilent as silent:
            if not route.login.is_as_now(client):
                return False
            if route is self._route:
                self._noting.take_silence(route, address, str(silent))
            return True
        self.heard_ns = mono_now_ns()
        if route is self._route and self._noting.take(route, address, view):
            with suppress(NodeSilent):  # it may not be ours to ask
                self.engine = await client.engine()
        return True

    async def _pause(self) -> None:
        """Sleep one interval; a change seen elsewhere ends a long sleep early."""
        if self._noting.is_busy:
            await asyncio.sleep(_BUSY_POLL_S)
        else:
            await self.changed(self._poll_s)
