"""The scripted cluster as a test sees it; the servers run in a process of their own.

So its load never stalls the loop of the test, and its clock readings are exact.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from loadprobe.local.cluster.certificates import CertificateSet
from tests.scripted.faults import (
    Begin,
    Count,
    End,
    Fault,
    FaultKind,
    MoveSlots,
    NodeCounts,
    Order,
    Promote,
    Ready,
    Request,
    Response,
    Script,
    Setup,
    Span,
    Stalls,
    Transport,
    TruthInterval,
)
from tests.scripted.topology import HOST

_ROOT = Path(__file__).resolve().parents[2]
_LINE_LIMIT_BYTES = 1 << 24
_START_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 5.0


class ScriptedClusterError(Exception):
    """An order made no sense, or the server process is gone."""


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault that lasts until it is healed.

    Args:
        number: of the order that began it.
        start_ns: when it took effect.
    """

    number: int
    start_ns: int


class ScriptedCluster:
    """Start the server process on entering, end it on leaving.

    Args:
        shards: number of shards; slots are divided evenly.
        replicas_per_shard: replicas; they serve reads after READONLY.
        tls: certificates; every node then has a TLS port beside its TCP port, and
            CLUSTER SLOTS tells each asker the ports of its own kind.
        mutual_tls: demand client certificates.
        password: of the user ``default``.

    Raises:
        ScriptedClusterError: on entering: the process did not come up.
    """

    host = HOST

    def __init__(
        self,
        *,
        shards: int = 3,
        replicas_per_shard: int = 0,
        tls: CertificateSet | None = None,
        mutual_tls: bool = False,
        password: str | None = None,
    ) -> None:
        self._setup = Setup(
            shards,
            replicas_per_shard,
            certificate=str(tls.server.certificate) if tls else None,
            key=str(tls.server.key) if tls else None,
            client_ca=str(tls.ca) if tls and mutual_tls else None,
            password=password,
        )
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._process: Process | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._ready = Ready(())
        self.truth: list[TruthInterval] = []
        """All faults that have ended, in the order in which that became known."""

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        """The TCP port of the first shard's first primary."""
        return self.ports[0]

    @property
    def tls_port(self) -> int:
        """The TLS port of the first shard's first primary."""
        return self.tls_ports[0]

    @property
    def ports(self) -> list[int]:
        """TCP ports of the nodes that began as primaries, by shard."""
        return [nodes[0].plain for nodes in self._ready.nodes]

    @property
    def tls_ports(self) -> list[int]:
        """Like ``ports``, for TLS; empty without TLS."""
        return [nodes[0].tls for nodes in self._ready.nodes if nodes[0].tls is not None]

    @property
    def replica_ports(self) -> list[list[int]]:
        """TCP ports of the nodes that began as replicas, by shard."""
        return [[node.plain for node in nodes[1:]] for nodes in self._ready.nodes]

    async def fault(
        self,
        kind: FaultKind,
        *,
        shards: Sequence[int] = (),
        reply: str = "CLUSTERDOWN The cluster is down",
        delay_ms: float = 0.0,
        limit_per_s: float = 0.0,
        transport: Transport | None = None,
    ) -> ActiveFault:
        """Begin a fault now; see ``Fault`` for the arguments."""
        fault = Fault(
            kind,
            tuple(shards),
            reply=reply,
            delay_ms=delay_ms,
            limit_per_s=limit_per_s,
            transport=transport,
        )
        response = await self._ask(Begin(fault))
        return ActiveFault(response.number, response.at_ns)

    async def heal(self, active: ActiveFault) -> TruthInterval:
        """End a fault now and return what happened."""
        response = await self._ask(End(active.number))
        return response.truth[0]

    async def run_script(self, faults: Sequence[Fault]) -> list[TruthInterval]:
        """Run faults on schedule and return what happened, in the order given.

        Faults may overlap in time if they are on different ports.
        """
        return list((await self._ask(Script(tuple(faults)))).truth)

    async def move_slots(self, first: int, last: int, *, to_shard: int) -> int:
        """Give slots first..last to a shard, data included.

        Returns:
            When it took effect, monotonic ns.
        """
        return (await self._ask(MoveSlots(first, last, to_shard))).at_ns

    async def promote(self, shard: int) -> int:
        """Swap the roles of a shard's primary and its first replica.

        Returns:
            When it took effect, monotonic ns.
        """
        return (await self._ask(Promote(shard))).at_ns

    async def counts(self) -> list[NodeCounts]:
        """Return what every node has received."""
        return list((await self._ask(Count())).counts)

    async def stalls(self) -> list[Span]:
        """Return when the server process itself was held up, by time."""
        return list((await self._ask(Stalls())).stalls)

    async def ops(self, command: str, *, shard: int | None = None) -> int:
        """Return how often a command was received, by one shard or by all."""
        return sum(
            node.ops.get(command, 0)
            for node in await self.counts()
            if shard is None or node.shard == shard
        )

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.scripted",
            cwd=_ROOT,
            stdin=PIPE,
            stdout=PIPE,
            limit=_LINE_LIMIT_BYTES,
        )
        try:
            self._write(self._setup)
            async with asyncio.timeout(_START_TIMEOUT_S):
                line = await self._output.readline()
            if not line:
                raise ScriptedClusterError(
                    "starting the scripted cluster: its process ended; see its stderr"
                )
            self._ready = msgspec.json.decode(line, type=Ready)
        except BaseException:
            await self._end()
            raise
        self._receiver = asyncio.create_task(self._receive())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end()

    @property
    def _output(self) -> asyncio.StreamReader:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    def _write(self, message: Setup | Request) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(message) + b"\n")

    async def _ask(self, order: Order) -> Response:
        if self._receiver is None or self._receiver.done():
            raise ScriptedClusterError(f"{order}: the server process is not running")
        number = next(self._numbers)
        answered = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        self._write(Request(number, order))
        response: Response = await answered
        if response.error is not None:
            raise ScriptedClusterError(response.error)
        self.truth.extend(response.truth)
        return response

    async def _receive(self) -> None:
        while line := await self._output.readline():
            response = msgspec.json.decode(line, type=Response)
            answered = self._waiting.pop(response.number)
            if not answered.done():
                answered.set_result(response)
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(
                    ScriptedClusterError("the server process ended; see its stderr")
                )

    async def _end(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._receiver is not None:
            await self._receiver
