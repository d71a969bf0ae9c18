"""One run: starts the probes, judges what they send, writes it down, ends in order.

Data flows one way: snapshots -> aggregate -> sinks (run folder, live view, metrics,
HTTP, remote write). The controller runs beside it and only adds events. Whatever ends
the run, what was measured until then is judged and written.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.status import Status

from loadprobe.clock import NS_PER_S, mono_now_ns, process_cpu_ns, read_clock_pair
from loadprobe.config.keys import Config
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.events import ProviderEvents
from loadprobe.control.provider.maintenance import MaintenanceWatch
from loadprobe.control.scenario.runner import run_scenario
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.control.watch.topology import TopologyWatch
from loadprobe.core.events import ClockStepped, LaneWoken, RunProblem
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.verdict.texts import clock_text
from loadprobe.errors import LoadprobeError, RunError
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.probe.messages import CertificatesRefused, LoginRenewed
from loadprobe.run.credentials import CredentialWatch
from loadprobe.run.endings import (
    defect,
    exit_code,
    first_error,
    on_loop_error,
    tell_stopped_early,
)
from loadprobe.run.going_on import Past
from loadprobe.run.hearing import Listeners, Prefilled
from loadprobe.run.iam import make_iam_logins
from loadprobe.run.ledger_keeping import LedgerKeeping
from loadprobe.run.load import Measurement
from loadprobe.run.load_control import Steering
from loadprobe.run.pacing import Pacing
from loadprobe.run.plan import RunPlan
from loadprobe.run.published import Published
from loadprobe.run.recording import AtEnd, Recording
from loadprobe.run.reloading import BY_SIGNAL, Reloading, Reread
from loadprobe.run.sealing import Told
from loadprobe.run.service import Service
from loadprobe.run.sinks import Sinks
from loadprobe.run.straining import Straining
from loadprobe.run.swapping import Swap
from loadprobe.run.wall_watch import WallWatch
from loadprobe.signals import EXIT_INTERRUPTED, Stopping

REFRESH_S = 0.25


class Run:
    """One run of a configuration (see the module).

    Args:
        plan: what to run.
        api: the open API of the replication group, if there is one.
        console: where the live view and the report go.
        stopping: whether we were told to end.
        service: tells the service manager how it goes.
        past: the run that goes on; None begins one.
        rereading: the configuration as it was read, and what reads it again; None:
            there is nothing to read again.
    """

    def __init__(
        self,
        plan: RunPlan,
        api: ElastiCacheApi | None,
        console: Console,
        stopping: Stopping,
        service: Service,
        *,
        past: Past | None = None,
        rereading: tuple[Config, Reread | None] | None = None,
    ) -> None:
        config = plan.config
        self._plan = plan
        self._config = config
        self._api = api
        self._console = console
        self._stopping = stopping
        self._clock = read_clock_pair() if past is None else past.clock
        self._wall_watch = WallWatch(self._clock)
        self._service = service
        self._sinks = Sinks()
        self._emit = self._sinks.take_event
        self._ledger = LedgerKeeping({} if past is None else past.remembered)
        self._measurement = Measurement(
            config,
            dormant=plan.dormant,
            listeners=Listeners(
                emit=self._emit,
                on_snapshot=self._sinks.take_health,
                on_prefill=self._on_prefill,
                on_lost=self._on_lost,
                on_acknowledged=self._ledger.take,
                on_gone=self._ledger.forget,
                on_credentials=self._on_credentials,
            ),
        )
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
            on_woken=self._on_woken,
        )
        self._credentials = CredentialWatch(
            config.target,
            self._steering,
            self._emit,
            tls=any(lane.tls for lane in config.lanes),
        )
        self._iam = make_iam_logins(config.target, self._steering, self._emit)
        if self._iam is not None:
            self._credentials.on_refused = self._iam.renew_soon
        self._published = Published(
            plan,
            self._measurement.aggregate,
            self._clock,
            self._sinks,
            planned=self._steering.planned,
        )
        self._published.problems_of.append(lambda: self._credentials.problem)
        self._pacing = self._make_pacing()
        self._past = past
        if past is not None:
            self._measurement.go_on(past)
            self._published.go_on(past)
        if (iam := self._iam) is not None:
            self._published.problems_of.append(lambda: iam.problem)
        as_read, reread = rereading or (config, None)
        self._reloading = Reloading(
            as_read,
            reread,
            Swap(
                config,
                measurement=self._measurement,
                pacing=self._pacing,
                credentials=self._credentials,
                published=self._published,
                recording=self._begun,
            ),
            emit=self._emit,
            metrics=self._published.metrics,
            held=lambda: self._credentials.held,
        )
        self._is_ready = False
        has_steps = plan.scenario is not None and bool(plan.scenario.steps)
        self._is_over = not has_steps
        self._is_concluded = False
        self._begun_ns = 0
        self._record: ScenarioRecord | None = None
        self._status: Status | None = None
        self._companion_problems: list[str] = []
        self._recording: Recording | None = None

    def _make_pacing(self) -> Pacing:
        """Return what decides on the rates, told of all that goes on."""
        config, health = self._config, self._published.health
        pacing = Pacing(
            config.lanes,
            config.load,
            self._measurement,
            straining=Straining(
                config.load, cpu_ns=lambda: health.cpu_ns() + process_cpu_ns()
            ),
            metrics=self._published.metrics,
            emit=self._emit,
            now_ns=mono_now_ns,
        )
        self._sinks.add(pacing)
        self._published.problems_of.append(lambda: pacing.problem)
        return pacing

    # --- order of events -----------------------------------------------------------

    async def run(self) -> int:
        """Run and report; return the exit code."""
        asyncio.get_running_loop().set_exception_handler(on_loop_error)
        async with AsyncExitStack() as stack:
            return await self._run(stack)

    async def _run(self, stack: AsyncExitStack) -> int:
        # What is there stays: a collection that looks at all of it stops everything.
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        stack.callback(self._published.budgeting.close)
        stack.callback(self._ledger.close)
        await self._published.serve(
            self._config.http,
            stack,
            not_ready=lambda: None if self._is_ready else "probes are not ready",
            reload=self._reload,
        )
        problem = await self._stopping.unless_urged(self._load())
        recording = self._recording
        if self._stopping.is_urged:
            self._measurement.kill()
            if recording is None:
                self._stopped_early()
            else:
                with self._stopping.writing():
                    self._conclude_hard(recording)
            return EXIT_INTERRUPTED
        if recording is None:
            if self._stopping.is_set:
                return self._stopped_early()
            assert problem is not None
            raise problem
        with self._stopping.writing():
            code = self._conclude(recording, problem)
        is_sent = await self._stopping.unless_urged(self._flush())
        if self._stopping.is_urged:
            return EXIT_INTERRUPTED
        return code if is_sent else RunError.exit_code

    async def _load(self) -> LoadprobeError | None:
        """Measure from the first connection to the last reply; return what failed."""
        problem: LoadprobeError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                if self._iam is not None:
                    await self._iam.begin()
                probing = self._measurement.spawn(group)
                if not await self._wait_until_ready():
                    for task in probing:  # ends its process, also a starting one
                        task.cancel()
                    return None
                recording = self._recording = self._begin()
                self._is_ready = True
                self._service.ready()
                changing = group.create_task(self._beside(self._carry_out(recording)))
                beside = [
                    group.create_task(self._beside(coroutine))
                    for coroutine in (*self._watching(), recording.upkeep.run())
                ]
                with recording.view:
                    await self._measure(recording)
                    self._is_ready = False
                    self._published.view.state = "ending"
                    self._service.stopping()
                    changing.cancel()  # nothing is changed without being measured
                    await self._measurement.end(
                        probing,
                        meanwhile=lambda: self._look(recording),
                        closed=self._steering.closed,
                    )
                for task in beside:
                    task.cancel()
        except* LoadprobeError as group_error:
            problem = first_error(group_error)
        except* asyncio.CancelledError:
            problem = problem or RunError("the run was cancelled")
        except* Exception as group_error:
            # What was measured is worth more than a clean traceback.
            if self._recording is None:
                raise
            problem = problem or defect("the run", first_error(group_error))
        return problem

    def _begin(self) -> Recording:
        """Make the run folder, and begin the load."""
        past = self._past
        if past is None:
            output = Path(self._config.output.dir)
            folder = RunFolder.create(output, self._config.name, clock=self._clock)
        else:
            folder = RunFolder.reopen(
                past.path,
                clock=self._clock,
                lock=past.lock,
                after=past.segments[-1].number,
            )
        if self._plan.segment_ns is not None:  # else nobody goes on with it
            self._ledger.begin(folder.path)
        self._begun_ns = self._measurement.begin()
        return Recording(
            self._plan,
            folder,
            self._published,
            self._sinks,
            console=self._console,
            clock=self._clock,
            begun_ns=self._begun_ns,
            past=past,
            told=Told(
                planned=lambda: self._steering.all_planned,
                record=lambda: self._record,
                written=lambda: self._measurement.written,
                looked_up=lambda: self._measurement.looked_up,
                nodes=lambda: self._measurement.names.nodes,
                counters=lambda: self._published.metrics.counters,
            ),
        )

    def _stopped_early(self) -> int:
        """Say that there is nothing to report; return the exit code."""
        return tell_stopped_early(self._console, self._plan.scenario)

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

    async def _beside(self, companion: Coroutine[None, None, None]) -> None:
        """Run what goes on beside the measuring; its failure is noted, no more."""
        try:
            await companion
        except LoadprobeError as exc:
            problem = exc
        except Exception as exc:  # noqa: BLE001 - it is told, and is not the load
            problem = defect("what runs beside the load", exc)
        else:
            return
        self._companion_problems.append(str(problem))
        self._emit(RunProblem(mono_now_ns(), str(problem)))

    def _watching(self) -> list[Coroutine[None, None, None]]:
        """Return what is watched beside the measuring."""
        published = self._published
        watching = [
            self._watch.run(),
            self._credentials.run(),
            self._reload_by_signal(),
            published.samples.send(),
            published.telling.send(),
        ]
        if self._iam is not None:
            watching.append(self._iam.run())
        if self._api is not None:
            assert self._config.control is not None, "the API is open"
            events = ProviderEvents(
                self._api,
                self._emit,
                since_unix_ns=self._since_unix_ns,
                poll_s=self._config.control.poll_s,
            )
            watching.append(events.run())
            maintenance = MaintenanceWatch(
                self._api,
                self._emit,
                poll_s=self._config.control.poll_s,
                is_busy=lambda: published.maintaining.is_active,
            )
            watching.append(maintenance.run())
        return watching

    @property
    def _since_unix_ns(self) -> int:
        """Return since when the provider's events are not known yet."""
        if self._past is None:
            return self._clock.wall_ns
        return self._clock.to_wall(self._past.before.until_ns)

    async def _measure(self, recording: Recording) -> None:
        """Judge and show what comes in until the run is to end."""
        duration_s = self._plan.duration_s
        begun_ns = self._begun_ns
        end_ns = begun_ns + int(duration_s * NS_PER_S) if duration_s else None
        while not self._stopping.is_set:
            now_ns = mono_now_ns()
            # Without a length the scenario's end is that of the run, or a signal.
            is_long = now_ns >= end_ns if end_ns is not None else self._is_concluded
            if is_long and self._is_over:
                return
            self._look(recording)
            self._pacing.look()
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._stopping.event.wait()
            except TimeoutError:
                continue

    async def _carry_out(self, recording: Recording) -> None:
        """Carry the scenario out; the load goes on whatever becomes of it."""
        scenario = self._plan.scenario
        if self._api is None or scenario is None:
            return
        self._steering.begin(on_endpoint=recording.found_endpoint)
        self._measurement.prepare()
        try:
            around = Surroundings(
                self._config,
                self._api,
                self._watch,
                lanes=self._steering,
                load=self._steering,
                emit=self._emit,
            )
            await run_scenario(scenario, around, on_record=self._take_record)
        finally:
            self._is_over = self._is_concluded = True

    def _take_record(self, record: ScenarioRecord) -> None:
        self._record = record

    def _look(self, recording: Recording) -> None:
        """Judge what has come in, write it down and show it."""
        now_ns = mono_now_ns()
        by_ms = self._wall_watch.look(read_clock_pair)
        if by_ms is not None:
            self._emit(ClockStepped(now_ns, by_ms))
        sealed = self._measurement.seal()
        self._sinks.take_sealed(sealed)
        recording.refresh(
            self._watch.current,
            now_ns,
            engine=self._watch.engine,
            has_news=bool(sealed.opened or sealed.closed),
        )
        view = self._published.view
        budget = self._published.budgeting.words
        self._service.refresh(
            "; ".join(filter(None, (view.live.headline or view.state, budget))),
            self._measurement.watermark_ns,
            now_ns,
        )

    # --- what is told from beside ----------------------------------------------------

    def _on_lost(self, lane: str, shard: str, lost: int) -> None:
        self._published.metrics.add("lost_writes_total", lane, shard, by=lost)

    def _on_credentials(self, told: LoginRenewed | CertificatesRefused) -> None:
        self._credentials.heard(told)

    def _on_woken(self, lanes: Sequence[str]) -> None:
        """Note that lanes which the cluster did not serve have begun."""
        for lane in lanes:
            self._emit(LaneWoken(mono_now_ns(), lane))

    # --- another configuration -------------------------------------------------------

    def _begun(self) -> Recording:
        assert self._recording is not None, "the load has begun"
        return self._recording

    async def _reload_by_signal(self) -> None:
        """Read the configuration again whenever a signal asks for it."""
        hangup = self._stopping.hangup
        while True:
            await hangup.wait()
            hangup.clear()
            await self._reload(BY_SIGNAL)

    async def _reload(self, by: str) -> tuple[bool, str]:
        """Read the configuration again; tell whether it is in force, and about it."""
        if not self._is_ready:
            return False, "the load has not begun, or has ended; ask again when it runs"
        self._service.reloading(mono_now_ns())
        try:
            done = await self._reloading.reload(by=by)
        finally:
            self._service.ready()
        return done.is_done, done.text

    # --- the end ---------------------------------------------------------------------

    async def _flush(self) -> bool:
        """Send what is left to send; tell whether nothing unexpected came up."""
        published = self._published
        async with asyncio.TaskGroup() as group:
            sending = [
                group.create_task(self._send_last("samples", published.samples.flush)),
                group.create_task(self._send_last("notices", published.telling.flush)),
            ]
        return all(task.result() for task in sending)

    async def _send_last(
        self, what: str, flush: Callable[[], Coroutine[None, None, None]]
    ) -> bool:
        """Send the last of something; the report is written by now, and stands."""
        try:
            await flush()
        except Exception as exc:  # noqa: BLE001 - see above
            text = str(defect(f"sending the last {what}", exc))
            self._console.print(f"PROBLEM  {text}", markup=False, highlight=False)
            return False
        return True

    def _conclude_hard(self, recording: Recording) -> None:
        """Write and report what was judged when there is no time for the rest."""
        self._sinks.take_sealed(self._measurement.seal())
        sealed_ns = self._measurement.aggregate.sealed_until_ns
        until_ns = max(recording.begun_ns, sealed_ns)
        at = clock_text(self._clock.to_wall(until_ns))
        problem = RunError(
            f"the run was ended hard by a second signal: all that was due until {at} "
            "was judged, not all after it, and written keys were not read back"
        )
        self._conclude(recording, problem, complete_until_ns=until_ns)

    def _conclude(
        self,
        recording: Recording,
        problem: LoadprobeError | None,
        *,
        complete_until_ns: int | None = None,
    ) -> int:
        """Have everything judged, written and reported; return the exit code."""
        end_ns = self._measurement.end_ns or mono_now_ns()
        problems = list(self._companion_problems)
        if problem is not None:
            problems.insert(0, str(problem))
        results = self._measurement.aggregate.finish(end_ns)
        summary, problems = recording.conclude(
            results,
            AtEnd(
                record=self._record,
                lost_writes=self._measurement.lost_writes,
                planned=self._steering.planned(results.end_ns),
                topology=self._watch.current,
                clock_offset_ns=self._api.offset_ns if self._api is not None else None,
                problems=problems,
                complete_until_ns=complete_until_ns,
            ),
        )
        self._published.telling.leave()
        if problem is not None:
            return problem.exit_code
        return RunError.exit_code if problems else exit_code(summary)
