"""Cells, and the film file they are kept in."""

import pytest

from loadprobe.core.judging.cells import (
    FILM_MAGIC,
    BlindSpan,
    Cell,
    CellState,
    FilmChunk,
    encode_frames,
    make_chunk,
    read_film,
)
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome

MS = 1_000_000
SCOPE = Scope("tls", "0002", OpKind.READ)


def failure(due_ns: int, outcome: Outcome) -> Failure:
    """Return a failure of the given outcome."""
    return Failure(due_ns, due_ns, -1, outcome, ErrorClass.OTHER, due_ns, due_ns)


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ((0, 0, 0, 0, 0, 0), CellState.BLANK),
        ((2, 0, 0, 0, 0, 0), CellState.LIT),
        ((1, 0, 0, 0, 0, 1), CellState.GREY),
        ((0, 1, 0, 0, 0, 0), CellState.DARK),
    ],
)
def test_state(counts: tuple[int, ...], state: CellState) -> None:
    """A cell is dark with failures only, grey with both, lit without failures."""
    assert Cell(1, counts).state is state


def test_chunk_counts_per_millisecond() -> None:
    """Arrivals are counted in the millisecond in which they were due."""
    chunk = make_chunk(
        SCOPE,
        [5 * MS, 5 * MS + 999_999, 9 * MS],
        [failure(6 * MS, Outcome.LATE), failure(9 * MS + 1, Outcome.WRONG)],
    )
    assert chunk is not None
    assert chunk.scope == SCOPE
    assert list(chunk.cells()) == [
        Cell(5, (2, 0, 0, 0, 0, 0)),
        Cell(6, (0, 1, 0, 0, 0, 0)),
        Cell(9, (1, 0, 0, 0, 0, 1)),
    ]


def test_no_arrivals_no_chunk() -> None:
    """Where nothing was due there is nothing to keep."""
    assert make_chunk(SCOPE, [], []) is None


def test_file_round_trip() -> None:
    """What was written is read back."""
    frames: list[FilmChunk | BlindSpan] = [BlindSpan("tls", 1, 5)]
    chunk = make_chunk(SCOPE, [MS, 2 * MS], [failure(MS, Outcome.UNSENT)])
    assert chunk is not None
    frames.append(chunk)
    content = FILM_MAGIC + encode_frames(frames[:1]) + encode_frames(frames[1:])
    assert read_film(content) == (frames, False)
    assert frames[0] == BlindSpan("tls", 1, 5)


def test_torn_file_is_read_up_to_the_last_whole_frame() -> None:
    """A run that was killed while writing leaves a readable film."""
    content = FILM_MAGIC + encode_frames([BlindSpan("tls", 1, 5), BlindSpan("a", 2, 3)])
    for cut in (1, 10):
        assert read_film(content[:-cut]) == ([BlindSpan("tls", 1, 5)], True)
    assert read_film(FILM_MAGIC + b"\0\0") == ([], True)


def test_foreign_and_damaged_files_are_refused() -> None:
    """A file that is no film, or a damaged one, is refused with what was found."""
    with pytest.raises(ValueError, match="not a film"):
        read_film(b"{}")
    content = bytearray(FILM_MAGIC + encode_frames([BlindSpan("tls", 1, 5)]))
    content[-6] ^= 0xFF
    with pytest.raises(ValueError, match="damaged film frame at byte 8"):
        read_film(bytes(content))
