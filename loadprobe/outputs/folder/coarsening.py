"""Series and histograms of longer steps, made exactly from those of shorter ones.

Pure. Counts are added and histograms merged, so nothing but the resolution is lost; of
what servers are (connections, memory, lag) the most of a step is kept.
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

import msgspec

from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.topology.server_side import ServerRow, added
from loadprobe.outputs.folder.documents import (
    HISTOGRAMS,
    SERIES,
    SERVERS,
    HistogramRow,
    SeriesRow,
    encode_json,
)

OPEN_STEPS = 2
"""A step is written when one begins that is so many later: a line that comes after that
makes another one of its step, and readers add both."""

_COUNTED = tuple(
    name
    for name in SeriesRow.__struct_fields__
    if name not in ("lane", "shard", "op", "second")
)

_Key = TypeVar("_Key", bound=Hashable)
_Sum = TypeVar("_Sum")


def coarsen(name: str, lines: Iterable[bytes], step_s: int) -> Iterator[bytes]:
    """Return the lines of a file with longer steps.

    Args:
        name: ``series.ndjson``, ``histograms.ndjson`` or ``servers.ndjson``.
        lines: of the file, without its header; a last one without an end is left out.
        step_s: length of the steps in seconds.

    Raises:
        ValueError: a line is damaged.
    """
    whole = (line for line in lines if line.endswith(b"\n"))
    if name == SERIES:
        return _series(whole, step_s)
    if name == SERVERS:
        return _servers(whole, step_s)
    assert name == HISTOGRAMS, f"{name} has no steps"
    return _histograms(whole, step_s)


class _Steps(Generic[_Key, _Sum]):
    """Sums by step and key, handed over when their step is over."""

    def __init__(self, step_s: int) -> None:
        self._step_s = step_s
        self._steps: dict[int, dict[_Key, _Sum]] = {}

    def of(self, second: int) -> "dict[_Key, _Sum]":
        return self._steps.setdefault(second - second % self._step_s, {})

    def take(self, *, all_of_them: bool = False) -> "list[tuple[int, _Key, _Sum]]":
        """Remove what is complete; by step."""
        latest = max(self._steps, default=0)
        over = [
            first
            for first in sorted(self._steps)
            if all_of_them or first + OPEN_STEPS * self._step_s <= latest
        ]
        return [(at, *row) for at in over for row in self._steps.pop(at).items()]


def _series(lines: Iterable[bytes], step_s: int) -> Iterator[bytes]:
    decoder = msgspec.json.Decoder(SeriesRow)
    steps: _Steps[tuple[str, str, str], list[int]] = _Steps(step_s)
    for line in lines:
        row = _decode(decoder, line)
        counts = [getattr(row, name) for name in _COUNTED]
        known = steps.of(row.second)
        key = row.lane, row.shard, row.op
        before = known.get(key)
        known[key] = (
            counts
            if before is None
            else list(map(sum, zip(before, counts, strict=True)))
        )
        yield from map(_series_line, steps.take())
    yield from map(_series_line, steps.take(all_of_them=True))


def _series_line(step: tuple[int, tuple[str, str, str], list[int]]) -> bytes:
    second, key, counts = step
    return encode_json(SeriesRow(*key, second, *counts)) + b"\n"


def _histograms(lines: Iterable[bytes], step_s: int) -> Iterator[bytes]:
    decoder = msgspec.json.Decoder(HistogramRow)
    steps: _Steps[tuple[str, str, str], Histogram] = _Steps(step_s)
    for line in lines:
        row = _decode(decoder, line)
        known = steps.of(row.second)
        key = row.lane, row.op, row.kind
        merged = known.get(key)
        if merged is None:
            merged = known[key] = Histogram()
        merged.merge(Histogram.from_sparse(row.histogram))
        yield from map(_histogram_line, steps.take())
    yield from map(_histogram_line, steps.take(all_of_them=True))


def _histogram_line(step: tuple[int, tuple[str, str, str], Histogram]) -> bytes:
    second, (lane, op, kind), merged = step
    return encode_json(HistogramRow(lane, op, second, kind, merged.to_sparse())) + b"\n"


def _servers(lines: Iterable[bytes], step_s: int) -> Iterator[bytes]:
    decoder = msgspec.json.Decoder(ServerRow)
    steps: _Steps[tuple[str, str, str], ServerRow] = _Steps(step_s)
    for line in lines:
        row = _decode(decoder, line)
        known, key = steps.of(row.second), (row.node, row.shard, row.role)
        known[key] = added(known[key], row) if key in known else row
        yield from map(_server_line, steps.take())
    yield from map(_server_line, steps.take(all_of_them=True))


def _server_line(step: tuple[int, tuple[str, str, str], ServerRow]) -> bytes:
    second, _, row = step
    return encode_json(msgspec.structs.replace(row, second=second)) + b"\n"


_Row = TypeVar("_Row")


def _decode(decoder: msgspec.json.Decoder[_Row], line: bytes) -> _Row:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ValueError(f"a line is damaged: {exc}") from exc
