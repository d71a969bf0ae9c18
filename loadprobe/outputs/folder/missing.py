"""What of a run folder is not there any more, as sentences for its report."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from loadprobe.clock import NS_PER_S
from loadprobe.outputs.folder.forms import SegmentFiles
from loadprobe.outputs.folder.holding import segment_paths
from loadprobe.outputs.folder.removing import Removal, read_removals
from loadprobe.outputs.folder.segments import number_of, paths_of, shown_name

_MOST_NAMED = 20


def find_missing(folder: Path) -> tuple[str, ...]:
    """Return what was removed, what is not there, and what was set aside as damaged."""
    removed = read_removals(folder)
    lost = _gaps(folder) - sum(
        each.count for each in removed if each.what == "segments"
    )
    texts = [_removal_text(each) for each in removed]
    if lost > 0:
        are = "segment is" if lost == 1 else "segments are"
        texts.append(f"{lost} {are} not there, and nothing says why")
    damaged = _damaged(folder)
    texts += islice(damaged, _MOST_NAMED)
    if more := sum(1 for _ in damaged):
        texts.append(f"{more} more files were damaged, and set aside")
    return tuple(texts)


def _gaps(folder: Path) -> int:
    """Return how many segments are not there."""
    there = [number_of(path) for path in segment_paths(folder)]
    return max(there, default=0) - len(there)


def _removal_text(removal: Removal) -> str:
    one, more = {
        "segments": ("1 segment", "segments"),
        "incidents": ("the folder of 1 incident", "folders of incidents"),
    }.get(removal.what, ("1 part", "parts"))
    what = f"{removal.count} {more} were" if removal.count > 1 else f"{one} was"
    since, until = _date(removal.from_unix_ns), _date(removal.until_unix_ns)
    return f"{what} removed, from {since} to {until} (see {removal.why})"


def _date(unix_ns: int) -> str:
    try:
        at = datetime.fromtimestamp(unix_ns // NS_PER_S, UTC)
    except (ValueError, OverflowError, OSError):
        return "an impossible time"
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _damaged(folder: Path) -> Iterator[str]:
    for path in paths_of(folder):
        for name, kept in SegmentFiles(path).manifest().files.items():
            if kept.damaged:
                shown = shown_name(path / name)
                yield f"{shown} was damaged, and is set aside: {kept.damaged}"
