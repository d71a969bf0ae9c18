"""The server process: serves the cluster, and takes orders by standard input.

Requests and responses are JSON lines. The end of standard input ends the process, so
it never outlives the one that started it.
"""

import asyncio
import gc
import ssl
import sys
from collections.abc import Coroutine
from typing import Any

import msgspec
import uvloop

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.local.cluster.ports import free_ports
from tests.scripted.commands import Counters, Engine
from tests.scripted.faults import (
    Begin,
    Count,
    End,
    Fault,
    MoveSlots,
    NodeCounts,
    NodePorts,
    Order,
    Promote,
    Ready,
    Request,
    Response,
    Script,
    Setup,
    Stalls,
    TruthInterval,
)
from tests.scripted.listener import Listener, Spawn, bind_port
from tests.scripted.stalls import StallLog
from tests.scripted.topology import Member, Topology

_SPIN_NS = 3 * NS_PER_MS
_ORDER_LIMIT_BYTES = 1 << 24
_GC_FIRST_GENERATION = 50_000


class _Running:
    """A fault in effect, with the listeners it hit."""

    def __init__(self, fault: Fault, listeners: list[Listener], heard_ns: int) -> None:
        if not listeners:
            raise ValueError(f"{fault.kind}: no node listens by {fault.transport}")
        for listener in listeners:
            if listener.fault is not None:
                raise ValueError(
                    f"beginning {fault.kind} in shard {listener.member.shard}: "
                    f"{listener.fault.kind} is still running there"
                )
        self._fault = fault
        self._listeners = listeners
        self._heard_ns = heard_ns
        self.start_ns = mono_now_ns()
        for listener in listeners:
            listener.begin(fault)
        if fault.kind == "reset":
            for listener in listeners:
                listener.cut()

    async def end(self) -> TruthInterval:
        """End it on all listeners at once and return what happened."""
        for listener in self._listeners:
            listener.lift()
        end_ns = mono_now_ns()
        for listener in self._listeners:
            listener.answer(self._fault)
        # Replies leave at the end of a turn of the loop, and what came in meanwhile
        # is read in the next one.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        answered_ns = mono_now_ns()
        return TruthInterval(
            self._fault.kind,
            tuple(sorted({listener.member.shard for listener in self._listeners})),
            self._heard_ns,
            self.start_ns,
            end_ns,
            answered_ns,
            self._fault.transport,
        )


