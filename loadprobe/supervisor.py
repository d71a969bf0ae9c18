"""One run: starts the probes, judges what they send, writes it down, ends in order.

Data flows one way: snapshots -> aggregate -> run folder, live view and metrics. The
controller runs beside it and only adds events. Whatever ends the run, what was measured
until then is judged and written.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.status import Status

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns, read_clock_pair
from loadprobe.config import Config, with_endpoint
from loadprobe.control.api import ElastiCacheApi
from loadprobe.control.provider_events import ProviderEvents
from loadprobe.control.scenario import run_scenario
from loadprobe.control.scenario_file import Scenario
from loadprobe.control.steps import rounds, turn_of
from loadprobe.control.topology_watch import TopologyWatch
from loadprobe.core.aggregate import Sealed
from loadprobe.core.columns import Scope
from loadprobe.core.events import Event
from loadprobe.core.steps import ScenarioRecord, ScenarioState
from loadprobe.core.summary import Summary
from loadprobe.errors import LoadprobeError, RunError
from loadprobe.judging import OutageCounter, judge
from loadprobe.measurement import Measurement, Prefilled
from loadprobe.outputs.documents import (
    OUTAGES,
    RUN,
    SUMMARY,
    RunInfo,
    describe_run,
    moment,
    plain_topology,
)
from loadprobe.outputs.http import start_http
from loadprobe.outputs.prometheus import make_renderer
from loadprobe.outputs.report import render_text
from loadprobe.outputs.run_folder import RunFolder
from loadprobe.outputs.run_metrics import RunMetrics
from loadprobe.outputs.run_reader import load_run
from loadprobe.outputs.terminal import LiveState, LiveView
from loadprobe.probe.messages import Snapshot
from loadprobe.steering import Steering
from loadprobe.stopping import Stopping
from loadprobe.telemetry import Telemetry

_REFRESH_S = 0.25

EXIT_SLO = 3
STOPPED_EARLY = "stopped before the load began; nothing was measured"

logger = logging.getLogger(__name__)

_ErrorT = TypeVar("_ErrorT", bound=Exception)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What is going to be run; see ``launch``.

    Args:
        config: what to measure and how; the endpoint is known.
        duration_s: least length of the load; None is until a signal, or until the
            scenario is over.
        scenario: what to change meanwhile, or None to change nothing.
        dormant: names of lanes that the cluster does not serve yet.
    """

    config: Config
    duration_s: float | None = None
    scenario: Scenario | None = None
    dormant: frozenset[str] = frozenset()


