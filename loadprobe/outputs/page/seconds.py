"""What a page shows of seconds: counts of scopes, and latencies of lanes.

Read from ``series.ndjson`` and ``histograms.ndjson`` of all segments, into steps that
are single seconds round incidents and changes, and longer elsewhere. Counts are added
and histograms merged, so nothing is averaged. What cannot be read is named, and the
page goes without it.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import cast

from loadprobe.clock import NEVER_NS, NS_PER_S
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.histogram import Histogram, SparseHistogram
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import (
    HISTOGRAMS,
    SERIES,
    HistogramRow,
    SeriesRow,
)
from loadprobe.outputs.folder.files import is_begun, read_lines
from loadprobe.outputs.folder.forms import find_form, step_of
from loadprobe.outputs.folder.reader import load_segments
from loadprobe.outputs.folder.segments import FIRST, Segment

MOST_STEPS = 1_500
"""Longer steps, so that there are no more of them; single seconds come on top."""

MOST_SECONDS = 3_000
"""Single seconds round incidents and changes, at most."""

_AROUND_S = 20
_OPS = {op.label: op for op in OpKind}
_COUNTS = attrgetter(*(outcome.label for outcome in Outcome))


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps of the time of a run.

    Args:
        edges: monotonic seconds; step n is [edges[n], edges[n + 1]).
    """

    edges: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.edges) - 1

    def step(self, second: int, length_s: int = 1) -> int | None:
        """Return the step in which some seconds begin; None if they are outside."""
        if second < self.edges[0] < second + length_s:
            second = self.edges[0]
        at = bisect_right(self.edges, second) - 1
        return at if 0 <= at < len(self) else None


@dataclass(frozen=True, slots=True)
class Coarse:
    """A part of the time of a run that is kept in longer steps than seconds.

    Args:
        start_s: monotonic second in which it begins.
        end_s: the one after its last.
        step_s: length of its steps.
        shift_s: its steps begin at this and multiples of ``step_s`` from there.
    """

    start_s: int
    end_s: int
    step_s: int
    shift_s: int = 0

    def snapped(self, second: int) -> int:
        """Return the beginning of the step of a second, within this part."""
        return max(self.start_s, second - (second - self.shift_s) % self.step_s)


