"""The files of one segment that grow while a run lasts."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from loadprobe.core.judging.cells import FILM_MAGIC
from loadprobe.outputs.folder.appending import AppendFile, WaitingMemory
from loadprobe.outputs.folder.documents import (
    CELLS,
    EVENTS,
    HISTOGRAMS,
    SCHEMA_VERSION,
    SEALED,
    SERIES,
    encode_json,
)


class Rooms:
    """Memory for all files of a run: what a verdict needs does not share it."""

    def __init__(self) -> None:
        self.verdict = WaitingMemory()
        self.others = WaitingMemory()

    def of(self, name: str) -> WaitingMemory:
        """Return that of a file."""
        return self.verdict if name in (SEALED, EVENTS) else self.others


def growing_files(
    path: Path, losses: Counter[str], rooms: Rooms
) -> Mapping[str, AppendFile]:
    """Return the files of a segment by name, in the order in which they are synced.

    Lines of SEALED refer to HISTOGRAMS and SERIES, so it comes last.

    Args:
        path: the folder of the segment.
        losses: dropped lines and frames are counted there, by file.
        rooms: where what cannot be written waits.
    """
    names = (EVENTS, HISTOGRAMS, SERIES, CELLS, SEALED)
    return {
        name: AppendFile(
            path / name, header=header_of(name), room=rooms.of(name), losses=losses
        )
        for name in names
    }


def header_of(name: str) -> bytes:
    """Return what a file that grows begins with."""
    if name == CELLS:
        return FILM_MAGIC
    kind = name.partition(".")[0]
    return encode_json({"schema_version": SCHEMA_VERSION, "file": kind}) + b"\n"
