"""A port of a NAT instance for every node of a cluster: which, and what is wrong.

Pure. A cluster is only reached through a NAT if every node is: clients are redirected
to nodes by the addresses that these announce. So each node gets a port of its own
outside, and ``[target] address_map`` sends clients there. Ports that an address map
has given already stay, for somebody may have opened them in a firewall.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from loadprobe.config.values import LARGEST_PORT
from loadprobe.core.topology.announced import Announced, NodeAddress
from loadprobe.core.topology.topology import join_address
from loadprobe.errors import UsageError

Leads = Mapping[int, NodeAddress]
"""Port outside -> where a rule sends what comes there."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A port outside, and the node that it leads to.

    Args:
        port: the port outside.
        inside: where the node listens.
        announced: the addresses, as host:port, by which clients are sent to the node.
        what: the node for people, such as "0001 primary".
    """

    port: int
    inside: NodeAddress
    announced: tuple[str, ...]
    what: str

    @property
    def to(self) -> str:
        """Return where it leads, as host:port."""
        return join_address(*self.inside)


@dataclass(frozen=True, slots=True)
class NatPlan:
    """Every node of a cluster with its port outside.

    Args:
        outside: address or name of the NAT.
        openings: one for each node, by port.
        endpoints: the configuration endpoints, as host:port, each with a port: clients
            ask there first, and any node can answer.
    """

    outside: str
    openings: tuple[Opening, ...]
    endpoints: tuple[tuple[str, int], ...] = ()

    @property
    def address_map(self) -> dict[str, str]:
        """Return ``[target] address_map``."""
        found = {
            address: join_address(self.outside, opening.port)
            for opening in self.openings
            for address in opening.announced
        }
        for endpoint, port in self.endpoints:
            found.setdefault(endpoint, join_address(self.outside, port))
        return found


def plan_nat(
    nodes: Iterable[tuple[Announced, str]],
    *,
    outside: str,
    first_port: int,
    known: Mapping[str, str],
    endpoints: Sequence[str] = (),
) -> NatPlan:
    """Give every node a port.

    Args:
        nodes: the nodes, each with what it is for people.
        outside: address or name of the NAT.
        first_port: ports are given from here on.
        known: the present address map; what it gives at ``outside`` stays.
        endpoints: the configuration endpoints, as host:port.

    Raises:
        UsageError: there are not enough ports.
    """
    given = _given(known, outside)
    free = (port for port in count(first_port) if port not in given.values())
    openings: list[Opening] = []
    for node, what in nodes:
        names = tuple(join_address(*address) for address in node.addresses)
        port = next((given[name] for name in names if name in given), None)
        if port is None or any(port == opening.port for opening in openings):
            port = next(free)
        if port > LARGEST_PORT:
            raise UsageError(
                f"there are not enough ports from {first_port} on; give a smaller "
                "--first-port"
            )
        openings.append(Opening(port, node.inside, names, what))
    openings.sort(key=lambda opening: opening.port)
    used = {opening.port for opening in openings}
    first = openings[0].port if openings else first_port
    ports = (given.get(endpoint, first) for endpoint in endpoints)
    return NatPlan(
        outside,
        tuple(openings),
        tuple(
            (endpoint, port if port in used else first)
            for endpoint, port in zip(endpoints, ports, strict=True)
        ),
    )


def _given(known: Mapping[str, str], outside: str) -> dict[str, int]:
    """Return the ports outside that an address map has given: address -> port."""
    found = {}
    for address, mapped in known.items():
        host, _, port = mapped.rpartition(":")
        if host.strip("[]") == outside:
            found[address] = int(port)
    return found


def compare_rules(plan: NatPlan, leads: Leads, known: Mapping[str, str]) -> list[str]:
    """Return what is wrong with rules, and with the address map: one sentence each.

    Args:
        plan: what should be.
        leads: what rules do.
        known: the present address map; nothing is said of one that leads elsewhere.
    """
    problems = []
    for opening in plan.openings:
        led = leads.get(opening.port)
        if led == opening.inside:
            continue
        other = sorted(port for port, to in leads.items() if to == opening.inside)
        where = f"{opening.to} ({opening.what})"
        if led is None and not other:
            problems.append(
                f"no rule leads to {where}: add one from port {opening.port}"
            )
        elif led is None:
            problems.append(
                f"port {opening.port} leads nowhere, and is to lead to {where}, which "
                f"port {other[0]} leads to: let the rule and address_map agree"
            )
        else:
            problems.append(
                f"port {opening.port} leads to {join_address(*led)}, and is to lead to "
                f"{where}: change its rule"
            )
    inside = {opening.inside for opening in plan.openings}
    wanted = {opening.port for opening in plan.openings}
    problems += (
        f"port {port} leads to {join_address(*to)}, which is no node of the cluster "
        "(any more): remove its rule"
        for port, to in sorted(leads.items())
        if to not in inside and port not in wanted
    )
    if _given(known, plan.outside):
        problems += _compare_map(plan, known)
    return problems


def _compare_map(plan: NatPlan, known: Mapping[str, str]) -> list[str]:
    """Return what is wrong with an address map."""
    missing = {a: to for a, to in plan.address_map.items() if a not in known}
    return [
        f'[target] address_map has no entry for {address}: add "{address}" = "{to}"'
        for address, to in missing.items()
    ]
