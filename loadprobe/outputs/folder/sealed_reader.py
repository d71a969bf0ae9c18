"""Reading ``sealed.ndjson``, and what of the files of seconds belongs to it.

A process may be killed while it writes a line, and a power cut may cost more of a
file's end: what cannot be read there is left out. Damage before the end is told.
"""

from collections.abc import Iterator
from pathlib import Path

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.latency import SecondHistograms
from loadprobe.core.judging.outcome import Outcome
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import (
    HISTOGRAMS,
    SEALED,
    SERIES,
    HistogramRow,
    SeriesRow,
)
from loadprobe.outputs.folder.reader import is_begun, raw_lines, read_lines
from loadprobe.outputs.folder.sealed_lines import SealedLine, decode_line
from loadprobe.outputs.folder.sealed_replay import SealedReplay, op_of


def read_sealed(folder: Path, torn: set[str]) -> SealedReplay | None:
    """Return what was judged in a run, as far as it was written; None if nothing was.

    Args:
        folder: the run folder.
        torn: the names of torn files are added to it.

    Raises:
        UsageError: a file is damaged.
    """
    path = folder / SEALED
    replay = _replay(path, torn) if is_begun(path, torn) else None
    if replay is not None:
        _add_seconds(replay, folder, torn)
    return replay


def _replay(path: Path, torn: set[str]) -> SealedReplay | None:
    replay: SealedReplay | None = None
    for number, line in _read(path, torn):
        try:
            if replay is None:
                if line.beginning is None:
                    raise ValueError("it does not say what was run")
                replay = SealedReplay(line.beginning)
            replay.add(line)
        except (LookupError, ValueError, OverflowError) as exc:
            raise UsageError(
                f"{path}, line {number} does not follow from those before: {exc!r}"
            ) from exc
    return replay


def _read(path: Path, torn: set[str]) -> Iterator[tuple[int, SealedLine]]:
    """Yield the lines with their numbers, until only damaged ones follow."""
    damaged: tuple[int, str] | None = None
    for number, content in raw_lines(path):
        try:
            if not content.endswith(b"\n"):
                raise ValueError("it has no end")
            line = decode_line(content)
        except ValueError as exc:
            damaged = damaged or (number, str(exc))
            continue
        if damaged is not None:
            raise UsageError(f"{path}, line {damaged[0]} is damaged: {damaged[1]}")
        yield number, line
    if damaged is not None:
        torn.add(path.name)


def _add_seconds(replay: SealedReplay, folder: Path, torn: set[str]) -> None:
    """Add what is told of seconds elsewhere, as far as they were judged."""
    tails, activity = replay.tails, replay.activity

    def is_judged(row: SeriesRow | SecondHistograms) -> bool:
        return replay.is_judged(row.second)

    path = folder / SERIES
    try:
        if is_begun(path, torn):
            rows = read_lines(path, SeriesRow, torn=torn, since_byte=tails.series)
            activity.add_seconds(map(_counts, filter(is_judged, rows)))
        path = folder / HISTOGRAMS
        if is_begun(path, torn):
            found = filter(is_judged, _histograms(path, tails.histograms, torn))
            activity.add_histograms(row for row in found if not row.op.is_apart)
            unmerged = _histograms(path, tails.unmerged, torn)
            replay.merge_seconds(filter(is_judged, unmerged))
    except (LookupError, ValueError, OverflowError) as exc:
        raise UsageError(f"{path} does not belong to this run: {exc!r}") from exc


def _counts(row: SeriesRow) -> SecondCounts:
    counts = [getattr(row, outcome.label) for outcome in Outcome]
    scope = Scope(row.lane, row.shard, op_of(row.op))
    return SecondCounts(
        scope, row.second, counts, row.observed_ms, row.dark_ms, row.grey_ms
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
