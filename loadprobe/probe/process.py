"""A probe process: it probes, and does nothing else.

No HTTP, no files, no API client and no logging of requests run in here. The plan comes
by standard input, snapshots go out by standard output; the end of standard input (the
supervisor is gone) ends the process.
"""

import asyncio
import gc
import os
import resource
import select
import signal
import sys
import traceback
from array import array
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import uvloop

from loadprobe.clock import NS_PER_MS, mono_now_ns, process_cpu_ns
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.base import Driver, OnTopology
from loadprobe.drivers.errors import is_defect
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.sockets import SocketPoller
from loadprobe.errors import LoadprobeError, PreflightError, ProbeCrashed, UsageError
from loadprobe.logs import logging_to_stderr
from loadprobe.probe.connects import Connects, make_connects
from loadprobe.probe.detour import connected
from loadprobe.probe.drivers import make_driver
from loadprobe.probe.lag import LEAST_LAG_NS, Lag
from loadprobe.probe.lane import LaneRunner
from loadprobe.probe.messages import (
    HEADER_BYTES,
    Detour,
    Failed,
    Finished,
    FromProbe,
    Plan,
    PrefillProgress,
    ReadBack,
    Ready,
    Snapshot,
    Start,
    Stop,
    TopologySeen,
    ToProbe,
    UseEndpoint,
    UsePassword,
    decode_to_probe,
    encode_frame,
    frame_length,
)
from loadprobe.probe.prefill import prefill, read_back
from loadprobe.probe.ticker import Ticker
from loadprobe.signals import NUMBERS

_HEARTBEAT_NS = 5 * NS_PER_MS
_LEAST_PAUSE_NS = 200_000
_GIVE_UP_EVERY_NS = 20 * NS_PER_MS
_SNAPSHOT_EVERY_NS = 250 * NS_PER_MS
_GC_FIRST_GENERATION = 50_000


