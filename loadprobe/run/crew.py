"""All who work on a run: made together, and told of each other.

The probes, those who watch cluster, credentials and rates, and what is shown. Nothing
is started here: ``watching`` returns what is to go on beside the measuring.
"""

from collections.abc import Callable, Coroutine, Sequence

from loadprobe.clock import ClockPair, mono_now_ns, process_cpu_ns, read_clock_pair
from loadprobe.config.keys import Target
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.events import ProviderEvents
from loadprobe.control.provider.maintenance import MaintenanceWatch
from loadprobe.control.provider.metrics_watch import MetricsWatch
from loadprobe.control.reach.reach_watch import ReachWatch
from loadprobe.control.watch.server_side import ServerSideWatch
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.events import LaneWoken, ProviderTold
from loadprobe.core.load.occupancy import Occupancy
from loadprobe.core.topology.topology import Topology
from loadprobe.probe.messages import (
    CertificatesRefused,
    LoginRenewed,
)
from loadprobe.run.checks import connections_of
from loadprobe.run.credentials import CredentialWatch
from loadprobe.run.going_on import Past
from loadprobe.run.hearing import Listeners, Prefilled
from loadprobe.run.iam import make_iam_logins
from loadprobe.run.ledger_keeping import LedgerKeeping
from loadprobe.run.load import Measurement
from loadprobe.run.load_control import Steering
from loadprobe.run.pacing import Pacing
from loadprobe.run.plan import RunPlan
from loadprobe.run.published import Published
from loadprobe.run.recording import Recording
from loadprobe.run.sinks import Sinks
from loadprobe.run.straining import Straining
from loadprobe.run.swapping import Swap


