"""How long replies took in the seconds of a run that nothing happened in."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadprobe.clock import NS_PER_MS
from loadprobe.core.comparing.steadiness import FEWEST, Steady, steady_of
from loadprobe.core.judging.outcome import OpKind
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import HISTOGRAMS
from loadprobe.outputs.folder.files import is_begun, read_lines
from loadprobe.outputs.folder.forms import find_form, step_of
from loadprobe.outputs.folder.reader import RunData, load_segments


class _TimesSum(msgspec.Struct):
    buckets: list[tuple[int, int]]
    sum_ns: int
    overflow: int


class _TimesSumRow(msgspec.Struct):
    """Of a ``HistogramRow`` what a mean needs."""

    lane: str
    op: str
    second: int
    kind: str
    histogram: _TimesSum


def steady_lanes(run: RunData) -> dict[str, Steady]:
    """Return of each lane the mean response time of a second, in ms.

    Nothing of a run with a scenario or an incident, or one that is kept in longer
    steps: it has no steady seconds. The first and the last second are not whole.
    """
    summary = run.summary
    has_happened = any(not each.is_probe_only for each in summary.incidents)
    if summary.scenario is not None or has_happened:
        return {}
    try:
        series = _means(run.path)
    except UsageError:
        return {}  # which the report of the run tells
    return {
        lane: steady_of(means)
        for lane, by_second in series.items()
        if len(means := [by_second[at] for at in sorted(by_second)][1:-1]) >= FEWEST
    }


def _means(path: Path) -> dict[str, dict[int, float]]:
    sums: dict[tuple[str, int], list[int]] = {}
    for lane, second, count, sum_ns in _seconds(path):
        known = sums.setdefault((lane, second), [0, 0])
        known[0] += count
        known[1] += sum_ns
    found: dict[str, dict[int, float]] = {}
    for (lane, second), (count, sum_ns) in sums.items():
        if count:
            found.setdefault(lane, {})[second] = sum_ns / count / NS_PER_MS
    return found


def _seconds(path: Path) -> Iterator[tuple[str, int, int, int]]:
    """Yield lane, second, number of response times and their sum."""
    for segment in load_segments(path):
        file = segment.path / HISTOGRAMS
        found = find_form(segment.path, HISTOGRAMS)
        if found is None or step_of(found) > 1 or not is_begun(file, set()):
            continue
        for row in read_lines(file, _TimesSumRow):
            if row.kind == "response" and row.op != OpKind.CONNECT.label:
                told = row.histogram
                count = told.overflow + sum(count for _, count in told.buckets)
                yield row.lane, row.second, count, told.sum_ns
