"""What a NAT and a tunnel add to a round trip, against the same way without them.

``python -m benchmarks.ways [--dry] [--blocks N]``: three network namespaces in a row.
In the first a server, in the second nftables and sshd, in the third who asks. Each
round asks the server once by each way, in random order, on connections that stay open;
so what else the machine does meets all ways alike, and what counts is the difference
within a round. The direct way is routed through the same namespace, and is not tracked
there. Writes the table of ``docs/reach.md``. Needs root, nftables and sshd.
"""

import argparse
import asyncio
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from math import comb
from pathlib import Path

from benchmarks.markers import between
from loadprobe.control.reach.nat import NatPlan, Opening
from loadprobe.control.reach.rules import render_nft
from loadprobe.core.comparing.two_samples import median_of
from loadprobe.local.cluster.servers import find_server
from tests.support.netns import (
    INSIDE,
    NAT_INSIDE,
    NAT_OUTSIDE,
    PROBE,
    Networks,
    call,
    networks,
)
from tests.support.sshd import bastion

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reach.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
SERVER, PORT, OUTSIDE, LOCAL = f"{INSIDE}.1", 6379, 7001, 7002
WAYS = {
    "direct": (SERVER, PORT),
    "NAT": (NAT_OUTSIDE, OUTSIDE),
    "SSH tunnel": ("127.0.0.1", LOCAL),
}
DIRECT = "direct"
_ROUNDS = 300
_WARM = 20
_PING, _PONG = b"PING\r\n", b"+PONG\r\n"
_NS_PER_US = 1_000
_UNTRACKED = """
table ip untracked {
  chain direct {
    type filter hook prerouting priority raw; policy accept;
    ip saddr %s ip daddr %s notrack
    ip saddr %s ip daddr %s notrack
  }
}
"""
Block = dict[str, list[int]]
"""Way -> round trips in ns, one for each round."""


# --- who asks: in the namespace outside ----------------------------------------------


def connected(place: tuple[str, int]) -> socket.socket:
    """Open a connection."""
    made = socket.create_connection(place, timeout=10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def round_trip_ns(connection: socket.socket) -> int:
    """Ask once."""
    begun = time.perf_counter_ns()
    connection.sendall(_PING)
    reply = connection.recv(64)
    ended = time.perf_counter_ns()
    if reply != _PONG:
        raise RuntimeError(f"the server said {reply!r}")
    return ended - begun


def ask_block(seed: int) -> Block:
    """Ask by all ways, round after round, on connections of their own."""
    turns = random.Random(seed)
    connections = {way: connected(place) for way, place in WAYS.items()}
    found: Block = {way: [] for way in WAYS}
    order = list(WAYS)
    for number in range(-_WARM, _ROUNDS):
        turns.shuffle(order)
        for way in order:
            took_ns = round_trip_ns(connections[way])
            if number >= 0:
                found[way].append(took_ns)
    for connection in connections.values():
        connection.close()
    return found


# --- what is made of it --------------------------------------------------------------


def medians_us(blocks: Sequence[Block], way: str) -> list[float]:
    """Return the median of each block, in microseconds.

    Of the direct way its round trip; of another one by how much it is longer, which is
    the median of the differences within rounds.
    """
    found = []
    for block in blocks:
        direct = block[DIRECT]
        took = block[way]
        if way != DIRECT:
            took = [a - b for a, b in zip(took, direct, strict=True)]
        found.append(median_of(took) / _NS_PER_US)
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return an interval that holds the median of what values are drawn from.

    By order statistics, whatever the distribution: values k and n + 1 - k of n, with
    the largest k such that fewer than k heads in n throws have a chance of 2.5 % at
    most. With five values or fewer it is all of them, and less sure.
    """
    ordered, count = sorted(values), len(values)
    skipped = heads = 0
    chance = 1  # of ``heads`` heads or fewer, in 2 ** count throws
    while 40 * chance <= 2**count:
        skipped = heads
        heads += 1
        chance += comb(count, heads)
    return ordered[skipped], ordered[count - 1 - skipped]


def table(blocks: Sequence[Block]) -> str:
    """Return the table of the page."""
    lines = ["| way | round trip, median | interval of 95 % |", "|---|---|---|"]
    for way in WAYS:
        values = medians_us(blocks, way)
        low, high = interval(values)
        sign = "" if way == DIRECT else "+"
        lines.append(
            f"| {way} | {sign}{median_of(values):.1f} us | "
            f"{sign}{low:.1f} to {sign}{high:.1f} us |"
        )
    return "\n".join([*lines, ""])


# --- what is asked -------------------------------------------------------------------


@asynccontextmanager
async def serving(nets: Networks, folder: Path) -> AsyncIterator[None]:
    """Run a server inside, a NAT and routes to it."""
    for where, what, by in (
        (nets.outside, f"{INSIDE}.0/24", NAT_OUTSIDE),
        (nets.inside, PROBE, NAT_INSIDE),
    ):
        await call("ip", "-n", where, "route", "add", what, "via", by)
    opening = Opening(OUTSIDE, (SERVER, PORT), (), "the server")
    rules = render_nft(NatPlan(NAT_OUTSIDE, (opening,)))
    untracked = _UNTRACKED % (PROBE, SERVER, SERVER, PROBE)
    await nets.nft("-f", "-", given=rules + untracked)
    server = await asyncio.create_subprocess_exec(
        *(*nets.within(nets.inside), str(find_server().path)),
        *("--bind", SERVER, "--port", str(PORT), "--save", "", "--dir", str(folder)),
        *("--protected-mode", "no"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        server.kill()
        await server.wait()


@asynccontextmanager
async def tunnelled(nets: Networks, folder: Path) -> AsyncIterator[None]:
    """Run a sshd on the NAT, and a tunnel from outside through it."""
    there = nets.within(nets.nat)
    async with bastion(folder / "bastion", host=NAT_OUTSIDE, within=there) as host:
        to = host.tunnel()
        words = [word for option in to.options for word in ("-o", option)]
        forward = f"127.0.0.1:{LOCAL}:{SERVER}:{PORT}"
        process = await asyncio.create_subprocess_exec(
            *(*nets.within(nets.outside), "ssh", "-N", "-L", forward, *words, to.ssh)
        )
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def measure(count: int) -> list[Block]:
    """Measure so many blocks, in the namespace outside."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        nets = await stack.enter_async_context(networks())
        await stack.enter_async_context(serving(nets, folder))
        await stack.enter_async_context(tunnelled(nets, folder))
        await asyncio.sleep(3.0)  # until the tunnel is open
        command = [*nets.within(nets.outside), sys.executable, "-m", "benchmarks.ways"]
        command += ["--ask", str(count)]
        done = await asyncio.to_thread(
            subprocess.run, command, stdout=subprocess.PIPE, check=True
        )
    found: list[Block] = json.loads(done.stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="leave the page as it is")
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--ask", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.ask:
        json.dump([ask_block(number) for number in range(given.ask)], sys.stdout)
        return 0
    text = table(asyncio.run(measure(given.blocks)))
    sys.stdout.write(text)
    if not given.dry:
        PAGE.write_text(between(PAGE.read_text(), BEGIN, END, text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
