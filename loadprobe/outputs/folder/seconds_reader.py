"""Adding to what was judged what is told of single seconds: of the last hours only."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from loadprobe.clock import NS_PER_S
from loadprobe.core.judging.activity import Activity, Work
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.latency import KEPT_S, SecondHistograms, SecondP99
from loadprobe.core.judging.outcome import Outcome
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import (
    HISTOGRAMS,
    SEALED,
    SERIES,
    HistogramRow,
    SeriesRow,
)
from loadprobe.outputs.folder.files import is_begun, raw_lines, read_lines
from loadprobe.outputs.folder.forms import find_form, step_of
from loadprobe.outputs.folder.sealed_lines import decode_seconds
from loadprobe.outputs.folder.sealed_replay import SealedReplay, op_of
from loadprobe.outputs.folder.segments import Segment, shown_name


class _Longest(msgspec.Struct):
    max_ns: int | None


class _LongestRow(msgspec.Struct):
    """Of a ``HistogramRow`` what is needed of seconds that are merged already."""

    lane: str
    op: str
    second: int
    kind: str
    histogram: _Longest


def add_seconds(replay: SealedReplay, path: Path, torn: set[str]) -> None:
    """Add what is told of seconds in the files of the last segment.

    As far as they were judged.

    Args:
        replay: what its lines say.
        path: the folder of the segment.
        torn: the names of torn files are added to it.

    Raises:
        UsageError: a file is damaged.
    """
    tails, activity = replay.tails, replay.activity

    def is_judged(row: SeriesRow | _LongestRow) -> bool:
        return replay.is_judged(row.second)

    file = path / SERIES
    try:
        if is_begun(file, torn):
            rows = read_lines(file, SeriesRow, torn=torn, since_byte=tails.series)
            activity.add_seconds(map(_counts, filter(is_judged, rows)))
        file = path / HISTOGRAMS
        if is_begun(file, torn):
            longest = read_lines(
                file, _LongestRow, torn=torn, since_byte=tails.histograms
            )
            _add_longest(activity, filter(is_judged, longest))
    except (LookupError, ValueError, OverflowError) as exc:
        raise UsageError(f"{file} does not belong to this run: {exc!r}") from exc
    add_latencies(replay, path, torn)


def add_latencies(replay: SealedReplay, path: Path, torn: set[str]) -> None:
    """Add the latencies that are in no line yet.

    Args:
        replay: what the lines of a segment say.
        path: the folder of the segment.
        torn: the names of torn files are added to it.

    Raises:
        UsageError: a file is damaged.
    """
    file = path / HISTOGRAMS
    if not is_begun(file, torn):
        return
    try:
        for row in _histograms(file, replay.tails.unmerged, torn):
            if replay.is_judged(row.second):
                replay.merge_seconds([row])
    except (LookupError, ValueError, OverflowError) as exc:
        raise UsageError(f"{file} does not belong to this run: {exc!r}") from exc


def add_earlier(
    replay: SealedReplay,
    segments: Sequence[Segment],
    torn: set[str],
    left_out: set[str],
) -> None:
    """Add what is told of seconds in the segments before the last one.

    Args:
        replay: what the lines of the last segment say.
        segments: those before it, by time.
        torn: the names of torn files are added to it.
        left_out: what is said of damaged files, which are left out, is added to it.
    """
    rows = add_recent(
        replay.activity,
        segments,
        begun_ns=replay.begun_ns or 0,
        until_ns=replay.until_ns,
        torn=torn,
        left_out=left_out,
    )
    replay.p99.put_before(rows)


def add_recent(
    activity: Activity,
    segments: Sequence[Segment],
    *,
    begun_ns: int,
    until_ns: int,
    torn: set[str],
    left_out: set[str],
) -> list[SecondP99]:
    """Add what is told of the seconds of the last hours; return their percentiles.

    Args:
        activity: to add to.
        segments: of which some may have such seconds, by time.
        begun_ns: when the segment after them began.
        until_ns: end of the last hours.
        torn: the names of torn files are added to it.
        left_out: what is said of damaged files, which are left out, is added to it.
    """
    earlier: list[SecondP99] = []
    since_ns = until_ns - KEPT_S * NS_PER_S
    for segment in _needed(segments, begun_ns, since_ns):
        for add in (_add_work, _add_series, _add_histograms):
            try:
                earlier += add(activity, segment, torn)
            except UsageError as exc:
                left_out.add(str(exc))
    return earlier


def _add_series(
    activity: Activity, segment: Segment, torn: set[str]
) -> Sequence[SecondP99]:
    """Add counts, if they are of single seconds; there are no percentiles."""
    file, shift_s = segment.path / SERIES, segment.shift_ns // NS_PER_S
    if _has_seconds(file, torn):
        rows = read_lines(file, SeriesRow, torn=torn)
        try:
            activity.add_seconds(_counts(row, shift_s) for row in rows)
        except (LookupError, ValueError, OverflowError) as exc:
            raise UsageError(f"{file} does not belong to this run: {exc!r}") from exc
    return ()


def _add_histograms(
    activity: Activity, segment: Segment, torn: set[str]
) -> Sequence[SecondP99]:
    """Add the longest latencies, likewise."""
    file, shift_s = segment.path / HISTOGRAMS, segment.shift_ns // NS_PER_S
    if _has_seconds(file, torn):
        try:
            longest = read_lines(file, _LongestRow, torn=torn)
            _add_longest(activity, longest, shift_s)
        except (LookupError, ValueError, OverflowError) as exc:
            raise UsageError(f"{file} does not belong to this run: {exc!r}") from exc
    return ()


def _has_seconds(file: Path, torn: set[str]) -> bool:
    found = find_form(file.parent, file.name)
    return found is not None and step_of(found) == 1 and is_begun(file, torn)


def _needed(segments: Sequence[Segment], begun_ns: int, since_ns: int) -> list[Segment]:
    """Return the segments that have seconds since a time, of those before one."""
    needed: list[Segment] = []
    for segment in reversed(segments):
        if begun_ns <= since_ns:
            break
        needed.append(segment)
        begun_ns = segment.begun_ns
    return needed[::-1]


def _add_work(
    activity: Activity, segment: Segment, torn: set[str]
) -> Iterator[SecondP99]:
    """Add what lanes did to their target; yield the percentiles of seconds."""
    path, shift_ns = segment.path / SEALED, segment.shift_ns
    if not is_begun(path, torn):
        return
    shift_s = shift_ns // NS_PER_S
    for _, content in raw_lines(path):
        try:
            line = decode_seconds(content)
        except ValueError:
            torn.add(shown_name(path))
            continue
        for row in line.work:
            work = Work(row.attempts, row.connects, row.refreshes, row.raised)
            activity.add_work(row.lane, row.second * NS_PER_S + shift_ns, work)
        for each in line.redirects:
            at_ns = each.second * NS_PER_S + shift_ns
            activity.add_redirects(each.lane, at_ns, {each.kind: each.count})
        for p99 in line.p99:
            yield SecondP99(p99.lane, p99.shard, p99.second + shift_s, p99.p99_ns)


def _add_longest(
    activity: Activity, rows: Iterable[_LongestRow], shift_s: int = 0
) -> None:
    for row in rows:
        if row.kind == "response":
            op, longest_ns = op_of(row.op), row.histogram.max_ns or 0
            activity.add_longest(row.lane, op, row.second + shift_s, longest_ns)


def _counts(row: SeriesRow, shift_s: int = 0) -> SecondCounts:
    counts = [getattr(row, outcome.label) for outcome in Outcome]
    scope = Scope(row.lane, row.shard, op_of(row.op))
    return SecondCounts(
        scope, row.second + shift_s, counts, row.observed_ms, row.dark_ms, row.grey_ms
    )


def _histograms(
    path: Path, since_byte: int, torn: set[str]
) -> Iterator[SecondHistograms]:
    for row in read_lines(path, HistogramRow, torn=torn, since_byte=since_byte):
        histogram = Histogram.from_sparse(row.histogram)
        found = SecondHistograms(row.lane, op_of(row.op), row.second)
        if row.kind == "response":
            found.response.merge(histogram)
        else:
            found.service.merge(histogram)
        yield found