class Run:
    """One run of a configuration (see the module).

    Args:
        plan: what to run.
        api: the open API of the replication group, if there is one.
        console: where the live view and the report go.
        stopping: whether we were told to end.
    """

    def __init__(
        self,
        plan: RunPlan,
        api: ElastiCacheApi | None,
        console: Console,
        stopping: Stopping,
    ) -> None:
        config = plan.config
        self._plan = plan
        self._config = config
        self._api = api
        self._console = console
        self._stopping = stopping
        self._clock = read_clock_pair()
        self._measurement = Measurement(
            config,
            dormant=plan.dormant,
            emit=self._emit,
            on_snapshot=self._on_snapshot,
            on_prefill=self._on_prefill,
        )
        self._aggregate = self._measurement.aggregate
        stopping.before_exit = self._measurement.kill
        # The lane that will live longest: TLS ports outlive plaintext ones.
        awake = [lane for lane in config.lanes if lane.name not in plan.dormant]
        self._watch = TopologyWatch(
            config.target,
            self._emit,
            tls=any(lane.tls for lane in awake),
            names=self._measurement.names,
        )
        self._steering = Steering(
            config,
            self._measurement,
            self._watch,
            on_endpoint=self._on_endpoint,
            on_woken=self._on_woken,
        )
        self._live_state = LiveState(
            run=config.name,
            target=self._where,
            started_ns=0,
            planned_s=plan.duration_s,
        )
        self._metrics = RunMetrics(
            config.target.host or self._group_id,
            aggregate=self._aggregate,
            clock=self._clock,
        )
        self._metrics.set("run_info", config.name, self._name, "", "", value=1)
        self._telemetry = Telemetry(self._aggregate, self._live_state, self._metrics)
        self._counter = OutageCounter(
            self._aggregate,
            self._metrics,
            quiet_ns=config.probe.quiet_ms * NS_PER_MS,
            planned=self._steering.planned,
        )
        self._info: RunInfo | None = None
        self._is_ready = False
        has_steps = plan.scenario is not None and bool(plan.scenario.steps)
        self._is_over = not has_steps
        self._is_concluded = False
        self._record: ScenarioRecord | None = None
        self._folder: RunFolder | None = None
        self._view: LiveView | None = None
        self._status: Status | None = None
        self._companion_problems: list[str] = []

    @property
    def _name(self) -> str:
        """Name of the scenario, or ""."""
        return self._plan.scenario.name if self._plan.scenario is not None else ""

    @property
    def _group_id(self) -> str:
        """Replication group, or ""."""
        control = self._config.control
        return control.replication_group if control is not None else ""

    @property
    def _where(self) -> str:
        """The target for people."""
        target = self._config.target
        if target.host:
            return f"{target.host}:{target.port}"
        return f"{self._group_id} (not there yet)"

    # --- order of events -----------------------------------------------------------

    async def run(self) -> int:
        """Run and report; return the exit code."""
        async with AsyncExitStack() as stack:
            return await self._run(stack)

    async def _run(self, stack: AsyncExitStack) -> int:
        await self._serve_http(stack)
        problem: LoadprobeError | None = None
        begun_ns: int | None = None
        try:
            async with asyncio.TaskGroup() as group:
                probing = self._measurement.spawn(group)
                if not await self._wait_until_ready():
                    for task in probing:  # ends its process, also a starting one
                        task.cancel()
                    return self._stopped_early()
                self._open_folder()
                begun_ns = self._begin()
                changing = group.create_task(self._beside(self._carry_out()))
                beside = [
                    group.create_task(self._beside(coroutine))
                    for coroutine in self._watching()
                ]
                with self._viewing():
                    await self._measure()
                    self._is_ready = False
                    changing.cancel()  # nothing is changed without being measured
                    await self._measurement.end(
                        probing, meanwhile=self._look, closed=self._steering.closed
                    )
                for task in beside:
                    task.cancel()
        except* LoadprobeError as group_error:
            problem = _first_error(group_error)
        except* asyncio.CancelledError:
            problem = problem or RunError("the run was cancelled")
        except* Exception as group_error:
            # What was measured is worth more than a clean traceback.
            if begun_ns is None:
                raise
            problem = problem or _defect("the run", _first_error(group_error))
        if begun_ns is None:
            assert problem is not None
            raise problem
        return self._conclude(problem)

    async def _serve_http(self, stack: AsyncExitStack) -> None:
        address = self._config.http.address
        if address is not None:
            server = await start_http(
                address,
                render=make_renderer(self._metrics),
                not_ready=lambda: None if self._is_ready else "probes are not ready",
            )
            stack.push_async_callback(server.stop)

    def _stopped_early(self) -> int:
        """Say that there is nothing to report; return the exit code."""
        self._console.print(STOPPED_EARLY)
        return 0

    async def _wait_until_ready(self) -> bool:
        """Wait until every probe is connected and prefilled; False if told to stop."""
        with self._console.status("connecting") as status:
            self._status = status
            await self._stopping.unless_set(self._measurement.wait_until_ready())
        self._status = None
        return not self._stopping.is_set

    def _on_prefill(self, prefilled: Prefilled) -> None:
        text = (
            f"prefill: {prefilled.done:,} of {prefilled.total:,} keys checked, "
            f"{prefilled.written:,} written"
        )
        if self._status is not None:
            self._status.update(text)

    def _open_folder(self) -> None:
        self._folder = RunFolder.create(
            Path(self._config.output.dir), self._config.name, clock=self._clock
        )
        scenario = self._plan.scenario
        steps = (
            [turn_of(step, n).name for n, step in rounds(scenario)] if scenario else ()
        )
        self._view = LiveView(self._console, clock=self._clock, steps=steps)

    @contextmanager
    def _viewing(self) -> Iterator[None]:
        assert self._view is not None
        with self._view:
            yield

    def _begin(self) -> int:
        start_ns = self._measurement.begin()
        self._live_state.started_ns = start_ns
        self._is_ready = True
        self._describe(start_ns)
        self._emit(Event(start_ns, "run", "started", {"name": self._config.name}))
        return start_ns

    def _describe(self, start_ns: int) -> None:
        """Write down what is run, and against which target."""
        assert self._folder is not None
        info = describe_run(
            self._config,
            start=moment(self._clock, start_ns),
            scenario=self._name or None,
        )
        self._info = msgspec.structs.replace(info, target=self._where)
        self._folder.write_document(RUN, self._info)

    async def _beside(self, companion: Coroutine[None, None, None]) -> None:
        """Run what goes on beside the measuring; its failure is noted, no more."""
        try:
            await companion
        except LoadprobeError as exc:
            problem = exc
        except Exception as exc:  # noqa: BLE001 - it is told, and is not the load
            problem = _defect("what runs beside the load", exc)
        else:
            return
        self._companion_problems.append(str(problem))
        self._emit(Event(mono_now_ns(), "run", "problem", {"text": str(problem)}))

    def _watching(self) -> list[Coroutine[None, None, None]]:
        """Return what is watched beside the measuring."""
        watching = [self._watch.run()]
        if self._api is not None:
            assert self._config.control is not None, "the API is open"
            events = ProviderEvents(
                self._api,
                self._emit,
                since_unix_ns=self._clock.wall_ns,
                poll_s=self._config.control.poll_s,
            )
            watching.append(events.run())
        return watching

    async def _measure(self) -> None:
        """Judge and show what comes in until the run is to end."""
        started_ns = self._live_state.started_ns
        duration_s = self._plan.duration_s
        end_ns = started_ns + int(duration_s * NS_PER_S) if duration_s else None
        while not self._stopping.is_set:
            now_ns = mono_now_ns()
            # Without a length the scenario's end is that of the run, or a signal.
            is_long = now_ns >= end_ns if end_ns is not None else self._is_concluded
            if is_long and self._is_over:
                return
            self._look()
            try:
                async with asyncio.timeout(_REFRESH_S):
                    await self._stopping.event.wait()
            except TimeoutError:
                continue

    async def _carry_out(self) -> None:
        """Carry the scenario out; the load goes on whatever becomes of it."""
        scenario = self._plan.scenario
        if self._api is None or scenario is None:
            return
        assert self._config.control is not None, "the API is open"
        self._steering.begin()
        try:
            await run_scenario(
                scenario,
                api=self._api,
                topology=self._watch,
                lanes=self._steering,
                load=self._steering,
                emit=self._emit,
                poll_s=self._config.control.poll_s,
                config=self._config,
                on_record=self._take_record,
            )
        finally:
            self._is_over = self._is_concluded = True

    def _take_record(self, record: ScenarioRecord) -> None:
        self._record = record

    def _look(self) -> None:
        """Judge what has come in, write it down and show it."""
        now_ns = mono_now_ns()
        self._take(self._measurement.seal())
        self._telemetry.show_topology(self._watch.current)
        self._telemetry.refresh(now_ns)
        assert self._view is not None
        assert self._folder is not None
        self._live_state.problems = self._folder.problems
        self._view.refresh(self._live_state, now_ns)

    def _take(self, sealed: Sealed) -> None:
        """Write down and show what became certain."""
        assert self._folder is not None
        assert self._view is not None
        self._folder.add_sealed(sealed)
        self._telemetry.add_sealed(sealed)
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
            )
        self._counter.add(sealed.closed)
        self._counter.count(sealed.until_ns)

    def _on_endpoint(self, host: str, port: int) -> None:
        """Note where the load goes, if there was nowhere to go until now."""
        if self._config.target.host:
            return
        self._config = with_endpoint(self._config, host, port, None)
        self._live_state.target = self._where
        self._metrics.cluster = host
        self._describe(self._live_state.started_ns)

    def _on_woken(self, lanes: Sequence[str]) -> None:
        """Note that lanes which the cluster did not serve have begun."""
        for lane in lanes:
            self._emit(Event(mono_now_ns(), "run", "lane_woken", {"lane": lane}))

    # --- the journal -----------------------------------------------------------------

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        self._telemetry.add_snapshot(snapshot)

    def _emit(self, event: Event) -> None:
        """Put an event into the journal, and show it."""
        self._metrics.take_event(event)
        self._telemetry.take_event(event)
        if self._folder is not None:
            self._folder.add_events([event])
        if self._view is not None:
            self._view.note_event(event)

    # --- the end ---------------------------------------------------------------------

    def _conclude(self, problem: LoadprobeError | None) -> int:
        """Judge the rest, write everything, show the report; return the exit code."""
        end_ns = self._measurement.end_ns or mono_now_ns()
        results = self._aggregate.finish(end_ns)
        self._take(results.last)
        self._counter.count(None)
        verdict = judge(
            results,
            config=self._config,
            clock=self._clock,
            telemetry=self._telemetry,
            lost_writes=self._measurement.lost_writes,
            planned=self._steering.planned(end_ns),
            scenario=self._record,
            expect=self._plan.scenario.expect if self._plan.scenario else None,
        )
        assert self._folder is not None
        self._emit(Event(end_ns, "run", "ended", {"state": verdict.summary.state}))
        problems = list(self._companion_problems)
        if problem is not None:
            problems.insert(0, str(problem))
        assert self._info is not None
        info = msgspec.structs.replace(
            self._info,
            end=moment(self._clock, end_ns),
            topology_end=plain_topology(self._watch.current),
            problems=(*problems, *self._folder.problems),
        )
        self._folder.write_document(RUN, info)
        self._folder.write_document(SUMMARY, verdict.summary)
        self._folder.write_document(OUTAGES, verdict.outages)
        path = self._folder.close()
        self._console.print(render_text(load_run(path)))
        for text in (*problems, *self._folder.problems):
            self._console.print(f"PROBLEM  {text}", markup=False, highlight=False)
        if problem is not None:
            return problem.exit_code
        if problems or self._folder.problems:
            return RunError.exit_code
        return _exit_code(verdict.summary)


def _exit_code(summary: Summary) -> int:
    """Return what a run that came to its end says by its exit code."""
    scenario = summary.scenario
    if scenario is not None:
        if scenario.state in (ScenarioState.FAILED, ScenarioState.ABORTED):
            return RunError.exit_code
        if scenario.state is ScenarioState.COMPLETED and not all(
            expectation.is_met for expectation in scenario.expectations
        ):
            return EXIT_SLO
    return 0 if all(check.is_met for check in summary.slo) else EXIT_SLO


def _scope_text(scope: Scope) -> str:
    return f"{scope.lane} {scope.shard} {scope.op.label}"


def _defect(what: str, error: Exception) -> RunError:
    """Return a problem to report for an error that nothing expects, and log it."""
    logger.error("unexpected_error", exc_info=error, extra={"lp_in": what})
    return RunError(
        f"{what} met an error it has no name for; this is a defect of loadprobe, "
        f"please report it: {type(error).__name__}: {error}"
    )


def _first_error(group: BaseExceptionGroup[_ErrorT]) -> _ErrorT:
    first = group.exceptions[0]
    if isinstance(first, BaseExceptionGroup):
        return _first_error(first)
    return first
