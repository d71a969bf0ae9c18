"""The measuring part of a run: probe processes in, judged arrivals out.

Everything a run needs to measure and nothing it needs to show: the supervisor adds the
controller, the files and the view; a benchmark or a calibration needs none of them.

Lanes may be dormant: of a transport that the cluster does not serve yet. They have
processes of their own, which do not exist until they are woken in mid-run.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.config.keys import Config, Target
from loadprobe.core.events import Event, ProbeDied
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.results import Sealed
from loadprobe.core.steps import WentOver
from loadprobe.outputs.folder.sealed_lines import Written
from loadprobe.probe.fleet import Death, FleetProbe
from loadprobe.probe.messages import ReadBack
from loadprobe.probe.orders import (
    Start,
)
from loadprobe.probe.rates import LaneRates
from loadprobe.probe.routes import Routes
from loadprobe.run.cutting_over import CuttingOver
from loadprobe.run.going_on import Past
from loadprobe.run.gone import until_gone
from loadprobe.run.hearing import Hearing, Listeners
from loadprobe.run.probe_plans import ProbePlans
from loadprobe.run.roster import Roster
from loadprobe.run.standby import Standby
from loadprobe.run.tuning import Tuning
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
        news: set when there is something to judge; see ``Hearing``.
        probes: the processes.
        rates: at which rate each lane goes.
        standby: has the processes ready before they are spawned; None: nothing has.
        tuning: changes what the probes do while they do it.
    """

    def __init__(
        self,
        config: Config,
        *,
        dormant: Collection[str] = (),
        listeners: Listeners | None = None,
        withheld: Collection[str] = (),
    ) -> None:
        self._withheld = withheld
        self._listeners = listeners or Listeners()
        self._roster = Roster(config.lanes, dormant)
        self._routes = Routes(config.lanes, config.target)
        self.rates = LaneRates(config.lanes)
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
        self.names, self.news = self.hearing.names, self.hearing.news
        self.probes = [self._make_probe(p) for p in range(len(self._roster.shares))]
        self._plans = ProbePlans(
            config, self._roster, self._routes, self.hearing, self.cutting_over
        )
        self._waking = Waking(
            self.probes,
            make=self._make_probe,
            plan=lambda process: self._plans.plan(process, is_first=True),
            has_ended=lambda: self.end_ns is not None,
        )
        self.tuning = Tuning(
            self._plans,
            self.rates,
            self.aggregate,
            self.probes,
            emit=self._emit,
        )

    def _make_probe(self, process: int) -> FleetProbe:
        return FleetProbe(
            process,
            lambda is_first: self._plans.plan(
                process, is_first=is_first, is_ahead=self._waking.is_ahead(process)
            ),
            on_message=self.hearing.take,
            on_death=self._take_death,
            on_restart=self.aggregate.start_process,
            withheld=self._withheld,
        )

    def go_on(self, past: Past) -> None:
        """Go on with what was judged before; nothing has begun yet."""
        self.aggregate.go_on(past.before)
        self.names.go_on(past.replay.nodes)
        self._plans.remembered = past.remembered
        written = past.replay.written
        if written is not None:
            self.hearing.lost_before = written.lost
        if self.standby is not None and not (written and written.is_complete):
            # Probes that are ready already were not told what to look for.
            self.hearing.is_forgotten = True

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
        self._plans.is_beside_others = True
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
        detours = self._plans.detours(closed)
        for probe in self.probes:
            probe.stop(end_ns, detours)
        lanes_ns = (
            max(lane.deadline_ms for lane in self._plans.config.lanes) * NS_PER_MS
        )
        deciding_ns = lanes_ns + self._plans.config.probe.settle_ms * NS_PER_MS
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
        self._plans.password = password
        return await self.cutting_over.go_over(
            tls=tls, target=target, password=password, within_s=within_s
        )

    # --- what the probes say -------------------------------------------------------

    def _take_death(self, death: Death) -> None:
        """Report the death of a probe process: an incident of its own.

        What it wrote is not read back at the end: the next one does not know of it.
        """
        shares = self._roster.shares[death.process]
        has_begun = death.process in self.hearing.heard_ns
        if has_begun and not all(share.lane.read_only for share in shares):
            self.hearing.is_forgotten = True
        self._emit(ProbeDied(death.at_ns, death.process, death.cause))

    def _emit(self, event: Event) -> None:
        self._listeners.emit(event)

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
