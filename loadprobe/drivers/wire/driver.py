"""The wire driver: our own RESP on asyncio.Protocol, the witness of every verdict.

No hidden retry and no backoff. An arrival goes out on its worker's connection, else on
any live connection to that node, else it is unsent. MOVED and ASK are followed and
counted. What happens to connections is kept apart from what happens to arrivals.
"""

import asyncio
import ssl
from collections.abc import Callable

import hiredis

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config import Target
from loadprobe.core.outcome import ErrorClass, Outcome
from loadprobe.core.slots import SLOTS
from loadprobe.core.topology import Topology, single
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival, DriverStats, OnTopology, Sink
from loadprobe.drivers.errors import classify_reply
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.discovery import Discovery
from loadprobe.drivers.wire.explain import explain_dial_failure, explain_slots_error
from loadprobe.drivers.wire.node import Node
from loadprobe.drivers.wire.redirect import parse_redirect
from loadprobe.errors import PreflightError

_MAX_REDIRECTS = 5
_FIRST_CONNECTION_S = 10.0
_ALL_CONNECTIONS_S = 120.0
_TRIM_S = 1.0
_RESTART_S = 0.5
_MOST_SUSPECTS = 8
# A redirect is ahead of the topology by the time gossip takes; after this the topology
# is right again. A node that only a redirect has named is kept for this long.
_OVERRULED_NS = NS_PER_S
_STRANGER_NS = 10 * NS_PER_S
# Between two connections of a node that is back: arrivals borrow meanwhile, and a
# TLS handshake takes more than a millisecond of the loop that measures.
_PACE_TCP_S = 0.002
_PACE_TLS_S = 0.006
_WHAT_PORT = "is it a Valkey or Redis port?"


