"""The segments of a run: parts of its time, with files of their own.

The files of the first one are at the top of the run folder, those of further ones in
``segments/0002``, ``segments/0003`` and so on. The last segment holds all that was
judged before it, in its own monotonic clock (``Checkpoint`` of ``sealed_lines``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from loadprobe.clock import NEVER_NS, NS_PER_MS
from loadprobe.outputs.folder.documents import SCHEMA_VERSION, Moment

SEGMENTS = "segments"
SEGMENT = "segment.json"
FIRST = 1

Why = Literal["start", "time", "restart", "reload", "loss"]
"""Why a segment began: the run did, the one before was long enough, the run goes on
after its process was gone, something changed that cannot be changed in between, or
lines of the one before are lost, as the disk was full for too long."""


class SegmentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``segment.json``.

    Args:
        schema_version: version of the format.
        number: 1, 2, ... in the order of time.
        clock: one instant on both clocks, read when the segment began.
        boot_id: of the machine then; "" if it is not known.
        config_digest: of the configuration that it ran with.
        why: see ``Why``.
    """

    schema_version: int = SCHEMA_VERSION
    number: int
    clock: Moment
    boot_id: str
    config_digest: str
    why: Why


@dataclass(frozen=True, slots=True)
class Segment:
    """Where a segment is.

    Args:
        number: see ``SegmentInfo``.
        path: the folder of its files.
        shift_ns: what is to be added to its monotonic times to have them in the clock
            of the last segment in which anything was judged; not 0 only if the machine
            was started in between.
        begun_ns: when it began, in that clock; NEVER_NS if that is not known.
    """

    number: int
    path: Path
    shift_ns: int = 0
    begun_ns: int = NEVER_NS


def segment_path(folder: Path, number: int) -> Path:
    """Return the folder of the files of a segment."""
    return folder if number == FIRST else folder / SEGMENTS / f"{number:04d}"


def number_of(path: Path) -> int:
    """Return the number of the segment whose files are in a folder."""
    return int(path.name) if path.parent.name == SEGMENTS else FIRST


def shown_name(path: Path) -> str:
    """Return the name of a file for people: within its run folder."""
    is_further = path.parent.parent.name == SEGMENTS
    return "/".join(path.parts[-3:]) if is_further else path.name


def segment_numbers(folder: Path) -> list[int]:
    """Return the numbers of the segments of a run, by time; the first is always one."""
    names = (path.name for path in (folder / SEGMENTS).glob("[0-9]*"))
    further = sorted({int(name) for name in names if name.isdecimal()})
    return [FIRST, *(number for number in further if number > FIRST)]


def paths_of(folder: Path) -> list[Path]:
    """Return the folders of the segments of a run, by time."""
    return [segment_path(folder, number) for number in segment_numbers(folder)]


def find_segments(
    folder: Path, infos: Sequence[SegmentInfo | None], *, at: int = -1
) -> list[Segment]:
    """Return where the segments of a run are.

    Args:
        folder: of the run.
        infos: of its segments, in their order; None of one whose clock is not known:
            it is taken for that of the next one that is.
        at: index of the segment in whose clock times are told.
    """
    shift_ns = 0
    shifts_ns: list[int] = []
    after: SegmentInfo | None = None
    for info in reversed(infos):
        if info is not None:
            shift_ns += shift_between(info, after)
            after = info
        shifts_ns.append(shift_ns)
    shifts_ns.reverse()
    found: list[Segment] = []
    for number, info, to_last_ns in zip(
        segment_numbers(folder), infos, shifts_ns, strict=True
    ):
        shift_ns = to_last_ns - shifts_ns[at]
        begun_ns = NEVER_NS if info is None else info.clock.mono_ns + shift_ns
        found.append(Segment(number, segment_path(folder, number), shift_ns, begun_ns))
    return found


def shift_between(before: SegmentInfo, after: SegmentInfo | None) -> int:
    """Return what is to be added to times of a segment to have them in a later clock.

    The monotonic clock goes on exactly as long as the machine does: one that went back
    began anew, also where no start of the machine has an id. After a start of the
    machine only the wall clock tells what was when.
    """
    if after is None:
        return 0
    goes_on = before.clock.mono_ns <= after.clock.mono_ns
    if goes_on and before.boot_id == after.boot_id:
        return 0
    shift_ns = after.clock.clock.to_mono(before.clock.wall_ns) - before.clock.mono_ns
    # Whole milliseconds: cells stay what they are.
    return round(shift_ns / NS_PER_MS) * NS_PER_MS
