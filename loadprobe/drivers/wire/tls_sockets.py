"""TLS on bare sockets: records are made and read in memory.

A record is received with one call, where OpenSSL on a socket of its own would ask for
its head first and then for the rest.

All connections receive through the same memory and send through another one, turn
about. Both are empty between two calls: what is not a whole record yet OpenSSL keeps in
the connection's own state, and records are handed to the socket as soon as they are
made, those too that OpenSSL makes of its own accord while it reads. Memory for each
would be objects and buffers that have left the processor's cache by the time they are
used again.
"""

import asyncio
import socket
import ssl

from loadprobe.drivers.wire.sockets import PlainTransport, SocketPoller, SocketReceiver

_LONGEST_RECORD = 16_384
_INCOMING = ssl.MemoryBIO()
_OUTGOING = ssl.MemoryBIO()


async def open_tls(
    poller: SocketPoller,
    sock: socket.socket,
    receiver: SocketReceiver,
    context: ssl.SSLContext,
    server_name: str | None,
) -> None:
    """Shake hands on a connected non-blocking socket, and serve it from then on.

    Raises:
        ssl.SSLError: the handshake failed.
        OSError: the connection ended meanwhile.
    """
    opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    transport = TlsTransport(
        poller, sock, receiver, context, server_name, opened=opened
    )
    poller.serve(sock, transport, transport.feed)
    try:
        transport.shake_hands()
        await opened
    except BaseException:
        transport.abort()
        raise
    finally:
        del opened  # its exception refers to this frame


class TlsTransport(PlainTransport):
    """One socket with TLS; see ``Transport`` for the methods.

    Args:
        poller: serves the socket.
        sock: connected and non-blocking.
        receiver: gets what was received, decrypted.
        context: of the lane.
        server_name: to send by SNI and to verify.
        opened: done when the handshake is.
    """

    __deletable__ = ("_received",)
    __slots__ = (
        "_encrypt",
        "_is_made",
        "_opened",
        "_read",
        "_received",
        "_tls",
    )

    def __init__(
        self,
        poller: SocketPoller,
        sock: socket.socket,
        receiver: SocketReceiver,
        context: ssl.SSLContext,
        server_name: str | None,
        *,
        opened: "asyncio.Future[None]",
    ) -> None:
        super().__init__(poller, sock, receiver)
        self._tls = context.wrap_bio(_INCOMING, _OUTGOING, server_hostname=server_name)
        # ssl.SSLObject passes on to a C object, one Python call later.
        engine = getattr(self._tls, "_sslobj", self._tls)
        self._read = engine.read
        self._encrypt = engine.write
        self._received = receiver.data_received
        self._is_made = False
        self._opened: asyncio.Future[None] | None = opened

    def shake_hands(self) -> None:
        """Begin the handshake, or go on with it."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send_records()
            return
        except ssl.SSLError as exc:
            self._send_records()  # tells the peer why
            self.end(exc)
            return
        self._send_records()
        opened, self._opened = self._opened, None
        if opened is not None and not opened.done():  # not given up meanwhile
            self._is_made = True
            self._receiver.connection_made(self)
            opened.set_result(None)

    def feed(self, data: bytes) -> None:
        """Take bytes from the socket."""
        incoming = _INCOMING
        incoming.write(data)
        size = incoming.pending
        assert size == len(data), f"{size - len(data)} bytes of another connection"
        if self._opened is not None and not self._opened.done():
            self.shake_hands()
            size = incoming.pending
        try:
            while size and not self._is_closing:
                plain = self._read(size)
                if _OUTGOING.pending:  # an answer of its own to what it read
                    self._send_records()
                if not plain:
                    self.end(None)
                    break
                self._received(plain)
                # A record is longer than what it holds. So if all the room was taken,
                # OpenSSL had the beginning of the record already, and has more of it.
                is_full = len(plain) == size
                size = _LONGEST_RECORD if is_full else incoming.pending
        except ssl.SSLWantReadError:  # the rest of a record is to come
            self._send_records()
        except ssl.SSLZeroReturnError:
            self.end(None)
        except ssl.SSLError as exc:
            self._send_records()  # tells the peer why
            self.end(exc)
        if self._is_closing:
            incoming.read()  # what came behind the end

    def write(self, data: bytes) -> None:
        """Send now what the socket takes, the rest when it can."""
        if self._is_closing:
            return
        try:
            self._encrypt(data)
        except ssl.SSLError as exc:
            self._send_records()
            self.end(exc)
            return
        PlainTransport.write(self, _OUTGOING.read())

    def _send_records(self) -> None:
        """Send what OpenSSL made of its own accord, if anything."""
        records = _OUTGOING.read()
        if records:
            PlainTransport.write(self, records)

    def end(self, exc: Exception | None) -> None:
        """Close, for a reason or for none."""
        super().end(exc)
        opened, self._opened = self._opened, None
        if opened is not None and not opened.done():
            early = exc or ConnectionResetError("closed during the TLS handshake")
            opened.set_exception(early)
            opened.exception()  # nobody may wait any more

    def _tell(self, exc: Exception | None) -> None:
        """Tell the receiver of the end, if it knows of the connection."""
        del self._received
        if self._is_made:
            super()._tell(exc)
        else:
            del self._receiver
