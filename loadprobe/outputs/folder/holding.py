"""Which parts of a run folder there are that do not grow any more, and since when."""

from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import msgspec

from loadprobe.outputs.folder.removing import INCIDENT, own_files
from loadprobe.outputs.folder.retention import StoredItem
from loadprobe.outputs.folder.segments import SEGMENT, number_of, paths_of

INCIDENTS = "incidents"


class _Moment(msgspec.Struct):
    wall_ns: int


class _Begun(msgspec.Struct):
    """What is needed of ``segment.json``."""

    clock: _Moment


class _Span(msgspec.Struct):
    """What is needed of ``incident.json``."""

    start_unix_ns: int
    end_unix_ns: int


def segment_paths(folder: Path) -> list[Path]:
    """Return the folders of the segments of a run that have any files, by time."""
    return [path for path in paths_of(folder) if path.is_dir() and own_files(path)]


def held_segments(
    folder: Path, *, first_growing: int | None = None
) -> list[StoredItem]:
    """Return the segments of a run that do not grow; by time.

    Args:
        folder: of the run.
        first_growing: number of the first one that may grow; None: only the last one.
    """
    paths = segment_paths(folder)
    begun = [_begun_unix_ns(path) for path in paths]
    return [
        StoredItem(path, start, max(start, end))
        for path, (start, end) in zip(paths, pairwise(begun), strict=False)
        if first_growing is None or number_of(path) < first_growing
    ]


def incident_paths(folder: Path) -> list[Path]:
    """Return the folders of the incidents of a run, by time."""
    found = (folder / INCIDENTS).glob("[!.]*")
    return sorted(path for path in found if (path / INCIDENT).is_file())


def held_incidents(folder: Path) -> list[StoredItem]:
    """Return the incidents of a run that have a folder; by time."""
    held: list[StoredItem] = []
    for path in incident_paths(folder):
        with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            content = (path / INCIDENT).read_bytes()
            span = msgspec.json.decode(content, type=_Span)
            held.append(StoredItem(path, span.start_unix_ns, span.end_unix_ns))
    return held


def _begun_unix_ns(path: Path) -> int:
    """Return when a segment began; by its files, if it does not say so."""
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        content = (path / SEGMENT).read_bytes()
        return msgspec.json.decode(content, type=_Begun).clock.wall_ns
    with suppress(OSError):
        return min(file.stat().st_mtime_ns for file in own_files(path))
    return 0
