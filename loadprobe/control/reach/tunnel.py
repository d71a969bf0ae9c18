"""A tunnel to all nodes of a cluster: one connection, and a forward for each node.

Forwards are added when nodes come, and have the same local ports for good, so that one
that breaks and is opened again leads where it led before. It is opened again by itself,
for as long as it takes.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Collection, Iterable

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.config.keys import Tunnel
from loadprobe.control.reach.echo import Echo
from loadprobe.control.reach.heartbeat import Stall
from loadprobe.control.reach.ssh import SshConnection
from loadprobe.core.events import (
    Emit,
    ForwardRefused,
    TunnelAnswered,
    TunnelBroken,
    TunnelOpened,
    TunnelStalled,
)
from loadprobe.core.topology.announced import NodeAddress
from loadprobe.core.topology.topology import join_address
from loadprobe.errors import PreflightError

LOOPBACK = "127.0.0.1"
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_PORT_ATTEMPTS = 5
_HOST = re.compile(r"[^\s\x00-\x1f\x7f/\\\[\]]+")
"""With other signs ssh would take it for a socket file, or for more than a host."""


def _ignore(_: object) -> None:
    return None


class SshTunnel:
    """A tunnel that is open, or is being opened again.

    Args:
        tunnel: where to.
        forwards: announced address -> address on loopback; is kept here, and read by
            everybody who connects.
        withheld: environment variables that its processes do not inherit: secrets.

    Attributes:
        emit: where events go.
        heard_ns: returns when a node answered through it last, monotonic. What its own
            echo answered counts beside that.
        on_moved: called when forwards have other ports than before.
        is_open: whether it is.
        problem: why it cannot be opened again, or who forbids what, or None.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        forwards: dict[str, str],
        *,
        withheld: Collection[str] = (),
    ) -> None:
        self.emit: Emit = _ignore
        self.heard_ns: Callable[[], int | None] = lambda: None
        self.on_moved: Callable[[], None] = lambda: None
        self.is_open = False
        self.problem: str | None = None
        self.forwards = forwards
        self._to = tunnel.ssh
        self._ports: dict[NodeAddress, int] = {}
        self._names: dict[NodeAddress, NodeAddress] = {}
        self._connection = SshConnection(tunnel, self._refused, withheld=withheld)
        self._turn = asyncio.Lock()
        self._blocked_ns = 0
        self._echo = Echo(
            self._connection, on_silent=self._stalled, on_answer=self._answered
        )

    @property
    def pid(self) -> int | None:
        """Return the process of the connection."""
        return self._connection.pid

    async def open(self) -> None:
        """Open it.

        Raises:
            PreflightError: it cannot be opened, and why.
        """
        await self._connection.open()
        self.is_open = True

    async def keep(self) -> None:
        """Open it again whenever it breaks, until cancelled."""
        while True:
            async with asyncio.TaskGroup() as group:
                echo = group.create_task(self._echo.run())
                await self._connection.wait()
                self.is_open = False
                broken_ns = mono_now_ns()
                echo.cancel()
            heard = [t for t in (self.heard_ns(), self._echo.heard_ns) if t is not None]
            silent_ms = (broken_ns - max(heard, default=broken_ns)) / NS_PER_MS
            reason = self._connection.reason
            self.emit(TunnelBroken(broken_ns, self._to, reason, max(0.0, silent_ms)))
            await self._open_again()
            self._blocked_ns = now_ns = mono_now_ns()
            broken_ms = (now_ns - broken_ns) / NS_PER_MS
            self.emit(TunnelOpened(now_ns, self._to, broken_ms))

    async def _open_again(self) -> None:
        """Open it, with all forwards, for as long as it takes."""
        pause_s = _FIRST_PAUSE_S
        async with self._turn:
            while True:
                try:
                    await self._connection.open()
                    break
                except (PreflightError, OSError) as exc:
                    self.problem = str(exc)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            self.problem = None
            await self._add(self._ports)
            self.is_open = True

    async def forward(self, addresses: Iterable[NodeAddress]) -> list[NodeAddress]:
        """Have a forward for each address; return those that could not be had.

        One that is broken has them when it is open again.
        """
        async with self._turn:
            new = [a for a in dict.fromkeys(addresses) if a not in self._ports]
            strange = [a for a in new if _HOST.fullmatch(a[0]) is None]
            for address in strange:
                node = join_address(*address)
                self.emit(ForwardRefused(mono_now_ns(), node, "it is no address"))
            new = [a for a in new if a not in strange]
            for address in new:
                self._ports[address] = _free_port()
            return [*strange, *await self._add(new)]

    def lead(self, name: NodeAddress, to: NodeAddress) -> None:
        """Have a name lead by the forward to a node, from now on."""
        self._names[name] = to
        self._lead_names()

    def _lead_names(self) -> None:
        for name, to in self._names.items():
            local = self.forwards.get(join_address(*to))
            if local is not None:
                self.forwards[join_address(*name)] = local

    async def drop(self, addresses: Iterable[NodeAddress]) -> None:
        """Remove forwards that nobody needs any more."""
        async with self._turn:
            for address in addresses:
                if address in self._ports:
                    await self._connection.cancel([self._spec(address)])
                    del self._ports[address]
                    self.forwards.pop(join_address(*address), None)

    def port_of(self, address: NodeAddress) -> int | None:
        """Return the local port of a forward."""
        return self._ports.get(address)

    def was_blocked(self, since_ns: int) -> bool:
        """Tell whether, as far as is known, nothing came through at some time since.

        Args:
            since_ns: monotonic.
        """
        is_blocked = not self.is_open or self._echo.is_silent
        return is_blocked or self._blocked_ns >= since_ns

    async def close(self) -> None:
        """End it."""
        self.is_open = False
        await self._connection.close()

    async def _add(self, addresses: Iterable[NodeAddress]) -> list[NodeAddress]:
        """Add forwards at the ports that are noted; return those that failed."""
        addresses = list(addresses)
        if not addresses:
            return []
        problem = await self._connection.forward([self._spec(a) for a in addresses])
        failed: list[NodeAddress] = []
        if problem is not None:  # one port is taken, perhaps: then each by itself
            failed = [each for each in addresses if not await self._add_one(each)]
        before = dict(self.forwards)
        for address in addresses:
            if address in failed:
                del self._ports[address]
                self.forwards.pop(join_address(*address), None)
            else:
                local = f"{LOOPBACK}:{self._ports[address]}"
                self.forwards[join_address(*address)] = local
        self._lead_names()
        if any(self.forwards.get(name, to) != to for name, to in before.items()):
            self.on_moved()
        return failed

    async def _add_one(self, address: NodeAddress) -> bool:
        problem: str | None = None
        for _ in range(_PORT_ATTEMPTS):
            problem = await self._connection.forward([self._spec(address)])
            if problem is None or not self._connection.is_alive:
                return True  # one that breaks has all forwards when it is open again
            self._ports[address] = _free_port()
        node = join_address(*address)
        self.emit(ForwardRefused(mono_now_ns(), node, problem or ""))
        return False

    def _spec(self, address: NodeAddress) -> str:
        return f"{LOOPBACK}:{self._ports[address]}:{join_address(*address)}"

    def _stalled(self, since_ns: int) -> None:
        """Tell that the other end does not answer."""
        now_ns = mono_now_ns()
        silent_ms = (now_ns - since_ns) / NS_PER_MS
        self.emit(TunnelStalled(now_ns, self._to, silent_ms))

    def _answered(self, stall: Stall) -> None:
        """Tell that it does again."""
        self._blocked_ns = mono_now_ns()
        stalled_ms = (stall.end_ns - stall.start_ns) / NS_PER_MS
        self.emit(TunnelAnswered(stall.end_ns, self._to, stalled_ms))

    def _refused(self, reason: str) -> None:
        """Tell that the other end does not lead to a node."""
        self.problem = f"the tunnel to {self._to} does not lead to a node: {reason}"
        self.emit(ForwardRefused(mono_now_ns(), "", reason))


def _free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        return int(sock.getsockname()[1])
