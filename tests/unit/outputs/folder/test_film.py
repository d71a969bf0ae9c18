"""The film as text."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.judging.cells import BlindSpan, FilmChunk, Frame
from loadprobe.outputs.folder.film import Window, draw_axis, draw_strips, fit_window

MS = 1_000_000


def make_chunk(shard: str, first_ms: int, pattern: str, *, op: int = 0) -> FilmChunk:
    """Return cells from a pattern of d(ark), g(rey), l(it) and blank per ms."""
    shown = [n for n, letter in enumerate(pattern) if letter != " "]
    letters = [pattern[n] for n in shown]
    return FilmChunk(
        "tls",
        shard,
        op,
        first_ms + shown[0],
        [0, *(b - a for a, b in itertools.pairwise(shown))],
        served=[0 if letter == "d" else 1 for letter in letters],
        unsent=[0 if letter == "l" else 1 for letter in letters],
    )


def test_symbols() -> None:
    """Every state of a cell has its own symbol, also where a lane was blind."""
    window = Window(first_ms=1000, step_ms=1, columns=12)
    frames: list[Frame] = [
        make_chunk("0001", 1000, "llddgl    ll"),
        BlindSpan("tls", 1006 * MS, 1008 * MS),
    ]
    (strip,) = draw_strips(frames, window)
    assert strip.line == "..##+.??  .."


def test_one_dark_cell_shows() -> None:
    """One failure among thousands of served arrivals in a column is still seen."""
    window = Window(first_ms=0, step_ms=1000, columns=3)
    (strip,) = draw_strips(
        [make_chunk("0001", 0, "l" * 1999 + "d" + "l" * 1000)], window
    )
    assert strip.line == ".+."


def test_ops_are_shown_together() -> None:
    """A shard that serves reads and refuses writes is grey."""
    window = Window(first_ms=0, step_ms=1, columns=3)
    frames = [make_chunk("0001", 0, "lll"), make_chunk("0001", 0, "ldl", op=1)]
    assert draw_strips(frames, window)[0].line == ".+."


def test_shards_without_film() -> None:
    """Shards that were probed have a strip even where the film has nothing of them."""
    window = Window(first_ms=0, step_ms=1, columns=3)
    strips = draw_strips(
        [make_chunk("0002", 0, "d")], window, scopes=[("tls", "0001"), ("tls", "0002")]
    )
    assert [(strip.shard, strip.line) for strip in strips] == [
        ("0001", ""),
        ("0002", "#"),
    ]


@given(
    start_ns=st.integers(0, 10**18),
    length_ns=st.integers(0, 10**15),
    columns=st.integers(20, 80),
)
def test_window_holds_the_incident(start_ns: int, length_ns: int, columns: int) -> None:
    """An incident of any length is inside its window, and its start begins a column."""
    window = fit_window(start_ns, start_ns + length_ns, columns=columns)
    assert window.column(start_ns // MS) >= 0
    assert window.column((start_ns + length_ns) // MS) < columns
    assert (start_ns // MS - window.first_ms) % window.step_ms == 0
    axis = draw_axis(window, zero_ms=start_ns // MS)
    assert len(axis) <= columns
    assert "|0 ms" in axis or window.column(start_ns // MS) + 5 > columns


def test_an_incident_of_all_time_there_is() -> None:
    """A folder of somebody else may tell of one; a narrow terminal shows it, too."""
    window = fit_window(-(2**63), 2**64 - 1, columns=1)
    assert window.step_ms >= (2**64 + 2**63) // 1_000_000
