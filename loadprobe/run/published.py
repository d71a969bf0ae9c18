"""What a run shows of itself from its first moment on: metrics, and answers by HTTP."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from loadprobe.clock import NS_PER_MS, ClockPair
from loadprobe.config.keys import Http
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.core.judging.activity import Activity
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.latency import P99Log
from loadprobe.core.judging.ms_log import MsLog, MsWindow
from loadprobe.core.judging.ms_samples import MsSamples, PlanCutter
from loadprobe.core.topology.topology import Topology
from loadprobe.core.verdict.beside import Planned, planned_places
from loadprobe.outputs.http.reload import Reload
from loadprobe.outputs.http.run_view import RunView
from loadprobe.outputs.http.server import HttpServer, start_http
from loadprobe.outputs.live.terminal import LiveState
from loadprobe.outputs.metrics.collector import CatalogueCollector
from loadprobe.outputs.metrics.ms_page import make_ms_renderer
from loadprobe.outputs.metrics.page import make_registry, make_renderer
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.outputs.page.page import render_live_page
from loadprobe.outputs.remote_write.sender import RemoteWriter
from loadprobe.run.budgeting import Budgeting
from loadprobe.run.causes import OutageCounter
from loadprobe.run.going_on import Past
from loadprobe.run.health import Health
from loadprobe.run.health_metrics import HealthMetrics
from loadprobe.run.live_figures import LiveFigures
from loadprobe.run.maintaining import Maintaining
from loadprobe.run.plan import RunPlan
from loadprobe.run.samples import Samples
from loadprobe.run.showing import Showing
from loadprobe.run.sinks import Sinks
from loadprobe.run.telling import Telling


class Published:
    """The metrics of a run, its answers to the API, and what both are made from.

    Args:
        plan: what is run.
        aggregate: the judged arrivals.
        clock: to show monotonic times as wall times.
        sinks: are told what is to be journalled.
        planned: returns the darkness that was planned so far, up to a time or now.

    Attributes:
        aggregate: the judged arrivals.
        health: how the probes are doing, over the whole run.
        metrics: what a scrape reads.
        window: the single milliseconds on their page.
        samples: the single milliseconds.
        counter: outages and their causes.
        telling: who is told of incidents.
        budgeting: the error budget.
        maintaining: what others change.
        view: what the API answers.
        showing: what pages that watch are told.
        problems_of: others who tell what the operator should know now.
    """

    def __init__(
        self,
        plan: RunPlan,
        aggregate: Aggregate,
        clock: ClockPair,
        sinks: Sinks,
        *,
        planned: Callable[[int | None], Sequence[Planned]],
    ) -> None:
        config = plan.config
        quiet_ns = config.probe.quiet_ms * NS_PER_MS
        self._plan = plan
        self.problems_of: list[Callable[[], str | None]] = []
        self.aggregate = aggregate
        self._clock = clock
        log = MsLog()
        self.window = MsWindow(log)
        self.metrics = RunMetrics(
            config.target.host or plan.group_id,
            aggregate=aggregate,
            clock=clock,
            window=self.window,
            planned=lambda: planned(None),
        )
        self.samples = self._make_samples(config.remote_write, log, planned)
        self.health = Health()
        self.counter = OutageCounter(
            aggregate,
            self.metrics,
            quiet_ns=quiet_ns,
            planned=lambda: planned(None),
            blocked=lambda: self.health.blocked.spans,
        )
        self.telling = Telling(
            config,
            aggregate,
            clock,
            self.metrics,
            target=lambda: self.metrics.cluster,
            blame=self.counter.causes_of,
            planned=lambda: planned(None),
        )
        self.budgeting = Budgeting(
            config,
            aggregate,
            clock,
            self.metrics,
            planned=lambda: planned(None),
        )
        self.maintaining = Maintaining(
            config,
            aggregate,
            clock,
            self.metrics,
            emit=sinks.take_event,
            planned=lambda: planned(None),
        )
        self.view = RunView(
            LiveState(
                run=config.name,
                target=plan.where,
                started_ns=0,
                planned_s=plan.duration_s,
            ),
            aggregate,
            clock,
            scenario=plan.scenario_name or None,
            outages=self.counter.so_far,
            emit=sinks.take_event,
            quiet_ns=quiet_ns,
            planned=lambda: planned(None),
        )
        self.view.stale_reads = lambda: self.health.stale_reads
        self.view.maintenance = self.maintaining.status
        self.view.budget = lambda: self.budgeting.figures
        self.showing = Showing(
            self.view,
            clock,
            health=self.health,
            late_ns=config.probe.stall_ms * NS_PER_MS,
        )
        self._health_metrics = HealthMetrics(self.metrics)
        self._figures = LiveFigures(aggregate, self.health, self._health_metrics)
        sinks.add(
            self.health,
            self.metrics,
            self._health_metrics,
            self._figures,
            self.samples,
            self.view,
            self.counter,
            self.telling,
            self.budgeting,
            self.maintaining,
            self.showing,
        )
        self._show_run(None, "")

    def go_on(self, past: Past) -> None:
        """Go on with what was counted and told before; the aggregate has its part."""
        replay = past.replay
        if past.is_other_boot:  # their seconds are of another clock
            self.health.go_on(replay.figures, p99=P99Log(), activity=Activity())
        else:
            self.health.go_on(replay.figures, p99=replay.p99, activity=replay.activity)
        self.metrics.go_on(replay.counters, past.resumption.dark_ns)
        self.counter.go_on(past.resumption.reopened, counted_ns=past.ended_ns)
        self.budgeting.go_on()
        self.telling.go_on(event.event for event in past.events)
        for event in past.events:
            self.health.take_event(event.event)
            self.view.take_event(event.event)
        self.health.blocked.leave(past.before.until_ns)
        self.maintaining.go_on(event.event for event in past.events)

    def hand_over(self) -> None:
        """Keep what there is, for the segment that follows at once."""
        self.budgeting.conclude()
        self.budgeting.close()
        self.telling.hand_over()
        self.showing.leave_all()

    def _make_samples(
        self,
        remote: RemoteWrite | None,
        log: MsLog,
        planned: Callable[[int | None], Sequence[Planned]],
    ) -> Samples:
        """Return the single milliseconds, with those that were planned."""
        cutter = PlanCutter()

        def planned_samples(until_ns: int) -> list[MsSamples]:
            places = (scope[:2] for scope in self.aggregate.scope_totals)
            return cutter.cut(planned_places(planned(None), places), until_ns=until_ns)

        writer = None
        if remote is not None:
            writer = RemoteWriter(
                remote,
                log,
                clock=self._clock,
                cluster=lambda: self.metrics.cluster,
                metrics=self.metrics,
            )
        return Samples(log, self.window, writer, planned=planned_samples)

    async def serve(
        self,
        http: Http,
        stack: AsyncExitStack,
        *,
        not_ready: Callable[[], str | None],
        reload: Reload | None = None,
    ) -> HttpServer | None:
        """Serve metrics, answers and the live page until the stack is closed.

        Args:
            http: where, and for whom.
            stack: ends it.
            not_ready: returns why the run is not ready, None if it is.
            reload: reads the configuration again.

        Returns:
            What serves; None if nothing is to be served.

        Raises:
            PreflightError: the address cannot be used.
        """
        if http.address is None:
            return None
        self.showing.page = render_live_page(
            title=f"{self._plan.config.name} - loadprobe"
        )
        collector = CatalogueCollector(self.metrics, loop=asyncio.get_running_loop())
        server = await start_http(
            http.address,
            render=make_renderer(make_registry(collector)),
            render_ms=make_ms_renderer(
                self.window, clock=self._clock, cluster=lambda: self.metrics.cluster
            ),
            not_ready=not_ready,
            api=self.view,
            reload=reload,
            watched=self.showing,
            http=http,
        )
        self.view.problem = lambda: server.access.problem
        stack.push_async_callback(server.stop)
        return server

    def show_topology(self, topology: Topology | None, engine: str) -> None:
        """Show who serves what, as last seen."""
        self._show_run(topology, engine)
        self.view.topology = topology
        if topology is not None:
            self._health_metrics.show_topology(topology)

    def refresh(
        self, target: str, begun_ns: int, problems: Sequence[str], now_ns: int
    ) -> LiveState:
        """Show how it goes, and return it.

        Args:
            target: where the load goes.
            begun_ns: when it began.
            problems: what the operator should know now.
            now_ns: monotonic time.
        """
        verdict = self.view.verdict()
        told = [text for tell in self.problems_of if (text := tell())]
        lanes, by_plan = self._figures.lanes(), self.view.dark_by_plan()
        for lane in lanes:
            lane.by_plan = {shard for name, shard in by_plan if name == lane.name}
        self.view.live = replace(
            self.view.live,
            target=target,
            started_ns=begun_ns,
            lanes=lanes,
            observer=self._figures.observer(now_ns),
            problems=[
                *problems,
                *told,
                *self.samples.problems,
                *self.telling.problems,
                *self.budgeting.problems,
            ],
            verdict=verdict.state if verdict.arrivals else "",
            headline=verdict.headline if verdict.arrivals else "",
        )
        return self.view.live

    def _show_run(self, topology: Topology | None, engine: str) -> None:
        shards = "" if topology is None else str(len(topology.shards))
        run = self._plan.config.name, self._plan.scenario_name, shards, engine
        self.metrics.replace("run_info", {run: 1})
