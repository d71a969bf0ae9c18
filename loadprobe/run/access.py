"""Finds out how the nodes of a cluster can be reached through a NAT."""

from loadprobe.config.keys import Config
from loadprobe.control.reach.members import ask_members
from loadprobe.control.reach.nat import NatPlan, plan_nat
from loadprobe.core.topology.topology import join_address
from loadprobe.errors import UsageError


async def find_nat(config: Config, *, outside: str, first_port: int) -> NatPlan:
    """Return a port outside for every node that there is now.

    Args:
        config: whose lanes say by which transports nodes are reached.
        outside: address or name of the NAT.
        first_port: ports are given from here on.

    Raises:
        UsageError: nobody could be asked, or there is a tunnel already.
    """
    target = config.target
    if target.tunnel is not None:
        raise UsageError(
            "[target.tunnel] reaches every node already; remove it to use a NAT"
        )
    transports = {lane.tls for lane in config.lanes}
    nodes = await ask_members(target, transports=transports)
    ports = sorted({target.port_of(tls=tls) for tls in transports})
    return plan_nat(
        nodes,
        outside=outside,
        first_port=first_port,
        known=target.address_map,
        endpoints=[join_address(target.host, port) for port in ports],
    )
