"""Network namespaces for tests: a cluster inside, a NAT between, a probe outside.

Outside there is no route to the nodes: what is served outside went through the NAT.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from loadprobe.local.cluster.certificates import Authority, CertificateSet
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.layout import LocalShard
from loadprobe.local.cluster.node import LocalNode
from loadprobe.local.cluster.servers import ServerBinary, find_server

NAT_OUTSIDE, PROBE = "198.18.0.1", "198.18.0.2"
"""Addresses for tests of networks (RFC 2544)."""
NAT_INSIDE, INSIDE = "198.18.1.254", "198.18.1"
NAT_HERE, HERE = "198.18.2.254", "198.18.2.1"
DOMAIN = "nat.test"
_TOOLS = ("ip", "nft", "nsenter")


def _can() -> bool:
    """Tell whether namespaces can be made here."""
    if not all(shutil.which(tool) for tool in _TOOLS) or os.getuid() != 0:
        return False
    name = f"lp-try-{os.getpid()}"
    made = run(["ip", "netns", "add", name], capture_output=True, check=False)
    run(["ip", "netns", "del", name], capture_output=True, check=False)
    return made.returncode == 0


needs_netns = pytest.mark.skipif(
    not _can(),
    reason="no network namespaces here: they need root, iproute2 and nftables (make "
    "network installs nftables)",
)


async def call(*command: str, given: str = "") -> str:
    """Run a program to its end; return what it printed.

    Raises:
        AssertionError: it failed.
    """
    code, out = await ended(*command, given=given)
    assert code == 0, (command, out)
    return out


async def ended(*command: str, given: str = "") -> tuple[int, str]:
    """Run a program to its end; return its exit code and all that it printed.

    Args:
        command: the program and its arguments.
        given: its standard input.
    """
    with tempfile.TemporaryFile() as source:  # unlike a pipe, it need not be read
        source.write(given.encode())
        source.seek(0)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=source,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


@dataclass(frozen=True, slots=True)
class Networks:
    """Three namespaces in a row, by their names."""

    inside: str
    nat: str
    outside: str

    @staticmethod
    def within(name: str) -> tuple[str, ...]:
        """Return what has a command run in a namespace."""
        return ("nsenter", f"--net=/run/netns/{name}")

    async def nft(self, *words: str, given: str = "") -> str:
        """Run nft on the NAT."""
        return await call(*self.within(self.nat), "nft", *words, given=given)


@asynccontextmanager
async def networks() -> AsyncIterator[Networks]:
    """Make the namespaces and what connects them; they are gone after the block."""
    made = Networks(*(f"lp{os.getpid()}-{end}" for end in ("in", "nat", "out")))
    names = (made.inside, made.nat, made.outside)
    try:
        for name in names:
            await call("ip", "netns", "add", name)
            await call("ip", "-n", name, "link", "set", "lo", "up")
        for name, address, port, nat_address in (
            (made.inside, f"{INSIDE}.1", "toin", NAT_INSIDE),
            (made.outside, PROBE, "toout", NAT_OUTSIDE),
        ):
            await call(
                *("ip", "-n", name, "link", "add", "net0", "type", "veth"),
                *("peer", "name", port, "netns", made.nat),
            )
            for where, device, given in (
                (name, "net0", address),
                (made.nat, port, nat_address),
            ):
                await call(
                    "ip", "-n", where, "addr", "add", f"{given}/24", "dev", device
                )
                await call("ip", "-n", where, "link", "set", device, "up")
        on = "sys/net/ipv4/ip_forward"
        await call(*made.within(made.nat), "sh", "-c", f"echo 1 > /proc/{on}")
        yield made
    finally:
        for name in names:
            await asyncio.to_thread(
                run, ["ip", "netns", "del", name], capture_output=True, check=False
            )


@asynccontextmanager
async def way_to_nat(networks: Networks) -> AsyncIterator[None]:
    """Connect this process, too, to the NAT: at ``NAT_HERE``, and to nothing behind it.

    A control plane of the test then has its probe beside it.
    """
    device = f"lp{os.getpid()}"
    inside = f"{INSIDE}.0/24"
    await call(
        *("ip", "link", "add", device, "type", "veth"),
        *("peer", "name", "tohere", "netns", networks.nat),
    )
    try:
        await call("ip", "addr", "add", f"{HERE}/24", "dev", device)
        await call("ip", "link", "set", device, "up")
        for words in (
            ("addr", "add", f"{NAT_HERE}/24", "dev", "tohere"),
            ("link", "set", "tohere", "up"),
        ):
            await call("ip", "-n", networks.nat, *words)
        await call("ip", "route", "add", "unreachable", inside)
        yield
    finally:
        for undone in (f"route del unreachable {inside}", f"link del {device}"):
            command = ["ip", *undone.split()]
            await asyncio.to_thread(run, command, capture_output=True, check=False)


class InsideCluster(LocalCluster):
    """A cluster whose nodes have addresses of their own, inside.

    TLS nodes are announced by names, which the certificate has, and no addresses.

    Args:
        networks: where.
        folder: for certificates and the program that starts servers inside.
        is_named: announced by names; else by addresses, which no certificate has.
        more: of the cluster.
    """

    def __init__(
        self,
        networks: Networks,
        folder: Path,
        *,
        shards: int,
        is_named: bool = True,
        **more: Any,
    ) -> None:
        authority = Authority(folder)
        identities = [f"*.{DOMAIN}"]
        super().__init__(
            shards=shards,
            replicas_per_shard=1,
            server=_wrapped(networks, folder),
            certificates=CertificateSet(
                authority.ca_file,
                authority.issue("server", identities),
                authority.issue("client", ["client.loadprobe.test"]),
            ),
            **more,
        )
        self._is_named = is_named
        self._networks = networks
        self._numbers = count(10)

    def new_node(
        self,
        shard: LocalShard,
        *,
        name: str | None = None,
        server: ServerBinary | None = None,
    ) -> LocalNode:
        """Make a node with an address and a name of its own."""
        node = super().new_node(shard, name=name, server=server)
        number = next(self._numbers)
        node.host = f"{INSIDE}.{number}"
        run(
            [
                *("ip", "-n", self._networks.inside, "addr", "add"),
                *(f"{node.host}/24", "dev", "net0"),
            ],
            check=True,
        )
        node.settings["protected-mode"] = "no"  # nobody else is in there
        if self._is_named:
            node.settings["cluster-announce-hostname"] = f"node{number}.{DOMAIN}"
            node.settings["cluster-preferred-endpoint-type"] = "hostname"
        return node


def _wrapped(networks: Networks, folder: Path) -> str:
    """Return a program that starts the server inside."""
    server = find_server()
    path = folder / f"{server.engine}-server"
    words = " ".join((*networks.within(networks.inside), str(server.path)))
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    return str(path)
