"""The film of an incident as lines of text, one per lane and shard.

Pure. A column stands for some milliseconds and shows the worst that can be said of all
of them; it never makes a short outage vanish.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from loadprobe.clock import NS_PER_MS
from loadprobe.core.judging.cells import BlindSpan, CellState, FilmChunk, Frame
from loadprobe.core.judging.outcome import Outcome

SYMBOLS: Mapping[CellState, str] = {
    CellState.DARK: "#",
    CellState.GREY: "+",
    CellState.LIT: ".",
    CellState.BLANK: " ",
    CellState.BLIND: "?",
}
LEGEND = "# only failures   + failures and served   . served   ? probe blind"

_TICK_COLUMNS = 20


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of time a film shows.

    Args:
        first_ms: monotonic millisecond of the first column.
        step_ms: milliseconds per column.
        columns: number of columns.
    """

    first_ms: int
    step_ms: int
    columns: int

    def column(self, ms: int) -> int:
        """Return the column of a millisecond; outside if not in [0, columns)."""
        return (ms - self.first_ms) // self.step_ms


@dataclass(frozen=True, slots=True)
class Strip:
    """The line of one lane and shard, all op kinds together."""

    lane: str
    shard: str
    line: str


def fit_window(start_ns: int, end_ns: int, *, columns: int) -> Window:
    """Return a window round an incident, with a tenth of it to either side.

    The step is 1, 2 or 5 times a power of ten milliseconds.
    """
    start_ms, end_ms = start_ns // NS_PER_MS, -(-end_ns // NS_PER_MS)
    needed_ms = max(end_ms - start_ms, 1) * 1.2
    step_ms = next(
        factor * 10**power
        for power in count()
        for factor in (1, 2, 5)
        if factor * 10**power * columns >= needed_ms
    )
    spare_ms = step_ms * columns - (end_ms - start_ms)
    # Steps begin with the incident, so that the axis counts from it.
    before = spare_ms // 2 // step_ms
    return Window(start_ms - before * step_ms, step_ms, columns)


def draw_strips(
    frames: Iterable[Frame], window: Window, *, scopes: Iterable[tuple[str, str]] = ()
) -> list[Strip]:
    """Return the strips of a film, sorted by lane and shard.

    Args:
        frames: the film.
        window: what to show of it.
        scopes: (lane, shard) pairs that get a strip even if the film lacks them.
    """
    cells: dict[tuple[str, str], dict[int, tuple[int, int]]] = {
        place: {} for place in scopes
    }
    blind: dict[str, set[int]] = {}
    for frame in frames:
        if isinstance(frame, BlindSpan):
            first = window.column(frame.start_ns // NS_PER_MS)
            last = window.column((frame.end_ns - 1) // NS_PER_MS)
            shown = range(max(first, 0), min(last, window.columns - 1) + 1)
            blind.setdefault(frame.lane, set()).update(shown)
        else:
            _count(frame, window, cells.setdefault((frame.lane, frame.shard), {}))
    return [
        Strip(lane, shard, _line(counts, window, blind.get(lane, set())))
        for (lane, shard), counts in sorted(cells.items())
    ]


def draw_axis(window: Window, *, zero_ms: int) -> str:
    """Return the line under the strips: offsets from ``zero_ms``, in ms."""
    axis = [" "] * window.columns
    zero_column = window.column(zero_ms)
    for column in range(zero_column % _TICK_COLUMNS, window.columns, _TICK_COLUMNS):
        offset_ms = window.first_ms + column * window.step_ms - zero_ms
        label = "|0 ms" if column == zero_column else f"|{offset_ms:+d}"
        if column + len(label) <= window.columns:
            axis[column : column + len(label)] = label
    return "".join(axis).rstrip()


def _count(
    chunk: FilmChunk, window: Window, counts: dict[int, tuple[int, int]]
) -> None:
    """Add the served and failed arrivals of a chunk per column."""
    for cell in chunk.cells():
        column = window.column(cell.ms)
        if 0 <= column < window.columns:
            served = cell.counts[Outcome.SERVED]
            failed = sum(cell.counts) - served
            before = counts.get(column, (0, 0))
            counts[column] = (before[0] + served, before[1] + failed)


def _line(
    counts: Mapping[int, tuple[int, int]], window: Window, blind: set[int]
) -> str:
    return "".join(
        SYMBOLS[_state(*counts.get(column, (0, 0)), is_blind=column in blind)]
        for column in range(window.columns)
    ).rstrip()


def _state(served: int, failed: int, *, is_blind: bool) -> CellState:
    if failed:
        return CellState.GREY if served else CellState.DARK
    if is_blind:
        return CellState.BLIND
    return CellState.LIT if served else CellState.BLANK
