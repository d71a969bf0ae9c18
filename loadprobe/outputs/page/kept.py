"""Seconds and cells of the last minutes, in few bytes.

Pure. As objects, the seconds and cells of a quarter of an hour are a hundred thousand
lists and more, which Python's collections of garbage would look at again and again.
Here they are numbers in one array, and bytes; they become objects when somebody asks.
"""

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.judging.cells import FilmChunk, Frame
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.outcome import Outcome

_OUTCOMES = len(Outcome)
_WIDTH = 2 + _OUTCOMES + 3
"""Of a row: scope, second, arrivals per outcome, observed, dark and grey cells."""

_FRAME = msgspec.msgpack.Decoder(Frame)


@dataclass(frozen=True, slots=True)
class SecondsCopy:
    """Seconds that were kept, as they were then; they become objects one by one.

    Args:
        rows: of ``_WIDTH`` numbers each.
        scopes: by their number.
    """

    rows: "array[int]"
    scopes: Sequence[Scope]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows) // _WIDTH

    def __iter__(self) -> Iterator[SecondCounts]:
        """Yield the seconds in the order kept."""
        for at in range(0, len(self.rows), _WIDTH):
            number, second, *counts = self.rows[at : at + _WIDTH]
            scope = self.scopes[number]
            yield SecondCounts(scope, second, counts[:_OUTCOMES], *counts[_OUTCOMES:])


class KeptSeconds:
    """Counts of the last seconds, by time; 88 bytes for each."""

    def __init__(self) -> None:
        self._rows: array[int] = array("q")
        self._first = 0
        self._scopes: dict[Scope, int] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return (len(self._rows) - self._first) // _WIDTH

    def add(self, seconds: Iterable[SecondCounts]) -> None:
        """Keep more seconds, later ones than before."""
        for row in seconds:
            number = self._scopes.setdefault(row.scope, len(self._scopes))
            counted = row.observed_ms, row.dark_ms, row.grey_ms
            self._rows.extend((number, row.second, *row.counts, *counted))

    def forget(self, before_s: int) -> None:
        """Let go of seconds before one."""
        rows = self._rows
        while self._first < len(rows) and rows[self._first + 1] < before_s:
            self._first += _WIDTH
        if 8 * self._first > len(rows):  # it is moved rarely, and little is in vain
            del rows[: self._first]
            self._first = 0

    def copy(self) -> SecondsCopy:
        """Return what is kept."""
        return SecondsCopy(self._rows[self._first :], tuple(self._scopes))


@dataclass(frozen=True, slots=True)
class FilmCopy:
    """Frames that were kept; they become objects one by one."""

    packed: Sequence[bytes]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.packed)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in the order kept."""
        return map(_FRAME.decode, self.packed)


class KeptFilm:
    """Frames of the last minutes, by time: some three bytes for each cell.

    Args:
        most_cells: so many cells at most.

    Attributes:
        is_short: frames were let go that are not older than the rest.
    """

    def __init__(self, most_cells: int) -> None:
        self._most_cells = most_cells
        self._frames: deque[tuple[int, int, bytes]] = deque()
        self._cells = 0
        self.is_short = False

    def add(self, frames: Iterable[Frame]) -> None:
        """Keep more frames."""
        for frame in frames:
            size = _size(frame)
            packed = msgspec.msgpack.encode(frame)
            self._frames.append((_end_s(frame), size, packed))
            self._cells += size

    def forget(self, before_s: int) -> None:
        """Let go of frames that end before a second, and of what is too much."""
        frames = self._frames
        while frames and (self._cells > self._most_cells or frames[0][0] < before_s):
            end_s, size, _ = frames.popleft()
            self.is_short |= end_s >= before_s
            self._cells -= size

    def copy(self, since_s: int = 0) -> FilmCopy:
        """Return the frames that do not end before a second."""
        return FilmCopy(
            [packed for end_s, _, packed in self._frames if end_s >= since_s]
        )


def _size(frame: Frame) -> int:
    return len(frame.steps) if isinstance(frame, FilmChunk) else 1


def _end_s(frame: Frame) -> int:
    """Return the second in which a frame ends."""
    if isinstance(frame, FilmChunk):
        return (frame.first_ms + sum(frame.steps)) * NS_PER_MS // NS_PER_S
    return frame.end_ns // NS_PER_S
