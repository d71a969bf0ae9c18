"""Names to addresses: by a name server of our own choice, or as the system does it.

With a name server, answers are kept for as long as they say (TTL), and no longer. The
system tells no TTL; it keeps answers itself, or asks whoever does, so it is asked again
after a second. A name that cannot be resolved is asked for ten times a second: a scout
that tries every millisecond must not flood the resolver. What it finds in between is as
old as the answer. A question to the system cannot be taken back, and it answers only a
few at once: while it owes an answer, it is not asked again for the same name.
"""

import asyncio
import secrets
import socket
from functools import partial

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.core.dns_message import (
    ADDRESS,
    ADDRESS_6,
    NO_ERROR,
    NO_SUCH_NAME,
    DnsAnswer,
    Query,
    encode_query,
    parse_answer,
)
from loadprobe.drivers.tls import is_ip

_KEPT_NS = NS_PER_S
_FAILED_NS = 100 * NS_PER_MS
_TRY_S = 0.5
_TRIES = 3

Addresses = tuple[str, ...]


class Resolver:
    """Resolves names, and remembers the answers for as long as it may.

    Args:
        name_server: "host:port" of a name server, which is asked by UDP; None leaves it
            to the system.
    """

    def __init__(self, name_server: str | None = None) -> None:
        self._server: tuple[str, int] | None = None
        if name_server is not None:
            host, _, port = name_server.rpartition(":")
            self._server = host.strip("[]"), int(port)
        self._known: dict[str, tuple[int, Addresses | OSError]] = {}
        self._failed: dict[str, int] = {}
        self._asking: dict[str, asyncio.Task[Addresses | OSError]] = {}

    async def resolve(self, host: str, *, afresh: bool = False) -> Addresses:
        """Return the addresses of a name, at least one, in the order of the answer.

        Args:
            host: the name; an address stands for itself.
            afresh: ask even if an answer that may be kept is known.

        Raises:
            socket.gaierror: there is none, or nobody answers.
        """
        if is_ip(host):
            return (host,)
        known = self._known.get(host)
        if known is not None and not afresh and mono_now_ns() < known[0]:
            if isinstance(known[1], OSError):
                # Raised again it would keep every frame it ever went through.
                raise type(known[1])(*known[1].args)
            return known[1]
        joins = self._server is None and not afresh
        found = await (self._join(host) if joins else self._learn(host))
        if isinstance(found, OSError):
            raise type(found)(*found.args)
        return found

    async def _join(self, host: str) -> Addresses | OSError:
        """Return what is learnt by a question that others may wait for, too."""
        asking = self._asking.get(host)
        if asking is None:
            asking = self._asking[host] = asyncio.create_task(self._learn(host))
            asking.add_done_callback(partial(self._answered, host))
        return await asyncio.shield(asking)

    def _answered(self, host: str, _: "asyncio.Task[Addresses | OSError]") -> None:
        del self._asking[host]

    async def _learn(self, host: str) -> Addresses | OSError:
        """Ask for a name, remember the answer and return it."""
        asked_ns = mono_now_ns()
        try:
            addresses, kept_ns = await self._ask(host)
        except socket.gaierror as exc:
            again = type(exc)(*exc.args)
            self._known[host] = (mono_now_ns() + _FAILED_NS, again)
            self._failed[host] = asked_ns
            return again
        self._known[host] = (mono_now_ns() + kept_ns, addresses)
        return addresses

    def kept_ns(self, host: str) -> int:
        """Return for how long, in ns, the answer to a name is still kept."""
        kept = self._known.get(host)
        return 0 if kept is None else max(0, kept[0] - mono_now_ns())

    def failed_since(self, host: str, at_ns: int) -> int:
        """Return when a name was asked for, given that it failed at a later time.

        Args:
            host: the name.
            at_ns: when it was needed; an answer that was known then is older.
        """
        return min(at_ns, self._failed.get(host, at_ns))

    def forget(self) -> None:
        """Ask anew for every name."""
        self._known.clear()

    async def _ask(self, host: str) -> tuple[Addresses, int]:
        """Return addresses, and how long they may be kept in ns."""
        if self._server is None:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, None, type=socket.SOCK_STREAM
            )
            return tuple(dict.fromkeys(str(each[4][0]) for each in found)), _KEPT_NS
        code = NO_ERROR
        for kind in (ADDRESS, ADDRESS_6):
            answer = await self._exchange(host, kind)
            if answer.addresses:
                return answer.addresses, answer.ttl_s * NS_PER_S
            code = answer.code
        if code in (NO_ERROR, NO_SUCH_NAME):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        raise socket.gaierror(
            socket.EAI_AGAIN, f"the name server answered with code {code}"
        )

    async def _exchange(self, host: str, kind: int) -> DnsAnswer:
        query = Query(secrets.randbelow(1 << 16), host, kind)
        try:
            message = encode_query(query)
        except ValueError as exc:
            raise socket.gaierror(socket.EAI_NONAME, str(exc)) from None
        loop = asyncio.get_running_loop()
        reason = f"no answer within {_TRIES * _TRY_S:g} s"
        for _ in range(_TRIES):
            transport: asyncio.DatagramTransport | None = None
            try:
                async with asyncio.timeout(_TRY_S):
                    transport, exchange = await loop.create_datagram_endpoint(
                        lambda: _Exchange(query.number), remote_addr=self._server
                    )
                    transport.sendto(message)
                    return await exchange.answer
            except (TimeoutError, OSError) as exc:
                reason = str(exc) or reason
            finally:
                if transport is not None:
                    transport.close()
        host, port = self._server if self._server is not None else ("", 0)
        raise socket.gaierror(socket.EAI_AGAIN, f"name server {host}:{port}: {reason}")


class _Exchange(asyncio.DatagramProtocol):
    """Waits for the answer to one query."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.answer: asyncio.Future[DnsAnswer] = (
            asyncio.get_running_loop().create_future()
        )

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """Take a message; one that cannot be read, or answers another, is ignored."""
        del addr
        try:
            answer = parse_answer(data)
        except ValueError:
            return
        if answer.number == self._number and not self.answer.done():
            self.answer.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        """Take what the system tells, such as a closed port."""
        if not self.answer.done():
            self.answer.set_exception(exc)
