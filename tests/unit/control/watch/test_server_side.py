"""Servers are asked what they have to do, and who does not answer delays nobody."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from loadprobe.control.watch.node_answers import (
    NodeDenied,
    NodeSilent,
    parse_server_side,
)
from loadprobe.control.watch.server_side import MOST_A_SECOND, ServerSideWatch
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.load.occupancy import ServerLoad
from loadprobe.core.topology.server_side import (
    PRIMARY,
    REPLICA,
    ServerAnswer,
    ServerRow,
)
from loadprobe.core.topology.topology import Node, Shard, Topology

S = 1_000_000_000
INFO = b"""# Clients\r
connected_clients:7\r
maxclients:10000\r
# Memory\r
used_memory:1048576\r
# Stats\r
total_commands_processed:90\r
instantaneous_ops_per_sec:12\r
# Replication\r
role:master\r
master_repl_offset:4200\r
# CPU\r
used_cpu_sys:1.250000\r
used_cpu_user:2.5\r
"""
OF_REPLICA = INFO.replace(
    b"role:master", b"role:slave\r\nmaster_link_status:down\r\nslave_repl_offset:4100"
)
ANSWER = ServerAnswer(5, PRIMARY, 90, 3750, 7, 10_000, 12, 1_048_576, 4200, None)


def test_what_a_primary_tells() -> None:
    """All of it is in one INFO; the number of connections only of newer servers."""
    assert parse_server_side(INFO, 5) == ANSWER
    older = INFO.replace(b"maxclients:10000\r\n", b"")
    assert parse_server_side(older, 5).max_clients is None


def test_what_a_replica_tells() -> None:
    """It has its own offset, and whether it has its primary."""
    told = parse_server_side(OF_REPLICA, 5)
    assert (told.role, told.offset, told.is_linked) == (REPLICA, 4100, False)


@pytest.mark.parametrize(
    "text", [b"", INFO.replace(b"used_memory", b"x"), INFO.replace(b":90", b":many")]
)
def test_what_does_not_tell(text: bytes) -> None:
    """A node that leaves something out, or tells no number, is not asked again soon."""
    with pytest.raises(NodeDenied, match="does not tell"):
        parse_server_side(text, 5)


class Hangs(Exception):
    """A server that does not answer until it is let go."""


@dataclass(slots=True)
class Servers:
    """A cluster that knows its nodes, and is each of them.

    Args:
        current: the topology.
        told: what each port tells: an answer, or what is raised.
        asked: ports, in turn.
        opened: how many connections were made to a port.
        closed: how many connections were closed.
        let_go: those that hang answer then.
    """

    current: Topology | None
    told: dict[int, ServerAnswer | Exception]
    asked: list[int] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    closed: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    def open_node(self, host: str, port: int) -> "Client":
        """Return a client."""
        assert host == "h"
        self.opened.append(port)
        return Client(self, port)


@dataclass(slots=True)
class Client:
    """A connection to one of them."""

    servers: Servers
    port: int

    async def server_side(self) -> ServerAnswer:
        """Tell what there is to tell."""
        self.servers.asked.append(self.port)
        told = self.servers.told[self.port]
        if isinstance(told, Hangs):
            await self.servers.let_go.wait()
            return ANSWER
        if isinstance(told, Exception):
            raise told
        return told

    async def close(self) -> None:
        """Count it."""
        self.servers.closed += 1


def one_shard(replicas: int) -> Topology:
    """Return a primary on port 1 with replicas on those that follow."""
    followers = tuple(Node(f"n{n}", "h", n) for n in range(2, 2 + replicas))
    return Topology((Shard("0001", ((0, 16383),), Node("n1", "h", 1), followers, 1),))


class Watching:
    """A watch whose looks are made one by one, a second after each other."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.loads: list[tuple[str, ServerLoad]] = []
        self.rows: list[ServerRow] = []
        self.needs_load = self.needs_rows = True
        self.now_ns = 0
        self.watch = ServerSideWatch(
            cast("TopologyWatch", servers),
            lambda shard, load: self.loads.append((shard, load)),
            self._take,
            needs_load=lambda: self.needs_load,
            needs_rows=lambda: self.needs_rows,
            now_ns=lambda: self.now_ns,
        )

    def _take(self, rows: Sequence[ServerRow]) -> None:
        self.rows += rows

    async def look(self, group: asyncio.TaskGroup) -> None:
        """Look once, and let everybody answer who does."""
        self.watch.look(group)
        self.now_ns += S
        for _ in range(5):
            await asyncio.sleep(0)


