"""The recording of a run: its folder, its live view, and its report at the end.

It exists from the moment the load begins. Nothing is decided here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from rich.console import Console

from loadprobe.clock import NS_PER_MS, ClockPair, read_boot_id
from loadprobe.config.keys import Config, to_plain
from loadprobe.core.events import (
    RunContinued,
    RunEnded,
    RunProblem,
    RunStarted,
)
from loadprobe.core.judging.results import Results
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.topology.topology import Topology
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.measured import Changes
from loadprobe.core.verdict.summary import Summary
from loadprobe.outputs.folder.documents import (
    OUTAGES,
    SUMMARY,
    digest,
)
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.sealed_lines import Beginning, Rules
from loadprobe.outputs.folder.segments import Why
from loadprobe.outputs.live.terminal import LiveView
from loadprobe.run.causes import judge, rules_of
from loadprobe.run.describing import Describing
from loadprobe.run.going_on import Past, add_activity_before
from loadprobe.run.held import held_items
from loadprobe.run.incident_keeping import IncidentKeeping, write_folders
from loadprobe.run.news import Informants
from loadprobe.run.plan import RunPlan
from loadprobe.run.published import Published
from loadprobe.run.reporting import Reporting
from loadprobe.run.sealing import Sealing
from loadprobe.run.segmenting import Segmenting
from loadprobe.run.sinks import Sinks
from loadprobe.run.upkeep import FolderUpkeep, retention_of

_FOLDERS_S = 10.0
"""For folders of incidents, at the end."""


@dataclass(frozen=True, slots=True)
class AtEnd:
    """What is known at the end of a run, besides the judged arrivals.

    Args:
        record: how the scenario went, if there was one.
        lost_writes: acknowledged writes that are gone; None if not all were read.
        planned: the darkness that was planned, up to the end of the load.
        topology: as last seen.
        clock_offset_ns: the provider's clock minus ours, if it was seen.
        problems: what went wrong in the run itself.
        complete_until_ns: if the run was ended hard: everything due before was judged.
    """

    record: ScenarioRecord | None
    lost_writes: int | None
    planned: Sequence[Planned]
    topology: Topology | None
    clock_offset_ns: int | None
    problems: Sequence[str]
    complete_until_ns: int | None = None


class Recording:
    """What a run writes down and shows in its terminal.

    Args:
        plan: what is run.
        folder: where it is written down.
        published: what it shows elsewhere.
        sinks: the folder and the live view are added to them.
        console: where the live view and the report go.
        clock: to show monotonic times as wall times.
        begun_ns: when the load began.
        told: who knows what is not judged, but belongs to the verdict.
        past: the run that goes on; None begins one.

    Attributes:
        view: the live view; it shows itself as a context manager.
        incidents: those that are over and have no folder yet.
        upkeep: keeps the folder small.
    """

    def __init__(
        self,
        plan: RunPlan,
        folder: RunFolder,
        published: Published,
        sinks: Sinks,
        *,
        console: Console,
        clock: ClockPair,
        begun_ns: int,
        told: Informants,
        past: Past | None = None,
    ) -> None:
        self._past = past
        self._folder = folder
        self._published = published
        self._sinks = sinks
        self._clock = clock
        self._reporting = Reporting(plan, console)
        self._describing = Describing(
            plan,
            folder,
            published.showing,
            clock=clock,
            begun_ns=begun_ns,
            past=past,
        )
        self.view = LiveView(
            console,
            clock=clock,
            steps=plan.step_names,
            planned=told.planned,
            is_full=plan.is_full,
        )
        if past is not None:
            self.view.go_on(published.aggregate.current().values())
        self._rules = _rules(plan)
        published.showing.limits = self._rules.slo
        aggregate = published.aggregate
        segments = self._segments = Segmenting(
            folder,
            digest(to_plain(plan.config)),
            length_ns=plan.segment_ns,
        )
        again: Why = "reload" if past is not None and past.is_by_reload else "restart"
        segments.begin("start" if past is None else again)
        self._sealing = Sealing(
            folder,
            aggregate,
            Beginning(aggregate.lanes, self._rules, plan.scenario is not None),
            segments=segments,
            health=published.health,
            told=told,
            is_first=past is None,
        )
        self.incidents = IncidentKeeping(
            folder.path.name,
            aggregate,
            clock,
            outages=published.counter.so_far,
            quiet_ns=self._rules.quiet_ns,
            boot_id=read_boot_id(),
        )
        if past is not None:
            self.incidents.go_on()
        self._keeps_incidents = plan.segment_ns is not None
        published.metrics.before_scrape = self._sealing.flush
        self.upkeep = FolderUpkeep(
            folder,
            retention_of(plan.config.output),
            published.metrics,
            incidents=self.incidents if self._keeps_incidents else None,
            held=lambda: held_items(published, self.incidents, told.planned),
            withheld=plan.withheld,
        )
        sinks.add(folder, self.view, self._sealing)
        if self._keeps_incidents:
            sinks.add(self.incidents)
        folder.keep_on_disk()
        published.view.state = "running"
        self._tell_begun(begun_ns, told)

    @property
    def begun_ns(self) -> int:
        """Return when the run began, monotonic."""
        return self._describing.begun_ns

    @property
    def _plan(self) -> RunPlan:
        """Return what is run, now."""
        return self._describing.plan

    def _tell_begun(self, begun_ns: int, told: Informants) -> None:
        """Say that the run begins, or goes on."""
        past = self._past
        if past is None:
            self._describing.describe()
            self._sinks.take_event(RunStarted(begun_ns, self._plan.config.name))
            return
        checked, lost, expired = told.looked_up()
        self._sinks.take_event(
            RunContinued(
                begun_ns,
                segment=self._folder.segment,
                blind_ms=round((begun_ns - past.before.until_ns) / NS_PER_MS, 3),
                was_killed=past.was_killed,
                is_other_boot=past.is_other_boot,
                wall_step_ms=past.wall_step_ms,
                writes_checked=checked,
                writes_lost=lost,
                writes_expired=expired,
                by_reload=past.is_by_reload,
            )
        )
        for text in past.problems:
            self._sinks.take_event(RunProblem(begun_ns, text))

    def _take_over(self) -> None:
        """Have documents say that the run goes on, once its new segment says it all."""
        if self._sealing.is_begun:
            self._describing.take_over()

    def begin_segment(self, why: Why) -> bool:
        """End the segment of the folder here; tell whether a new one was begun."""
        return self._sealing.begin_segment(why)

    def use_config(self, config: Config) -> None:
        """Judge the run by other thresholds, and keep its folder for other times.

        Args:
            config: what is run, now; where it leads is as before.
        """
        plan = self._describing.plan = replace(self._plan, config=config)
        self._rules = _rules(plan)
        self._published.showing.limits = self._rules.slo
        self.upkeep.retention = retention_of(config.output)
        self._segments.length_ns = plan.segment_ns
        self._segments.config_digest = digest(to_plain(config))
        self._sealing.use_rules(self._rules)
        self._describing.describe()

    def found_endpoint(self, host: str, port: int) -> None:
        """Note where the load goes, if there was nowhere to go until now."""
        if self._plan.config.target.host:
            return
        self._describing.plan = self._plan.at_endpoint(host, port)
        self._published.metrics.cluster = host
        self._describing.describe()

    def refresh(
        self,
        topology: Topology | None,
        now_ns: int,
        *,
        engine: str = "",
        has_news: bool = False,
    ) -> None:
        """Show how it goes: to a person at a terminal each time, else once a second.

        Args:
            topology: as last seen.
            now_ns: monotonic time; call it several times a second.
            engine: of the servers.
            has_news: an outage began or ended, so it is shown at once.
        """
        self._take_over()
        if not (self.view.is_due(now_ns) or has_news):
            return
        self._describing.see(topology)
        self._published.show_topology(topology, engine)
        state = self._published.refresh(
            self._plan.where,
            self.begun_ns,
            [*self._folder.problems, *self.upkeep.problems],
            now_ns,
        )
        self.view.refresh(state, now_ns)

    def hand_over(self, results: Results) -> Path:
        """Write everything, for the segment that follows at once; return the folder.

        Args:
            results: all judged arrivals.
        """
        self.view.leave()  # what is open goes on
        self._sinks.take_sealed(results.last)
        self._take_over()
        self._seal_all(results.end_ns)
        self._published.hand_over()
        return self._folder.close()

    def _seal_all(self, end_ns: int) -> None:
        """Write down all that is judged: nothing follows the end of the load."""
        self._published.counter.conclude(end_ns)
        self._sealing.end(end_ns)
        self._published.metrics.before_scrape = lambda: None

    def conclude(self, results: Results, ending: AtEnd) -> tuple[Summary, list[str]]:
        """Judge, write everything, show the report.

        Args:
            results: all judged arrivals.
            ending: what else is known now.

        Returns:
            The summary, and the problems with those of the files.
        """
        end_ns = results.end_ns
        self._sinks.take_sealed(results.last)
        self._take_over()
        if self._past is not None:
            add_activity_before(self._past, self._published.health, end_ns)
        self._seal_all(end_ns)
        verdict = judge(
            results,
            rules=self._rules,
            clock=self._clock,
            health=self._published.health,
            lost_writes=ending.lost_writes,
            changes=Changes(ending.record, ending.planned),
            problems=len(ending.problems) + len(self._folder.problems),
        )
        budget = self._published.budgeting.conclude()
        summary, until_ns = verdict.summary, ending.complete_until_ns
        summary = msgspec.structs.replace(summary, error_budget=budget)
        if until_ns is not None:
            summary = msgspec.structs.replace(
                summary,
                ended_hard=True,
                complete_until_unix_ns=self._clock.to_wall(until_ns),
            )
        self._sinks.take_event(RunEnded(end_ns, summary.state))
        self._describing.describe_end(
            end_ns,
            topology=ending.topology,
            clock_offset_ns=ending.clock_offset_ns,
            problems=ending.problems,
        )
        self._folder.write_document(OUTAGES, verdict.outages)
        self._folder.write_document(SUMMARY, summary)  # last: what is left is beside it
        if self._keeps_incidents:
            records = self.incidents.conclude(verdict)
            if left := write_folders(self._folder.path, records, within_s=_FOLDERS_S):
                self._reporting.say(left)
        path = self._folder.close()
        found = [*ending.problems, *self._folder.problems]
        found += self._reporting.report(path, found)
        self._published.showing.end(path)
        return summary, found


def _rules(plan: RunPlan) -> Rules:
    """Return by what a run is judged."""
    scenario = plan.scenario
    return rules_of(plan.config, scenario.expect if scenario is not None else None)
