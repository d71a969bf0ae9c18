"""What a scenario sees of a run's load and does to it: the two protocols, implemented.

The scenario runs beside the measurement and knows neither probes nor aggregates; this
is all that lies between them.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from loadprobe.clock import NEVER_NS, NS_PER_MS, mono_now_ns
from loadprobe.config.keys import Config, Lane, Target
from loadprobe.control.watch.node_views import named_user
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.steps import WentOver
from loadprobe.core.verdict.beside import Planned, planned_share
from loadprobe.run.load import Measurement


def planned_until(planned: Iterable[Planned], end_ns: int) -> list[Planned]:
    """Return planned darkness up to a time; what begins later is left out."""
    return [
        Planned(span.lane, span.start_ns, min(span.end_ns, end_ns), span.shard)
        for span in planned
        if span.start_ns < min(span.end_ns, end_ns)
    ]


async def _direct(_host: str, _port: int) -> None:
    """Do nothing: the way to an endpoint is its address."""


async def _unheard(_target: Target) -> None:
    """Do nothing: nobody looks after logins."""


class Steering:
    """The load as a scenario's ``LaneControl`` and ``LoadView``.

    Args:
        config: the lanes.
        measurement: the probes.
        watch: the topology watch, which follows the endpoints, too.
        on_woken: called with the names of lanes that woke up.

    Attributes:
        ask_way: has a way to an endpoint made, before lanes go there.
        on_gone_over: called with the target of lanes that went over to it.
    """

    def __init__(
        self,
        config: Config,
        measurement: Measurement,
        watch: TopologyWatch,
        *,
        on_woken: Callable[[Sequence[str]], None],
    ) -> None:
        self.lanes: tuple[Lane, ...] = config.lanes
        self._config = config
        self._measurement = measurement
        self._aggregate: Aggregate = measurement.aggregate
        self._watch = watch
        self._on_endpoint: Callable[[str, int], None] = lambda _host, _port: None
        self._on_woken = on_woken
        self.ask_way: Callable[[str, int], Awaitable[None]] = _direct
        self.on_gone_over: Callable[[Target], Awaitable[None]] = _unheard
        self._planned: dict[tuple[str, str | None], list[Planned]] = {}
        self._before = (0, 0)
        self._username = config.target.username
        self._is_going_over = False
        self._held_login: tuple[str | None, str | None, float | None] | None = None

    # --- LaneControl -----------------------------------------------------------------

    async def use_endpoint(
        self, *, tls: bool, host: str, port: int, replace: bool = False
    ) -> None:
        """Send the lanes of one transport, and the watch, to an endpoint."""
        self._on_endpoint(host, port)
        await self.ask_way(host, port)
        self._watch.use_endpoint(tls=tls, host=host, port=port, replace=replace)
        asleep = self._asleep(tls=tls)
        await self._measurement.use_endpoint(
            tls=tls, host=host, port=port, replace=replace
        )
        if asleep:
            target = self._config.target.at(tls=tls, host=host, port=port)
            await self._measurement.wake(asleep, target)
            self._on_woken(asleep)

    async def wake(self, *, tls: bool, host: str, port: int) -> bool:
        """Begin the dormant lanes of a transport; all else stays where it is."""
        asleep = self._asleep(tls=tls)
        if not asleep:
            return False
        await self.ask_way(host, port)
        target = self._config.target.at(tls=tls, host=host, port=port)
        await self._measurement.wake(asleep, target)
        self._on_woken(asleep)
        return True

    async def go_over(
        self, *, tls: bool, target: Target, password: str | None, within_s: float
    ) -> Sequence[WentOver]:
        """Lead the lanes of a transport, then the watch, to another cluster.

        In this order: the lanes are at the old one until all is connected, and it is
        they who name the shards of the new one. Whoever logs in anew at the old one
        meanwhile is told to the lanes if they stay: it lets nobody in at the new one.
        """
        self._is_going_over = True
        try:
            went_over = await self._measurement.go_over(
                tls=tls, target=target, password=password, within_s=within_s
            )
            self._username = target.username
            self._on_endpoint(target.host, target.port_of(tls=tls))
            self._watch.go_over(target, password, tls=tls)
            await self.on_gone_over(target)
            self._held_login = None
        finally:
            self._is_going_over = False
            held, self._held_login = self._held_login, None
            if held is not None:
                username, password, renew_s = held
                self.use_login(username, password, renew_s=renew_s)
        return went_over

    async def hold_writes(self, *, within_s: float) -> int:
        """Have nothing written; return since when all writes have ended."""
        return await self._measurement.cutting_over.hold_writes(within_s=within_s)

    def release_writes(self) -> int:
        """Let writes go on, if they are held; return the time."""
        return self._measurement.cutting_over.release_writes()

    def _asleep(self, *, tls: bool) -> list[str]:
        dormant = self._measurement.dormant
        return [
            lane.name for lane in self.lanes if lane.tls == tls and lane.name in dormant
        ]

    async def use_password(self, password: str) -> None:
        """Log in with another password from the next connection on."""
        self.use_login(named_user(self._username), password)

    def use_login(
        self,
        username: str | None,
        password: str | None,
        *,
        renew_s: float | None = None,
    ) -> None:
        """Log in as somebody from the next connection on.

        Args:
            username: None names nobody.
            password: None does not log in.
            renew_s: open connections log in anew, spread over so many seconds; None
                leaves them as they are.
        """
        if self._is_going_over:
            if renew_s is None and self._held_login is not None:
                renew_s = self._held_login[2]
            self._held_login = username, password, renew_s
            return
        self._username = username
        self._watch.use_login(username, password)
        self._measurement.tuning.use_login(username, password, renew_s=renew_s)

    def use_certificates(self, target: Target) -> None:
        """Use what the certificate files of a target hold now for new connections."""
        self._watch.use_certificates(target)
        self._measurement.tuning.use_certificates(target)

    def expect_dark(self, *, lane: str, shard: str | None, start_ns: int) -> None:
        """Note that a lane is dark by plan from a time on."""
        spans = self._planned.setdefault((lane, shard), [])
        spans.append(Planned(lane, start_ns, NEVER_NS, shard))

    def expect_lit(self, *, lane: str, shard: str | None, end_ns: int) -> None:
        """Note that this ends."""
        spans = self._planned[lane, shard]
        spans[-1] = Planned(lane, spans[-1].start_ns, end_ns, shard)

    # --- LoadView --------------------------------------------------------------------

    def begin(self, *, on_endpoint: Callable[[str, int], None]) -> None:
        """Count errors from now on.

        Args:
            on_endpoint: called with host and port of every endpoint that lanes go to.
        """
        self._on_endpoint = on_endpoint
        self._before = self._counted()

    def longest_outage_ms(self) -> float:
        """Return the longest outage that was not planned, with those going on.

        What the probe did not see of it does not count. Of one that lies in planned
        time in part, the rest counts.
        """
        planned = self.planned()
        longest = 0.0
        for outage in self._outages():
            if outage.seen_ns > longest:
                unplanned = 1 - planned_share(outage, planned)
                longest = max(longest, outage.seen_ns * unplanned)
        return longest / NS_PER_MS

    def error_ratio(self) -> float:
        """Return failed / all arrivals since ``begin``, those planned left out."""
        arrivals, failed = self._counted()
        arrivals, failed = arrivals - self._before[0], failed - self._before[1]
        planned = self.planned()
        excused = sum(o.failed * planned_share(o, planned) for o in self._outages())
        served = arrivals - failed
        unexpected = max(0.0, failed - excused)
        return unexpected / (served + unexpected) if unexpected else 0.0

    def wrong(self) -> int:
        """Return the number of wrong replies."""
        totals = self._aggregate.scope_totals.values()
        return sum(each.counts[Outcome.WRONG] for each in totals)

    @property
    def closed(self) -> list[str]:
        """Return the lanes that are dark by plan now, with all their shards."""
        return [
            lane
            for (lane, shard), spans in self._planned.items()
            if shard is None and spans[-1].end_ns == NEVER_NS
        ]

    # --- for the verdict -------------------------------------------------------------

    def planned(self, until_ns: int | None = None) -> list[Planned]:
        """Return what was planned so far; what is open ends at a given time, or now."""
        end_ns = until_ns if until_ns is not None else mono_now_ns()
        return planned_until(self.all_planned, end_ns)

    @property
    def all_planned(self) -> list[Planned]:
        """Return all that was planned so far; what is open ends at ``NEVER_NS``."""
        return [span for spans in self._planned.values() for span in spans]

    def _outages(self) -> list[Outage]:
        outages = *self._aggregate.outages, *self._aggregate.current().values()
        return [o for o in outages if not o.scope.op.is_apart]

    def _counted(self) -> tuple[int, int]:
        by_scope = self._aggregate.scope_totals.items()
        totals = [t for scope, t in by_scope if not scope.op.is_apart]
        return sum(t.arrivals for t in totals), sum(t.failed for t in totals)
