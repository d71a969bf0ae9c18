"""Connections that ask for nothing, or for another host, keep nobody else out."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from loadprobe.outputs.http import door
from loadprobe.outputs.http.door import Admission
from tests.support.http_stage import Stage, ask, exchange, serving
from tests.support.running import until


@pytest.fixture
def tls(tmp_path: Path) -> str:
    """Return a web configuration with a certificate."""
    ca = trustme.CA()
    own = ca.issue_cert("127.0.0.1")
    own.private_key_pem.write_to_path(tmp_path / "key")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    path = tmp_path / "web.yml"
    path.write_text(
        f"tls_server_config:\n  cert_file: {tmp_path}/cert\n"
        f"  key_file: {tmp_path}/key\n"
    )
    return str(path)


@pytest.mark.parametrize(
    "sent", [b"", b"GET /healthz HT", b"GET / HTTP/1.1\r\nA: b\r\n"]
)
async def test_a_request_that_does_not_come(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for a while, then its place is for others."""
    monkeypatch.setattr(door, "HEAD_S", 0.2)
    async with serving(Stage.make()) as server:
        assert await exchange(server, sent) == b""
        await until(lambda: server.connections == 0, what="all were cut")


async def test_a_connection_that_rests_between_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is kept, as scrapers do; only a request that has begun has to go on."""
    monkeypatch.setattr(door, "HEAD_S", 0.2)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving(Stage.make()) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        for _ in range(3):
            writer.write(request)
            assert await reader.readuntil(b"ok\n")
            await asyncio.sleep(0.3)
        writer.close()


async def test_a_request_that_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a connection that was used before it is waited for as long, and no longer."""
    monkeypatch.setattr(door, "HEAD_S", 0.2)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving(Stage.make()) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(request)
        assert await reader.readuntil(b"ok\n")
        writer.write(request[:-4])
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


async def test_silent_handshakes_take_no_more_than_their_room(
    tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those are counted that say nothing at all; beyond them all are closed at once."""
    monkeypatch.setattr(door, "MOST_CONNECTIONS", 20)
    async with serving(Stage.make(), web_config_file=tls) as server:
        silent = [
            await asyncio.open_connection(server.host, server.port) for _ in range(20)
        ]
        async with asyncio.timeout(10):
            assert await exchange(server, b"") == b""
        for _, writer in silent:
            writer.transport.abort()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection(
                        server.host, server.port, ssl=context
                    )
                except OSError:
                    await asyncio.sleep(0.01)
                else:
                    break
        writer.close()


async def test_a_handshake_that_does_not_come(
    tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for a while, then its place is for others."""
    monkeypatch.setattr(door, "_HANDSHAKE_S", 0.2)
    async with serving(Stage.make(), web_config_file=tls) as server:
        silent = await asyncio.open_connection(server.host, server.port)
        room = server._door._room
        await until(lambda: bool(room._by_address), what="it was let in")
        async with asyncio.timeout(10):
            assert await silent[0].read() == b""
        await until(lambda: not room._by_address, what="room is given back")
        silent[1].close()


async def test_handshakes_that_fail_leave_their_room(
    tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there were."""
    monkeypatch.setattr(door, "MOST_CONNECTIONS", 3)
    async with serving(Stage.make(), web_config_file=tls) as server:
        for _ in range(10):
            async with asyncio.timeout(10):
                await exchange(server, b"no TLS at all\r\n\r\n")
        await until(
            lambda: not server._door._room._by_address, what="room is given back"
        )


def test_descriptors_stay_for_the_run() -> None:
    """The run opens connections of its own when it restarts or fails over."""
    room = Admission(1024)
    assert room.take("10.0.0.1", 895)
    assert not room.take("10.0.0.1", 896)
    small = Admission(64)
    assert small.take("10.0.0.1", 47)
    assert not small.take("10.0.0.1", 48)


def test_one_address_has_a_part_of_the_room() -> None:
    """Others get in; on loopback anybody may have the same address."""
    room = Admission(100_000)
    assert all(room.take("10.0.0.1", 9) for _ in range(door.MOST_OF_ONE_ADDRESS))
    assert not room.take("10.0.0.1", 9)
    assert room.take("10.0.0.2", 9)
    room.free("10.0.0.1")
    assert room.take("10.0.0.1", 9)
    near = Admission(100_000)
    for _ in range(door.MOST_CONNECTIONS):
        assert near.take("::1", 9)
    assert not near.take("::1", 9)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9400", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:1", 200),
        ("127.9.9.9", 200),
        ("[::1]:9400", 200),
        ("evil.example", 421),
        ("evil.example:9400", 421),
        ("localhost.evil.example", 421),
        ("10.0.0.1", 421),
        ("", 421),
    ],
)
async def test_who_is_asked_for_on_loopback(host: str, status: int) -> None:
    """A page whose name was made to point here asks for its own name."""
    request = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    async with serving(Stage.make()) as server:
        answer = await exchange(server, request.encode())
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert (await ask(server, "/healthz")).status == 200
    async with serving(Stage.make(), insecure_listen=True) as server:
        answer = await exchange(server, request.encode())
        assert answer.startswith(b"HTTP/1.1 200 ")
