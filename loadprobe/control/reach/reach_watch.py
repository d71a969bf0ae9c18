"""Sees to it that every node which comes can be reached, or tells that it cannot.

A tunnel gets a forward for each node as soon as it is announced; a NAT is somebody
else's, so what its address map lacks is told. Both matter before the node serves, and
mostly there is time: nodes join a cluster before they are given slots.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.config.keys import Target
from loadprobe.control.reach.endpoints import EndpointForwards
from loadprobe.control.reach.members import ask_members
from loadprobe.control.reach.tunnel import SshTunnel
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.events import (
    Emit,
    NodeForwarded,
    NodeReached,
    NodeUnreached,
)
from loadprobe.core.topology.announced import Announced, NodeAddress
from loadprobe.core.topology.reached import ReachLog, primaries
from loadprobe.core.topology.topology import Topology
from loadprobe.errors import LoadprobeError

_LOOK_S = 1.0
_KNOCK_S = 1.0
_KNOCK_AGAIN_NS = 5 * NS_PER_S
_FORGOTTEN_NS = 600 * NS_PER_S
"""A forward to a node that is not announced any more is kept for so long."""

logger = logging.getLogger(__name__)

Knock = Callable[[str, int], Awaitable[str | None]]
"""Returns what stands against a connection to an address, or None."""


class ReachWatch:
    """Looks after the ways to the nodes (see the module).

    Args:
        watch: who is in the cluster.
        target: with its address map or its tunnel.
        emit: where events go.
        transports: of the lanes.
        tunnel: the tunnel, if the target has one.
        on_forwards: called when there are forwards that probes do not know of.
        knock: tries an address; a test has another one.

    Attributes:
        log: what is not reached.
        tunnel: the tunnel, if there is one.
    """

    def __init__(
        self,
        watch: TopologyWatch,
        target: Target,
        emit: Emit,
        *,
        transports: Iterable[bool],
        tunnel: SshTunnel | None,
        on_forwards: Callable[[], None],
        knock: Knock | None = None,
    ) -> None:
        self.log = ReachLog()
        self.tunnel = tunnel
        self._watch = watch
        self._target = target
        self._emit = emit
        self._on_forwards = on_forwards
        self._knock = knock or _connect
        transports = set(transports)
        ports = {target.port_of(tls=tls) for tls in (False, True)}
        self._transports = transports if len(ports) > 1 else set[bool]()
        self._beside: list[Announced] = []
        self._beside_ns = 0
        self._told: dict[NodeAddress, int] = {}
        self._missed: dict[NodeAddress, int] = {}
        self._knocked: dict[str, tuple[int, str | None]] = {}
        self._news = asyncio.Event()
        self._endpoints: EndpointForwards | None = None
        if tunnel is not None:
            self._endpoints = EndpointForwards(tunnel, target, transports)
            tunnel.emit = emit
            tunnel.heard_ns = lambda: watch.heard_ns
            tunnel.on_moved = on_forwards

    @property
    def is_needed(self) -> bool:
        """Tell whether nodes are reached by other ways than their addresses."""
        return self.tunnel is not None or bool(self._target.address_map)

    @property
    def problem(self) -> str | None:
        """Return what the operator should know of it now."""
        if self.tunnel is not None and self.tunnel.problem is not None:
            return self.tunnel.problem
        for node, reason in self.log.unreached.items():
            return f"node {node} cannot be reached: {reason}"
        return None

    def hear(self, topology: Topology) -> None:
        """Take what a probe has found: it may know of nodes before the watch does."""
        if self.tunnel is None:
            return
        for shard in topology.shards:
            for node in (shard.primary, *shard.replicas):
                self._note(node.host, node.port)

    async def ask_way(self, host: str, port: int) -> None:
        """Have a way to an endpoint, for good; with a tunnel that is a forward."""
        if self._endpoints is not None and await self._endpoints.ask(host, port):
            self._on_forwards()

    def was_blocked(self, since_ns: int) -> bool:
        """Tell whether all ways were blocked at some time since then, monotonic."""
        return self.tunnel is not None and self.tunnel.was_blocked(since_ns)

    def _note(self, host: str, port: int) -> None:
        address = host, port
        if address not in self._told:
            self._told[address] = mono_now_ns()
            self._news.set()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self.tunnel is not None:
                group.create_task(self.tunnel.keep())
            if self._endpoints is not None:
                group.create_task(self._follow_names(self._endpoints))
            group.create_task(self._follow())
            while True:
                self._news.clear()
                if self.is_needed:  # an address map may come by a reload
                    await self.look()
                try:
                    async with asyncio.timeout(_LOOK_S):
                        await self._news.wait()
                except TimeoutError:
                    pass

    async def _follow_names(self, endpoints: EndpointForwards) -> None:
        """Have endpoints lead where they point; nobody waits for a slow name server."""
        while True:
            if await endpoints.follow():
                self._on_forwards()
            await asyncio.sleep(_LOOK_S)

    async def _follow(self) -> None:
        """Look as soon as the cluster is another one."""
        while True:
            await self._watch.changed(_LOOK_S)
            self._news.set()
            await asyncio.sleep(0)

    async def look(self) -> None:
        """See to all nodes that are announced now."""
        members = await self._members()
        shards = primaries(self._watch.current)
        if self.tunnel is not None:
            await self._forward(self.tunnel, members, shards)
            return
        news = self.log.take(
            members,
            shards=shards,
            tellers=self._watch.tellers,
            asked=self._watch.asked,
            unmapped=await self._unmapped(members),
            now_ns=mono_now_ns(),
        )
        for event in news:
            self._tell(event)

    async def _members(self) -> list[Announced]:
        """Return all nodes that are announced, by each transport of the lanes.

        The watch asks by one. Nodes that have two ports announce the other one to who
        asks by the other transport; that is done when there are nodes that are new.
        """
        members = self._watch.members
        new = {member.id for member in members} - {each.id for each in self._beside}
        others = self._transports - {self._watch.tls}
        now_ns = mono_now_ns()
        if new and others and now_ns >= self._beside_ns:
            try:
                found = await ask_members(self._target, transports=others)
                self._beside = [node for node, _ in found]
            except LoadprobeError:
                self._beside_ns = now_ns + _KNOCK_AGAIN_NS  # it is not served
        return [*members, *self._beside]

    async def _forward(
        self, tunnel: SshTunnel, members: Iterable[Announced], shards: dict[str, str]
    ) -> None:
        """Have forwards to all nodes, and none to those that are long gone."""
        for member in members:
            for host, port in member.addresses:
                self._note(host, port)
        there = {address for member in members for address in member.addresses}
        wanted = [a for a in self._told if tunnel.port_of(a) is None]
        if wanted:
            failed = await tunnel.forward(wanted)
            self._on_forwards()
            for address in wanted:
                if address not in failed:
                    self._tell_forward(tunnel, address, shards)
            for address in failed:
                del self._told[address]  # it is tried again when it is seen again
        now_ns = mono_now_ns()
        if not there:
            return
        self._missed = {
            address: self._missed.get(address, now_ns)
            for address in self._told
            if address not in there
        }
        gone = [
            a for a, since in self._missed.items() if now_ns - since > _FORGOTTEN_NS
        ]
        if gone:
            await tunnel.drop(gone)
            for address in gone:
                del self._told[address]

    def _tell_forward(
        self, tunnel: SshTunnel, address: NodeAddress, shards: dict[str, str]
    ) -> None:
        member = Announced((address,), "")
        now_ns = mono_now_ns()
        self._emit(
            NodeForwarded(
                now_ns,
                member.address,
                shards.get(member.address, ""),
                tunnel.port_of(address) or 0,
                (now_ns - self._told[address]) / NS_PER_MS,
            )
        )

    async def _unmapped(self, members: Sequence[Announced]) -> dict[str, str]:
        """Return the nodes without an entry that cannot be reached directly either."""
        mapped = self._target.address_map
        found: dict[str, str] = {}
        there = {member.address for member in members}
        self._knocked = {a: seen for a, seen in self._knocked.items() if a in there}
        for member in members:
            if not any(_is_mapped(mapped, *address) for address in member.addresses):
                problem = await self._ask(member)
                if problem is not None:
                    found[member.address] = (
                        f"address_map has no entry for it ({problem}): add one and a "
                        "rule, see loadprobe access nat"
                    )
        return found

    async def _ask(self, member: Announced) -> str | None:
        """Try a node directly; one that was reached is not tried again."""
        now_ns = mono_now_ns()
        tried_ns, problem = self._knocked.get(member.address, (None, None))
        is_fresh = tried_ns is not None and now_ns - tried_ns < _KNOCK_AGAIN_NS
        if tried_ns is None or (problem is not None and not is_fresh):
            problem = await self._knock(*member.addresses[0])
            self._knocked[member.address] = mono_now_ns(), problem
        return problem

    def _tell(self, event: NodeUnreached | NodeReached) -> None:
        self._emit(event)
        extra = {"lp_node": event.node}
        if isinstance(event, NodeUnreached):
            extra["lp_reason"] = event.reason
            logger.warning("node_unreached", extra=extra)
        else:
            logger.info("node_reached", extra=extra)


def _is_mapped(mapped: dict[str, str], host: str, port: int) -> bool:
    return f"{host}:{port}" in mapped or f"[{host}]:{port}" in mapped


async def _connect(host: str, port: int) -> str | None:
    """Connect to an address, and hang up."""
    try:
        async with asyncio.timeout(_KNOCK_S):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"no answer within {_KNOCK_S:g} s"
    except OSError as exc:
        return exc.strerror or str(exc)
    writer.transport.abort()
    return None
