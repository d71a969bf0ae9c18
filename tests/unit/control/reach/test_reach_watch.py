"""Who sees to it that nodes can be reached: forwards are asked for, gaps are told."""

from collections.abc import Iterable
from typing import Any

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.config.keys import Target, Tunnel
from loadprobe.control.reach import reach_watch
from loadprobe.control.reach.reach_watch import ReachWatch
from loadprobe.core.events import Event, NodeForwarded, NodeReached, NodeUnreached
from loadprobe.core.topology.announced import Announced, NodeAddress
from loadprobe.core.topology.topology import Node, Shard, Topology

ONE = Announced((("10.0.0.1", 6379),), "10.0.0.1", "a")
TWO = Announced((("10.0.0.2", 6379), ("two.example", 6379)), "10.0.0.2", "b")
SHARD = Shard("0001", ((0, 16383),), Node("a", "10.0.0.1", 6379), (), 1)


class Watched:
    """A topology watch that knows what it was told."""

    tls = False
    heard_ns: int | None = None

    def __init__(self, *members: Announced) -> None:
        self.members = list(members)
        self.current = Topology((SHARD,))
        self.tellers: dict[NodeAddress, str] = {}
        self.asked: set[NodeAddress] = set()


class Forwarding:
    """A tunnel that notes what it was asked for."""

    problem: str | None = None

    def __init__(self, *, refuses: Iterable[NodeAddress] = ()) -> None:
        self.ports: dict[NodeAddress, int] = {}
        self.refuses = set(refuses)

    def port_of(self, address: NodeAddress) -> int | None:
        """Return the port of a forward."""
        return self.ports.get(address)

    async def forward(self, addresses: Iterable[NodeAddress]) -> list[NodeAddress]:
        """Add forwards."""
        wanted = list(addresses)
        for address in wanted:
            if address not in self.refuses:
                self.ports[address] = 5000 + len(self.ports)
        return [address for address in wanted if address in self.refuses]

    async def drop(self, addresses: Iterable[NodeAddress]) -> None:
        """Remove forwards."""
        for address in addresses:
            del self.ports[address]


class Stage:
    """A watch, what is around it, and what it told.

    Args:
        watched: who is in the cluster.
        target: how it is reached.
        tunnel: the tunnel, if there is one.
    """

    def __init__(
        self, watched: Watched, target: Target, tunnel: Forwarding | None = None
    ) -> None:
        self.events: list[Event] = []
        self.knocked: list[NodeAddress] = []
        self.answer: str | None = "no route to host"
        self.told = 0
        around: Any = watched, tunnel
        self.watch = ReachWatch(
            around[0],
            target,
            self.events.append,
            transports=[False],
            tunnel=around[1],
            on_forwards=self._on_forwards,
            knock=self._knock,
        )

    def _on_forwards(self) -> None:
        self.told += 1

    async def _knock(self, host: str, port: int) -> str | None:
        self.knocked.append((host, port))
        return self.answer

    def of(self, kind: type[Event]) -> list[Any]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


TUNNELLED = Target("cfg", tunnel=Tunnel("bastion"))


async def test_each_node_gets_forwards_before_it_serves() -> None:
    """All of its names, once each; probes are told once for all."""
    tunnel = Forwarding()
    stage = Stage(Watched(ONE, TWO), TUNNELLED, tunnel)
    await stage.watch.look()
    assert set(tunnel.ports) == {*ONE.addresses, *TWO.addresses}
    assert stage.told == 1
    forwarded = {event.node: event.shard for event in stage.of(NodeForwarded)}
    assert forwarded == {
        "10.0.0.1:6379": "0001",
        "10.0.0.2:6379": "",
        "two.example:6379": "",
    }
    await stage.watch.look()
    assert (stage.told, len(stage.events)) == (1, 3)


async def test_what_a_probe_meets_first_is_forwarded() -> None:
    """A probe follows a redirect before the watch looks again."""
    tunnel = Forwarding()
    stage = Stage(Watched(), TUNNELLED, tunnel)
    stage.watch.hear(Topology((SHARD,)))
    await stage.watch.look()
    assert list(tunnel.ports) == list(ONE.addresses)


async def test_a_forward_that_is_refused_is_asked_for_again() -> None:
    """What stands against it may go away; nothing is told of it as there."""
    tunnel = Forwarding(refuses=ONE.addresses)
    stage = Stage(Watched(ONE), TUNNELLED, tunnel)
    await stage.watch.look()
    assert stage.of(NodeForwarded) == []
    tunnel.refuses.clear()
    await stage.watch.look()
    assert len(stage.of(NodeForwarded)) == 1


async def test_forwards_to_nodes_that_are_gone_end_after_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node that is away for a moment keeps its port; weeks of replacements do not."""
    now_ns = 0
    monkeypatch.setattr(reach_watch, "mono_now_ns", lambda: now_ns)
    tunnel, watched = Forwarding(), Watched(ONE, TWO)
    stage = Stage(watched, TUNNELLED, tunnel)
    await stage.watch.look()
    watched.members = [ONE]
    for now_ns in (NS_PER_S, 500 * NS_PER_S):  # noqa: B007 - it is the clock
        await stage.watch.look()
    assert len(tunnel.ports) == 3
    now_ns = 700 * NS_PER_S
    await stage.watch.look()
    assert set(tunnel.ports) == set(ONE.addresses)


MAPPED = Target("cfg", address_map={"10.0.0.1:6379": "203.0.113.5:7001"})


async def test_a_node_without_an_entry_is_tried_before_it_is_told() -> None:
    """It may be reached directly; one that is, is not tried again and again."""
    stage = Stage(Watched(ONE, TWO), MAPPED)
    stage.answer = None
    await stage.watch.look()
    await stage.watch.look()
    assert stage.knocked == [TWO.addresses[0]]
    assert stage.events == []
    assert stage.watch.problem is None


async def test_a_node_that_nothing_leads_to_is_told_until_it_has_an_entry() -> None:
    """The map that was mended by a reload is the one that is looked at."""
    target = Target("cfg", address_map=dict(MAPPED.address_map))
    stage = Stage(Watched(ONE, TWO), target)
    await stage.watch.look()
    (unreached,) = stage.of(NodeUnreached)
    assert unreached.node == "10.0.0.2:6379"
    assert "no route to host" in unreached.reason
    assert stage.watch.problem is not None
    assert "10.0.0.2:6379" in stage.watch.problem
    target.address_map["two.example:6379"] = "203.0.113.5:7002"
    await stage.watch.look()
    assert [event.node for event in stage.of(NodeReached)] == ["10.0.0.2:6379"]
    assert stage.watch.problem is None


def test_without_a_map_or_a_tunnel_there_is_nothing_to_see_to() -> None:
    """Nodes are where they say."""
    assert not Stage(Watched(ONE), Target("cfg")).watch.is_needed
    assert Stage(Watched(ONE), MAPPED).watch.is_needed
