"""What is new since the last line of ``sealed.ndjson``, beside what was judged."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from loadprobe.clock import NS_PER_S
from loadprobe.core.judging.latency import SecondP99
from loadprobe.core.judging.outages import Outage
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.verdict.beside import Planned
from loadprobe.outputs.folder.sealed_lines import (
    Counted,
    Figures,
    P99Row,
    RedirectRow,
    SealedLine,
    WorkRow,
    Written,
)
from loadprobe.probe.messages import ProbeSnapshot
from loadprobe.run.health import Health, work_of

FIGURES_EVERY_NS = 10 * NS_PER_S
"""If nothing but the CPU time has changed."""


@dataclass(frozen=True, slots=True)
class Informants:
    """Who knows what is not judged, but belongs to the verdict.

    Args:
        planned: returns all darkness that was planned, without an end if it goes on.
        record: returns how the scenario went so far, None if there is none.
        written: returns what was read back so far, None if nothing was.
        looked_up: returns how many keys of an earlier process were read, how many of
            them had lost what was written, and how many may have expired.
        nodes: returns the name of the shard of every node that was seen.
        counters: returns the counters of ``/metrics`` that are in nothing else.
        reopened: returns the outages that these have although they go on.
    """

    planned: Callable[[], Sequence[Planned]]
    record: Callable[[], ScenarioRecord | None]
    written: Callable[[], Written | None]
    nodes: Callable[[], Mapping[str, str]] = dict
    counters: Callable[[], Iterable[tuple[tuple[str, ...], float]]] = tuple
    looked_up: Callable[[], tuple[int, int, int]] = lambda: (0, 0, 0)
    reopened: Callable[[], list[Outage]] = list


class Seconds:
    """What lanes did in single seconds that no line has yet."""

    def __init__(self) -> None:
        self._work: Counter[tuple[str, int, int]] = Counter()
        self._redirects: Counter[tuple[str, int, str]] = Counter()
        self.p99: list[SecondP99] = []

    def take_health(self, snapshot: ProbeSnapshot) -> None:
        """Take what lanes did to their target."""
        second = snapshot.taken_ns // NS_PER_S
        for lane in snapshot.lanes:
            for at, count in enumerate(work_of(lane)):
                if count:
                    self._work[lane.lane, second, at] += count
            for kind, count in lane.redirects.items():
                self._redirects[lane.lane, second, kind] += count

    def add_to(self, line: SealedLine) -> SealedLine:
        """Return a line with them, and begin anew."""
        line = msgspec.structs.replace(
            line,
            work=self._take_work(),
            redirects=[RedirectRow(*at, n) for at, n in self._redirects.items()],
            p99=[P99Row(*row) for row in self.p99],
        )
        self._redirects.clear()
        self.p99.clear()
        return line

    def _take_work(self) -> list[WorkRow]:
        seconds = dict.fromkeys(key[:2] for key in self._work)
        rows = [
            WorkRow(*key, *(self._work[*key, at] for at in range(4))) for key in seconds
        ]
        self._work.clear()
        return rows


class News:
    """What was not told in any line of a segment yet.

    Args:
        told: who knows it.
        health: how the probes are doing.
        figures_ns: when its figures were last written.
    """

    def __init__(
        self, told: Informants, health: Health, *, figures_ns: int = 0
    ) -> None:
        self._told = told
        self._health = health
        self._figures_ns = figures_ns
        self._figures = Figures()
        self._planned: list[Planned] = []
        self._record: ScenarioRecord | None = None
        self._written: Written | None = None
        self._nodes: dict[str, str] = {}
        self._counted: dict[tuple[str, ...], tuple[int, float]] = {}

    def anew(self, now_ns: int) -> "News":
        """Return the same for another segment, which has told nothing."""
        return News(self._told, self._health, figures_ns=now_ns - FIGURES_EVERY_NS)

    def add_to(self, line: SealedLine, now_ns: int, *, is_last: bool) -> SealedLine:
        """Return a line with all that is new."""
        checkpoint = line.checkpoint
        if checkpoint is not None:
            reopened = self._told.reopened()
            checkpoint = msgspec.structs.replace(checkpoint, reopened=reopened)
        return msgspec.structs.replace(
            line,
            checkpoint=checkpoint,
            planned=self._new_planned(),
            figures=self._new_figures(now_ns, is_last=is_last),
            scenario=self._new_record(),
            written=self._new_written(),
            nodes=self._new_nodes(),
            counted=self._new_counted(),
        )

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
