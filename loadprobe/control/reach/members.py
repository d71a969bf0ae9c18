"""Asks a cluster for all of its nodes, before anything is measured."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from socket import gaierror

from loadprobe.config.keys import Target
from loadprobe.control.watch.node_answers import NodeSilent
from loadprobe.control.watch.node_views import NodeClient, NodeLogin
from loadprobe.core.topology.announced import Announced, announced, announced_roles
from loadprobe.core.topology.roles import Address, tell_group
from loadprobe.core.topology.topology import (
    Topology,
    merge,
    parse_nodes,
    parse_slots,
)
from loadprobe.drivers.resolver import Resolver
from loadprobe.errors import PreflightError

_TIMEOUT_S = 3.0
_NO_SLOTS = "no slots yet"


async def ask_members(
    target: Target, *, transports: Iterable[bool]
) -> list[tuple[Announced, str]]:
    """Return all nodes as they are announced, each with what it is for people.

    The endpoint is asked, then the nodes that an address map knows, until one answers.

    Args:
        target: where, and how to log in.
        transports: True asks by TLS, False without. Nodes announce other ports to
            those who ask by TLS, if they have two.

    Raises:
        PreflightError: nobody answers.
        UsageError: the login cannot be used.
    """
    found: dict[tuple[Address, ...], tuple[Announced, str]] = {}
    for tls in sorted(set(transports)):
        for node, what in await _ask(target, tls=tls):
            found.setdefault(node.addresses, (node, what))
    resolver = Resolver(target.name_server)
    return [(await _with_ip(node, resolver), what) for node, what in found.values()]


async def _with_ip(node: Announced, resolver: Resolver) -> Announced:
    """Return a node with its address, as far as that can be found out."""
    host, _ = node.addresses[0]
    if node.ip:
        return node
    with suppress(gaierror):
        return replace(node, ip=(await resolver.resolve(host))[0])
    return node


async def _ask(target: Target, *, tls: bool) -> list[tuple[Announced, str]]:
    login = NodeLogin(target, tls=tls, timeout_s=_TIMEOUT_S)
    places = [(target.host, target.port_of(tls=tls)), *_known(target)]
    reasons = []
    for place in dict.fromkeys(places):
        client = login.open_node(*place)
        try:
            if target.cluster:
                return await _ask_cluster(client)
            return await _ask_roles(client, place)
        except (NodeSilent, ValueError) as exc:
            reasons.append(f"{place[0]}:{place[1]}: {exc}")
        finally:
            await client.close()
    raise PreflightError(
        f"no node could be asked for the others: {reasons[0]}; run this where the "
        "cluster can be reached (on the NAT instance, for example)"
    )


def _known(target: Target) -> list[Address]:
    """Return the nodes that an address map knows."""
    places = (address.rpartition(":") for address in target.address_map)
    return [(host.strip("[]"), int(port)) for host, _, port in places]


async def _ask_cluster(client: NodeClient) -> list[tuple[Announced, str]]:
    view = await client.view()
    slots = parse_slots(view.slots, asked_host=client.host)
    nodes = parse_nodes(view.nodes)
    topology = merge(None, slots, nodes)
    return describe(announced([(slots, nodes)]), topology)


async def _ask_roles(client: NodeClient, place: Address) -> list[tuple[Announced, str]]:
    role = await client.role(place)
    topology = tell_group({place: role}, None, [place])
    if topology is None:
        raise ValueError("it tells no group")
    return describe(announced_roles(topology), topology)


def describe(
    nodes: Sequence[Announced], topology: Topology
) -> list[tuple[Announced, str]]:
    """Return nodes with what they are, primaries first, shard by shard."""
    what: dict[str, str] = {}
    for role in ("primary", "replica"):
        for shard in topology.shards:
            for node in (shard.primary,) if role == "primary" else shard.replicas:
                what.setdefault(node.address, f"{shard.name} {role}")
    order = {text: number for number, text in enumerate(dict.fromkeys(what.values()))}
    pairs = [(node, what.get(node.address, _NO_SLOTS)) for node in nodes]
    return sorted(pairs, key=lambda pair: (order.get(pair[1], len(order)), pair[0]))
