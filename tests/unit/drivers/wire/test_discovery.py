"""Which views of the cluster the wire driver believes."""

import asyncio

import pytest

from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.wire.discovery import Discovery

A, B, C = (letter * 40 for letter in "abc")
HOST = "127.0.0.1"


def slots(*ports: int) -> list[object]:
    """Return CLUSTER SLOTS of three primaries at the given ports."""
    ranges = ((0, 5460), (5461, 10922), (10923, 16383))
    ids = (A, B, C)
    return [
        [first, last, [HOST.encode(), port, node_id.encode()]]
        for (first, last), port, node_id in zip(ranges, ports, ids, strict=True)
    ]


def nodes(myself: str) -> bytes:
    """Return CLUSTER NODES as told by one of the three."""
    lines = []
    for epoch, node_id in enumerate((A, B, C), start=1):
        flags = "myself,master" if node_id == myself else "master"
        lines.append(f"{node_id} {HOST}:1@2 {flags} - 0 0 {epoch} connected")
    return "\n".join(lines).encode()


def discovery() -> tuple[Discovery, list[Topology]]:
    """Return a discovery that knows ports 1, 2 and 3, and its list of changes."""
    changes: list[Topology] = []
    found = Discovery(list, changes.append, lambda: None, lambda _: True)
    assert found.learn(HOST, slots(1, 2, 3), nodes(A))
    return found, changes


def ports(found: Discovery) -> list[int]:
    """Return the ports of the primaries."""
    assert found.topology is not None
    return [shard.primary.port for shard in found.topology.shards]


async def test_one_node_alone_is_not_believed_about_another() -> None:
    """A node that tells a new address of another one is asked again, not followed."""
    found, changes = discovery()
    assert not found.learn(HOST, slots(1, 22, 3), nodes(A))
    assert not found.learn(HOST, slots(1, 22, 3), nodes(A))
    assert ports(found) == [1, 2, 3]
    assert len(changes) == 1


async def test_two_nodes_are_believed() -> None:
    """An address that two nodes tell is the new one."""
    found, changes = discovery()
    assert not found.learn(HOST, slots(1, 22, 3), nodes(A))
    assert found.learn(HOST, slots(1, 22, 3), nodes(C))
    assert ports(found) == [1, 22, 3]
    assert len(changes) == 2


async def test_a_node_is_believed_about_itself() -> None:
    """A node knows its own address."""
    found, _ = discovery()
    assert found.learn(HOST, slots(1, 22, 3), nodes(B))
    assert ports(found) == [1, 22, 3]


async def test_an_address_where_nobody_answers_is_not_defended() -> None:
    """One node that tells another address is enough if the known one leads nowhere.

    It may be the wrong one: a TLS port that plaintext is reset at, while the right one
    is known to a single node.
    """
    up = {1, 3}
    changes: list[Topology] = []
    found = Discovery(list, changes.append, lambda: None, lambda node: node.port in up)
    assert found.learn(HOST, slots(1, 2, 3), nodes(A))
    assert found.learn(HOST, slots(1, 22, 3), nodes(A))
    assert ports(found) == [1, 22, 3]
    assert not found.learn(HOST, slots(1, 22, 33), nodes(A))
    assert ports(found) == [1, 22, 3]


async def test_with_nobody_else_to_ask_an_endpoint_is_believed() -> None:
    """If all that is known is gone, what a node tells of others is all there is."""
    found, _ = discovery()
    assert not found.learn(HOST, slots(1, 22, 3), nodes(A))
    assert found.learn(HOST, slots(1, 22, 3), nodes(A), is_trusted=True)
    assert ports(found) == [1, 22, 3]


async def test_reading_another_cluster_changes_nothing_yet() -> None:
    """A cluster is read first; it is followed when it has been connected to."""
    found, changes = discovery()
    before = found.topology
    other = found.read(HOST, slots(7, 8, 9), nodes(A))
    assert other is not None
    assert found.topology is before
    found.switch(other)
    assert ports(found) == [7, 8, 9]
    assert changes[-1] is other
    assert found.read(HOST, None, None) is None
    assert found.read(HOST, [[0]], b"") is None
    assert found.read(HOST, [], b"") is None


class Answering:
    """A node with one connection that answers when it is told to."""

    def __init__(self) -> None:
        self.host = HOST
        self.live = [self]
        self.retired = False
        self.waiting: asyncio.Queue[asyncio.Future[object]] = asyncio.Queue()

    def borrow(self) -> "Answering":
        """Return the connection."""
        return self

    def request(self, _command: bytes) -> "asyncio.Future[object]":
        """Take a question."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait(future)
        return future


@pytest.mark.parametrize("is_switched", [False, True])
async def test_an_answer_from_the_cluster_that_was_left_is_ignored(
    is_switched: bool,
) -> None:
    """What was asked before the cut-over does not lead back after it."""
    node = Answering()
    changes: list[Topology] = []
    found = Discovery(
        lambda: [node],  # type: ignore[list-item]
        changes.append,
        lambda: None,
        lambda _: True,
    )
    found.learn(HOST, slots(1, 2, 3), nodes(A))
    running = asyncio.create_task(found.run())
    (await node.waiting.get()).set_result(slots(1, 22, 3))
    last = await node.waiting.get()
    if is_switched:
        other = found.read(HOST, slots(7, 8, 9), nodes(A).replace(b"a" * 40, b"x" * 40))
        assert other is not None
        found.switch(other)
    last.set_result(nodes(B))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    assert ports(found) == ([7, 8, 9] if is_switched else [1, 22, 3])


async def test_what_was_told_before_counts_again_if_another_view_led_astray() -> None:
    """A node that tells a wrong address, and is gone, is not believed for good.

    Its plaintext port is closed for a while, and then it calls itself by that with TLS;
    the others tell the right one all the time.
    """
    node = Answering()
    changes: list[Topology] = []
    up = {1, 2, 3}
    found = Discovery(
        lambda: [node],  # type: ignore[list-item]
        changes.append,
        lambda: None,
        lambda known: known.port in up,
    )
    running = asyncio.create_task(found.run())

    async def tell() -> bool:
        """Have the node tell the same again; return whether it was asked for more."""
        (await node.waiting.get()).set_result(slots(1, 2, 3))
        while node.waiting.empty() and found._questions:
            await asyncio.sleep(0)
        is_asked = bool(found._questions)
        if is_asked:
            (await node.waiting.get()).set_result(nodes(A))
        while found._questions:
            await asyncio.sleep(0)
        return is_asked

    assert await tell()
    found.hurry()
    assert not await tell()
    assert found.learn(HOST, slots(1, 22, 3), nodes(B))
    assert ports(found) == [1, 22, 3]
    found.hurry()
    assert await tell()
    assert ports(found) == [1, 2, 3]
    up.remove(3)  # gone, but nobody tells it elsewhere
    found.hurry()
    assert not await tell()
    running.cancel()
    await asyncio.wait({running})
