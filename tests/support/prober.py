"""A raw prober: one task per key, each with direct connections, no hidden retry.

It follows redirects, and counts anything else that is not the right reply as a failure.
"""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import hiredis

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.topology.slots import tag_for_slot
from loadprobe.local.cluster.cluster import LocalCluster

_OP_TIMEOUT_S = 6.0
_PERIOD_S = 0.004
_REDIRECTS = 8
_SLOTS = 16_384
_FAILURES = (OSError, EOFError, TimeoutError, hiredis.HiredisError)


def spread_keys(count: int) -> list[str]:
    """Return keys whose slots are at equal distances."""
    tags = (tag_for_slot(index * _SLOTS // count) for index in range(count))
    return [f"{{{tag.decode()}}}probe" for tag in tags]


class Link:
    """One connection to one port of a node."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader(encoding="utf-8")

    @classmethod
    async def open(
        cls,
        cluster: LocalCluster,
        port: int,
        *,
        tls: bool,
        password: str | None,
        host: str | None = None,
    ) -> "Link":
        """Connect and log in; without cluster mode the host tells nodes apart."""
        context = None
        if tls:
            assert cluster.certificates is not None
            context = ssl.create_default_context(cafile=str(cluster.certificates.ca))
        host = host or cluster.host
        link = cls(*await asyncio.open_connection(host, port, ssl=context))
        try:
            if password is not None:
                (reply,) = await link.ask(("AUTH", "default", password))
                if reply != "OK":
                    raise hiredis.ReplyError(str(reply))
        except BaseException:
            link.close()
            raise
        return link

    async def ask(self, *commands: tuple[str, ...]) -> list[Any]:
        """Send commands and return their replies, errors as values."""
        for words in commands:
            self._writer.write(hiredis.pack_command(words))  # type: ignore[arg-type]
        replies: list[Any] = []
        while len(replies) < len(commands):
            chunk = await self._reader.read(65_536)
            if not chunk:
                raise EOFError("closed by the server")
            self._parser.feed(chunk)
            while (reply := self._parser.gets()) is not False:
                replies.append(reply)
        return replies

    async def told_ports(self) -> set[int]:
        """Return the ports that CLUSTER SLOTS tells."""
        (reply,) = await self.ask(("CLUSTER", "SLOTS"))
        return {member[1] for owned in reply for member in owned[2:]}

    def close(self) -> None:
        """Drop the connection."""
        self._writer.close()


@dataclass
class Prober:
    """What the tasks saw, all keys together.

    Args:
        cluster: what is probed.
        tls: the transport.
        ports: if given, every node asked must tell clients these ports at all times.
        failures: how often each kind of failure came.
        redirects: how often each kind of redirect was followed.
        served: operations with the right reply.
        longest_gap_ms: the longest time between two of them, of one key.
    """

    cluster: LocalCluster
    tls: bool
    ports: frozenset[int] = frozenset()
    failures: Counter[str] = field(default_factory=Counter)
    redirects: Counter[str] = field(default_factory=Counter)
    served: int = 0
    longest_gap_ms: float = 0.0

    async def probe(self, key: str) -> None:
        """Write and read one key until cancelled."""
        links: dict[int, Link] = {}
        host, port = "", 0
        value = last_ns = 0
        try:
            while True:
                try:
                    async with asyncio.timeout(_OP_TIMEOUT_S):
                        if not port:
                            host, port = await self._start()
                        set_, port = await self._ask(
                            links, host, port, ("SET", key, str(value))
                        )
                        got, port = await self._ask(links, host, port, ("GET", key))
                        told = await links[port].told_ports() if self.ports else set()
                    if (set_, got) != ("OK", str(value)):
                        raise hiredis.ReplyError(f"{set_!s:.40} {got!s:.40}")
                    if told - self.ports:
                        raise hiredis.ReplyError(f"told {told - self.ports}")
                except _FAILURES as exc:
                    self.failures[f"{type(exc).__name__} {exc}"] += 1
                    if port in links:
                        links.pop(port).close()
                    port = 0
                else:
                    now_ns = mono_now_ns()
                    if last_ns:
                        gap_ms = (now_ns - last_ns) / NS_PER_MS
                        self.longest_gap_ms = max(self.longest_gap_ms, gap_ms)
                    last_ns = now_ns
                    value += 1
                    self.served += 1
                await asyncio.sleep(_PERIOD_S)
        finally:
            for link in links.values():
                link.close()

    async def _ask(
        self, links: dict[int, Link], host: str, port: int, words: tuple[str, ...]
    ) -> tuple[Any, int]:
        """Return the reply, and the port to begin with next time."""
        asking = False
        at = port
        for _ in range(_REDIRECTS):
            if at not in links:
                links[at] = await Link.open(
                    self.cluster,
                    at,
                    tls=self.tls,
                    password=self.cluster.password,
                    host=host,
                )
            commands = [("ASKING",), words] if asking else [words]
            reply = (await links[at].ask(*commands))[-1]
            kind, *place = str(reply).split(" ")
            if kind not in {"MOVED", "ASK"} or not isinstance(
                reply, hiredis.ReplyError
            ):
                return reply, port
            self.redirects[kind] += 1
            asking = kind == "ASK"
            at = int(place[1].rpartition(":")[2])
            if not asking:
                port = at
        raise hiredis.ReplyError(f"more than {_REDIRECTS} redirects")

    async def _start(self) -> tuple[str, int]:
        node = self.cluster.endpoint
        if not self.cluster.cluster_mode:
            found = await self.cluster.find_primary(self.cluster.shards[0])
            node = found or node
        return node.host, node.ports.tls if self.tls else node.ports.plain


@asynccontextmanager
async def probing(
    cluster: LocalCluster,
    keys: Sequence[str],
    *,
    tls: bool,
    ports: frozenset[int] = frozenset(),
) -> AsyncIterator[Prober]:
    """Probe while the block runs; all keys are served before it and at its end."""
    prober = Prober(cluster, tls, ports)
    tasks = [asyncio.create_task(prober.probe(key)) for key in keys]
    try:
        await _served_more(prober, len(keys))
        prober.longest_gap_ms = 0.0
        yield prober
        await _served_more(prober, len(keys))
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)


async def _served_more(prober: Prober, keys: int) -> None:
    """Wait for some rounds of all keys, or for failures."""
    goal = prober.served + 3 * keys
    async with asyncio.timeout(20.0):
        while prober.served < goal and not prober.failures:
            await asyncio.sleep(_PERIOD_S)
