"""TLS on bare sockets, against OpenSSL at the other end of a socket pair."""

import asyncio
import shutil
import socket
import ssl
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadprobe.config.keys import Target
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.sockets import SocketPoller, Transport
from loadprobe.drivers.wire.tls_sockets import open_tls
from loadprobe.local.cluster.certificates import CertificateSet, write_certificates


class Peer:
    """The server's side of a TLS connection; it sends what it is told to.

    Args:
        sock: its end.
        certificates: of the server.
        piece: its handshake is sent in pieces of so many bytes; -1 in one.
    """

    def __init__(
        self, sock: socket.socket, certificates: CertificateSet, *, piece: int = -1
    ) -> None:
        self.sock = sock
        self._piece = piece
        self._incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files = certificates.server
        context.load_cert_chain(files.certificate, files.key)
        self.tls = context.wrap_bio(self._incoming, self.outgoing, server_side=True)

    async def shake_hands(self) -> None:
        """Shake hands, and send what is to be sent then."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush(repeat(self._piece))
                await self.take()
            else:
                await self.flush(repeat(self._piece))
                return

    async def take(self) -> None:
        """Take bytes from the wire."""
        loop = asyncio.get_running_loop()
        self._incoming.write(await loop.sock_recv(self.sock, 65_536))

    async def flush(self, cuts: Iterator[int] | None = None) -> None:
        """Send what is to be sent, cut into pieces."""
        loop = asyncio.get_running_loop()
        while data := self.outgoing.read(next(cuts) if cuts else -1):
            await loop.sock_sendall(self.sock, data)
            if cuts:
                await asyncio.sleep(0)

    async def read(self, count: int) -> bytes:
        """Return so many bytes."""
        found = b""
        while len(found) < count:
            try:
                found += self.tls.read(count - len(found))
            except ssl.SSLWantReadError:
                await self.take()
        return found


class Received:
    """Keeps what is received."""

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.data = b""
        self.ends: list[Exception | None] = []

    def connection_made(self, transport: Transport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep data."""
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep the end."""
        self.ends.append(exc)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateSet:
    """Write certificates for loopback."""
    return write_certificates(tmp_path_factory.mktemp("tls"))


def client_context(certificates: CertificateSet) -> ssl.SSLContext:
    """Return the context of a lane that trusts them."""
    return make_context(Target(host="127.0.0.1", ca_file=str(certificates.ca)))


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@asynccontextmanager
async def joined(
    certificates: CertificateSet, *, piece: int = -1
) -> AsyncIterator[tuple[Received, Peer]]:
    """Open a connection by TLS; yields both ends."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    received, peer = Received(), Peer(theirs, certificates, piece=piece)
    context = client_context(certificates)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(peer.shake_hands())
        await open_tls(SocketPoller(), ours, received, context, "127.0.0.1")
    assert received.transport is not None
    try:
        yield received, peer
    finally:
        received.transport.abort()
        theirs.close()


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    sizes=st.lists(st.integers(1, 60_000), min_size=1, max_size=4),
    cuts=st.lists(st.sampled_from([1, 4, 5, 29, 900, 16_384, 70_000]), min_size=1),
)
def test_everything_arrives(
    certificates: CertificateSet, sizes: list[int], cuts: list[int]
) -> None:
    """Whatever the records are and however they are cut, both sides get all of it."""

    async def exchange() -> None:
        async with joined(certificates) as (received, peer), asyncio.timeout(20):
            assert received.transport is not None
            sent = b"".join(bytes([i]) * size for i, size in enumerate(sizes))
            received.transport.write(sent)
            assert await peer.read(len(sent)) == sent
            for i, size in enumerate(sizes):
                peer.tls.write(bytes([i]) * size)
            # Tiny pieces of a large stream would only take time.
            least = max(1, len(sent) // 2_000)
            pieces = iter([max(least, cut) for cut in cuts] + [70_000] * 10)
            await peer.flush(pieces)
            await until(lambda: len(received.data) >= len(sent))
            assert received.data == sent
            assert received.ends == []

    asyncio.run(exchange())


@pytest.mark.parametrize("how", ["close_notify", "cut", "garbage"])
async def test_connections_do_not_mix(certificates: CertificateSet, how: str) -> None:
    """Handshakes and records that come in pieces, turn about, and an end among them."""
    async with AsyncExitStack() as stack:
        ends = await asyncio.gather(
            *(
                stack.enter_async_context(joined(certificates, piece=piece))
                for piece in (7, 300, 1_000)
            )
        )
        broken, *others = ends
        streams = [bytes([i]) * 40_000 for i in range(len(ends))]
        for (_, peer), stream in zip(ends, streams, strict=True):
            peer.tls.write(stream)
        if how == "close_notify":
            with pytest.raises(ssl.SSLWantReadError):
                broken[1].tls.unwrap()
        if how != "cut":
            broken[1].outgoing.write(b"?" * 9)  # the last piece, with what is before
        sending = [
            asyncio.create_task(peer.flush(repeat(piece)))
            for (_, peer), piece in zip(ends, (900, 200, 5_000), strict=True)
        ]
        await sending[0]
        if how == "cut":
            broken[1].sock.close()
        await until(lambda: broken[0].ends)
        await asyncio.gather(*sending)
        await until(lambda: all(len(end.data) >= 40_000 for end, _ in others))
        assert [end.data for end, _ in ends] == streams
        assert [end.ends for end, _ in others] == [[], []]


class CountingSocket(socket.socket):
    """A socket that counts what is sent."""

    sent = 0

    def send(self, *args: Any) -> int:
        """Send."""
        self.sent += 1
        return super().send(*args)


class OpensslServer:
    """A running ``openssl s_server``; what it is told it sends, or takes as a command.

    Args:
        process: it.
        sock: the client's socket.
        received: the client's end of the connection.
    """

    def __init__(
        self, process: Process, sock: CountingSocket, received: Received
    ) -> None:
        self.sock = sock
        self.received = received
        self._process = process

    async def tell(self, line: bytes) -> None:
        """Let it send a line; "K" and "r" let it ask for new keys instead."""
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        await self._process.stdin.drain()

    async def hears(self, text: bytes) -> None:
        """Write a text, and wait until it prints it."""
        assert self.received.transport is not None
        assert self._process.stdout is not None
        self.received.transport.write(text + b"\n")
        await self._process.stdout.readuntil(text)


@asynccontextmanager
async def openssl_server(
    certificates: CertificateSet, version: str
) -> AsyncIterator[OpensslServer]:
    """Start one and connect to it by a version of TLS."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl on PATH; install it with 'apt-get install openssl'")
    files = certificates.server
    process = await asyncio.create_subprocess_exec(
        *(program, "s_server", version, "-accept", "127.0.0.1:0", "-naccept", "1"),
        *("-cert", str(files.certificate), "-key", str(files.key)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
    )
    assert process.stdout is not None
    try:
        await process.stdout.readuntil(b"ACCEPT 127.0.0.1:")
        port = int(await process.stdout.readline())
        sock = CountingSocket()
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        received = Received()
        context = client_context(certificates)
        await open_tls(SocketPoller(), sock, received, context, "127.0.0.1")
        assert received.transport is not None
        yield OpensslServer(process, sock, received)
        received.transport.abort()
    finally:
        process.kill()
        await process.communicate()


async def test_new_keys(certificates: CertificateSet) -> None:
    """What answers a server's new keys goes to that server, and to no other one."""
    async with (
        asyncio.timeout(20),
        openssl_server(certificates, "-tls1_3") as asking,
        openssl_server(certificates, "-tls1_3") as other,
    ):
        await asking.hears(b"before")
        await asking.tell(b"K\n")
        await asking.hears(b"meanwhile")  # so it has seen the line before
        await asking.tell(b"with new keys\n")
        await until(lambda: asking.received.data)
        assert asking.received.data == b"with new keys\n"
        await other.hears(b"undisturbed")
        await asking.hears(b"after")
        assert [end.received.ends for end in (asking, other)] == [[], []]


async def test_a_new_handshake(certificates: CertificateSet) -> None:
    """A server may shake hands again by TLS 1.2; OpenSSL answers while it reads."""
    async with (
        asyncio.timeout(20),
        openssl_server(certificates, "-tls1_2") as asking,
        openssl_server(certificates, "-tls1_2") as other,
    ):
        await asking.hears(b"before")
        sent = asking.sock.sent
        await asking.tell(b"r\n")
        await until(lambda: asking.sock.sent == sent + 1)
        await other.hears(b"undisturbed")
        await until(lambda: asking.sock.sent == sent + 2)
        await asking.tell(b"with new keys\n")
        await until(lambda: asking.received.data)
        assert asking.received.data == b"with new keys\n"
        await asking.hears(b"after")
        assert [end.received.ends for end in (asking, other)] == [[], []]


@pytest.mark.parametrize("how", ["close_notify", "cut", "garbage"])
async def test_ends(certificates: CertificateSet, how: str) -> None:
    """An end by the peer is told once, with what went before it."""
    async with joined(certificates) as (received, peer):
        peer.tls.write(b"last words")
        if how == "close_notify":
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.unwrap()
        await peer.flush()
        if how == "garbage":
            await asyncio.get_running_loop().sock_sendall(
                peer.sock, b"HTTP/1.1 400\r\n"
            )
        elif how == "cut":
            peer.sock.close()
        await until(lambda: received.ends)
        assert received.data == b"last words"
        (end,) = received.ends
        assert isinstance(end, ssl.SSLError) if how == "garbage" else end is None
        assert received.transport is not None
        received.transport.write(b"too late")  # goes nowhere, and raises nothing
        await asyncio.sleep(0)
        assert len(received.ends) == 1


@pytest.mark.parametrize(
    ("said", "error"),
    [(b"-ERR what?\r\n", ssl.SSLError), (None, ConnectionResetError)],
)
async def test_no_handshake(
    certificates: CertificateSet, said: bytes | None, error: type[Exception]
) -> None:
    """A peer that speaks plaintext, and one that hangs up."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    received = Received()
    context = client_context(certificates)
    with theirs:
        opening = asyncio.create_task(
            open_tls(SocketPoller(), ours, received, context, "127.0.0.1")
        )
        await asyncio.sleep(0)
        if said is None:
            theirs.shutdown(socket.SHUT_WR)
        else:
            theirs.sendall(said)
        with pytest.raises(error):
            await opening
    await asyncio.sleep(0)
    assert received.transport is None
    assert received.ends == []
    assert ours.fileno() == -1


async def test_a_server_that_is_not_trusted(
    certificates: CertificateSet, tmp_path: Path
) -> None:
    """A certificate by another authority fails the handshake, and the server learns."""
    others = write_certificates(tmp_path)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    peer = Peer(theirs, others)
    serving = asyncio.create_task(peer.shake_hands())
    with pytest.raises(ssl.SSLCertVerificationError):
        await open_tls(
            SocketPoller(), ours, Received(), client_context(certificates), "127.0.0.1"
        )
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        await serving
    theirs.close()


async def test_an_attempt_that_is_cancelled(certificates: CertificateSet) -> None:
    """The socket is closed, and nobody is told of a connection."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    received = Received()
    with theirs:
        opening = asyncio.create_task(
            open_tls(
                SocketPoller(),
                ours,
                received,
                client_context(certificates),
                "127.0.0.1",
            )
        )
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await asyncio.sleep(0)
    assert ours.fileno() == -1
    assert received.ends == []
