"""What becomes of the views of nodes that come and go, however replies interleave."""

import asyncio
from collections.abc import Callable

import pytest

from loadprobe.config.keys import Target
from loadprobe.control.watch import topology as watching
from loadprobe.control.watch.node_answers import NodeView
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.events import Event
from loadprobe.core.topology.roles import Address
from tests.support.running import until

PRIMARY, REPLICA = ("10.0.0.1", 1), ("10.0.0.2", 2)


def view(*, with_replica: bool) -> NodeView:
    """Return what a node tells: the primary, and its replica or not."""
    nodes = [[b"10.0.0.1", 1, b"p" * 40]]
    lines = ["p" * 40 + " 10.0.0.1:1@11 master - 0 0 7 connected 0-16383"]
    if with_replica:
        nodes.append([b"10.0.0.2", 2, b"r" * 40])
        lines.append(f"{'r' * 40} 10.0.0.2:2@12 slave {'p' * 40} 0 0 7 connected")
    info = {"cluster_state": "ok", "cluster_current_epoch": "7"}
    return NodeView([[0, 16383, *nodes]], "\n".join(lines).encode(), info)


class ScriptedNodes:
    """Stands for the logins of a watch: what each node tells, and when."""

    def __init__(self) -> None:
        self.tells = dict.fromkeys((PRIMARY, REPLICA), view(with_replica=True))
        self.looks = dict.fromkeys((PRIMARY, REPLICA), 0)
        self.is_held: Callable[[Address], bool] = lambda _address: False
        self.go_on = asyncio.Event()

    def open_node(self, host: str, port: int) -> "ScriptedNode":
        """Return a client of a node."""
        return ScriptedNode(self, (host, port))


class ScriptedNode:
    """A client of one node."""

    def __init__(self, nodes: ScriptedNodes, address: Address) -> None:
        self._nodes, self._address = nodes, address
        self.host = address[0]

    async def view(self) -> NodeView:
        """Tell what the script says."""
        await asyncio.sleep(0)
        self._nodes.looks[self._address] += 1
        return self._nodes.tells[self._address]

    async def engine(self) -> str:
        """Tell the engine, perhaps after a while."""
        if self._nodes.is_held(self._address):
            await self._nodes.go_on.wait()
        return "valkey 9.1.0"

    async def close(self) -> None:
        """Do nothing."""


async def test_a_view_that_counts_no_more_hides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A restarted replica tells of itself too late, and is asked no more.

    It is left out by all, it says so itself when it is not asked for any more, and
    meanwhile the others know it again: its last word must not be the last one.
    """
    nodes = ScriptedNodes()
    monkeypatch.setattr(watching, "NodeLogin", lambda *_, **__: nodes)
    events: list[Event] = []
    watch = TopologyWatch(Target(*PRIMARY), events.append, tls=False, poll_s=0.01)

    def replicas() -> int:
        current = watch.current
        return -1 if current is None else len(current.shards[0].replicas)

    running = asyncio.create_task(watch.run())
    try:
        await until(lambda: replicas() == 1, what="the replica")
        nodes.is_held = lambda address: address == REPLICA
        nodes.tells[REPLICA] = view(with_replica=False)
        nodes.tells[PRIMARY] = view(with_replica=False)
        await until(lambda: replicas() == 0, what="a shard without a replica")
        before = dict(nodes.looks)
        nodes.tells[PRIMARY] = view(with_replica=True)
        nodes.tells[REPLICA] = view(with_replica=True)
        await until(
            lambda: nodes.looks[PRIMARY] > before[PRIMARY] + 2, what="more looks"
        )
        assert replicas() == 0, "the replica's own word stands until it is let go"
        nodes.go_on.set()
        await until(lambda: replicas() == 1, what="the replica again")
    finally:
        running.cancel()
        await asyncio.wait({running})
