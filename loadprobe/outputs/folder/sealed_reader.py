"""Reading what was judged in a run, and what of the files of seconds belongs to it.

The last segment has all that was judged before it. Of earlier ones only the seconds of
the last hours are needed. A process may be killed while it writes a line, and a power
cut may cost more of a file's end: what cannot be read there is left out. Damage before
the end is told.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import SEALED
from loadprobe.outputs.folder.files import is_begun, raw_lines
from loadprobe.outputs.folder.reader import load_segments
from loadprobe.outputs.folder.sealed_lines import SealedLine, decode_line
from loadprobe.outputs.folder.sealed_replay import SealedReplay
from loadprobe.outputs.folder.seconds_reader import add_earlier, add_seconds
from loadprobe.outputs.folder.segments import Segment, shown_name


def read_sealed(
    folder: Path, torn: set[str], left_out: set[str] | None = None
) -> SealedReplay | None:
    """Return what was judged in a run, as far as it was written; None if nothing was.

    Args:
        folder: the run folder.
        torn: the names of torn files are added to it.
        left_out: what is said of damaged files of earlier segments is added to it.

    Raises:
        UsageError: a file is damaged.
    """
    segments = load_segments(folder)
    while segments:
        replay = read_segment(segments, torn, left_out)
        if replay is not None:
            return replay
        segments.pop()  # nothing was written of it
    return None


def read_segment(
    segments: Sequence[Segment], torn: set[str], left_out: set[str] | None = None
) -> SealedReplay | None:
    """Return what was judged up to the end of a segment, None if nothing was written.

    Args:
        segments: it, after those before it.
        torn: as in ``read_sealed``.
        left_out: likewise.

    Raises:
        UsageError: a file is damaged.
    """
    *before, last = segments
    replay = read_lines_of(last, torn)
    if replay is not None:
        add_earlier(replay, before, torn, set() if left_out is None else left_out)
        add_seconds(replay, last.path, torn)
    return replay


def read_lines_of(segment: Segment, torn: set[str]) -> SealedReplay | None:
    """Return what the lines of a segment say, None if nothing was written.

    Args:
        segment: where it is.
        torn: as in ``read_sealed``.

    Raises:
        UsageError: the file is damaged.
    """
    path = segment.path / SEALED
    return _replay(path, torn) if is_begun(path, torn) else None


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
        torn.add(shown_name(path))
