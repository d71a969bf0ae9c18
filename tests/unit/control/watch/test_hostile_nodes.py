"""Nodes that answer what no server answers: they are silent, and cost little."""

import asyncio
import re
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from loadprobe.config.keys import Target
from loadprobe.control.watch.node_answers import NodeSilent
from loadprobe.control.watch.node_views import NodeClient, NodeLogin
from loadprobe.drivers import resp
from loadprobe.drivers.resp import MOST_MAP_BYTES, encode_bulk

_NODES = b"07c3 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-5"
_SLOTS = b"*1\r\n*3\r\n:%d\r\n:%d\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$4\r\n07c3\r\n"
_RIGHT = (
    _SLOTS % (0, 16383, 6379),
    encode_bulk(_NODES),
    encode_bulk(b"cluster_state:ok\r\ncluster_current_epoch:7"),
)
_ENDLESS = b"$2000000000\r\n"
_COMMAND = re.compile(rb"^\*\d", re.MULTILINE)

Ask = Callable[[NodeClient], Awaitable[object]]


async def view(client: NodeClient) -> object:
    """Ask for what it sees, as the watch does."""
    return (await client.view()).read("127.0.0.1")


async def role(client: NodeClient) -> object:
    """Ask for its role."""
    return await client.role(("127.0.0.1", 6379))


async def scan(client: NodeClient) -> object:
    """Ask for names of keys."""
    return await client.scan(b"0", b"*", count=10)


@asynccontextmanager
async def node(*replies: bytes, timeout_s: float = 5.0) -> AsyncIterator[NodeClient]:
    """Serve replies, one a command; the last one again and again, without an end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(replies)
        with suppress(ConnectionError, RuntimeError):
            while asked := await reader.read(1000):
                for _ in _COMMAND.findall(asked):
                    reply = left.pop(0) if left else b""
                    writer.write(reply)
                    while reply.startswith(_ENDLESS):
                        writer.write(b"x" * 100_000)
                        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = NodeLogin(Target("127.0.0.1"), tls=False, timeout_s=timeout_s)
    client = login.open_node("127.0.0.1", port)
    try:
        yield client
    finally:
        await client.close()
        server.close()


async def test_a_right_view_is_read() -> None:
    """The state, the epoch and the nodes."""
    async with node(*_RIGHT) as client:
        told = (await client.view()).read("127.0.0.1")

    assert (told.state, told.epoch) == ("ok", 7)
    assert told.nodes[1].teller == "07c3"


_HOSTILE: dict[str, tuple[Ask, tuple[bytes, ...]]] = {
    "elements without end": (view, (b"*2147483648\r\n",)),
    "elements within a list": (view, (b"*1\r\n*1\r\n*99999999\r\n",)),
    "deeper than any": (view, (b"*1\r\n" * 100_000,)),
    "a map whose keys are lists": (view, (b"%1\r\n*0\r\n:1\r\n",)),
    "no list": (view, (b"+OK\r\n", *_RIGHT[1:])),
    "no text": (view, (_RIGHT[0], b":5\r\n", _RIGHT[2])),
    "no numbers": (view, (*_RIGHT[:2], encode_bulk(b"cluster_current_epoch:x"))),
    "slots that are not there": (view, (_SLOTS % (0, 10**12, 1), *_RIGHT[1:])),
    "slots that go back": (view, (_SLOTS % (5, 4, 1), *_RIGHT[1:])),
    "a port that cannot be": (view, (_SLOTS % (0, 5, 99_999), *_RIGHT[1:])),
    "nodes of one word": (view, (_RIGHT[0], encode_bulk(b"word"), _RIGHT[2])),
    "no role": (role, (b"*0\r\n",)),
    "a role in no letters": (role, (encode_bulk(b"role:\xff\xfe"),)),
    "a primary at no port": (
        role,
        (encode_bulk(b"role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:70000"),),
    ),
    "no cursor": (scan, (b":5\r\n",)),
    "keys that are numbers": (scan, (b"*2\r\n$1\r\n0\r\n*1\r\n:5\r\n",)),
    "no figures": (NodeClient.server_side, (encode_bulk(b"role:master"),)),
    "no version": (NodeClient.engine, (b"*0\r\n",)),
}


@pytest.mark.parametrize("name", _HOSTILE)
async def test_what_is_no_answer_is_silence(name: str) -> None:
    """It is a NodeSilent, whatever it is, and no room is made for what is announced."""
    ask, replies = _HOSTILE[name]
    async with node(*replies) as client:
        tracemalloc.start()
        try:
            with pytest.raises(NodeSilent):
                await ask(client)
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()


async def test_a_reply_without_end_is_silence() -> None:
    """It is read up to what a map of the largest cluster can have."""
    async with node(_ENDLESS) as client:
        tracemalloc.start()
        try:
            with pytest.raises(NodeSilent, match="longer than any right one"):
                await client.view()
            assert tracemalloc.get_traced_memory()[1] < 2 * MOST_MAP_BYTES
        finally:
            tracemalloc.stop()


async def test_who_says_nothing_is_not_waited_for() -> None:
    """Nor is who answers without an end, a byte at a time."""
    async with node(b"$100\r\nx", timeout_s=0.05) as client:
        with pytest.raises(NodeSilent, match=r"no reply in 0\.05 s"):
            await client.view()


async def test_what_a_server_says_is_repeated_in_short() -> None:
    """An error, and a version, of a megabyte."""
    async with node(b"-ERR " + b"x" * 10**6 + b"\r\n") as client:
        with pytest.raises(NodeSilent) as silent:
            await client.view()
    assert len(str(silent.value)) < 400
    async with node(encode_bulk(b"redis_version:" + b"9" * 10**6)) as client:
        assert len(await client.engine()) < 50


async def test_replicas_are_those_that_are_told() -> None:
    """Whatever number of them a server gives."""
    told = b"role:master\r\nconnected_slaves:1000000000\r\nslave0:ip=h,port=1,"
    async with node(encode_bulk(told + b"state=online")) as client:
        assert await client.linked_replicas() == 1
    async with node(encode_bulk(told + b"state=online")) as client:
        assert len((await client.role(("127.0.0.1", 1))).replicas) == 1


async def test_each_reply_has_its_own_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered before, on a connection that is kept, counts no more."""
    monkeypatch.setattr(resp, "MOST_MAP_BYTES", 1_000)
    text = encode_bulk(b"redis_version:7.0.15\r\n" + b"#" * 400)
    async with node(*[text] * 20) as client:
        for _ in range(20):
            assert await client.engine() == "redis 7.0.15"
