"""One run: starts the probes, judges what they send, writes it down, ends in order.

Data flows one way: snapshots -> aggregate -> sinks (run folder, live view, metrics,
HTTP, remote write). The controller runs beside it and only adds events. Whatever ends
the run, what was measured until then is judged and written.
"""

import asyncio
import gc
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from rich.console import Console
from rich.status import Status

from loadprobe.clock import NS_PER_S, mono_now_ns, read_clock_pair
from loadprobe.control.provider.api import ElastiCacheApi
from loadprobe.control.provider.shared import SharedApi
from loadprobe.core.events import ClockStepped
from loadprobe.core.verdict.texts import clock_text
from loadprobe.errors import LoadprobeError, RunError
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.probe.memory import Collections, give_back_large_blocks
from loadprobe.run.changing import Changing
from loadprobe.run.companions import Companions
from loadprobe.run.crew import Crew
from loadprobe.run.endings import (
    all_errors,
    exit_code,
    first_error,
    loop_errors,
    send_last,
    tell_stopped_early,
)
from loadprobe.run.going_on import Past
from loadprobe.run.hearing import Prefilled
from loadprobe.run.load import LAST_READ_BACK_S
from loadprobe.run.news import Informants
from loadprobe.run.opening import Serving
from loadprobe.run.plan import RunOptions, RunPlan
from loadprobe.run.recording import AtEnd, Recording
from loadprobe.run.reload_requests import ReloadRequests
from loadprobe.run.service import Service
from loadprobe.run.succession import READ_BACK_S, Succession
from loadprobe.run.wall_watch import WallWatch
from loadprobe.signals import EXIT_INTERRUPTED, Stopping

LOOK_S = 0.5
"""From one look to the next at most; as a rule there is news of all probes before."""