async def test_one_connection_for_each_server() -> None:
    """It is used again and again, for ceilings and for what is shown."""
    replica = ServerAnswer(6, REPLICA, 5, 0, 1, None, 0, 10, 4100, is_linked=True)
    seen = Watching(Servers(one_shard(1), {1: ANSWER, 2: replica}))
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            await seen.look(group)
    assert sorted(seen.servers.opened) == [1, 2]
    assert seen.loads == [("0001", ServerLoad(7, 10_000, 12))] * 3
    assert [row.node for row in seen.rows] == ["h:1", "h:2"] * 2
    assert seen.rows[1].lag_bytes == 100


async def test_the_last_answers_are_passed_on() -> None:
    """What was answered when nobody looks any more is told, too."""
    seen = Watching(Servers(one_shard(0), {1: ANSWER}))
    asking = asyncio.create_task(seen.watch.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert seen.rows == []
    asking.cancel()
    await asyncio.wait([asking])
    assert [row.node for row in seen.rows] == ["h:1"]
    assert seen.servers.closed == 1


async def test_nobody_is_asked_for_nothing() -> None:
    """Only primaries for the sake of ceilings, and nobody if nothing is wanted."""
    seen = Watching(Servers(one_shard(1), {1: ANSWER, 2: ANSWER}))
    async with asyncio.TaskGroup() as group:
        seen.needs_rows = False
        await seen.look(group)
        assert seen.servers.asked == [1]
        seen.needs_load = False
        await seen.look(group)
    assert (seen.servers.asked, seen.rows) == ([1], [])
    assert seen.servers.closed == 1


async def test_who_hangs_delays_nobody() -> None:
    """It is not asked again until it has answered; the other is, every second."""
    seen = Watching(Servers(one_shard(1), {1: ANSWER, 2: Hangs()}))
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            await seen.look(group)
        assert (seen.servers.asked.count(1), seen.servers.asked.count(2)) == (3, 1)
        assert {row.node for row in seen.rows} == {"h:1"}
        seen.servers.let_go.set()


async def test_silence_is_said_where_a_ceiling_needs_an_answer() -> None:
    """A silent server gets a new connection; of what is only shown nothing is said."""
    seen = Watching(Servers(one_shard(0), {1: NodeSilent("no reply in 1 s")}))
    async with asyncio.TaskGroup() as group:
        await seen.look(group)
        assert str(seen.watch.problem).startswith("the primary of shard 0001 does not")
        seen.needs_load = False
        assert seen.watch.problem is None
        seen.needs_load = True
        seen.servers.told[1] = ANSWER
        await seen.look(group)
    assert (seen.servers.opened, seen.servers.closed) == ([1, 1], 1)
    assert seen.watch.problem is None


async def test_who_may_not_ask_does_not_go_on_asking() -> None:
    """A server that refuses INFO is asked again after a minute."""
    seen = Watching(Servers(one_shard(0), {1: NodeDenied("NOPERM")}))
    async with asyncio.TaskGroup() as group:
        for _ in range(62):
            await seen.look(group)
    assert len(seen.servers.asked) == 2


async def test_very_many_servers_are_asked_in_turns() -> None:
    """So many a second and no more; all of them come round."""
    many = 2 * MOST_A_SECOND + 1
    told: dict[int, ServerAnswer | Exception] = dict.fromkeys(
        range(1, many + 1), ANSWER
    )
    seen = Watching(Servers(one_shard(many - 1), told))
    async with asyncio.TaskGroup() as group:
        await seen.look(group)
        assert len(seen.servers.asked) <= MOST_A_SECOND
        await seen.look(group)
        await seen.look(group)
    assert sorted(seen.servers.asked) == list(range(1, many + 1))
