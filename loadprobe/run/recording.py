"""What a run writes down and shows: journal, run folder, live view, metrics, report.

Everything that leaves a run goes through here; nothing is decided here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console

from loadprobe.clock import NS_PER_MS, ClockPair
from loadprobe.core.events import Event
from loadprobe.core.judging.aggregate import Aggregate, Results, Sealed
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.ms_log import MsLog, MsWindow
from loadprobe.core.judging.ms_samples import MsSamples, PlanCutter
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.topology.topology import Topology
from loadprobe.core.verdict.beside import Planned, planned_places
from loadprobe.core.verdict.summary import Summary
from loadprobe.outputs.folder.documents import (
    OUTAGES,
    RUN,
    SUMMARY,
    RunInfo,
    describe_run,
    moment,
    plain_topology,
)
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.reader import load_run
from loadprobe.outputs.http.run_view import RunView
from loadprobe.outputs.live.terminal import LiveState, LiveView
from loadprobe.outputs.metrics.run_metrics import RunMetrics
from loadprobe.outputs.remote_write.sender import RemoteWriter
from loadprobe.outputs.report.report import render_text
from loadprobe.probe.messages import Snapshot
from loadprobe.run.causes import OutageCounter, judge
from loadprobe.run.health import Telemetry
from loadprobe.run.plan import RunPlan


class Account:
    """The account that a run gives of itself.

    Args:
        plan: what is run.
        aggregate: the judged arrivals.
        console: where the live view and the report go.
        clock: to show monotonic times as wall times.
        planned: returns the darkness that was planned so far, up to a time or now.
    """

    def __init__(
        self,
        plan: RunPlan,
        aggregate: Aggregate,
        console: Console,
        clock: ClockPair,
        *,
        planned: Callable[[int | None], Sequence[Planned]],
    ) -> None:
        config = plan.config
        self._plan = plan
        self._console = console
        self._clock = clock
        self._planned = planned
        self._live_state = LiveState(
            run=config.name,
            target=plan.where,
            started_ns=0,
            planned_s=plan.duration_s,
        )
        self.ms_log = MsLog()
        self.ms_window = MsWindow(self.ms_log)
        self.metrics = RunMetrics(
            config.target.host or plan.group_id,
            aggregate=aggregate,
            clock=clock,
            window=self.ms_window,
            planned=lambda: planned(None),
        )
        self._writer = self._make_writer()
        self._show_run(None, "")
        self._telemetry = Telemetry(aggregate, self._live_state, self.metrics)
        self._counter = OutageCounter(
            aggregate,
            self.metrics,
            quiet_ns=config.probe.quiet_ms * NS_PER_MS,
            planned=lambda: planned(None),
        )
        self.view = RunView(
            self._live_state,
            aggregate,
            clock,
            scenario=plan.scenario_name or None,
            outages=self._counter.so_far,
            emit=self.emit,
            quiet_ns=config.probe.quiet_ms * NS_PER_MS,
            planned=lambda: planned(None),
        )
        self.view.stale_reads = lambda: self._telemetry.stale_reads
        self._aggregate = aggregate
        self._plan_cutter = PlanCutter()
        self._info: RunInfo | None = None
        self._topology_start: Topology | None = None
        self._folder: RunFolder | None = None
        self._view: LiveView | None = None

    # --- while it runs ---------------------------------------------------------------

    def open(self) -> None:
        """Make the run folder and the live view."""
        config = self._plan.config
        self._folder = RunFolder.create(
            Path(config.output.dir), config.name, clock=self._clock
        )
        steps = self._plan.step_names
        self._view = LiveView(self._console, clock=self._clock, steps=steps)

    def begin(self, start_ns: int) -> None:
        """Write down that the load has begun, and what is run."""
        self._live_state.started_ns = start_ns
        self.view.state = "running"
        self._describe()
        self.emit(Event(start_ns, "run", "started", {"name": self._plan.config.name}))

    @contextmanager
    def viewing(self) -> Iterator[None]:
        """Show the live view for the life of the block."""
        assert self._view is not None
        with self._view:
            yield

    def found_endpoint(self, host: str, port: int) -> None:
        """Note where the load goes, if there was nowhere to go until now."""
        if self._plan.config.target.host:
            return
        self._plan = self._plan.at_endpoint(host, port)
        self._live_state.target = self._plan.where
        self.metrics.cluster = host
        self._describe()

    def emit(self, event: Event) -> None:
        """Put an event into the journal, and show it."""
        self.metrics.take_event(event)
        self.view.take_event(event)
        self._telemetry.take_event(event)
        if self._folder is not None:
            self._folder.add_events([event])
        if self._view is not None:
            self._view.note_event(event)

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Take the health part of a snapshot."""
        self._telemetry.add_snapshot(snapshot)

    def take(self, sealed: Sealed) -> None:
        """Write down and show what became certain."""
        assert self._folder is not None
        assert self._view is not None
        self._folder.add_sealed(sealed)
        self._telemetry.add_sealed(sealed)
        sealed_ms = sealed.until_ns // NS_PER_MS
        self.ms_log.add(
            [*sealed.samples, *self._plan_samples(sealed.until_ns)], until_ms=sealed_ms
        )
        self.ms_window.advance(sealed_ms)
        if self._writer is not None:
            self._writer.advance(sealed_ms)
        self.view.take(sealed)
        for outage in sealed.opened:
            self._view.note_outage_opened(
                _scope_text(outage.scope), start_ns=outage.start_ns
            )
        for outage in sealed.closed:
            self._view.note_outage_closed(
                _scope_text(outage.scope),
                end_ns=outage.end_ns,
                duration_ns=outage.duration_ns,
                lower_ns=outage.lower_ns,
                upper_ns=outage.upper_ns,
                unseen_ns=outage.unseen_ns,
            )
        self._counter.add(sealed.closed)
        self._counter.count(sealed.until_ns)

    def _plan_samples(self, until_ns: int) -> list[MsSamples]:
        places = (scope[:2] for scope in self._aggregate.scope_totals)
        spans = planned_places(self._planned(None), places)
        return self._plan_cutter.cut(spans, until_ns=until_ns)

    def refresh(
        self, topology: Topology | None, now_ns: int, *, engine: str = ""
    ) -> None:
        """Show how it goes."""
        assert self._view is not None
        assert self._folder is not None
        self._telemetry.show_topology(topology)
        if topology is not None and self._topology_start is None:
            self._topology_start = topology
            self._describe()
        self._show_run(topology, engine)
        self.view.topology = topology
        self._telemetry.refresh(now_ns)
        by_plan = self.view.dark_by_plan()
        for lane in self._live_state.lanes:
            lane.by_plan = {shard for name, shard in by_plan if name == lane.name}
        problem = self._writer.problem if self._writer is not None else None
        self._live_state.problems = [
            *self._folder.problems,
            *([problem] if problem else []),
        ]
        verdict = self.view.verdict()
        if verdict.arrivals:
            self._live_state.verdict = verdict.state
            self._live_state.headline = verdict.headline
        self._view.refresh(self._live_state, now_ns)

    async def send_samples(self) -> None:
        """Send single milliseconds to the receiver of remote write, until cancelled."""
        if self._writer is not None:
            await self._writer.run()

    async def flush_samples(self) -> None:
        """Send the last of them, once all is concluded; takes a few seconds at most."""
        if self._writer is not None:
            await self._writer.flush()

    def _make_writer(self) -> RemoteWriter | None:
        remote = self._plan.config.remote_write
        if remote is None:
            return None
        return RemoteWriter(
            remote,
            self.ms_log,
            clock=self._clock,
            cluster=lambda: self.metrics.cluster,
            metrics=self.metrics,
        )

    def _show_run(self, topology: Topology | None, engine: str) -> None:
        shards = "" if topology is None else str(len(topology.shards))
        run = self._plan.config.name, self._plan.scenario_name, shards, engine
        self.metrics.replace("run_info", {run: 1})

    def _describe(self) -> None:
        """Write down what is run, and against which target."""
        assert self._folder is not None
        info = describe_run(
            self._plan.config,
            start=moment(self._clock, self._live_state.started_ns),
            scenario=self._plan.scenario_name or None,
        )
        self._info = msgspec.structs.replace(
            info,
            target=self._plan.where,
            topology_start=plain_topology(self._topology_start),
        )
        self._folder.write_document(RUN, self._info)

    # --- the end ---------------------------------------------------------------------

    def conclude(
        self,
        results: Results,
        *,
        record: ScenarioRecord | None,
        lost_writes: int | None,
        topology: Topology | None,
        clock_offset_ns: int | None,
        problems: Sequence[str],
        complete_until_ns: int | None = None,
    ) -> tuple[Summary, list[str]]:
        """Judge, write everything, show the report.

        Args:
            results: all judged arrivals.
            record: how the scenario went, if there was one.
            lost_writes: acknowledged writes that are gone; None if not all were read.
            topology: as last seen.
            clock_offset_ns: the provider's clock minus ours, if it was seen.
            problems: what went wrong in the run itself.
            complete_until_ns: if the run was ended hard: everything due before was
                judged.

        Returns:
            The summary, and the problems with those of the files.
        """
        assert self._folder is not None
        assert self._info is not None
        end_ns, scenario = results.end_ns, self._plan.scenario
        self.take(results.last)
        self._counter.count(None)
        verdict = judge(
            results,
            config=self._plan.config,
            clock=self._clock,
            telemetry=self._telemetry,
            lost_writes=lost_writes,
            planned=self._planned(end_ns),
            scenario=record,
            expect=scenario.expect if scenario is not None else None,
            problems=len(problems) + len(self._folder.problems),
        )
        summary = verdict.summary
        if complete_until_ns is not None:
            summary = msgspec.structs.replace(
                summary,
                ended_hard=True,
                complete_until_unix_ns=self._clock.to_wall(complete_until_ns),
            )
        self.emit(Event(end_ns, "run", "ended", {"state": summary.state}))
        info = msgspec.structs.replace(
            self._info,
            end=moment(self._clock, end_ns),
            clock_offset_ms=(
                None if clock_offset_ns is None else clock_offset_ns / NS_PER_MS
            ),
            topology_end=plain_topology(topology),
            problems=(*problems, *self._folder.problems),
        )
        self._folder.write_document(RUN, info)
        self._folder.write_document(SUMMARY, summary)
        self._folder.write_document(OUTAGES, verdict.outages)
        path = self._folder.close()
        self._console.print(render_text(load_run(path)))
        found = [*problems, *self._folder.problems]
        for text in found:
            self._console.print(f"PROBLEM  {text}", markup=False, highlight=False)
        return summary, found


def _scope_text(scope: Scope) -> str:
    return f"{scope.lane} {scope.shard} {scope.op.label}"
