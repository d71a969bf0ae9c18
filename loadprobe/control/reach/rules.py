"""Rules of a NAT instance as text: written for iptables and nftables, and read back.

Pure. Written are tables and chains of our own, so that loading them again replaces
them, and nothing of what else is there. Replies have to come back the way that the
requests went, so what is sent on to a node is sent in the NAT's own name (masquerade).
"""

import ipaddress
import re
from collections.abc import Iterator

from loadprobe.control.reach.nat import NatPlan, Opening
from loadprobe.core.topology.announced import NodeAddress
from loadprobe.errors import UsageError

TABLE = "loadprobe"
_TO_CHAIN, _BACK_CHAIN = "LOADPROBE", "LOADPROBE-BACK"
_JUMPS = (
    f"-A PREROUTING -p tcp -m addrtype --dst-type LOCAL -j {_TO_CHAIN}",
    f"-A POSTROUTING -p tcp -m conntrack --ctstate DNAT -j {_BACK_CHAIN}",
)


def render_toml(plan: NatPlan) -> str:
    """Return the ``address_map`` of a configuration, for its [target] section.

    Raises:
        UsageError: an address is none.
    """
    lines = ["[target.address_map]"]
    lines += (
        f'"{_plain(address)}" = "{_plain(to)}"'
        for address, to in plan.address_map.items()
    )
    return "\n".join([*lines, ""])


def render_nft(plan: NatPlan) -> str:
    """Return a file for ``nft -f``; loading it again replaces what it did before.

    Raises:
        UsageError: a node has no address of its own, or addresses are of two families.
    """
    family = "ip6" if _version(plan) == 6 else "ip"
    to, back = [], []
    for opening in plan.openings:
        host, port = opening.inside
        at = f"[{host}]:{port}" if family == "ip6" else f"{host}:{port}"
        to.append(
            f"    fib daddr type local tcp dport {opening.port} dnat to {at} "
            f'comment "{opening.what}"'
        )
        back.append(
            f"    {family} daddr {host} tcp dport {port} ct status dnat masquerade"
        )
    return "\n".join(
        [
            f"table {family} {TABLE}",
            f"delete table {family} {TABLE}",
            f"table {family} {TABLE} {{",
            "  chain to_nodes {",
            "    type nat hook prerouting priority dstnat; policy accept;",
            *to,
            "  }",
            "  chain back {",
            "    type nat hook postrouting priority srcnat; policy accept;",
            *back,
            "  }",
            "}",
            "",
        ]
    )


def render_iptables(plan: NatPlan) -> str:
    """Return a file for ``iptables-restore --noflush``; see ``jumps`` as well.

    Raises:
        UsageError: as for ``render_nft``.
    """
    is_v6 = _version(plan) == 6
    lines = ["*nat", f":{_TO_CHAIN} - [0:0]", f":{_BACK_CHAIN} - [0:0]"]
    for opening in plan.openings:
        host, port = opening.inside
        at = f"[{host}]:{port}" if is_v6 else f"{host}:{port}"
        lines.append(
            f"-A {_TO_CHAIN} -p tcp -m tcp --dport {opening.port} "
            f'-m comment --comment "{opening.what}" -j DNAT --to-destination {at}'
        )
    lines += (
        f"-A {_BACK_CHAIN} -d {host}/{128 if is_v6 else 32} -p tcp -m tcp "
        f"--dport {port} -j MASQUERADE"
        for host, port in (opening.inside for opening in plan.openings)
    )
    return "\n".join([*lines, "COMMIT", ""])


def jumps() -> list[str]:
    """Return the rules that lead into our chains of iptables: once for all times."""
    return [f"iptables -t nat {jump}" for jump in _JUMPS]


def _version(plan: NatPlan) -> int:
    """Return whether the nodes have addresses of IPv4 or of IPv6."""
    versions = {_version_of(opening) for opening in plan.openings}
    if len(versions) > 1:
        raise UsageError("some nodes have IPv4 addresses and others IPv6 ones")
    return versions.pop() if versions else 4


def _version_of(opening: Opening) -> int:
    host, _ = opening.inside
    try:
        return ipaddress.ip_address(_plain(host)).version
    except ValueError:
        raise UsageError(
            f"{opening.to} tells no address in CLUSTER NODES, and rules need one"
        ) from None


def _plain(address: str) -> str:
    """Return an address that means nothing else in any of these texts.

    A cluster announces what it likes, and rules are loaded by who may do anything.

    Raises:
        UsageError: it has characters that no address has.
    """
    if _ADDRESS.fullmatch(address) is None:
        raise UsageError(f"a node is announced as {address!r}, which is no address")
    return address


_ADDRESS = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_PORT = r"(?:--dport|dport)\s+(\d+)\b"
_AT = r"(\[[0-9A-Fa-f:.]+\]|\d+(?:\.\d+){3}):(\d+)"
_TO = re.compile(rf"{_PORT}.*?(?:--to-destination|dnat(?:\s+ip6?)?\s+to)\s+{_AT}")
_MAPPED = re.compile(
    r"dnat(?:\s+ip6?)?(?:\s+addr\s*\.\s*port)?\s+to\s+tcp\s+dport\s+map\s*\{([^}]*)\}"
)
_PAIR = re.compile(r"(\d+)\s*:\s*([0-9A-Fa-f:.]+?)\s+\.\s+(\d+)")


def read_rules(text: str) -> dict[int, NodeAddress]:
    """Return where rules lead: those of ``iptables-save`` or ``nft list ruleset``.

    Only single ports that lead to one address and port are read; the first rule of a
    port counts, as it does for the kernel.
    """
    found: dict[int, NodeAddress] = {}
    for port, to in _read(text):
        found.setdefault(port, to)
    return found


def _read(text: str) -> Iterator[tuple[int, NodeAddress]]:
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        rule = _TO.search(line)
        if rule is not None:
            yield int(rule[1]), (rule[2].strip("[]"), int(rule[3]))
    for mapped in _MAPPED.finditer(text):
        for port, host, inside in _PAIR.findall(mapped[1]):
            yield int(port), (host, int(inside))