def make_grid(
    start_s: int,
    end_s: int,
    moments: Iterable[tuple[int, int]],
    *,
    coarse: Iterable[Coarse] = (),
    most: int = MOST_STEPS,
) -> Grid:
    """Return single seconds round what happened, and longer steps elsewhere.

    Args:
        start_s: monotonic second in which the run began.
        end_s: the one after its last.
        moments: [from, to) of what happened, the most important first.
        coarse: parts in which no step is shorter than what is known.
        most: longer steps, at most.
    """
    end_s = max(end_s, start_s + 1)
    length = -(-(end_s - start_s) // most)
    edges = {start_s, end_s, *range(start_s, end_s, length)}
    left = MOST_SECONDS if length > 1 else 0
    for since_s, until_s in moments:
        first = max(start_s, since_s - _AROUND_S)
        seconds = range(first, min(end_s, until_s + _AROUND_S) + 1)[:left]
        edges.update(seconds)
        left -= len(seconds)
    for part in coarse:
        inside = {edge for edge in edges if part.start_s <= edge < part.end_s}
        edges = (edges - inside) | {part.snapped(edge) for edge in inside}
    edges = {edge for edge in edges if start_s < edge < end_s}
    return Grid((start_s, *sorted(edges), end_s))


def coarse_parts(path: Path) -> list[Coarse]:
    """Return the parts of a run folder that are kept in longer steps than seconds."""
    try:
        segments = load_segments(path)
    except UsageError:
        return []  # which is told where they are read
    ends = [segment.begun_ns for segment in segments[1:]]
    parts: list[Coarse] = []
    for segment, end_ns in zip(segments, [*ends, NEVER_NS], strict=True):
        found = (find_form(segment.path, name) for name in (SERIES, HISTOGRAMS))
        step_s = max((step_of(file) for file in found if file), default=1)
        if step_s > 1:
            start_s = 0 if segment.number == FIRST else segment.begun_ns // NS_PER_S
            shift_s = segment.shift_ns // NS_PER_S
            parts.append(Coarse(start_s, end_ns // NS_PER_S, step_s, shift_s))
    return parts


@dataclass(slots=True)
class Course:
    """Counts and latencies by step.

    Args:
        grid: the steps.
        counts: of each lane, arrivals per step in a column for each outcome.
        latencies: of each (lane, kind, step), all op kinds together.
        served: of each scope, [from, to) in monotonic seconds with served arrivals.
        failing: of each scope, (second, length in s, dark ms, grey ms).
        problems: what could not be read, as sentences.
    """

    grid: Grid
    counts: dict[str, list[list[int]]] = field(default_factory=dict)
    latencies: dict[tuple[str, str, int], Histogram] = field(default_factory=dict)
    served: dict[Scope, list[list[int]]] = field(default_factory=dict)
    failing: dict[Scope, list[tuple[int, int, int, int]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add_counts(self, row: SeriesRow, shift_s: int, length_s: int) -> None:
        """Count a line of the series.

        Raises:
            KeyError: its op kind is none.
        """
        second = row.second + shift_s
        scope = Scope(row.lane, row.shard, _OPS[row.op])
        if row.served:
            self._extend(self.served.setdefault(scope, []), second, length_s)
        if row.dark_ms or row.grey_ms:
            seconds = (second, length_s, row.dark_ms, row.grey_ms)
            self.failing.setdefault(scope, []).append(seconds)
        step = self.grid.step(second, length_s)
        if step is None or scope.op is OpKind.CONNECT:
            return
        columns = self.counts.get(row.lane)
        if columns is None:
            columns = [[0] * len(self.grid) for _ in Outcome]
            self.counts[row.lane] = columns
        for column, count in zip(columns, _COUNTS(row), strict=True):
            column[step] += count

    @staticmethod
    def _extend(spans: list[list[int]], second: int, length_s: int) -> None:
        if spans and spans[-1][0] <= second <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], second + length_s)
        else:
            spans.append([second, second + length_s])

    def add_latencies(self, lane: str, kind: str, step: int, found: Histogram) -> None:
        """Merge latencies of a step."""
        key = (lane, kind, step)
        if key in self.latencies:
            self.latencies[key].merge(found)
        else:
            self.latencies[key] = found

    def merged(self, lane: str, kind: str, steps: Iterable[int]) -> Histogram:
        """Return the latencies of some steps together."""
        total = Histogram()
        for step in steps:
            if (found := self.latencies.get((lane, kind, step))) is not None:
                total.merge(found)
        return total


def load_course(path: Path, grid: Grid, *, with_latencies: bool = True) -> Course:
    """Read what is told of seconds in a run folder; see the module."""
    course = Course(grid)
    try:
        segments: Sequence[Segment] = load_segments(path)
    except UsageError as exc:
        course.problems.append(str(exc))
        return course
    parts = (_read_series, _read_histograms) if with_latencies else (_read_series,)
    for segment in segments:
        for read in parts:
            try:
                read(course, segment)
            except UsageError as exc:
                course.problems.append(str(exc))
    return course


def _read_series(course: Course, segment: Segment) -> None:
    file, shift_s = segment.path / SERIES, segment.shift_ns // NS_PER_S
    if not is_begun(file, set()):
        course.problems += _not_there(file)
        return
    length_s = step_of(find_form(segment.path, SERIES) or file)
    try:
        for row in read_lines(file, SeriesRow):
            course.add_counts(row, shift_s, length_s)
    except (LookupError, ValueError, OverflowError) as exc:
        raise UsageError(f"{file} does not belong to this run: {exc!r}") from exc


def _read_histograms(course: Course, segment: Segment) -> None:
    file, shift_s = segment.path / HISTOGRAMS, segment.shift_ns // NS_PER_S
    if not is_begun(file, set()):
        course.problems += _not_there(file)
        return
    length_s = step_of(find_form(segment.path, HISTOGRAMS) or file)
    sums: dict[tuple[str, str, int], _Sum] = {}
    try:
        for row in read_lines(file, HistogramRow):
            step = course.grid.step(row.second + shift_s, length_s)
            if step is not None and row.op != OpKind.CONNECT.label:
                key = (row.lane, row.kind, step)
                if (total := sums.get(key)) is None:
                    total = sums[key] = _Sum()
                total.add(row.histogram)
        found = {key: total.histogram() for key, total in sums.items()}
    except (ValueError, TypeError, OverflowError) as exc:
        raise UsageError(f"{file} does not belong to this run: {exc!r}") from exc
    for (lane, kind, step), histogram in found.items():
        course.add_latencies(lane, kind, step, histogram)


@dataclass(slots=True)
class _Sum:
    """Lines of one step added up; they are checked together, which is far quicker."""

    counts: defaultdict[int, int] = field(default_factory=partial(defaultdict, int))
    sum_ns: int = 0
    overflow: int = 0
    least_ns: list[int] = field(default_factory=list)
    most_ns: list[int] = field(default_factory=list)

    def add(self, sparse: SparseHistogram) -> None:
        if sparse["min_ns"] is None or sparse["max_ns"] is None:
            return
        counts = self.counts
        if counts:
            for index, count in sparse["buckets"]:
                counts[index] += count
        else:  # of most steps the only line
            counts.update(cast("list[tuple[int, int]]", sparse["buckets"]))
        self.sum_ns += sparse["sum_ns"]
        self.overflow += sparse["overflow"]
        self.least_ns.append(sparse["min_ns"])
        self.most_ns.append(sparse["max_ns"])

    def histogram(self) -> Histogram:
        """Return them as one.

        Raises:
            ValueError: one of them was no histogram.
        """
        return Histogram.from_sparse(
            {
                "sum_ns": self.sum_ns,
                "min_ns": min(self.least_ns, default=None),
                "max_ns": max(self.most_ns, default=None),
                "overflow": self.overflow,
                "buckets": [list(bucket) for bucket in sorted(self.counts.items())],
            }
        )


def _not_there(file: Path) -> list[str]:
    return [f"{file.name} is not there: what it tells of seconds is missing"]
