"""Ways to the endpoints of a target, through a tunnel.

With cluster mode the other end resolves the name of the endpoint: any node will do.
Without it the name says who is the primary, and moves. Then it leads to where it points
as it is resolved here, by the name server that everybody asks who follows it; a name
that nobody knows here is left to the other end.
"""

from collections.abc import Iterable
from socket import gaierror

from loadprobe.config.keys import Target
from loadprobe.control.reach.tunnel import SshTunnel
from loadprobe.core.topology.topology import join_address
from loadprobe.drivers.resolver import Addresses, Resolver
from loadprobe.drivers.tls import is_ip


class EndpointForwards:
    """Sees to it that endpoints are reached (see the module).

    Args:
        tunnel: the tunnel, which is open.
        target: with its endpoints.
        transports: of the lanes.
    """

    def __init__(
        self, tunnel: SshTunnel, target: Target, transports: Iterable[bool]
    ) -> None:
        hosts = [host for host in (target.host, target.reader_host) if host]
        ports = sorted({target.port_of(tls=tls) for tls in transports})
        self._tunnel = tunnel
        self._is_cluster = target.cluster
        self._resolver = Resolver(target.name_server)
        self._all = [(host, port) for host in hosts for port in ports]
        self._led = {each for each in self._all if self._moves(each[0])}

    def _moves(self, host: str) -> bool:
        return not (self._is_cluster or is_ip(host))

    async def ask_all(self) -> None:
        """Have ways to all endpoints of the target."""
        for host, port in self._all:
            await self.ask(host, port)

    async def ask(self, host: str, port: int) -> bool:
        """Have a way to an endpoint, for good; tell whether there is one."""
        if not self._moves(host):
            return await self._tunnel.forward([(host, port)]) == []
        self._led.add((host, port))
        return await self._lead(host, port)

    async def follow(self) -> bool:
        """Have names lead where they point now; tell whether any led elsewhere."""
        if not self._led:
            return False
        before = dict(self._tunnel.forwards)
        for host, port in sorted(self._led):
            await self._lead(host, port)
        return self._tunnel.forwards != before

    async def _lead(self, host: str, port: int) -> bool:
        found: Addresses
        try:
            found = await self._resolver.resolve(host)
        except gaierror:
            if join_address(host, port) in self._tunnel.forwards:
                return True  # it leads where it led
            return await self._tunnel.forward([(host, port)]) == []
        nodes = [(address, port) for address in found]
        if await self._tunnel.forward(nodes):
            return False
        self._tunnel.lead((host, port), nodes[0])
        return True