class Server:
    """All nodes of the cluster, and the orders they take.

    Args:
        setup: what to serve.
        spawn: starts a task that something waits for.
    """

    def __init__(self, setup: Setup, spawn: Spawn) -> None:
        context = _server_context(setup)
        nodes_per_shard = 1 + setup.replicas_per_shard
        node_count = setup.shards * nodes_per_shard
        ports = free_ports(node_count * (1 if context is None else 2))
        members = [
            Member(
                node_id=f"{index + 1:040x}",
                shard=index // nodes_per_shard,
                port=ports[index],
                tls_port=None if context is None else ports[node_count + index],
                is_primary=index % nodes_per_shard == 0,
            )
            for index in range(node_count)
        ]
        self._topology = Topology(members)
        self._counters = [Counters() for _ in members]
        self._running: dict[int, _Running] = {}
        self.stalls = StallLog()
        engine = Engine(self._topology, setup.password)
        self._listeners = [
            Listener(
                bind_port(member.port_for(tls=is_tls)),
                engine,
                member,
                counters,
                context if is_tls else None,
                spawn,
            )
            for member, counters in zip(members, self._counters, strict=True)
            for is_tls in ([False] if context is None else [False, True])
        ]

    def open(self) -> Ready:
        """Listen everywhere and return where that is."""
        for listener in self._listeners:
            listener.open()
        return Ready(
            tuple(
                tuple(
                    NodePorts(member.port, member.tls_port)
                    for member in self._topology.of_shard(shard)
                )
                for shard in range(len(self._topology.epochs))
            )
        )

    async def obey(self, request: Request) -> Response:
        """Carry out one order; one that makes no sense is answered with its error."""
        try:
            return await self._obey(request.number, request.order)
        except ValueError as exc:
            return Response(request.number, error=str(exc))

    async def _obey(self, number: int, order: Order) -> Response:
        match order:
            case Begin(fault):
                running = await self._begin(fault)
                self._running[number] = running
                return Response(number, running.start_ns)
            case End(begun):
                if begun not in self._running:
                    raise ValueError(f"ending fault {begun}: it is not running")
                truth = await self._running.pop(begun).end()
                return Response(number, truth.end_ns, truth=(truth,))
            case Script(faults):
                return Response(number, mono_now_ns(), truth=await self._play(faults))
            case MoveSlots(first, last, to_shard):
                self._topology.move_slots(first, last, to_shard)
            case Promote(shard):
                self._topology.promote(shard)
            case Count():
                return Response(number, mono_now_ns(), counts=tuple(self._counted()))
            case Stalls():
                return Response(number, mono_now_ns(), stalls=tuple(self.stalls.spans))
        return Response(number, mono_now_ns())

    async def _begin(self, fault: Fault) -> _Running:
        shards = fault.shards or tuple(range(len(self._topology.epochs)))
        heard_ns = mono_now_ns()
        await asyncio.sleep(0)  # a turn of the loop: what had come is answered
        primaries = [self._topology.primary(shard) for shard in shards]
        return _Running(
            fault,
            [
                listener
                for listener in self._listeners
                if any(listener.member is primary for primary in primaries)
                and fault.transport in (None, "tls" if listener.tls else "tcp")
            ],
            heard_ns,
        )

    async def _play(self, faults: tuple[Fault, ...]) -> tuple[TruthInterval, ...]:
        origin_ns = mono_now_ns()
        # At the same instant, ends (0) come before begins (1).
        steps = sorted(
            step
            for index, fault in enumerate(faults)
            for step in (
                (fault.start_offset_ns, 1, index),
                (fault.start_offset_ns + fault.duration_ns, 0, index),
            )
        )
        running: dict[int, _Running] = {}
        truth: dict[int, TruthInterval] = {}
        try:
            for offset_ns, is_begin, index in steps:
                await _until(origin_ns + offset_ns)
                if is_begin:
                    running[index] = await self._begin(faults[index])
                else:
                    truth[index] = await running.pop(index).end()
        finally:
            for left in running.values():
                await left.end()
        return tuple(truth[index] for index in sorted(truth))

    def _counted(self) -> list[NodeCounts]:
        return [
            NodeCounts(
                member.shard,
                member.port,
                member.is_primary,
                counters.connects,
                counters.faulted,
                {name.decode(): count for name, count in counters.ops.items()},
            )
            for member, counters in zip(
                self._topology.members, self._counters, strict=True
            )
        ]


async def _until(due_ns: int) -> None:
    """Wait for an instant: asleep first, then turning the loop without waiting.

    Connections are served in every turn, so the wait itself delays no reply.
    """
    while (left_ns := due_ns - mono_now_ns()) > 0:
        await asyncio.sleep(max(left_ns - _SPIN_NS, 0) / NS_PER_S)


def _server_context(setup: Setup) -> ssl.SSLContext | None:
    if setup.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(setup.certificate, setup.key)
    if setup.client_ca is not None:
        context.load_verify_locations(setup.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _write(message: Ready | Response) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


async def _main() -> None:
    orders = asyncio.StreamReader(limit=_ORDER_LIMIT_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    setup = msgspec.json.decode(await orders.readline(), type=Setup)
    tasks: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:

        def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            task = group.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            return task

        async def obey(request: Request) -> None:
            _write(await server.obey(request))

        server = Server(setup, spawn)
        spawn(server.stalls.watch())
        gc.freeze()
        gc.set_threshold(_GC_FIRST_GENERATION)
        _write(server.open())
        while line := await orders.readline():
            spawn(obey(msgspec.json.decode(line, type=Request)))
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
