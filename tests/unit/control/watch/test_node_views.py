"""Clients of nodes: what they send, what ends them, and when they are opened anew."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from loadprobe.config.keys import Target, Tunnel
from loadprobe.control.watch.node_answers import NodeDenied, NodeSilent
from loadprobe.control.watch.node_views import NodeClient, NodeLogin
from loadprobe.drivers import resp

SLOTS, NODES = b"*0\r\n", b"$2\r\nn\n\r\n"
INFO = b"$18\r\ncluster_state:ok\r\n\r\n"
REPLICA_OUT_OF_STEP = resp.encode_bulk(
    b"role:slave\r\nmaster_host:10.0.0.9\r\nmaster_port:6379\r\n"
    b"master_link_status:down\r\nmaster_link_down_since_seconds:-1\r\n"
)


class Script:
    """A server that gives the next of some replies to whatever it reads.

    Args:
        replies: what is sent for each read; None closes the connection.
    """

    def __init__(self, *replies: bytes | None) -> None:
        self.read: list[bytes] = []
        self.connections = 0
        self._replies = list(replies)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection."""
        self.connections += 1
        while data := await reader.read(65_536):
            self.read.append(data)
            reply = self._replies.pop(0)
            if reply is None:
                break
            writer.write(reply)
        writer.close()


@asynccontextmanager
async def asked(
    script: Script,
    *,
    timeout_s: float = 5.0,
    change: Callable[[NodeLogin], None] = lambda _: None,
    cluster: bool = True,
) -> AsyncIterator[NodeClient]:
    """Serve a script, and give a client of it."""
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = NodeLogin(
        Target("127.0.0.1", port=port, cluster=cluster), tls=False, timeout_s=timeout_s
    )
    change(login)
    client = login.open_node("127.0.0.1", port)
    try:
        yield client
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


async def test_a_view_is_asked_for_at_once() -> None:
    """What a node sees costs one exchange, in which nobody is waited for in between."""
    script = Script(SLOTS + NODES + INFO)
    async with asked(script) as client:
        view = await client.view()
    assert (view.slots, view.nodes) == ([], b"n\n")
    assert view.info == {"cluster_state": "ok"}
    together = resp.CLUSTER_SLOTS + resp.CLUSTER_NODES
    assert script.read == [together + resp.encode(b"CLUSTER", b"INFO")]


async def test_a_connection_is_kept_and_replaced_when_it_ends() -> None:
    """A node that hangs up is silent once; what is asked next goes by a new one."""
    script = Script(SLOTS, SLOTS, None, SLOTS)
    async with asked(script) as client:
        assert await client.slots() == await client.slots() == []
        assert script.connections == 1
        with pytest.raises(NodeSilent, match="closed by peer"):
            await client.slots()
        assert await client.slots() == []
        assert script.connections == 2


async def test_an_answer_that_is_too_late_is_no_answer_to_the_next_question() -> None:
    """After a node did not answer in time it is asked by another connection."""
    script = Script(b"", SLOTS)
    async with asked(script, timeout_s=0.05) as client:
        with pytest.raises(NodeSilent, match=r"no reply in 0\.05 s"):
            await client.slots()
        assert await client.slots() == []
        assert script.connections == 2


async def test_a_refusal_is_told_and_the_connection_kept() -> None:
    """Whoever may not ask is told so; other refusals may be over the next time."""
    script = Script(
        b"-NOPERM this user has no permissions\r\n",
        SLOTS + b"-ERR not now\r\n" + INFO,
        SLOTS,
    )
    async with asked(script) as client:
        with pytest.raises(NodeDenied, match="NOPERM this user"):
            await client.slots()
        with pytest.raises(NodeSilent, match="^ERR not now$") as refused:
            await client.view()
        assert not isinstance(refused.value, NodeDenied)
        assert await client.slots() == []
        assert script.connections == 1


async def test_a_login_that_fails_is_the_reason() -> None:
    """A node that does not let us in is silent, and says why; it is asked nothing."""
    script = Script(b"-WRONGPASS invalid username-password pair\r\n")
    async with asked(script, change=lambda it: it.use_login("me", "old")) as client:
        with pytest.raises(NodeSilent, match="WRONGPASS"):
            await client.slots()
    assert script.read == [resp.encode_auth("me", "old")]


async def test_a_replica_out_of_step_tells_its_role() -> None:
    """Without cluster mode such a node serves no data, but it is no silent one."""
    script = Script(REPLICA_OUT_OF_STEP)
    async with asked(script, cluster=False) as client:
        view = await client.role(("127.0.0.1", 1))
    assert view.is_unsynced
    assert script.read == [resp.REPLICATION]


async def test_a_client_of_a_node_that_gets_a_way_is_opened_anew() -> None:
    """One that was opened before nothing led there would never answer."""
    target = Target("cfg", tunnel=Tunnel("bastion"))
    login = NodeLogin(target, tls=False, timeout_s=1.0)
    client = login.open_node("10.0.0.1", 6379)
    try:
        assert login.is_as_now(client)
        target.address_map["10.0.0.2:6379"] = "127.0.0.1:5000"
        assert login.is_as_now(client), "another node's way is no matter"
        target.address_map["10.0.0.1:6379"] = "127.0.0.1:5001"
        assert not login.is_as_now(client)
    finally:
        await client.close()
    again = login.open_node("10.0.0.1", 6379)
    assert login.is_as_now(again)
    login.use_login("app", "another")
    assert not login.is_as_now(again)
    await again.close()
