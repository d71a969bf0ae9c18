"""Writes down what a verdict needs while a run lasts, as it becomes certain.

Nothing depends on the run's end: what this writes, ``run.aftermath`` judges when the
process is gone. Nothing is counted here, and nothing is done per arrival.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.latency import SecondP99
from loadprobe.core.judging.results import Sealed
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.sealed_changes import SealedChanges
from loadprobe.outputs.folder.sealed_lines import (
    Beginning,
    Counted,
    Figures,
    Latencies,
    P99Row,
    RedirectRow,
    Rules,
    WorkRow,
    Written,
)
from loadprobe.outputs.folder.segments import Why
from loadprobe.probe.messages import Snapshot
from loadprobe.run.health import Health, work_of
from loadprobe.run.segmenting import Segmenting

LINE_EVERY_NS = 600 * NS_PER_MS
"""With a seal every 250 ms nothing waits for as long as a second. When an outage begins
or ends nothing waits at all."""

LATENCIES_EVERY = 10, NS_PER_S, 600 * NS_PER_S
"""Latencies are large: they are written when the run is longer by a part of so much,
after the first time at the soonest and after the second at the latest. Meanwhile the
seconds of ``histograms.ndjson`` have them."""

FIGURES_EVERY_NS = 10 * NS_PER_S
"""If nothing but the CPU time has changed."""


@dataclass(frozen=True, slots=True)
class Told:
    """Who knows what is not judged, but belongs to the verdict.

    Args:
        planned: returns all darkness that was planned, without an end if it goes on.
        record: returns how the scenario went so far, None if there is none.
        written: returns what was read back so far, None if nothing was.
        looked_up: returns how many keys of an earlier process were read, and how many
            of them had lost what was written.
        nodes: returns the name of the shard of every node that was seen.
        counters: returns the counters of ``/metrics`` that are in nothing else.
    """

    planned: Callable[[], Sequence[Planned]]
    record: Callable[[], ScenarioRecord | None]
    written: Callable[[], Written | None]
    nodes: Callable[[], Mapping[str, str]] = dict
    counters: Callable[[], Iterable[tuple[tuple[str, ...], float]]] = tuple
    looked_up: Callable[[], tuple[int, int]] = lambda: (0, 0)


class Sealing:
    """A sink that writes ``sealed.ndjson`` (see the module).

    Tell it after the folder and after the health: it refers to what they have.

    Args:
        folder: the run folder.
        aggregate: the judged arrivals.
        beginning: what is run, and by what it is judged.
        segments: begins the segments.
        health: how the probes are doing.
        told: who knows the rest.
        is_first: the run has no segment yet.
        now_ns: monotonic clock.

    Attributes:
        is_begun: the segment has its first line.
    """

    def __init__(
        self,
        folder: RunFolder,
        aggregate: Aggregate,
        beginning: Beginning,
        *,
        segments: Segmenting,
        health: Health,
        told: Told,
        is_first: bool = True,
        now_ns: Callable[[], int] = mono_now_ns,
    ) -> None:
        self._folder = folder
        self._aggregate = aggregate
        self._changes = SealedChanges(aggregate, is_first=is_first)
        self._is_first = is_first
        self._beginning = beginning
        self.is_begun = False
        self._segments = segments
        self._has_scenario = beginning.has_scenario
        self._health = health
        self._told = told
        self._now_ns = now_ns
        self._begun_ns = self._line_ns = self._latencies_ns = now_ns()
        self._lanes_due: list[str] = []
        self._figures_ns = 0
        self._figures = Figures()
        self._planned: list[Planned] = []
        self._record: ScenarioRecord | None = None
        self._written: Written | None = None
        self._work: Counter[tuple[str, int, int]] = Counter()
        self._redirects: Counter[tuple[str, int, str]] = Counter()
        self._p99: list[SecondP99] = []
        self._nodes: dict[str, str] = {}
        self._counted: dict[tuple[str, ...], tuple[int, float]] = {}

    def take_health(self, snapshot: Snapshot) -> None:
        """Take what lanes did to their target."""
        second = snapshot.taken_ns // NS_PER_S
        for lane in snapshot.lanes:
            for at, count in enumerate(work_of(lane)):
                if count:
                    self._work[lane.lane, second, at] += count
            for kind, count in lane.redirects.items():
                self._redirects[lane.lane, second, kind] += count

    def take_sealed(self, sealed: Sealed) -> None:
        """Take what became certain, and write it if it is time to."""
        self._changes.take(sealed)
        if self._has_scenario:
            self._p99 += sealed.p99
        begin_ns = self._aggregate.begin_ns
        if begin_ns is None or self._aggregate.sealed_until_ns <= begin_ns:
            return  # nothing is judged yet
        now_ns = self._now_ns()
        is_urgent = bool(sealed.opened or sealed.closed) or not self.is_begun
        if is_urgent or now_ns - self._line_ns >= LINE_EVERY_NS:
            # The first line of a further segment has all there is.
            is_whole = not self.is_begun and not self._is_first
            latencies = self._latencies(now_ns, is_last=is_whole)
            self._write(now_ns, latencies=latencies)
        if not self._folder.retry():
            return  # another segment would have to wait as well
        if self._folder.has_lost_sealed:
            self.begin_segment("loss")
        elif self._segments.is_due:
            self.begin_segment("time")

    def flush(self) -> None:
        """Write what was judged and counted until now: it is about to be shown."""
        if self.is_begun:
            self._write(self._now_ns(), latencies=None)

    def use_rules(self, rules: Rules) -> None:
        """Have the run judged by other rules.

        A segment begins with them, as the last one is read by itself.
        """
        if rules == self._beginning.rules:
            return
        self._beginning = msgspec.structs.replace(self._beginning, rules=rules)
        if self.is_begun:
            self.begin_segment("reload")

    def begin_segment(self, why: Why) -> bool:
        """End the segment here, and go on in a new one; tell whether it was done.

        The new one begins with all that was judged (see ``SealedChanges``). If it
        cannot be made, the old one goes on.
        """
        now_ns = self._now_ns()
        if self.is_begun:
            self._write(now_ns, latencies=None)
        if not self._segments.begin(why):
            return False
        self._changes = SealedChanges(self._aggregate, is_first=False)
        self.is_begun = False
        self._figures, self._figures_ns = Figures(), now_ns - FIGURES_EVERY_NS
        self._planned, self._record, self._written = [], None, None
        self._nodes, self._counted = {}, {}
        self._write(now_ns, latencies=self._latencies(now_ns, is_last=True))
        return True

    def end(self, end_ns: int) -> None:
        """Write the rest, after everything was judged.

        Args:
            end_ns: the end of the load.
        """
        now_ns = self._now_ns()
        latencies = self._latencies(now_ns, is_last=True)
        self._write(now_ns, latencies=latencies, end_ns=end_ns)

    def _write(
        self, now_ns: int, *, latencies: Latencies | None, end_ns: int | None = None
    ) -> None:
        line = msgspec.structs.replace(
            self._changes.make_line(),
            beginning=None if self.is_begun else self._beginning,
            planned=self._new_planned(),
            figures=self._new_figures(now_ns, is_last=end_ns is not None),
            work=self._take_work(),
            redirects=[RedirectRow(*at, n) for at, n in self._redirects.items()],
            p99=[P99Row(*row) for row in self._p99],
            latencies=latencies,
            scenario=self._new_record(),
            written=self._new_written(),
            nodes=self._new_nodes(),
            counted=self._new_counted(),
            end_ns=end_ns,
        )
        self._redirects.clear()
        self._p99.clear()
        self.is_begun = True
        self._line_ns = now_ns
        self._folder.add_sealed(line)

    def _latencies(self, now_ns: int, *, is_last: bool = False) -> Latencies | None:
        """Return the latencies since the last time, if it is time to write them."""
        part, least_ns, most_ns = LATENCIES_EVERY
        pause_ns = min(max((now_ns - self._begun_ns) // part, least_ns), most_ns)
        if now_ns - self._latencies_ns >= pause_ns or is_last:
            self._latencies_ns = now_ns
            self._lanes_due = list(self._aggregate.lane_totals)
        if not self._lanes_due:
            return None
        # One lane with each line: the loop is not to stand still for long.
        count = len(self._lanes_due) if is_last else 1
        lanes, self._lanes_due = self._lanes_due[:count], self._lanes_due[count:]
        series, histograms = self._folder.sizes_bytes
        return self._changes.make_latencies(
            lanes, series_bytes=series, histograms_bytes=histograms
        )

    def _take_work(self) -> list[WorkRow]:
        seconds = dict.fromkeys(key[:2] for key in self._work)
        rows = [
            WorkRow(*key, *(self._work[*key, at] for at in range(4))) for key in seconds
        ]
        self._work.clear()
        return rows

    def _new_planned(self) -> list[Planned] | None:
        planned = list(self._told.planned())
        if planned == self._planned:
            return None
        self._planned = planned
        return planned

    def _new_figures(self, now_ns: int, *, is_last: bool) -> Figures | None:
        figures, before = self._health.figures, self._figures
        is_same = msgspec.structs.replace(figures, cpu_ns=before.cpu_ns) == before
        if is_same and not is_last and now_ns - self._figures_ns < FIGURES_EVERY_NS:
            return None
        self._figures, self._figures_ns = figures, now_ns
        return figures

    def _new_record(self) -> ScenarioRecord | None:
        record = self._told.record()
        if record == self._record:
            return None
        self._record = record
        return record

    def _new_written(self) -> Written | None:
        written = self._told.written()
        if written == self._written:
            return None
        self._written = written
        return written

    def _new_nodes(self) -> dict[str, str]:
        nodes = self._told.nodes()
        if len(nodes) == len(self._nodes):
            return {}
        new = {node: name for node, name in nodes.items() if node not in self._nodes}
        self._nodes |= new
        return new

    def _new_counted(self) -> Counted | None:
        names: list[tuple[str, ...]] = []
        values: list[tuple[int, float]] = []
        for name, value in self._told.counters():
            number, before = self._counted.get(name, (len(self._counted), None))
            if value == before:
                continue
            if before is None:
                names.append(name)
            self._counted[name] = number, value
            values.append((number, value))
        return Counted(names, values) if values else None
