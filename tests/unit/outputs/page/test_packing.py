"""The film as a page has it: every change of state in its very millisecond."""

import base64
import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.cells import BlindSpan, FilmChunk
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.outputs.page.packing import PackedFilm, blind_spans, pack_film

SCOPE = Scope("tcp", "0001", OpKind.WRITE)
ROWS = {SCOPE: 3}


def chunk(steps: list[int], **columns: list[int]) -> FilmChunk:
    """Return cells of the one scope, from 5,000 ms on."""
    return FilmChunk("tcp", "0001", 1, 5_000, steps, **columns)


def unpacked(film: PackedFilm) -> list[tuple[int, list[list[int]]]]:
    """Return (first millisecond, columns) of each chunk, as the page reads it."""
    content = zlib.decompress(base64.b64decode(film.packed))
    found, at = [], 0
    for row, first_ms, count, *widths in film.chunks:
        assert row == 3
        columns: list[list[int]] = []
        for width in widths:
            part = content[at : at + width * count]
            at += width * count
            columns.append(
                [
                    int.from_bytes(part[n : n + width], "little")
                    for n in range(0, len(part), width or 1)
                ]
            )
        found.append((first_ms, columns))
    assert at == len(content)
    return found


def states(first_ms: int, columns: list[list[int]]) -> list[tuple[int, bool, bool]]:
    """Return (millisecond, served, failed) of each cell."""
    steps, *outcomes = columns
    ms, found = first_ms, []
    for n in range(len(outcomes[0] or outcomes[2])):
        ms += steps[n] if steps else 0
        served = bool(outcomes[0] and outcomes[0][n])
        found.append((ms, served, any(o[n] for o in outcomes[1:] if o)))
    return found


@given(
    st.lists(
        st.tuples(st.integers(1, 70_000), st.integers(0, 1 << 34), st.integers(0, 300)),
        min_size=1,
    )
)
def test_what_is_packed_is_there_again(cells: list[tuple[int, int, int]]) -> None:
    """Steps and counts of any size come back as they were, from the page's zero on."""
    steps = [0, *(step for step, _, _ in cells[1:])]
    served = [count for _, count, _ in cells]
    refused = [count for _, _, count in cells]
    film = pack_film(
        [chunk(steps, served=served, refused=refused)], ROWS, zero_ms=1_000
    )
    ((first_ms, columns),) = unpacked(film)
    assert first_ms == 4_000
    assert not film.is_thinned
    assert columns[0] == (steps if any(steps) else [])
    assert columns[1 + Outcome.SERVED] == (served if any(served) else [])
    assert columns[1 + Outcome.REFUSED] == (refused if any(refused) else [])


@given(
    st.lists(
        st.tuples(st.integers(1, 400), st.sampled_from(["lit", "grey", "dark"])),
        min_size=1,
        max_size=60,
    )
)
def test_a_film_that_is_too_long_keeps_every_change(
    cells: list[tuple[int, str]],
) -> None:
    """Thinned, the state of every cell is still that of its kept neighbours."""
    steps = [0, *(step for step, _ in cells[1:])]
    columns = {
        "served": [int(state != "dark") for _, state in cells],
        "unsent": [int(state != "lit") for _, state in cells],
    }
    whole = pack_film([chunk(steps, **columns)], ROWS, zero_ms=0)
    thin = pack_film([chunk(steps, **columns)], ROWS, zero_ms=0, most_bytes=0)
    assert thin.is_thinned
    ((first_ms, unpacked_columns),) = unpacked(thin)
    kept = states(first_ms, unpacked_columns)
    ((first_ms, unpacked_columns),) = unpacked(whole)
    for ms, *state in states(first_ms, unpacked_columns):
        before = [row[1:] for row in kept if row[0] <= ms][-1]
        after = next(row[1:] for row in kept if row[0] >= ms)
        assert tuple(state) in {before, after}
        if before == after:
            assert tuple(state) == before
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(kept)]
    assert max(gaps, default=0) < 1_000 + 400


def test_cells_of_unknown_scopes_are_left_out() -> None:
    """A film may hold scopes that nothing else tells of."""
    other = FilmChunk("tls", "0009", 0, 0, [0], served=[1])
    film = pack_film([other, BlindSpan("tcp", 0, 5)], ROWS, zero_ms=0)
    assert film.chunks == []


@pytest.mark.parametrize(
    "wrong",
    [
        chunk([0, -1], served=[1, 1]),
        chunk([0, 1], served=[1]),
        chunk([0, 1], served=[1, 1], refused=[-1, 1]),
        chunk([0, 1 << 65], served=[1, 1]),
        FilmChunk("tcp", "0001", 9, 0, [0], served=[1]),
    ],
)
def test_cells_that_are_never_written_are_refused(wrong: FilmChunk) -> None:
    """A damaged film is an error, not a page that shows something else."""
    with pytest.raises(ValueError, match=r"."):
        pack_film([wrong], ROWS, zero_ms=0)


def test_blind_spans_are_by_lane_and_time() -> None:
    """They count from the zero of the page, in ms, and come in order."""
    spans = [
        BlindSpan("tcp", 9_000_000, 9_500_000),
        BlindSpan("tcp", 5_000_000, 6_000_000),
    ]
    assert blind_spans(spans, zero_ns=4_000_000) == {"tcp": [[1.0, 2.0], [5.0, 5.5]]}
