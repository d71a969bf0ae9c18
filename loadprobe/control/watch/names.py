"""Watches where the primary's endpoint points: a name that moves, without cluster mode.

The name server is asked itself, whatever the TTL of its last answer is: what is looked
for is when the name was moved. Who keeps to the TTL learns of it so much later.
"""

import asyncio
from dataclasses import dataclass
from socket import gaierror

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.events import Emit, EndpointLost, EndpointMoved
from loadprobe.drivers.resolver import Addresses, Resolver
from loadprobe.drivers.tls import is_ip


@dataclass(frozen=True, slots=True)
class NameMove:
    """A name that points elsewhere.

    Args:
        at_ns: when that was seen first, monotonic.
        gap_ms: since when it was not looked at: it moved within that time.
        before: where it pointed.
        after: where it points.
    """

    at_ns: int
    gap_ms: float
    before: Addresses
    after: Addresses


class NameWatch:
    """Looks a name up again and again.

    Emits ``EndpointMoved``, and ``EndpointLost`` when it cannot be resolved any more.

    Args:
        host: the name; an address never moves, and is not looked at.
        resolver: whom to ask.
        emit: where events go.

    Attributes:
        addresses: where it points; () until that is known.
        moved: the last move that was seen.
    """

    def __init__(self, host: str, resolver: Resolver, emit: Emit) -> None:
        self.host = host
        self.addresses: Addresses = (host,) if is_ip(host) else ()
        self.moved: NameMove | None = None
        self._resolver = resolver
        self._emit = emit
        self._looked_ns = mono_now_ns()
        self._is_lost = False

    async def look(self) -> bool:
        """Look the name up; tell whether it points elsewhere than before."""
        if is_ip(self.host):
            return False
        begun_ns = mono_now_ns()
        try:
            found = await self._resolver.resolve(self.host, afresh=True)
        except gaierror as exc:
            if not self._is_lost:
                self._is_lost = True
                reason = str(exc.strerror or exc)
                self._emit(EndpointLost(mono_now_ns(), self.host, reason))
            return False
        self._is_lost = False
        before, self.addresses = self.addresses, tuple(sorted(found))
        at_ns, since_ns = mono_now_ns(), self._looked_ns
        self._looked_ns = begun_ns
        if before == self.addresses:
            return False
        if before:
            gap_ms = (at_ns - since_ns) / NS_PER_MS
            self.moved = NameMove(at_ns, gap_ms, before, self.addresses)
            self._emit(
                EndpointMoved(
                    at_ns,
                    self.host,
                    from_addresses=", ".join(before),
                    to_addresses=", ".join(self.addresses),
                    gap_ms=gap_ms,
                )
            )
        return True


async def first_address(resolver: Resolver, host: str) -> str:
    """Return an address of a name, or the name itself if nobody knows any.

    A name that cannot be resolved fails where it is connected to, with a reason.
    """
    try:
        return (await resolver.resolve(host))[0]
    except gaierror:
        await asyncio.sleep(0)
        return host
