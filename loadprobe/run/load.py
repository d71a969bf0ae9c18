"""The measuring part of a run: probe processes in, judged arrivals out.

Everything a run needs to measure and nothing it needs to show: the supervisor adds the
controller, the files and the view; a benchmark or a calibration needs none of them.

Lanes may be dormant: of a transport that the cluster does not serve yet. They have
processes of their own, which do not exist until they are woken in mid-run.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns, wall_now_ns
from loadprobe.config.keys import Config, Lane, Target
from loadprobe.core.events import ProbeDied, RateChanged
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.results import Sealed
from loadprobe.core.steps import WentOver
from loadprobe.outputs.folder.ledger_file import Ledger
from loadprobe.outputs.folder.sealed_lines import Written
from loadprobe.probe.fleet import Death, FleetProbe
from loadprobe.probe.messages import ReadBack
from loadprobe.probe.orders import (
    Detour,
    Plan,
    Start,
    UseCertificates,
    UseDeadline,
    UseForwards,
    UseLogin,
)
from loadprobe.probe.rates import LEAD_NS, LaneRates
from loadprobe.probe.routes import Routes
from loadprobe.run.cutting_over import CuttingOver
from loadprobe.run.going_on import Past
from loadprobe.run.gone import until_gone
from loadprobe.run.hearing import Hearing, Listeners
from loadprobe.run.roster import Roster
from loadprobe.run.standby import Standby
from loadprobe.run.waking import Waking

_HEAD_START_NS = 200 * NS_PER_MS
_WOKEN_HEAD_START_NS = 50 * NS_PER_MS
LAST_READ_BACK_S = 15.0
_GONE_S = 1.0
_WAKE_S = 60.0
_CUT_OVER_S = 60.0


class Measurement:
    """Probe processes, and the aggregate that judges what they send.

    Args:
        config: what to measure and how.
        dormant: names of lanes that do not begin with the load (see ``wake``).
        listeners: who is told what the probes say; None is nobody.
        withheld: environment variables that the processes do not inherit: secrets.

    Attributes:
        aggregate: judges what the probes send.
        cutting_over: leads lanes to other endpoints and clusters, and holds writes.
        hearing: takes what the probes send.
        names: the authority on names of shards; see ``Hearing``.
        probes: the processes.
        rates: at which rate each lane goes.
        standby: has the processes ready before they are spawned; None: nothing has.
    """

    def __init__(
        self,
        config: Config,
        *,
        dormant: Collection[str] = (),
        listeners: Listeners | None = None,
        withheld: Collection[str] = (),
    ) -> None:
        self._config = config
        self._withheld = withheld
        self._listeners = listeners or Listeners()
        self._password = config.target.read_password()
        self._roster = Roster(config.lanes, dormant)
        self._routes = Routes(config.lanes, config.target)
        self.rates = LaneRates(config.lanes)
        self._remembered: Ledger = {}
        self.standby: Standby | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.aggregate = Aggregate(
            [
                LaneInfo(
                    lane.name,
                    lane.tls,
                    tuple(self._roster.of([lane.name])),
                    lane.deadline_ms * NS_PER_MS,
                    lane.is_witness,
                    lane.read_from,
                )
                for lane in config.lanes
            ],
            asleep=self._roster.asleep,
        )
        self.cutting_over = CuttingOver(
            self._roster,
            self._routes,
            probe=lambda process: self.probes[process],
            has_ended=lambda: self.end_ns is not None,
        )
        self.hearing = Hearing(
            self.aggregate,
            self._listeners,
            on_topology=self._routes.note,
            on_move=self.cutting_over.take,
        )
        self.names = self.hearing.names
        self.probes = [self._make_probe(p) for p in range(len(self._roster.shares))]
        self._waking = Waking(
            self.probes,
            make=self._make_probe,
            plan=lambda process: self._plan(process, is_first=True),
            has_ended=lambda: self.end_ns is not None,
        )

    def _make_probe(self, process: int) -> FleetProbe:
        return FleetProbe(
            process,
            lambda is_first: self._plan(
                process, is_first=is_first, is_ahead=self._waking.is_ahead(process)
            ),
            on_message=self.hearing.take,
            on_death=self._take_death,
            on_restart=self.aggregate.start_process,
            withheld=self._withheld,
        )

    def _plan(self, process: int, *, is_first: bool, is_ahead: bool = False) -> Plan:
        lanes = self._roster.lanes(process)
        for lane in lanes:
            self.names.forget((process, lane))
        return Plan(
            process=process,
            targets={lane: self._routes.target(lane) for lane in lanes},
            password=self._password,
            probe=self._config.probe,
            shares=self._roster.shares[process],
            # Microseconds grow faster than any process writes, so versions grow
            # over restarts and runs.
            version_base=wall_now_ns() // 1000,
            prefill=is_first,
            remembered={
                lane: rows
                for lane in lanes
                if is_first and (rows := self._remembered.get(lane))
            },
            known={} if is_first else self._routes.known(lanes),
            cut_overs={lane: self._routes[lane].cut_over for lane in lanes},
            gently=is_first
            and (self.standby is not None or bool(self.hearing.heard_ns)),
            ahead=self._detours(lanes) if is_first and is_ahead else None,
            holds_writes=self.cutting_over.holds_writes,
        )

    def _detours(self, lanes: Collection[str]) -> dict[str, Detour]:
        """Return by what the keys of lanes can be reached over the other transport."""
        found = {lane: self._routes.detour(lane, asleep=self.dormant) for lane in lanes}
        return {lane: detour for lane, detour in found.items() if detour is not None}

    def go_on(self, past: Past) -> None:
        """Go on with what was judged before; nothing has begun yet."""
        self.aggregate.go_on(past.before)
        self.names.go_on(past.replay.nodes)
        self._remembered = past.remembered
        if past.replay.written is not None:
            self.hearing.lost_before = past.replay.written.lost

    # --- life --------------------------------------------------------------------

    async def make_ready(self, nodes: Mapping[str, str], *, within_s: float) -> None:
        """Have the processes connected and prefilled while others measure.

        ``spawn`` takes them over. Until then nobody hears what they say, but for the
        topology.

        Args:
            nodes: names of shards, by node.
            within_s: how long that may take.

        Raises:
            RunError: it could not be done, and why; the processes are gone.
        """
        self.names.go_on(nodes)
        self.standby = Standby(self._awake)
        await self.standby.make_ready(within_s=within_s)

    def tell(self, listeners: Listeners) -> None:
        """Tell others what the probes say, from now on."""
        self._listeners = listeners
        self.hearing.tell(listeners)

    def spawn(self, group: asyncio.TaskGroup) -> "list[asyncio.Task[None]]":
        """Start the probe processes; a task ends when its process has finished.

        Processes that are woken later are tasks of the same group, and are appended to
        the same list. A task raises PreflightError or ProbeCrashed (see
        ``probe.fleet``).
        """
        self._waking.begin(group, self._tasks)
        running = (
            [probe.run() for probe in self._awake]
            if self.standby is None
            else self.standby.taken_over()
        )
        self._tasks += [group.create_task(each) for each in running]
        return self._tasks

    @property
    def _awake(self) -> list[FleetProbe]:
        return [self.probes[process] for process in self._roster.awake]

    @property
    def dormant(self) -> frozenset[str]:
        """Return the names of the lanes that were not woken yet."""
        return self._roster.dormant

    async def wait_until_ready(self) -> None:
        """Wait until every probe is connected and prefilled."""
        for probe in self._awake:
            await probe.ready.wait()

    def begin(self) -> int:
        """Start the load; return when the first arrival is due, monotonic ns."""
        if self.standby is None:
            return self._begin(self._roster.awake)
        # They wait for nothing else, and nobody looks meanwhile.
        return self._begin(self._roster.awake, head_start_ns=_WOKEN_HEAD_START_NS)

    def _begin(
        self, processes: Sequence[int], *, head_start_ns: int = _HEAD_START_NS
    ) -> int:
        start_ns = mono_now_ns() + head_start_ns
        self.rates.begin(self._roster.lanes_of(processes), start_ns)
        for process in processes:
            self.hearing.begin(process, start_ns)
            self.probes[process].start(Start(start_ns, start_ns))
        return start_ns

    @property
    def end_ns(self) -> int | None:
        """The end of the load (monotonic ns), None before it."""
        return self.hearing.end_ns

    @property
    def read_backs(self) -> list[ReadBack]:
        """What was found of the written keys, lane by lane."""
        return self.hearing.read_backs

    def seal(self) -> Sealed:
        """Judge what has come in; see ``Hearing.seal``."""
        return self.hearing.seal()

    async def end(
        self,
        probing: "list[asyncio.Task[None]]",
        *,
        meanwhile: Callable[[], object],
        closed: Collection[str] = (),
        read_back_s: float = LAST_READ_BACK_S,
    ) -> int:
        """Stop arrivals, wait until all are decided, end the processes.

        Args:
            probing: what ``spawn`` returned.
            meanwhile: called every 250 ms.
            closed: lanes whose transport is not served any more: their keys are read
                back by the other one.
            read_back_s: how long that may take.

        Returns:
            The end of the load: nothing is due from then on, monotonic ns.
        """
        end_ns = self.hearing.end_ns = mono_now_ns()
        detours = self._detours(closed)
        for probe in self.probes:
            probe.stop(end_ns, detours)
        lanes_ns = max(lane.deadline_ms for lane in self._config.lanes) * NS_PER_MS
        deciding_ns = lanes_ns + self._config.probe.settle_ms * NS_PER_MS
        left = await until_gone(
            {*probing, *self._tasks},
            self.probes,
            self.hearing,
            end_ns=end_ns,
            give_up_ns=end_ns + deciding_ns + int(read_back_s * NS_PER_S),
            meanwhile=meanwhile,
        )
        self.kill()
        if left:
            await asyncio.wait(left, timeout=_GONE_S)
        return end_ns

    def kill(self) -> None:
        """End the processes at once."""
        for probe in self.probes:
            probe.kill()

    # --- what changes in mid-run --------------------------------------------------

    def prepare(self) -> None:
        """Start the processes of dormant lanes, and have their keys written.

        Then they begin sooner once their transport is served. The keys are written by
        the other transport: without lanes that probe there is nothing to do ahead.
        """
        if self._awake:
            self._waking.prepare(sorted(self._roster.asleep))

    async def wake(
        self,
        lanes: Collection[str],
        target: Target | None = None,
        *,
        within_s: float = _WAKE_S,
    ) -> None:
        """Begin dormant lanes while the others go on; they are probing on return.

        Args:
            lanes: all dormant lanes of a transport (they share processes), or of both.
            target: where they go; None is where they were told to go before.
            within_s: a failure is not tried again after this time.

        Raises:
            RunError: they could not be connected or prefilled, and why.
        """
        async with self._waking.turn:
            processes = [p for p in self._roster.of(lanes) if p in self._roster.asleep]
            left = self._roster.lanes_of(processes) - set(lanes)
            if left:
                raise ValueError(f"{sorted(left)} share processes with {sorted(lanes)}")
            if target is not None:
                for lane in lanes:
                    self._routes.lead(lane, target)
            names = ", ".join(sorted(lanes))
            await self._waking.connect(processes, names=names, within_s=within_s)
            self._roster.asleep.difference_update(processes)
            self._begin(processes, head_start_ns=_WOKEN_HEAD_START_NS)

    async def use_endpoint(
        self,
        *,
        tls: bool,
        host: str,
        port: int,
        replace: bool = False,
        within_s: float = _CUT_OVER_S,
    ) -> None:
        """Let all lanes of a transport go to another endpoint from now on.

        Args:
            tls: the transport.
            host: the endpoint.
            port: its port.
            replace: it is another cluster. Every lane goes on at the old one until it
                is connected to the new one; on return all that probe have gone over.
            within_s: how long to wait for that.

        Raises:
            RunError: some lanes could not be connected to the other cluster in time;
                they go on trying.
        """
        await self.cutting_over.use_endpoint(
            tls=tls, host=host, port=port, replace=replace, within_s=within_s
        )

    async def go_over(
        self, *, tls: bool, target: Target, password: str | None, within_s: float
    ) -> list[WentOver]:
        """Let all lanes of a transport go over to another cluster; see ``GoOver``.

        Raises:
            RunError: some lanes could not be connected to it in time.
        """
        self._password = password
        return await self.cutting_over.go_over(
            tls=tls, target=target, password=password, within_s=within_s
        )

    def change_rate(
        self, lane: str, to_per_s: float, *, reason: str, ramp_s: float = 0.0
    ) -> None:
        """Let a lane that has begun have another rate; the event says why.

        Args:
            lane: its name; it is one of an open loop.
            to_per_s: arrivals per second of the whole lane, above 0.
            reason: for the event.
            ramp_s: how long the change takes.
        """
        now_ns = mono_now_ns()
        message, at_ns = self.rates.change(lane, to_per_s, ramp_s=ramp_s, now_ns=now_ns)
        for process in self._roster.of([lane]):
            self.probes[process].change_rate(message)
        from_per_s = message.paces[-1].from_per_s
        self._listeners.emit(
            RateChanged(at_ns, lane, from_per_s, to_per_s, ramp_s, reason)
        )

    def configure_rates(self, lanes: Iterable[Lane]) -> None:
        """Let lanes that have not begun yet begin at other rates."""
        for lane in lanes:
            if lane.loop == "open" and lane.name not in self.rates.begun:
                self.rates.configure(lane)

    def change_deadlines(self, lanes: Iterable[Lane]) -> None:
        """Let arrivals that are due a little later have other deadlines.

        Args:
            lanes: all of them; those whose deadline is as it was are left alone.
        """
        now = {lane.name: lane for lane in self._config.lanes}
        from_ns = mono_now_ns() + LEAD_NS
        for lane in lanes:
            known = now[lane.name]
            if lane.deadline_ms == known.deadline_ms:
                continue
            ns = lane.deadline_ms * NS_PER_MS
            self.aggregate.change_deadline(lane.name, ns, from_ns)
            changed = msgspec.structs.replace(known, deadline_ms=lane.deadline_ms)
            now[lane.name] = changed
            self._roster.use_lane(changed)
            for process in self._roster.of([lane.name]):
                self.probes[process].tell(UseDeadline(lane.name, from_ns, ns))
        self._config = msgspec.structs.replace(self._config, lanes=tuple(now.values()))

    def use_login(
        self,
        username: str | None,
        password: str | None,
        *,
        renew_s: float | None = None,
    ) -> None:
        """Let new connections log in as somebody from now on.

        Args:
            username: None names nobody.
            password: None does not log in.
            renew_s: open connections log in anew, spread over so many seconds; None
                leaves them as they are.
        """
        self._password = password
        self._routes.log_in(username)
        for probe in self.probes:  # also those that are being woken
            probe.tell(UseLogin(username, password, renew_s))

    def use_certificates(self, target: Target) -> None:
        """Let new connections use what the certificate files of a target hold now."""
        self._routes.use_certificates(target)
        for probe in self.probes:
            probe.tell(UseCertificates(target))

    def use_forwards(self) -> None:
        """Let all processes reach nodes by the forwards that there are now."""
        told = UseForwards(dict(self._config.target.address_map))
        for probe in self.probes:  # also those that connect
            probe.tell(told)

    # --- what the probes say -------------------------------------------------------

    def _take_death(self, death: Death) -> None:
        """Report the death of a probe process: an incident of its own."""
        self._listeners.emit(ProbeDied(death.at_ns, death.process, death.cause))

    @property
    def watermark_ns(self) -> Mapping[int, int]:
        """Return until when each process that has begun has delivered everything."""
        return self.hearing.watermark_ns

    @property
    def lost_writes(self) -> int | None:
        """Return how many acknowledged writes are gone; None if some are unchecked."""
        return self.hearing.lost_writes(self._roster.lanes)

    @property
    def looked_up(self) -> tuple[int, int, int]:
        """Return how many keys of an earlier process were read, lost, and expired."""
        found = self.hearing.looked_up
        lost = sum(sum(each.lost_by_shard.values()) for each in found)
        expired = sum(each.expired for each in found)
        return sum(each.checked for each in found), lost, expired

    @property
    def written(self) -> Written | None:
        """Return what was read back so far of what was written; None if nothing."""
        lost = self.hearing.lost
        if not self.read_backs and not lost:
            return None
        return Written(lost, self.lost_writes is not None)
