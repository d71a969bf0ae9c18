"""The film packed for a page: columns of small integers, compressed, as base64.

Pure. A column is written with as few bytes per number as its largest one needs, by
calls that run in C: a film of millions of cells takes a second. ``static/cells.js``
unpacks it.
"""

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import msgspec

from loadprobe.clock import NS_PER_MS
from loadprobe.core.judging.cells import BlindSpan, FilmChunk, Frame
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import Outcome

MOST_BYTES = 3_300_000
"""Of a packed film, so that the page stays below 5 MB."""

_KEPT_MS = 1_000
_WIDTHS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class PackedFilm:
    """A film as a page has it.

    Args:
        chunks: of each chunk its row, its first millisecond (from the zero of the
            page), its number of cells, and the bytes per number of its columns: steps,
            then one per outcome, 0 for a column of zeros.
        packed: the columns one after the other, zlib, base64.
        is_thinned: cells between two that are alike were left out: it would be too
            long otherwise.
    """

    chunks: list[list[int]]
    packed: str
    is_thinned: bool


def pack_film(
    frames: Iterable[Frame],
    rows: Mapping[Scope, int],
    *,
    zero_ms: int,
    most_bytes: int = MOST_BYTES,
) -> PackedFilm:
    """Return the cells of a film, packed.

    Whatever is left out of one that is too long, every change of state stays in its
    very millisecond.

    Args:
        frames: the film.
        rows: the row of each scope; cells of others are left out.
        zero_ms: monotonic millisecond from which the page counts.
        most_bytes: more than that are thinned.

    Raises:
        ValueError: a cell is none that is ever written.
    """
    chunks = [
        frame
        for frame in frames
        if isinstance(frame, FilmChunk) and frame.scope in rows and frame.steps
    ]
    film = _pack(chunks, rows, zero_ms, is_thinned=False)
    if len(film.packed) <= most_bytes:
        return film
    return _pack(map(_thinned, chunks), rows, zero_ms, is_thinned=True)


def blind_spans(
    frames: Iterable[Frame], *, zero_ns: int
) -> dict[str, list[list[float]]]:
    """Return when lanes were blind: [from, to) in ms from the zero of the page."""
    spans: dict[str, list[list[float]]] = {}
    for frame in frames:
        if isinstance(frame, BlindSpan):
            span = [
                (frame.start_ns - zero_ns) / NS_PER_MS,
                (frame.end_ns - zero_ns) / NS_PER_MS,
            ]
            spans.setdefault(frame.lane, []).append(span)
    for own in spans.values():
        own.sort()
    return spans


def _pack(
    chunks: Iterable[FilmChunk],
    rows: Mapping[Scope, int],
    zero_ms: int,
    *,
    is_thinned: bool,
) -> PackedFilm:
    described: list[list[int]] = []
    packer = zlib.compressobj(9)
    parts: list[bytes] = []
    for chunk in chunks:
        widths: list[int] = []
        for column in _columns(chunk):
            width, content = _written(column)
            widths.append(width)
            parts.append(packer.compress(content))
        first_ms = chunk.first_ms - zero_ms
        described.append([rows[chunk.scope], first_ms, len(chunk.steps), *widths])
    parts.append(packer.flush())
    packed = base64.b64encode(b"".join(parts)).decode()
    return PackedFilm(described, packed, is_thinned)


def _columns(chunk: FilmChunk) -> Iterator[Sequence[int]]:
    yield chunk.steps
    for outcome in Outcome:
        column = getattr(chunk, outcome.label)
        if column and len(column) != len(chunk.steps):
            raise ValueError(
                f"a film has {len(chunk.steps)} cells, but {len(column)} counts of "
                f"{outcome.label}"
            )
        yield column


def _written(column: Sequence[int]) -> tuple[int, bytes]:
    """Return the bytes per number, and the numbers, little-endian; 0 for zeros."""
    least, most = min(column, default=0), max(column, default=0)
    if least < 0 or most >= 1 << 64:
        raise ValueError(f"a film has a cell with {least if least < 0 else most}")
    if not most:
        return 0, b""
    width = next(width for width in _WIDTHS if most < 1 << 8 * width)
    if width == 1:
        return 1, bytes(column)
    return width, b"".join(number.to_bytes(width, "little") for number in column)


def _thinned(chunk: FilmChunk) -> FilmChunk:
    """Leave out cells between two that are alike; one stays for every second."""
    served, cells = chunk.served, len(chunk.steps)
    failed = [
        any(counts)
        for counts in zip(
            *(
                getattr(chunk, outcome.label) or [0] * cells
                for outcome in Outcome
                if outcome is not Outcome.SERVED
            ),
            strict=True,
        )
    ]
    states = [
        (is_failed, bool(served and served[n])) for n, is_failed in enumerate(failed)
    ]
    at = list(accumulate(chunk.steps))
    kept: list[int] = []
    for n, state in enumerate(states):
        is_edge = n in {0, cells - 1} or not states[n - 1] == state == states[n + 1]
        if is_edge or at[n] - at[kept[-1]] >= _KEPT_MS:
            kept.append(n)
    times = [at[n] for n in kept]
    columns = {
        outcome.label: [column[n] for n in kept]
        for outcome in Outcome
        if (column := getattr(chunk, outcome.label))
    }
    steps = [0, *(after - before for before, after in pairwise(times))]
    return msgspec.structs.replace(
        chunk, first_ms=chunk.first_ms + times[0], steps=steps, **columns
    )