class ProbeProcess:
    """The probe side of the conversation with the supervisor.

    Args:
        plan: what to do.
        send: takes a message for the supervisor.
    """

    def __init__(self, plan: Plan, send: Callable[[FromProbe], None]) -> None:
        self._plan = plan
        self._send = send
        self._call_soon = asyncio.get_running_loop().call_soon
        self._lag = Lag(plan.probe.stall_ms * NS_PER_MS)
        self._lanes = [
            LaneRunner(share, plan.probe, version_base=plan.version_base, lag=self._lag)
            for share in plan.shares
        ]
        self._poller = SocketPoller() if hasattr(select, "epoll") else None
        self._make_drivers(plan)
        self._stall_ns = plan.probe.stall_ms * NS_PER_MS
        self._seq = 0
        self._stalls: list[tuple[int, int]] = []
        self._lag_ns: array[int] = array("q")
        self._gc_ns: list[int] = []
        self._gc_started_ns = 0
        self._next_give_up_ns = 0
        self._next_snapshot_ns = 0
        self._stop_ns: int | None = None
        self._drained = asyncio.Event()

    def _make_drivers(self, plan: Plan) -> None:
        """Make what connects to where a plan says."""
        self._plan = plan
        by_tls = [share.lane.name for share in plan.shares if share.lane.tls]
        context = make_context(plan.targets[by_tls[0]]) if by_tls else None
        self._password = plan.password
        self._drivers = [
            make_driver(
                plan,
                share,
                lane,
                context=context,
                poller=self._poller,
                on_topology=self._teller(lane),
            )
            for share, lane in zip(plan.shares, self._lanes, strict=True)
        ]
        for lane, driver in zip(self._lanes, self._drivers, strict=True):
            lane.attach(driver)
        pairs = zip(plan.shares, self._drivers, strict=True)
        made = [make_connects(*pair, plan.probe, self._lag) for pair in pairs]
        self._connects = [connects for connects in made if connects is not None]
        self._issuers: tuple[LaneRunner | Connects, ...] = (
            *self._lanes,
            *self._connects,
        )

    def _teller(self, lane: LaneRunner) -> OnTopology:
        """Return what tells a lane and the supervisor of a new topology."""

        def tell(topology: Topology, cut_over: int) -> None:
            # In this order: a block with a new name must find it known.
            self._send(TopologySeen(self._plan.process, lane.name, topology, cut_over))
            lane.on_topology(topology)

        return tell

    async def run(self, commands: "asyncio.Queue[ToProbe | None]") -> None:
        """Connect, prefill, probe until told to stop, drain, and report.

        Args:
            commands: what the supervisor says, None at the end of standard input.
        """
        filled: tuple[str, ...] = ()
        if self._plan.ahead is not None:
            filled = await self._prepare(self._plan.ahead)
            while isinstance(told := await commands.get(), UseEndpoint | UsePassword):
                pass  # the plan to come knows
            if not isinstance(told, Plan):
                return
            self._make_drivers(told)
        ready = [asyncio.Event() for _ in self._drivers]
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(driver.run(event.set))
                for driver, event in zip(self._drivers, ready, strict=True)
            ]
            for connects in self._connects:
                connects.join(group)
            for event in ready:
                await event.wait()
            if self._plan.prefill:
                for lane, driver, share in zip(
                    self._lanes, self._drivers, self._plan.shares, strict=True
                ):
                    if share.lane.prefill and lane.name not in filled:
                        await self._prefill(lane, driver)
            self._announce()
            start = await self._next(commands)
            if isinstance(start, Start):
                await self._probe(start, commands)
            for task in running:
                task.cancel()
        self._send(Finished(self._plan.process))

    async def _prepare(self, detours: Mapping[str, Detour]) -> tuple[str, ...]:
        """Write keys of lanes by detours; return the lanes for which it was done."""
        filled: list[str] = []
        for lane, share in zip(self._lanes, self._plan.shares, strict=True):
            detour = detours.get(lane.name)
            if detour is None or not share.lane.prefill:
                continue
            detoured = connected(
                lane,
                detour,
                password=self._password,
                probe=self._plan.probe,
                poller=self._poller,
            )
            # What cannot be done now is done when the transport is served.
            with suppress(PreflightError):
                async with detoured as driver:
                    if driver is not None:
                        await self._prefill(lane, driver)
                        filled.append(lane.name)
        return tuple(filled)

    async def _prefill(self, lane: LaneRunner, driver: Driver) -> None:
        total = lane.keys.space.owned_count

        def report(done: int, written: int) -> None:
            self._send(
                PrefillProgress(self._plan.process, lane.name, done, written, total)
            )

        await prefill(lane, driver, progress=report, gently=self._plan.gently)

    async def _next(self, commands: "asyncio.Queue[ToProbe | None]") -> ToProbe | None:
        """Return the next command that is about the load; carry out the others."""
        while True:
            command = await commands.get()
            match command:
                case UseEndpoint():
                    for share, driver in zip(
                        self._plan.shares, self._drivers, strict=True
                    ):
                        if share.lane.tls == command.tls:
                            driver.use_endpoint(
                                command.host, command.port, cut_over=command.cut_over
                            )
                case UsePassword():
                    self._password = command.password
                    for driver in self._drivers:
                        driver.use_password(command.password)
                case _:
                    return command

    def _announce(self) -> None:
        shards = {
            lane.name: tuple(shard.name for shard in driver.topology.shards)
            for lane, driver in zip(self._lanes, self._drivers, strict=True)
            if driver.topology is not None
        }
        self._send(Ready(self._plan.process, os.getpid(), shards))

    # --- probing -----------------------------------------------------------------

    async def _probe(
        self, start: Start, commands: "asyncio.Queue[ToProbe | None]"
    ) -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_FIRST_GENERATION, 20, 20)
        gc.callbacks.append(self._on_gc)
        for issuer in self._issuers:
            issuer.start(start.schedule_start_ns, start.first_due_ns)
        first_ns = max(start.first_due_ns, mono_now_ns())
        self._next_give_up_ns = first_ns
        self._next_snapshot_ns = first_ns + _SNAPSHOT_EVERY_NS
        ticker = Ticker(self._tick)
        ticker.start(first_ns)
        try:
            stop = await self._next(commands)
            self._stop_ns = stop.at_ns if isinstance(stop, Stop) else mono_now_ns()
            for issuer in self._issuers:
                issuer.stop(self._stop_ns)
            await self._drained.wait()
        finally:
            ticker.stop()
            gc.callbacks.remove(self._on_gc)
        if isinstance(stop, Stop):
            await self._read_back(stop.detours)

    async def _read_back(self, detours: Mapping[str, Detour]) -> None:
        async with asyncio.TaskGroup() as group:
            for lane, driver in zip(self._lanes, self._drivers, strict=True):
                group.create_task(
                    self._read_back_lane(lane, driver, detours.get(lane.name))
                )

    async def _read_back_lane(
        self, lane: LaneRunner, driver: Driver, detour: Detour | None
    ) -> None:
        if detour is None:
            result = await read_back(lane, driver)
        else:
            detoured = connected(
                lane,
                detour,
                password=self._password,
                probe=self._plan.probe,
                poller=self._poller,
            )
            async with detoured as other:
                result = await read_back(lane, other)
        self._send(
            ReadBack(
                self._plan.process,
                lane.name,
                result.checked,
                result.lost,
                result.unread,
                result.lost_by_shard,
            )
        )

    def _tick(self, planned_ns: int, now_ns: int) -> int:
        lag_ns = now_ns - planned_ns
        if lag_ns >= LEAST_LAG_NS and self._poller is not None:
            # Read in a later turn it would not look as if it had waited.
            self._poller.serve_ready()
        self._lag.woke(planned_ns, now_ns)
        self._call_soon(self._note_turn)
        self._lag_ns.append(lag_ns)
        blind_from = planned_ns if lag_ns > self._stall_ns else None
        next_ns = now_ns + _HEARTBEAT_NS
        for issuer in self._issuers:
            issuer_next_ns, first_skipped = issuer.issue_due(now_ns)
            next_ns = min(next_ns, issuer_next_ns)
            if first_skipped is not None:
                blind_from = min(blind_from or first_skipped, first_skipped)
        if blind_from is not None:
            self._stalls.append((blind_from, now_ns))
        if now_ns >= self._next_give_up_ns:
            self._next_give_up_ns = now_ns + _GIVE_UP_EVERY_NS
            for lane in self._lanes:
                lane.give_up(now_ns)
            if self._stop_ns is not None and now_ns >= self._stop_ns:
                self._finish_if_drained(now_ns)
        if now_ns >= self._next_snapshot_ns:
            self._next_snapshot_ns = now_ns + _SNAPSHOT_EVERY_NS
            self._snapshot(now_ns)
        next_ns = max(next_ns, now_ns + _LEAST_PAUSE_NS)
        self._lag.plan(next_ns)
        return next_ns

    def _note_turn(self) -> None:
        """Take note that the turn of the last tick is over."""
        self._lag.turned(mono_now_ns())

    def _finish_if_drained(self, now_ns: int) -> None:
        is_drained = all(each.is_drained for each in self._issuers)
        if is_drained and not self._drained.is_set():
            self._snapshot(now_ns)
            self._drained.set()

    def _snapshot(self, now_ns: int) -> None:
        self._seq += 1
        blocks = [block for each in self._issuers for block in each.take_blocks()]
        stalls, self._stalls = self._stalls, []
        lags, self._lag_ns = self._lag_ns, array("q")
        collections, self._gc_ns = self._gc_ns, []
        self._send(
            Snapshot(
                process=self._plan.process,
                seq=self._seq,
                taken_ns=now_ns,
                watermark_ns=min(each.watermark_ns(now_ns) for each in self._issuers),
                blocks=blocks,
                lanes=[lane.take_health() for lane in self._lanes],
                stalls=stalls,
                lag_ns=lags.tobytes(),
                gc_ns=collections,
                cpu_ns=process_cpu_ns(),
                rss_bytes=_rss_bytes(),
            )
        )

    def _on_gc(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._gc_started_ns = mono_now_ns()
        else:
            self._gc_ns.append(mono_now_ns() - self._gc_started_ns)


def _rss_bytes() -> int:
    try:
        statm = Path("/proc/self/statm").read_text(encoding="ascii")
    except OSError:  # no /proc: the peak is the next best figure
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(statm.split()[1]) * resource.getpagesize()


async def _read_commands(
    reader: asyncio.StreamReader, commands: "asyncio.Queue[ToProbe | None]"
) -> None:
    try:
        with suppress(asyncio.IncompleteReadError):
            while True:
                header = await reader.readexactly(HEADER_BYTES)
                payload = await reader.readexactly(frame_length(header))
                commands.put_nowait(decode_to_probe(payload))
    finally:
        # Also if a frame could not be read: nothing that is understood will follow.
        commands.put_nowait(None)


async def _serve(read_fd: int, write_fd: int) -> int:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_fd, "rb")
    )
    closed = loop.create_future()

    class Output(asyncio.BaseProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            if not closed.done():
                closed.set_result(exc)

    output, _ = await loop.connect_write_pipe(Output, os.fdopen(write_fd, "wb"))
    crash: asyncio.Future[None] = loop.create_future()

    def on_crash(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        exc = context.get("exception")
        if is_defect(context) and not crash.done():
            crash.set_exception(
                exc
                if isinstance(exc, Exception)
                else ProbeCrashed(str(context.get("message")))
            )

    loop.set_exception_handler(on_crash)

    def send(message: FromProbe) -> None:
        output.write(encode_frame(message))

    commands: asyncio.Queue[ToProbe | None] = asyncio.Queue()
    reading = asyncio.create_task(_read_commands(reader, commands))
    plan = await commands.get()
    code = 0
    if isinstance(plan, Plan):
        try:
            working = asyncio.create_task(ProbeProcess(plan, send).run(commands))
            await asyncio.wait(
                {working, crash, closed}, return_when=asyncio.FIRST_COMPLETED
            )
            if crash.done():
                working.cancel()
                await asyncio.wait({working})
                crash.result()
            elif closed.done():
                working.cancel()
                await asyncio.wait({working})
            else:
                working.result()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is reported
            cause = _first_cause(exc)
            if isinstance(cause, UsageError):
                text = str(cause)
            else:
                text = "".join(traceback.format_exception(exc))
            send(Failed(plan.process, isinstance(cause, UsageError), text))
            code = cause.exit_code if isinstance(cause, LoadprobeError) else 1
    reading.cancel()
    output.close()
    if not closed.done():
        await closed
    return code


def _first_cause(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc


def main() -> int:
    """Run a probe process on standard input and output; return its exit code.

    Signals to end are for the supervisor, which drains us: a process manager that
    signals all processes of a service must not end us first.
    """
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
    read_fd, write_fd = os.dup(0), os.dup(1)
    # Nothing else may write into the stream of frames.
    os.dup2(2, 1)
    os.set_inheritable(read_fd, False)
    os.set_inheritable(write_fd, False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        logging_to_stderr(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_serve(read_fd, write_fd))


if __name__ == "__main__":
    sys.exit(main())
