"""Cells: what one scope was like in one millisecond; the film keeps those that matter.

Pure. Cells are keyed by due time. A film is a list of frames that can be written one
after the other and read back up to the last whole one (docs/run-folder.md, "cells").
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import msgspec

from loadprobe.clock import NS_PER_MS
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.outcome import OpKind, Outcome

FILM_MAGIC = b"LPFILM01"
MOST_FILM_BYTES = 64 * 1024 * 1024
"""Of a film that is read: some 20 million cells, so six hours in which one scope has
arrivals in every millisecond. In memory they take eight times as much."""

_LENGTH = struct.Struct(">I")
_LARGEST_FRAME_BYTES = 16 * 1024 * 1024


class CellState(StrEnum):
    """What a cell shows."""

    BLANK = "blank"
    LIT = "lit"
    GREY = "grey"
    DARK = "dark"
    BLIND = "blind"


class Cell(NamedTuple):
    """One millisecond of one scope.

    ``ms`` is the due time in whole monotonic milliseconds; ``counts`` holds the
    arrivals per outcome, indexed by ``Outcome`` (6 integers).
    """

    ms: int
    counts: tuple[int, ...]

    @property
    def state(self) -> CellState:
        """Return dark, grey, lit or blank (blind is a matter of the lane)."""
        served = self.counts[Outcome.SERVED]
        failed = sum(self.counts) - served
        if failed:
            return CellState.GREY if served else CellState.DARK
        return CellState.LIT if served else CellState.BLANK


class FilmChunk(msgspec.Struct, frozen=True, tag="cells", omit_defaults=True):
    """Consecutive cells of one scope; blank ones are left out.

    Args:
        lane: name of the lane.
        shard: name of the shard.
        op: code of the op kind (0 read, 1 write).
        first_ms: monotonic millisecond of the first cell.
        steps: distance of each cell from the one before, in ms (first: 0).
        served: arrivals served per cell; an empty column means zeros throughout.
        late: arrivals late per cell, and so on for each outcome.
    """

    lane: str
    shard: str
    op: int
    first_ms: int
    steps: list[int]
    served: list[int] = []
    late: list[int] = []
    refused: list[int] = []
    unknown: list[int] = []
    unsent: list[int] = []
    wrong: list[int] = []

    @property
    def scope(self) -> Scope:
        """Return the scope of all cells."""
        return Scope(self.lane, self.shard, OpKind(self.op))

    def cells(self) -> Iterator[Cell]:
        """Yield the cells by time."""
        zeros = [0] * len(self.steps)
        columns = [getattr(self, outcome.label) or zeros for outcome in Outcome]
        ms = self.first_ms
        for step, *counts in zip(self.steps, *columns, strict=True):
            ms += step
            yield Cell(ms, tuple(counts))


class BlindSpan(msgspec.Struct, frozen=True, tag="blind"):
    """All processes of a lane were blind during [start_ns, end_ns), monotonic."""

    lane: str
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """Return the length in nanoseconds."""
        return self.end_ns - self.start_ns


Frame = FilmChunk | BlindSpan


def shifted_film(frames: Iterable[Frame], shift_ns: int) -> list[Frame]:
    """Return frames in another clock; ``shift_ns`` is in whole milliseconds."""
    return [_shifted(frame, shift_ns) for frame in frames]


def _shifted(frame: Frame, shift_ns: int) -> Frame:
    if isinstance(frame, BlindSpan):
        start_ns, end_ns = frame.start_ns + shift_ns, frame.end_ns + shift_ns
        return BlindSpan(frame.lane, start_ns, end_ns)
    first_ms = frame.first_ms + shift_ns // NS_PER_MS
    return msgspec.structs.replace(frame, first_ms=first_ms)


def make_chunk(
    scope: Scope, served_due_ns: Iterable[int], failures: Iterable[Failure]
) -> FilmChunk | None:
    """Return the cells of the given arrivals (any order), or None if there are none."""
    by_outcome = [Counter[int]() for _ in Outcome]
    by_outcome[Outcome.SERVED].update(due // NS_PER_MS for due in served_due_ns)
    for failure in failures:
        by_outcome[failure.outcome][failure.due_ns // NS_PER_MS] += 1
    times = sorted(set().union(*by_outcome))
    if not times:
        return None
    steps = [0, *(b - a for a, b in pairwise(times))]
    columns = {
        outcome.label: [counts[ms] for ms in times] if counts else []
        for outcome, counts in zip(Outcome, by_outcome, strict=True)
    }
    return FilmChunk(scope.lane, scope.shard, int(scope.op), times[0], steps, **columns)


_DECODER = msgspec.msgpack.Decoder(Frame)


def encode_frames(frames: Iterable[Frame]) -> bytes:
    """Return frames as bytes to append to a film file (after ``FILM_MAGIC``).

    A frame is a 4-byte big-endian length and that many bytes of zlib-compressed
    MessagePack.
    """
    parts: list[bytes] = []
    for frame in frames:
        body = zlib.compress(msgspec.msgpack.encode(frame), 6)
        parts += (_LENGTH.pack(len(body)), body)
    return b"".join(parts)


def read_film(
    content: bytes, *, most_bytes: int = MOST_FILM_BYTES
) -> tuple[list[Frame], bool]:
    """Return all whole frames of a film file, and whether it goes on behind them.

    What goes on is a torn frame, or more than is read: a few bytes that are compressed
    can become so many that the memory does not hold them.

    Args:
        content: of the file.
        most_bytes: how much of it is unpacked.

    Raises:
        ValueError: it is not a film, or a whole frame is damaged.
    """
    if not content.startswith(FILM_MAGIC):
        raise ValueError(
            f"not a film: it begins with {content[:8]!r}, expected {FILM_MAGIC!r}"
        )
    frames: list[Frame] = []
    at = len(FILM_MAGIC)
    while at + _LENGTH.size <= len(content):
        (size,) = _LENGTH.unpack_from(content, at)
        body = content[at + _LENGTH.size : at + _LENGTH.size + size]
        if len(body) < size:
            break
        try:
            frame = _unpacked(body)
            most_bytes -= len(frame)
            if most_bytes < 0:
                break
            frames.append(_DECODER.decode(frame))
        except (zlib.error, ValueError, RecursionError) as exc:
            raise ValueError(f"damaged film frame at byte {at}: {exc}") from exc
        at += _LENGTH.size + size
    return frames, at < len(content)


def _unpacked(body: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    frame = unpacking.decompress(body, _LARGEST_FRAME_BYTES)
    if not unpacking.eof:
        raise ValueError(
            "it ends too early, or unpacks to more than "
            f"{_LARGEST_FRAME_BYTES >> 20} MiB"
        )
    return frame
