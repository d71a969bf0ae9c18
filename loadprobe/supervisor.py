"""One run: starts the probes, judges what they send, writes it down, ends in order.

Data flows one way: snapshots -> aggregate -> run folder, live view and metrics. The
controller runs beside it and only adds events. Whatever ends the run, what was measured
until then is judged and written.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.status import Status

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns, read_clock_pair
from loadprobe.config import Config
from loadprobe.control.api import ElastiCacheApi, open_api
from loadprobe.control.failover import fail_over
from loadprobe.control.provider_events import ProviderEvents
from loadprobe.control.topology_watch import TopologyWatch
from loadprobe.core.aggregate import Sealed
from loadprobe.core.columns import Scope
from loadprobe.core.events import Event
from loadprobe.errors import LoadprobeError, PreflightError, RunError, UsageError
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
from loadprobe.outputs.terminal import LiveState, LiveView, make_console
from loadprobe.preflight import preflight
from loadprobe.probe.messages import Snapshot
from loadprobe.telemetry import Telemetry

_REFRESH_S = 0.25
_AFTER_FAILOVER_S = 5.0
_FAILOVER_DEADLINE_S = 1800.0
_POLL_LOCAL_S = 0.5
_POLL_AWS_S = 10.0

EXIT_SLO = 3
EXIT_INTERRUPTED = 130

logger = logging.getLogger(__name__)

_ErrorT = TypeVar("_ErrorT", bound=Exception)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line adds to a configuration.

    Args:
        duration_s: length of the load; None is until a signal, or until a failover
            that was asked for has settled.
        failover: shard to fail over, or None to change nothing.
        failover_after_s: load before the failover.
    """

    duration_s: float | None = None
    failover: str | None = None
    failover_after_s: float = 5.0


async def run_load(
    config: Config, options: RunOptions, *, console: Console | None = None
) -> int:
    """Check everything, run, report; return the exit code.

    Raises:
        UsageError: nothing was started, and why.
        RunError: the run ended early; what was measured is in the run folder.
    """
    if options.failover is not None and config.control is None:
        raise UsageError(
            f"--failover {options.failover} needs to know the replication group: "
            "add [control] replication_group to the configuration"
        )
    async for check in preflight(config):
        if not check.passed:
            raise PreflightError(f"{check.name}: {check.detail}")
    return await Run(config, options, console or make_console()).run()