class WireDriver:
    """Sends the arrivals of one lane over its own connections.

    Args:
        target: where to, and how to log in.
        tls: use TLS (``dialer.context`` is then set).
        dialer: opens connections.
        sink: receives the end of every arrival.
        on_topology: called with every new topology, before arrivals are routed by it.
        workers: connections per shard.
        max_in_flight: arrivals a connection may have outstanding.
        closed_loop: every worker has one arrival outstanding; use idle connections
            first, the last used first (its buffers are warm).
        known: the topology before a restart in mid-run; nothing is waited for then.
    """

    def __init__(
        self,
        target: Target,
        dialer: Dialer,
        sink: Sink,
        *,
        on_topology: OnTopology,
        tls: bool,
        workers: int,
        max_in_flight: int,
        closed_loop: bool,
        known: Topology | None = None,
    ) -> None:
        self._target = target
        self._known = known
        self._sink = sink
        self._on_topology = on_topology
        self._port = (target.tls_port or target.port) if tls else target.port
        self._workers = workers
        self._max_in_flight = max_in_flight
        self._closed_loop = closed_loop
        self._nodes: dict[tuple[str, int], Node] = {}
        self._owner: list[Node] = []
        self._members: set[Node] = set()
        self._overruled_ns: int | None = None
        self._suspects: dict[Node, None] = {}
        self._ask_turn = 0
        self._group: asyncio.TaskGroup | None = None
        self._discovery = Discovery(
            self._nodes_to_ask, self._apply, self._count_refresh
        )
        self._outbox: list[tuple[Connection, bytes]] = []
        self._call_soon = asyncio.get_running_loop().call_soon
        self.dialer = dialer
        self.pace_s = 0.0
        self.stats = DriverStats()
        self.submit: Callable[[Arrival], None] = (
            self._submit_idle if closed_loop else self._submit_worker
        )

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
        if self._known is not None:
            self._discovery.topology = self._known
        elif self._target.cluster:
            await self._discover_first()
        else:
            self._discovery.topology = single(self._target.host, self._port)
        async with asyncio.TaskGroup() as group:
            self._group = group
            assert self._discovery.topology is not None
            self._apply(self._discovery.topology)
            if self._known is None:
                await self._wait_for_connections()
            else:
                # In mid-run, and what cannot be reached is what is to be measured.
                await asyncio.sleep(_RESTART_S)
            if self._target.cluster:
                group.create_task(self._discovery.run())
            self.pace_s = _PACE_TCP_S if self.dialer.context is None else _PACE_TLS_S
            ready()
            try:
                while True:
                    await asyncio.sleep(_TRIM_S)
                    self._trim()
            finally:
                for node in self._nodes.values():
                    for connection in list(node.live):
                        connection.abort()

    async def _discover_first(self) -> None:
        """Learn the topology from the configuration endpoint."""
        host, port = self._target.host, self._port
        seed = Node(
            self, host, port, replied=self._sink.replied, width=1, closed_loop=False
        )
        made = await self.dialer.dial(
            host, port, lambda: Connection(seed, self._sink.replied, None)
        )
        if isinstance(made, DialFailure):
            raise PreflightError(explain_dial_failure(made, host, port, self.dialer))
        try:
            async with asyncio.timeout(self.dialer.timeout_ms / 1000):
                slots = await made.request(resp.CLUSTER_SLOTS)
                nodes = await made.request(resp.CLUSTER_NODES)
        except (OSError, TimeoutError) as exc:
            # By TLS 1.3 a server demands a client certificate after the handshake.
            is_tls = isinstance(exc, ssl.SSLError)
            advice = "check cert_file and key_file" if is_tls else _WHAT_PORT
            raise PreflightError(
                f"asking {host}:{port} for CLUSTER SLOTS failed: "
                f"{str(exc) or 'no answer'}; {advice}"
            ) from exc
        finally:
            made.abort()
        if isinstance(slots, hiredis.ReplyError):
            raise PreflightError(explain_slots_error(str(slots), host, port))
        if not self._discovery.learn(host, slots, nodes):
            raise PreflightError(
                f"the cluster at {host}:{port} has no slots assigned; "
                "wait until it is created, or check CLUSTER NODES"
            )

    async def _wait_for_connections(self) -> None:
        """Wait for one connection to every primary, then for all of them."""
        primaries = [node for node in self._nodes.values() if node.is_primary]
        try:
            async with asyncio.timeout(_FIRST_CONNECTION_S):
                while not all(node.live for node in primaries):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            down = next(node for node in primaries if not node.live)
            failure = down.failure or DialFailure(
                ErrorClass.UNREACHABLE, "no answer", 0, 0
            )
            raise PreflightError(
                explain_dial_failure(failure, down.host, down.port, self.dialer)
            ) from None
        try:
            async with asyncio.timeout(_ALL_CONNECTIONS_S):
                while not all(
                    node.is_complete for node in self._nodes.values() if node.is_primary
                ):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise PreflightError(
                f"only {sum(len(n.live) for n in primaries)} of "
                f"{len(primaries) * self._workers} connections could be opened in "
                f"{_ALL_CONNECTIONS_S:.0f} s; check maxclients of the server, or use "
                "fewer workers"
            ) from None

    def _trim(self) -> None:
        """Close what is not needed, and forget redirects nobody else knows of."""
        if (
            self._overruled_ns is not None
            and mono_now_ns() - self._overruled_ns > _OVERRULED_NS
        ):
            self._route()
        for key, node in list(self._nodes.items()):
            if (
                node not in self._members
                and mono_now_ns() - node.made_ns > _STRANGER_NS
            ):
                node.retire()
            node.trim()
            if node.retired and not node.live:
                del self._nodes[key]

    # --- topology --------------------------------------------------------------

    def _node(self, host: str, port: int) -> Node:
        """Return the node at an address; a new one is opened like a replica."""
        node = self._nodes.get((host, port))
        if node is None:
            node = Node(
                self,
                host,
                port,
                replied=self._sink.replied,
                width=self._workers,
                closed_loop=self._closed_loop,
            )
            self._nodes[host, port] = node
            assert self._group is not None
            node.want(1, is_primary=False)
            node.keeper = self._group.create_task(node.keep())
        elif node.retired:  # it is back before the last connection was closed
            node.retired = False
            node.want(1, is_primary=False)
            if node.keeper is None or node.keeper.done():
                assert self._group is not None
                node.keeper = self._group.create_task(node.keep())
        return node

    def _apply(self, topology: Topology) -> None:
        """Route by a new topology, after telling the lane about it."""
        if self._group is None:
            return
        self._on_topology(topology)
        known: set[Node] = set()
        for shard in topology.shards:
            primary = self._node(shard.primary.host, shard.primary.port)
            primary.want(self._workers, is_primary=True)
            known.add(primary)
            for replica in shard.replicas:
                node = self._node(replica.host, replica.port)
                node.want(1, is_primary=False)
                known.add(node)
        self._members = known
        self._route()
        for node in self._nodes.values():
            if node not in known:
                node.retire()

    def _route(self) -> None:
        """Let every slot go to the primary that the topology names."""
        topology = self._discovery.topology
        assert topology is not None
        owner: list[Node] = list(self._owner)
        for shard in topology.shards:
            primary = self._node(shard.primary.host, shard.primary.port)
            if not owner:
                owner = [primary] * SLOTS
            for first, last in shard.ranges:
                owner[first : last + 1] = [primary] * (last + 1 - first)
        self._owner = owner
        self._overruled_ns = None

    def _nodes_to_ask(self) -> list[Node]:
        """Return the replicas of suspect shards, and one node of all in turn."""
        topology = self._discovery.topology
        suspects, self._suspects = self._suspects, {}
        asked: dict[Node, None] = {}
        if topology is not None and suspects:
            for shard in topology.shards:
                primary = self._nodes.get((shard.primary.host, shard.primary.port))
                if primary in suspects and len(asked) < _MOST_SUSPECTS:
                    for replica in shard.replicas:
                        node = self._nodes.get((replica.host, replica.port))
                        if node is not None:
                            asked[node] = None
        everyone = [node for node in self._nodes.values() if node.live]
        if everyone:
            self._ask_turn = (self._ask_turn + 1) % len(everyone)
            asked[everyone[self._ask_turn]] = None
        return list(asked)

    def _count_refresh(self) -> None:
        self.stats.refreshes += 1

    def hurry(self) -> None:
        """Look at the topology soon."""
        self._discovery.hurry()

    def suspect(self, slot: int) -> None:
        """Take note that an arrival for a slot failed: has its shard a new primary?"""
        self._suspects[self._owner[slot]] = None
        self._discovery.hurry()

    def resumed_ns(self, slot: int) -> int:
        """Return when the server of a slot last spoke after a silence; 0 if never."""
        return self._owner[slot].resumed_ns

    # --- arrivals --------------------------------------------------------------

    def _submit_worker(self, arrival: Arrival) -> None:
        """Send on the worker's own connection, or borrow one (open loop)."""
        node = self._owner[arrival.slot]
        connection = node.by_worker[arrival.worker]
        if connection is None:
            connection = node.borrow()
            if connection is None:
                self._no_connection(arrival, node)
                return
            self.stats.borrowed += 1
        pending = connection.pending
        if len(pending) >= self._max_in_flight:
            self.fail(
                arrival,
                Outcome.UNSENT,
                ErrorClass.INFLIGHT,
                (node.last_reply_ns, mono_now_ns()),
            )
            return
        arrival.sent = mono_now_ns()
        pending.append(arrival)
        connection.write(arrival.command)

    def _submit_idle(self, arrival: Arrival) -> None:
        """Send on the connection that became idle last (closed loop)."""
        node = self._owner[arrival.slot]
        free = node.free
        if free:
            connection = free.pop()
            arrival.sent = arrival.due  # a closed loop's arrival is due when it is sent
            connection.pending.append(arrival)
            outbox = self._outbox
            if not outbox:
                self._call_soon(self.flush)
            outbox.append((connection, arrival.command))
        else:
            self.forward(arrival, node)

    def flush(self) -> None:
        """Write what this turn of the loop asked for, all at once.

        Writing in the midst of reading wakes the servers for every command; written
        together, most find them awake.
        """
        outbox, self._outbox = self._outbox, []
        for connection, command in outbox:
            if connection.live:
                connection.write(command)

    def forward(self, arrival: Arrival, node: Node, *, asking: bool = False) -> None:
        """Send on any connection of a given node, or wait for its first one."""
        connection = node.borrow()
        if connection is None:
            self._no_connection(arrival, node, asking=asking)
            return
        if len(connection.pending) >= self._max_in_flight:
            self.fail(
                arrival,
                Outcome.UNSENT,
                ErrorClass.INFLIGHT,
                (node.last_reply_ns, mono_now_ns()),
            )
            return
        if not arrival.sent:
            arrival.sent = mono_now_ns()
        if asking:
            connection.request(resp.ASKING)
        connection.pending.append(arrival)
        connection.write(arrival.command)

    def reroute(self, arrival: Arrival) -> None:
        """Send an arrival that waited for a node that is no longer one of us."""
        self.forward(arrival, self._owner[arrival.slot])

    def _no_connection(
        self, arrival: Arrival, node: Node, *, asking: bool = False
    ) -> None:
        if not node.was_live and node.failure is None and not node.retired:
            node.waiting.append((arrival, asking))
            return
        if not node.is_primary:
            self._forget_redirect(arrival.slot)
        failure = node.failure
        error = failure.error if failure is not None else ErrorClass.RESET
        self.fail(arrival, Outcome.UNSENT, error, node.evidence())

    def _forget_redirect(self, slot: int) -> None:
        """Go back to the topology's owner of a slot: a redirect led to a dead node."""
        assert self.topology is not None
        for shard in self.topology.shards:
            if any(first <= slot <= last for first, last in shard.ranges):
                self._owner[slot] = self._node(shard.primary.host, shard.primary.port)
                return

    def fail(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        evidence: tuple[int, int],
    ) -> None:
        """Report a failure without a reply; one after a redirect is a refusal."""
        if arrival.settled:
            return
        self.suspect(arrival.slot)
        if outcome is Outcome.UNSENT and arrival.redirects:
            outcome, error = Outcome.REFUSED, ErrorClass.MOVED
        self._sink.failed(arrival, outcome, error, done_ns=-1, evidence=evidence)

    def error_reply(
        self, node: Node, arrival: Arrival, error: hiredis.ReplyError, done_ns: int
    ) -> None:
        """Follow a redirect, or report the refusal."""
        if arrival.settled:
            self.stats.too_late += 1
            return
        text = str(error)
        kind = classify_reply(text)
        redirect = None
        if kind is ErrorClass.MOVED or kind is ErrorClass.ASK:
            redirect = parse_redirect(text, node.host)
        if redirect is not None and arrival.redirects < _MAX_REDIRECTS:
            arrival.redirects += 1
            label = kind.label
            self.stats.redirects[label] = self.stats.redirects.get(label, 0) + 1
            slot, host, port = redirect
            target = self._node(host, port)
            if kind is ErrorClass.MOVED:
                if target in self._members:
                    self._owner[slot] = target
                    self._overruled_ns = done_ns
                self._discovery.hurry()
            self.forward(arrival, target, asking=kind is ErrorClass.ASK)
            return
        self.suspect(arrival.slot)
        self._sink.failed(
            arrival,
            Outcome.REFUSED,
            kind,
            done_ns=done_ns,
            evidence=(arrival.sent, done_ns),
        )

    # --- beside the load -------------------------------------------------------

    def request(self, slot: int, command: bytes) -> "asyncio.Future[object]":
        """Send a command on any connection to the owner of a slot.

        Raises:
            ConnectionError: there is no connection to it.
        """
        connection = self._owner[slot].borrow()
        if connection is None:
            node = self._owner[slot]
            raise ConnectionRefusedError(f"no connection to {node.host}:{node.port}")
        return connection.request(command)

    def live_connections(self) -> dict[str, int]:
        """Return the number of live connections per shard, replicas included."""
        counts: dict[str, int] = {}
        topology = self._discovery.topology
        if topology is not None:
            for shard in topology.shards:
                counts[shard.name] = sum(
                    len(self._nodes[member.host, member.port].live)
                    for member in (shard.primary, *shard.replicas)
                    if (member.host, member.port) in self._nodes
                )
        return counts
