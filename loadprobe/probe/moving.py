"""Going over to another cluster in mid-run, and holding writes, in a probe process.

What connects to the other cluster is made anew, beside what there is: the other one may
have another shape (cluster mode or not), another login, other certificates. Arrivals
change over between two turns of the loop, once all of it is connected. Right after that
the keys are read there: what is written later hides what was lost on the way.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers.base import Driver, OnTopology
from loadprobe.drivers.tls import make_context
from loadprobe.drivers.wire.sockets import SocketPoller
from loadprobe.errors import PreflightError
from loadprobe.probe.connects import Connects
from loadprobe.probe.drivers import make_driver
from loadprobe.probe.lane import LaneRunner
from loadprobe.probe.messages import FromProbe
from loadprobe.probe.moves import FoundThere, GoneOver, GoOver, HoldWrites, WritesHeld
from loadprobe.probe.orders import Plan
from loadprobe.probe.prefill import read_keys

_TRY_AGAIN_S = 0.25
_LOOK_S = 0.005
_COMPLETE_NS = 5 * NS_PER_S
_LAST_REPLIES_NS = 20 * NS_PER_MS
_RENEWALS_NS = NS_PER_S


class _HeldBack:
    """Takes topologies, and passes them on from a time on.

    Args:
        tell: takes them then.
    """

    def __init__(self, tell: OnTopology) -> None:
        self._tell = tell
        self._last: tuple[Topology, int] | None = None
        self._is_open = False

    def __call__(self, topology: Topology, cut_over: int) -> None:
        if self._is_open:
            self._tell(topology, cut_over)
        else:
            self._last = topology, cut_over

    def open(self) -> None:
        """Pass on what was told last, and all that will be."""
        self._is_open = True
        if self._last is not None:
            self._tell(*self._last)


@dataclass(slots=True)
class Crewed:
    """The lanes of a process, and what carries their arrivals; lists of one order.

    Args:
        lanes: all of them.
        drivers: that of each lane now.
        running: the task that each driver runs in.
        connects: new connections of lanes that make some.
        poller: what serves plaintext connections.
        teller: returns what is to be told of topologies of a lane.
    """

    lanes: Sequence[LaneRunner]
    drivers: list[Driver]
    running: "list[asyncio.Task[None]]"
    connects: Sequence[Connects]
    poller: SocketPoller | None
    teller: Callable[[LaneRunner], OnTopology]


@dataclass(slots=True)
class Moving:
    """Carries out what moves lanes of a process (see the module).

    Args:
        plan: of the process.
        crewed: its lanes.
        send: takes messages for the supervisor.
        group: tasks run in it.
    """

    plan: Plan
    crewed: Crewed
    send: Callable[[FromProbe], None]
    group: asyncio.TaskGroup
    _going: "dict[int, asyncio.Task[None]]" = field(default_factory=dict)
    _to_end: "list[asyncio.Task[None]]" = field(default_factory=list)

    def end(self) -> None:
        """End what goes on: nothing is sent any more."""
        for task in (*self._going.values(), *self._to_end):
            task.cancel()

    # --- writes --------------------------------------------------------------------

    def hold_writes(self, order: HoldWrites) -> None:
        """Hold the writes of all lanes, or let them go on."""
        since_ns = mono_now_ns()
        for lane in self.crewed.lanes:
            lane.hold_writes(is_held=order.is_held)
        if order.is_held:
            self._to_end.append(self.group.create_task(self._tell_held(since_ns)))

    async def _tell_held(self, since_ns: int) -> None:
        """Wait until every write that was made before has ended, and say so."""
        while any(
            lane.watermark_ns(now_ns := mono_now_ns()) < since_ns
            or (lane.is_renewing and now_ns < since_ns + _RENEWALS_NS)
            for lane in self.crewed.lanes
        ):
            await asyncio.sleep(_LOOK_S)
        self.send(WritesHeld(self.plan.process, mono_now_ns()))

    # --- another cluster -------------------------------------------------------------

    def go_over(self, order: GoOver) -> None:
        """Let the lanes of a transport go over; a later order replaces this one."""
        for index, share in enumerate(self.plan.shares):
            if share.lane.tls == order.tls:
                if index in self._going:
                    self._going[index].cancel()
                self._going[index] = self.group.create_task(self._go(index, order))

    async def _go(self, index: int, order: GoOver) -> None:
        crewed = self.crewed
        lane, share = crewed.lanes[index], self.plan.shares[index]
        targets = {**self.plan.targets, lane.name: order.target}
        plan = msgspec.structs.replace(
            self.plan,
            targets=targets,
            password=order.password,
            known={},
            cut_overs={**self.plan.cut_overs, lane.name: order.cut_over},
            gently=True,
        )
        context = make_context(order.target) if order.tls else None
        while True:
            held_back = _HeldBack(crewed.teller(lane))
            driver = make_driver(
                plan,
                share,
                lane,
                context=context,
                poller=crewed.poller,
                on_topology=held_back,
            )
            running = await self._connected(driver)
            if running is not None:
                break
            await asyncio.sleep(_TRY_AGAIN_S)
        if share.lane.is_witness:
            await _complete(driver, share.connections)
        # From here to the first wait nothing else runs: no arrival is between the two.
        former, crewed.running[index] = crewed.running[index], running
        # Also if a later order replaces this one from here on.
        self._leave(former, lane.give_up_ns)
        crewed.drivers[index] = driver
        lane.attach(driver)
        held_back.open()
        for connects in crewed.connects:
            if connects.name == lane.name:
                connects.use(driver)
        self.plan = msgspec.structs.replace(
            self.plan, targets=targets, password=order.password
        )
        at_ns, first_new = mono_now_ns(), lane.keys.version
        process = self.plan.process
        self.send(GoneOver(process, lane.name, order.cut_over, at_ns))
        await _last_replies(lane, at_ns)
        found = await look_there(lane, driver, first_new)
        self.send(FoundThere(process, lane.name, order.cut_over, *found))

    def _leave(self, former: "asyncio.Task[None]", give_up_ns: int) -> None:
        """End a driver, once what is outstanding there has ended or was given up."""
        left_s = give_up_ns / NS_PER_S + self.plan.probe.stall_ms / 1000
        ending = self.group.create_task(_end_after(left_s, former))
        self._to_end += [former, ending]

    async def _connected(self, driver: Driver) -> "asyncio.Task[None] | None":
        """Run a driver; return its task once it is connected, None if it cannot be."""
        ready = asyncio.Event()
        running = self.group.create_task(_run(driver, ready))
        waiting = asyncio.create_task(ready.wait())
        is_kept = False
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            is_kept = ready.is_set()
        finally:
            waiting.cancel()
            if not is_kept:
                running.cancel()
        return running if is_kept else None


async def _run(driver: Driver, ready: asyncio.Event) -> None:
    try:
        await driver.run(ready.set)
    except PreflightError:
        if ready.is_set():
            raise


async def _end_after(seconds: float, running: "asyncio.Task[None]") -> None:
    await asyncio.sleep(seconds)
    running.cancel()


async def _complete(driver: Driver, connections: int) -> None:
    """Wait until every shard has its connections, for a while."""
    until_ns = mono_now_ns() + _COMPLETE_NS
    while mono_now_ns() < until_ns:
        live = driver.live_connections()
        if live and min(live.values()) >= connections:
            return
        await asyncio.sleep(_LOOK_S)


async def _last_replies(lane: LaneRunner, since_ns: int) -> None:
    """Wait for the replies to what was on its way to the old cluster, but not long."""
    until_ns = since_ns + _LAST_REPLIES_NS
    while (now_ns := mono_now_ns()) < until_ns and lane.watermark_ns(now_ns) < since_ns:
        await asyncio.sleep(0.001)


async def look_there(
    lane: LaneRunner, driver: Driver, first_new: int
) -> tuple[int, int, int, int]:
    """Read the keys of a lane that went over to another cluster.

    Args:
        lane: whose keys.
        driver: connected to the other cluster.
        first_new: versions from this one on were written there.

    Returns:
        How many keys were checked, lost, overwritten and unread (see ``FoundThere``).
        What is not there and may have expired says as little as what was not read. Of
        renewals at the old cluster the copy may know nothing.
    """
    keys = lane.keys
    acked = keys.acknowledged_keys()
    wanted = [key for key, version in acked.items() if version < first_new]
    overwritten = len(acked) - len(wanted)
    checked = lost = seen = expired = 0
    async for key, reply in read_keys(lane, driver, wanted):
        seen += 1
        version = keys.content.version_of(key, reply)
        if version is not None and version >= first_new:
            overwritten += 1
            continue
        is_lost = keys.is_lost(key, reply, acked=acked[key], by_renewals=False)
        if is_lost is None:
            expired += 1
            continue
        checked += 1
        lost += is_lost
    return checked, lost, overwritten, len(wanted) - seen + expired