class Run:
    """One run of a configuration (see the module).

    Args:
        config: what to measure and how.
        options: what the command line adds.
        console: where the live view and the report go.
    """

    def __init__(self, config: Config, options: RunOptions, console: Console) -> None:
        self._config = config
        self._options = options
        self._console = console
        self._clock = read_clock_pair()
        self._measurement = Measurement(
            config,
            emit=self._emit,
            on_snapshot=self._on_snapshot,
            on_prefill=self._on_prefill,
        )
        self._aggregate = self._measurement.aggregate
        self._live_state = LiveState(
            run=config.name,
            target=f"{config.target.host}:{config.target.port}",
            started_ns=0,
            planned_s=options.duration_s,
        )
        self._metrics = RunMetrics(
            config.target.host, aggregate=self._aggregate, clock=self._clock
        )
        self._metrics.set(
            "run_info", config.name, options.failover or "", "", "", value=1
        )
        self._telemetry = Telemetry(self._aggregate, self._live_state, self._metrics)
        self._counter = OutageCounter(
            self._aggregate,
            self._metrics,
            quiet_ns=config.probe.quiet_ms * NS_PER_MS,
        )
        self._info: RunInfo | None = None
        self._stop = asyncio.Event()
        self._is_ready = False
        self._signals = 0
        self._folder: RunFolder | None = None
        self._view: LiveView | None = None
        self._watch: TopologyWatch | None = None
        self._status: Status | None = None
        self._companion_problems: list[str] = []

    # --- order of events -----------------------------------------------------------

    async def run(self) -> int:
        """Run and report; return the exit code."""
        with self._signals_caught():
            async with AsyncExitStack() as stack:
                return await self._run(stack)

    async def _run(self, stack: AsyncExitStack) -> int:
        preparing = asyncio.create_task(self._prepare(stack))
        await self._unless_stopped(preparing)
        if self._stop.is_set():
            return self._stopped_early()
        api = await preparing
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
                beside = [
                    group.create_task(self._beside(coroutine))
                    for coroutine in self._companions(api)
                ]
                with self._viewing():
                    await self._measure()
                    self._is_ready = False
                    await self._measurement.end(probing, meanwhile=self._look)
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

    async def _prepare(self, stack: AsyncExitStack) -> ElastiCacheApi | None:
        """Open what is needed beside the probes; return the API, if there is one."""
        api = await self._open_api(stack)
        address = self._config.http.address
        if address is not None:
            server = await start_http(
                address,
                render=make_renderer(self._metrics),
                not_ready=lambda: None if self._is_ready else "probes are not ready",
            )
            stack.push_async_callback(server.stop)
        return api

    async def _unless_stopped(self, task: asyncio.Task[object]) -> None:
        """Wait until a task has ended; end it if told to stop meanwhile."""
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            task.cancel()
            await asyncio.wait({task})
        if self._stop.is_set() and not task.cancelled():
            task.exception()  # of no interest any more

    def _stopped_early(self) -> int:
        """Say that there is nothing to report; return the exit code."""
        self._console.print("stopped before the load began; nothing was measured")
        return 0

    async def _open_api(self, stack: AsyncExitStack) -> ElastiCacheApi | None:
        """Open the API before anything is measured: it stalls this process."""
        if self._config.control is None:
            return None
        api = await stack.enter_async_context(open_api(self._config.control))
        await api.describe_group()
        return api

    async def _wait_until_ready(self) -> bool:
        """Wait until every probe is connected and prefilled; False if told to stop."""
        with self._console.status("connecting") as status:
            self._status = status
            await self._unless_stopped(
                asyncio.create_task(self._measurement.wait_until_ready())
            )
        self._status = None
        return not self._stop.is_set()

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
        self._view = LiveView(self._console, clock=self._clock)

    @contextmanager
    def _viewing(self) -> Iterator[None]:
        assert self._view is not None
        with self._view:
            yield

    def _begin(self) -> int:
        start_ns = self._measurement.begin()
        self._live_state.started_ns = start_ns
        self._is_ready = True
        assert self._folder is not None
        self._info = describe_run(
            self._config,
            start=moment(self._clock, start_ns),
            scenario="failover" if self._options.failover else None,
        )
        self._folder.write_document(RUN, self._info)
        self._emit(Event(start_ns, "run", "started", {"name": self._config.name}))
        return start_ns

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

    def _companions(
        self, api: ElastiCacheApi | None
    ) -> list[Coroutine[None, None, None]]:
        """Return what goes on beside the measuring."""
        target = self._config.target
        # The lane that will live longest: TLS ports outlive plaintext ones.
        tls = any(lane.tls for lane in self._config.lanes)
        self._watch = TopologyWatch(target, self._emit, tls=tls)
        companions = [self._watch.run()]
        if api is not None:
            events = ProviderEvents(
                api,
                self._emit,
                since_unix_ns=self._clock.wall_ns,
                poll_s=self._poll_s,
            )
            companions.append(events.run())
            if self._options.failover is not None:
                companions.append(self._fail_over(api, self._options.failover))
        return companions

    @property
    def _poll_s(self) -> float:
        control = self._config.control
        is_local = control is not None and control.endpoint_url is not None
        return _POLL_LOCAL_S if is_local else _POLL_AWS_S

    async def _measure(self) -> None:
        """Judge and show what comes in until the run is to end."""
        started_ns = self._live_state.started_ns
        duration_s = self._options.duration_s
        end_ns = started_ns + int(duration_s * NS_PER_S) if duration_s else None
        while not self._stop.is_set():
            now_ns = mono_now_ns()
            if end_ns is not None and now_ns >= end_ns:
                return
            self._look()
            try:
                async with asyncio.timeout(_REFRESH_S):
                    await self._stop.wait()
            except TimeoutError:
                continue

    async def _fail_over(self, api: ElastiCacheApi, shard: str) -> None:
        """Fail a shard over after the baseline; the load goes on if that fails."""
        assert self._watch is not None
        await asyncio.sleep(self._options.failover_after_s)
        try:
            await fail_over(
                api,
                shard,
                emit=self._emit,
                topology=self._watch,
                deadline_s=_FAILOVER_DEADLINE_S,
                poll_s=self._poll_s,
            )
        finally:
            if self._options.duration_s is None:
                asyncio.get_running_loop().call_later(_AFTER_FAILOVER_S, self._stop.set)

    def _look(self) -> None:
        """Judge what has come in, write it down and show it."""
        now_ns = mono_now_ns()
        self._take(self._measurement.seal())
        assert self._watch is not None
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

    # --- the journal -----------------------------------------------------------------

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        self._telemetry.add_snapshot(snapshot)

    def _emit(self, event: Event) -> None:
        """Put an event into the journal, and show it."""
        self._metrics.take_event(event)
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
            topology_end=plain_topology(self._watch.current if self._watch else None),
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
        if not all(check.is_met for check in verdict.summary.slo):
            return EXIT_SLO
        return 0

    # --- signals ---------------------------------------------------------------------

    @contextmanager
    def _signals_caught(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        """End in order at the first signal, at once at the second."""
        self._signals += 1
        if self._signals > 1:
            self._measurement.kill()
            os._exit(EXIT_INTERRUPTED)
        self._stop.set()


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
