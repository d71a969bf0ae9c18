"""A probe process: it probes, and does nothing else.

No HTTP, no files, no API client and no logging of requests run in here. The plan comes
by standard input, snapshots go out by standard output; the end of standard input (the
supervisor is gone) ends the process.
"""

import asyncio
import os
import select
from array import array
from collections.abc import Callable, Mapping
from contextlib import suppress

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.base import Driver, OnTopology
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.sockets import SocketPoller
from loadprobe.errors import PreflightError
from loadprobe.probe.beat import Beat
from loadprobe.probe.connects import Connects, make_connects
from loadprobe.probe.credentials import Credentials, LaneDriver
from loadprobe.probe.detour import connected
from loadprobe.probe.drivers import make_driver
from loadprobe.probe.lag import Lag
from loadprobe.probe.lane import LaneRunner
from loadprobe.probe.messages import (
    Finished,
    FromProbe,
    PrefillProgress,
    ReadBack,
    Ready,
    TopologySeen,
)
from loadprobe.probe.moves import GoOver, HoldWrites
from loadprobe.probe.moving import Crewed, Moving
from loadprobe.probe.orders import (
    Change,
    ChangeRate,
    Detour,
    Plan,
    Start,
    Stop,
    ToProbe,
    UseCertificates,
    UseDeadline,
    UseEndpoint,
    UseLogin,
)
from loadprobe.probe.prefill import prefill, read_back
from loadprobe.probe.remembering import look_up


class ProbeProcess:
    """The probe side of the conversation with the supervisor.

    Args:
        plan: what to do.
        send: takes a message for the supervisor.
    """

    def __init__(self, plan: Plan, send: Callable[[FromProbe], None]) -> None:
        self._plan = plan
        self._send = send
        self._lag = Lag(plan.probe.stall_ms * NS_PER_MS)
        self._lanes = [
            LaneRunner(share, plan.probe, version_base=plan.version_base, lag=self._lag)
            for share in plan.shares
        ]
        self._poller = SocketPoller() if hasattr(select, "epoll") else None
        self._make_drivers(plan)

    def _make_drivers(self, plan: Plan) -> None:
        """Make what connects to where a plan says."""
        self._plan = plan
        by_tls = self._by_tls = [s.lane.name for s in plan.shares if s.lane.tls]
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

    def use_forwards(self, forwards: Mapping[str, str]) -> None:
        """Reach nodes by these forwards, too; at once, also while connecting."""
        ahead = (self._plan.ahead or {}).values()
        for target in (*self._plan.targets.values(), *(each.target for each in ahead)):
            # All who connect for a lane have this one table.
            target.address_map.update(forwards)

    def _teller(self, lane: LaneRunner) -> OnTopology:
        """Return what tells a lane and the supervisor of a new topology."""

        def tell(topology: Topology, cut_over: int) -> None:
            if lane.has_left(cut_over):
                return  # who connected to the other cluster waits for last replies
            # In this order: a block with a new name must find it known.
            self._send(TopologySeen(self._plan.process, lane.name, topology, cut_over))
            lane.on_topology(topology, cut_over)

        return tell

    async def run(self, commands: "asyncio.Queue[ToProbe | None]") -> None:
        """Connect, prefill, probe until told to stop, drain, and report.

        Args:
            commands: what the supervisor says, None at the end of standard input.
        """
        filled: tuple[str, ...] = ()
        if self._plan.ahead is not None:
            filled = await self._prepare(self._plan.ahead)
            while isinstance(told := await commands.get(), Change):
                if isinstance(told, UseDeadline):
                    self._use_deadline(told)  # of the rest the plan to come knows
            if not isinstance(told, Plan):
                return
            self._make_drivers(told)
        ready = [asyncio.Event() for _ in self._drivers]
        async with asyncio.TaskGroup() as group:
            self._credentials = Credentials(self._plan.process, self._send, group)
            running = [
                group.create_task(driver.run(event.set))
                for driver, event in zip(self._drivers, ready, strict=True)
            ]
            for connects in self._connects:
                connects.join(group)
            crewed = Crewed(
                self._lanes,
                self._drivers,
                running,
                self._connects,
                self._poller,
                self._teller,
            )
            self._moving = Moving(self._plan, crewed, self._send, group)
            if self._plan.holds_writes:
                self._moving.hold_writes(HoldWrites(is_held=True))
            for event in ready:
                await event.wait()
            await self._look_up()
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
            self._moving.end()
            for task in running:
                task.cancel()
        self._send(Finished(self._plan.process))

    async def _look_up(self) -> None:
        """Look for what an earlier process wrote, before it is written over."""
        for lane, driver in zip(self._lanes, self._drivers, strict=True):
            remembered = self._plan.remembered.get(lane.name)
            if remembered:
                self._send(await look_up(self._plan.process, lane, driver, remembered))

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
                    self._use_endpoint(command)
                case GoOver():
                    self._moving.go_over(command)
                    self._password = command.password
                case HoldWrites():
                    self._moving.hold_writes(command)
                case ChangeRate():
                    for lane in self._lanes:
                        if lane.name == command.lane:
                            lane.change_rate(command.paces, mono_now_ns())
                case UseDeadline():
                    self._use_deadline(command)
                case UseLogin():
                    self._password = command.password
                    self._credentials.use_login(command, self._by_lane())
                case UseCertificates():
                    by_tls = [
                        (name, driver)
                        for name, driver in self._by_lane()
                        if name in self._by_tls
                    ]
                    self._credentials.use_certificates(command, by_tls)
                case _:
                    return command

    def _use_endpoint(self, command: UseEndpoint) -> None:
        for share, driver in zip(self._plan.shares, self._drivers, strict=True):
            if share.lane.tls == command.tls:
                driver.use_endpoint(
                    command.host, command.port, cut_over=command.cut_over
                )

    def _use_deadline(self, command: UseDeadline) -> None:
        issuers: list[LaneRunner | Connects] = [*self._lanes, *self._connects]
        for each in issuers:
            if each.name == command.lane:
                each.change_deadline(command.from_ns, command.deadline_ns)

    def _by_lane(self) -> list[LaneDriver]:
        return [
            (lane.name, driver)
            for lane, driver in zip(self._lanes, self._drivers, strict=True)
        ]

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
        for lane in self._lanes:
            if lane.name in start.paces:
                lane.change_rate(start.paces[lane.name], mono_now_ns())
        beat = Beat(
            self._plan,
            self._lanes,
            self._connects,
            lag=self._lag,
            poller=self._poller,
            send=self._send,
        )
        beat.start(start)
        try:
            stop = await self._next(commands)
            await beat.drain(stop.at_ns if isinstance(stop, Stop) else mono_now_ns())
        finally:
            beat.end()
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
                len(result.lost),
                result.unread,
                result.lost_by_shard,
                array("Q", result.lost).tobytes(),
                result.expired,
            )
        )