class Run:
    """One run of a configuration (see the module).

    Args:
        plan: what to run.
        api: the open API of the replication group, if there is one.
        console: where the live view and the report go.
        stopping: whether we were told to end.
        service: tells the service manager how it goes.
        past: the run that goes on; None begins one.
        succession: what it follows, and what follows it; None: nothing does.
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
        succession: Succession | None = None,
    ) -> None:
        self._console = console
        self._stopping = stopping
        self._service = service
        self._past = past
        succession = succession or Succession(plan.config, RunOptions(), SharedApi())
        self._succession = succession
        self._crew = crew = Crew(
            plan,
            api,
            past,
            on_prefill=self._on_prefill,
            measurement=succession.measurement,
        )
        stopping.before_exit = crew.measurement.kill
        self._wall_watch = WallWatch(crew.clock)
        self._changing = Changing(crew)
        self._companions = Companions(crew.sinks.take_event)
        self._reloads = ReloadRequests(
            crew,
            succession,
            service=service,
            stopping=stopping,
            companions=self._companions,
            recording=self._begun,
            is_ready=lambda: self._is_ready,
        )
        self._collections = Collections()
        self._is_ready = False
        self._begun_ns = 0
        self._status: Status | None = None
        self._recording: Recording | None = None

    # --- order of events -----------------------------------------------------------

    async def run(self) -> int:
        """Run and report; return the exit code."""
        asyncio.get_running_loop().set_exception_handler(
            loop_errors(self._companions.take_defect)
        )
        async with AsyncExitStack() as stack:
            return await self._run(stack)

    async def _run(self, stack: AsyncExitStack) -> int:
        crew = self._crew
        give_back_large_blocks()
        # What is there stays: a collection that looks at all of it stops everything.
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        stack.callback(crew.published.budgeting.close)
        stack.callback(crew.ledger.close)
        serving = Serving(
            crew.plan,
            self._succession,
            console=self._console,
            on_problem=self._companions.tell,
        )
        await serving.serve(
            crew.published,
            stack,
            not_ready=lambda: None if self._is_ready else "probes are not ready",
            reload=self._reloads.take,
        )
        problem = await self._stopping.unless_urged(self._load())
        recording = self._recording
        if self._stopping.is_urged or problem is not None:
            await self._succession.give_up()
        if self._stopping.is_urged:
            crew.measurement.kill()
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
        if self._succession.next is not None:
            with self._stopping.writing():
                return self._hand_over(recording)
        with self._stopping.writing():
            code = self._conclude(recording, problem)
        is_sent = await self._stopping.unless_urged(
            send_last(
                self._console,
                samples=crew.published.samples.flush,
                notices=crew.published.telling.flush,
            )
        )
        if self._stopping.is_urged:
            return EXIT_INTERRUPTED
        return code if is_sent else RunError.exit_code

    async def _load(self) -> LoadprobeError | None:
        """Measure from the first connection to the last reply; return what failed."""
        problem: LoadprobeError | None = None
        crew, companions = self._crew, self._companions
        try:
            async with asyncio.TaskGroup() as group:
                if crew.iam is not None:
                    await crew.iam.begin()
                probing = crew.measurement.spawn(group)
                if crew.plan.tunnel is not None:
                    # Probes need forwards to the nodes before they can be ready.
                    companions.start(group, (crew.reach.run(),))
                if not await self._are_ready():
                    for task in probing:  # ends its process, also a starting one
                        task.cancel()
                    companions.end()
                    return None
                recording = self._recording = self._begin()
                self._is_ready = True
                self._service.ready()
                changing = group.create_task(
                    companions.beside(
                        self._changing.carry_out(recording.found_endpoint)
                    )
                )
                companions.start(
                    group,
                    (
                        *crew.watching(),
                        self._reloads.take_signals(),
                        recording.upkeep.run(),
                    ),
                )
                with recording.view:
                    await self._measure(recording)
                    self._is_ready = False
                    is_left = await self._is_left()
                    crew.published.view.state = "ending"
                    changing.cancel()  # nothing is changed without being measured
                    await crew.measurement.end(
                        probing,
                        meanwhile=lambda: self._look(recording),
                        closed=crew.steering.closed,
                        read_back_s=READ_BACK_S if is_left else LAST_READ_BACK_S,
                    )
                    if crew.metrics is not None and not is_left:
                        await crew.metrics.look_last()
                companions.end()
        except* LoadprobeError as group_error:
            problem = first_error(group_error)
        except* asyncio.CancelledError:
            problem = problem or RunError("the run was cancelled")
        except* Exception as group_error:
            # What was measured is worth more than a clean traceback.
            if self._recording is None:
                raise
            problem = companions.take_defects(all_errors(group_error), beside=problem)
        return problem

    def _begin(self) -> Recording:
        """Make the run folder, and begin the load."""
        crew = self._crew
        past = self._past
        if past is None:
            output = Path(crew.plan.config.output.dir)
            folder = RunFolder.create(output, crew.plan.config.name, clock=crew.clock)
        else:
            folder = RunFolder.reopen(
                past.path,
                clock=crew.clock,
                lock=past.lock,
                after=past.segments[-1].number,
                known=past.known,
            )
        if crew.plan.segment_ns is not None:  # else nobody goes on with it
            crew.ledger.begin(folder.path)
        self._begun_ns = crew.measurement.begin()
        self._succession.begin(self._begun_ns, crew.plan.duration_s)
        return Recording(
            crew.plan,
            folder,
            crew.published,
            crew.sinks,
            console=self._console,
            clock=crew.clock,
            begun_ns=self._begun_ns,
            past=past,
            told=Informants(
                planned=lambda: crew.steering.all_planned,
                record=lambda: self._changing.record,
                written=lambda: crew.measurement.written,
                looked_up=lambda: crew.measurement.looked_up,
                nodes=lambda: crew.measurement.names.nodes,
                counters=lambda: crew.published.metrics.counters,
                reopened=lambda: crew.published.counter.reopened,
            ),
        )

    def _stopped_early(self) -> int:
        """Say that there is nothing to report; return the exit code."""
        return tell_stopped_early(self._console, self._crew.plan.scenario)

    async def _are_ready(self) -> bool:
        """Tell whether every probe is ready; False if told to stop before.

        Those that follow others are. They begin also if told to stop meanwhile: so it
        is the whole run that ends in order.
        """
        standby = self._crew.measurement.standby
        return standby is not None or await self._wait_until_ready()

    async def _wait_until_ready(self) -> bool:
        """Wait until every probe is connected and prefilled; False if told to stop."""
        with self._console.status("connecting") as status:
            self._status = status
            await self._stopping.unless_set(self._crew.measurement.wait_until_ready())
        self._status = None
        return not self._stopping.is_set

    def _on_prefill(self, prefilled: Prefilled) -> None:
        text = (
            f"prefill: {prefilled.done:,} of {prefilled.total:,} keys checked, "
            f"{prefilled.written:,} written"
        )
        if self._status is not None:
            self._status.update(text)

    async def _measure(self, recording: Recording) -> None:
        """Judge and show what comes in until the run is to end."""
        crew = self._crew
        end_ns = self._succession.until_ns
        news = crew.measurement.news
        with self._stopping.setting(news):
            while not self._stopping.is_set and self._succession.next is None:
                # Without a length the scenario's end is that of the run, or a signal.
                left_s = None if end_ns is None else (end_ns - mono_now_ns()) / NS_PER_S
                is_long = self._changing.is_concluded if left_s is None else left_s <= 0
                if is_long and self._changing.is_over:
                    return
                self._look(recording)
                crew.pacing.look()
                look_s = LOOK_S if left_s is None or is_long else min(left_s, LOOK_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(look_s):
                        await news.wait()

    def _look(self, recording: Recording) -> None:
        """Judge what has come in, write it down and show it."""
        crew = self._crew
        now_ns = mono_now_ns()
        by_ms = self._wall_watch.look(read_clock_pair)
        if by_ms is not None:
            crew.sinks.take_event(ClockStepped(now_ns, by_ms))
        self._collections.tidy(now_ns)
        sealed = crew.measurement.seal()
        crew.sinks.take_sealed(sealed)
        recording.refresh(
            crew.watch.current,
            now_ns,
            engine=crew.watch.engine,
            has_news=bool(sealed.opened or sealed.closed),
        )
        view = crew.published.view
        budget = crew.published.budgeting.words
        self._service.refresh(
            "; ".join(filter(None, (view.live.headline or view.state, budget))),
            crew.measurement.watermark_ns,
            now_ns,
        )

    async def _is_left(self) -> bool:
        """Tell whether another segment follows; none does if told to stop before."""
        if self._succession.next is not None and not self._stopping.is_set:
            return True
        self._service.stopping()
        await self._succession.give_up()
        return False

    def _hand_over(self, recording: Recording) -> int:
        """Have everything judged and written for the segment that follows."""
        measurement = self._crew.measurement
        end_ns = measurement.end_ns or mono_now_ns()
        results = measurement.aggregate.finish(end_ns)
        path = recording.hand_over(results)
        self._succession.leave(path, self._crew.published.samples.flush())
        return 0

    def _begun(self) -> Recording:
        assert self._recording is not None, "the load has begun"
        return self._recording

    # --- the end ---------------------------------------------------------------------

    def _conclude_hard(self, recording: Recording) -> None:
        """Write and report what was judged when there is no time for the rest."""
        crew = self._crew
        crew.sinks.take_sealed(crew.measurement.seal())
        sealed_ns = crew.measurement.aggregate.sealed_until_ns
        until_ns = max(recording.begun_ns, sealed_ns)
        at = clock_text(crew.clock.to_wall(until_ns))
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
        crew = self._crew
        end_ns = crew.measurement.end_ns or mono_now_ns()
        problems = list(self._companions.problems)
        if problem is not None:
            problems.insert(0, str(problem))
        results = crew.measurement.aggregate.finish(end_ns)
        summary, problems = recording.conclude(
            results,
            AtEnd(
                record=self._changing.record,
                lost_writes=crew.measurement.lost_writes,
                planned=crew.steering.planned(results.end_ns),
                topology=crew.watch.current,
                clock_offset_ns=crew.api.offset_ns if crew.api is not None else None,
                problems=problems,
                complete_until_ns=complete_until_ns,
            ),
        )
        crew.published.telling.leave()
        if problem is not None:
            return problem.exit_code
        return RunError.exit_code if problems else exit_code(summary)