class Crew:
    """All who work on a run (see the module).

    Args:
        plan: what to run.
        api: the open API of the replication group, if there is one.
        past: the run that goes on; None begins one.
        on_prefill: receives the progress of the prefill.
        measurement: probes that are ready; None makes them.

    Attributes:
        plan: what is run.
        api: the API, if there is one.
        clock: to show monotonic times as wall times.
        sinks: who is told.
        ledger: keeps what was acknowledged, for who goes on with the run.
        measurement: the probes.
        watch: who serves what.
        reach: the ways to the nodes.
        steering: the load as a scenario sees it.
        credentials: passwords and certificates of files.
        iam: tokens of an IAM user, if the target has one.
        published: what is shown by HTTP.
        servers: what servers tell of their work.
        metrics: what CloudWatch tells of them, if it is asked.
        pacing: decides on the rates.
    """

    def __init__(
        self,
        plan: RunPlan,
        api: ElastiCacheApi | None,
        past: Past | None,
        *,
        on_prefill: Callable[[Prefilled], None],
        measurement: Measurement | None = None,
    ) -> None:
        config = plan.config
        self.plan = plan
        self.api = api
        self._past = past
        self.clock: ClockPair = read_clock_pair() if past is None else past.clock
        self.sinks = Sinks()
        emit = self.sinks.take_event
        remembered = {} if past is None else past.remembered
        self.ledger = LedgerKeeping(remembered, (lane.name for lane in config.lanes))
        self.measurement = measurement or Measurement(
            config, dormant=plan.dormant, withheld=plan.withheld
        )
        self.measurement.tell(self._listeners(on_prefill))
        # The lane that will live longest: TLS ports outlive plaintext ones.
        awake = [lane for lane in config.lanes if lane.name not in plan.dormant]
        self.watch = TopologyWatch(
            config.target,
            emit,
            tls=any(lane.tls for lane in awake),
            names=self.measurement.names,
        )
        self.reach = ReachWatch(
            self.watch,
            config.target,
            emit,
            transports=[lane.tls for lane in config.lanes],
            tunnel=plan.tunnel,
            on_forwards=self.measurement.tuning.use_forwards,
        )
        self.steering = Steering(
            config, self.measurement, self.watch, on_woken=self._on_woken
        )
        self.steering.ask_way = self.reach.ask_way
        self.credentials = CredentialWatch(
            config.target,
            self.steering,
            emit,
            tls=any(lane.tls for lane in config.lanes),
        )
        self.iam = make_iam_logins(config.target, self.steering, emit)
        if self.iam is not None:
            self.credentials.on_refused = self.iam.renew_soon
        self.steering.on_gone_over = self._on_gone_over
        self.published = Published(
            plan,
            self.measurement.aggregate,
            self.clock,
            self.sinks,
            planned=self.steering.planned,
        )
        lanes = plan.config.lanes
        occupancy = Occupancy(
            connections_of(lanes),
            elsewhere=[each.name for each in lanes if each.read_from != "primary"],
        )
        self.servers = ServerSideWatch(
            self.watch,
            lambda shard, told: occupancy.take_server(shard, told, mono_now_ns()),
            self.sinks.take_servers,
            needs_load=lambda: self.pacing.load.asks_servers,
            needs_rows=lambda: config.servers.info,
        )
        self.metrics = self._watch_metrics()
        self.pacing = self._make_pacing(occupancy)
        self.sinks.add(self.pacing)
        if self.reach.is_needed:
            by_tunnel = plan.tunnel is not None
            self.published.metrics.begin_reach(by_tunnel=by_tunnel)
        if past is not None:
            self.measurement.go_on(past)
            self.published.go_on(past)
            self.pacing.go_on(
                past.before.going_on.values(), [each.event for each in past.events]
            )
        self.published.problems_of += [
            lambda: self.credentials.problem,
            lambda: self.pacing.problem,
            lambda: self.servers.problem,
            lambda: self.metrics.problem if self.metrics is not None else None,
            lambda: self.reach.problem,
            lambda: self.iam.problem if self.iam is not None else None,
        ]

    def _listeners(self, on_prefill: Callable[[Prefilled], None]) -> Listeners:
        """Return who is told what the probes say."""
        return Listeners(
            emit=self.sinks.take_event,
            on_snapshot=self.sinks.take_health,
            on_prefill=on_prefill,
            on_lost=self._on_lost,
            on_acknowledged=self.ledger.take,
            on_gone=self.ledger.forget,
            on_credentials=self._on_credentials,
            on_topology=self._on_topology,
        )

    def _make_pacing(self, occupancy: Occupancy) -> Pacing:
        """Return what decides on the rates."""
        config, health = self.plan.config, self.published.health
        return Pacing(
            config.lanes,
            config.load,
            self.measurement.tuning,
            straining=Straining(
                config.load,
                cpu_ns=lambda: health.cpu_ns() + process_cpu_ns(),
                occupancy=occupancy,
            ),
            metrics=self.published.metrics,
            emit=self.sinks.take_event,
            now_ns=mono_now_ns,
        )

    def _watch_metrics(self) -> MetricsWatch | None:
        """Return what asks CloudWatch; None if it is not to be asked."""
        api = self.api
        if (
            api is None
            or api.metrics is None
            or not self.plan.config.servers.cloudwatch
        ):
            return None
        return MetricsWatch(
            api.metrics,
            lambda: api.members,
            self.sinks.take_metrics,
            since_unix_ns=self._since_unix_ns,
        )

    def swap(self, recording: Callable[[], Recording]) -> Swap:
        """Return what has everybody go by another configuration.

        Args:
            recording: returns the recording of the run, which has begun.
        """
        return Swap(
            self.plan.config,
            measurement=self.measurement,
            pacing=self.pacing,
            credentials=self.credentials,
            published=self.published,
            recording=recording,
        )

    def watching(self) -> list[Coroutine[None, None, None]]:
        """Return what is watched and sent beside the measuring."""
        published, api, control = self.published, self.api, self.plan.config.control
        found = [
            self.watch.run(),
            self.servers.run(),
            self.credentials.run(),
            published.samples.send(),
            published.telling.send(),
            published.showing.run(),
        ]
        if self.plan.tunnel is None:  # else it goes on already
            found.append(self.reach.run())
        if self.iam is not None:
            found.append(self.iam.run())
        if api is None:
            return found
        assert control is not None, "the API is open"
        events = self._provider_events(api, control.poll_s)
        maintenance = MaintenanceWatch(
            api,
            self.sinks.take_event,
            poll_s=control.poll_s,
            is_busy=lambda: published.maintaining.is_active,
        )
        if self.metrics is not None:
            found.append(self.metrics.run())
        return [*found, events.run(), maintenance.run()]

    def _provider_events(self, api: ElastiCacheApi, poll_s: float) -> ProviderEvents:
        """Return what polls them; those of a run that goes on may be told late, too."""
        past, emit = self._past, self.sinks.take_event
        if past is None:
            since_unix_ns = self.clock.wall_ns
            return ProviderEvents(api, emit, since_unix_ns=since_unix_ns, poll_s=poll_s)
        told = (each.event for each in past.events)
        return ProviderEvents(
            api,
            emit,
            since_unix_ns=self.clock.to_wall(past.begun_ns),
            poll_s=poll_s,
            until_unix_ns=self._since_unix_ns,
            known=[event for event in told if isinstance(event, ProviderTold)],
        )

    @property
    def _since_unix_ns(self) -> int:
        """Return since when the provider's metrics are not known yet."""
        if self._past is None:
            return self.clock.wall_ns
        return self.clock.to_wall(self._past.before.until_ns)

    def _on_lost(self, lane: str, shard: str, lost: int) -> None:
        self.published.metrics.add("lost_writes_total", lane, shard, by=lost)

    def _on_topology(self, topology: Topology) -> None:
        self.reach.hear(topology)

    async def _on_gone_over(self, target: Target) -> None:
        """Have the logins of another cluster looked after: it has none of IAM."""
        if self.iam is not None:
            self.iam.is_over = True
        await self.credentials.follow(target)

    def _on_credentials(self, told: LoginRenewed | CertificatesRefused) -> None:
        self.credentials.heard(told)

    def _on_woken(self, lanes: Sequence[str]) -> None:
        """Note that lanes which the cluster did not serve have begun."""
        for lane in lanes:
            self.sinks.take_event(LaneWoken(mono_now_ns(), lane))
