"""Reading a run folder back, with errors that say which file is not as expected.

It reads what ``outputs.folder.folder`` writes and nothing else: a folder of another
program or of another format is refused, a file torn by a crash is read up to the tear.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from loadprobe.core.events import Event
from loadprobe.core.events.lines import PlainEvent, read
from loadprobe.core.judging.cells import Frame, shifted_film
from loadprobe.core.verdict.outage_document import OutageList, OutageRow
from loadprobe.core.verdict.summary import Summary
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import (
    CELLS,
    EVENTS,
    OUTAGES,
    RUN,
    SEALED,
    SUMMARY,
    EventLine,
    RunInfo,
)
from loadprobe.outputs.folder.files import (
    is_begun,
    raw_lines,
    read_document,
    read_film_file,
    read_lines,
)
from loadprobe.outputs.folder.large_numbers import check_values
from loadprobe.outputs.folder.missing import find_missing
from loadprobe.outputs.folder.removing import INCIDENT
from loadprobe.outputs.folder.segments import (
    SEGMENT,
    Segment,
    SegmentInfo,
    find_segments,
    paths_of,
)

_MOST_EVENTS = 1_000_000
"""In a month of trouble, a hundredth of that are written."""


@dataclass(frozen=True, slots=True)
class PastEvent:
    """A line of the journal that was read back.

    Args:
        line: as it was written.
        event: what it tells.
        unknown: those of its fields that are none of the event's: of another version.
    """

    line: EventLine
    event: Event
    unknown: Mapping[str, object]

    @classmethod
    def of(cls, line: EventLine) -> Self:
        """Return what a line tells.

        Raises:
            ValueError: a field is missing or is not what it should be.
        """
        said = PlainEvent(line.source, line.kind, line.fields)
        return cls(line, *read(line.mono_ns, said))

    def shifted(self, shift_ns: int) -> Self:
        """Return the same in another monotonic clock."""
        mono_ns = self.line.mono_ns + shift_ns
        return self.of(msgspec.structs.replace(self.line, mono_ns=mono_ns))


@dataclass(frozen=True, slots=True)
class RunData:
    """A run as it is reported.

    Args:
        path: the folder.
        info: what was run.
        summary: the judgement.
        outages: every outage kept, by time.
        events: what happened beside the load, in the order written.
        film: cells round the incidents, and blind spans.
        torn: names of files whose last line or frame is not whole, and is left out.
        missing: what is not there any more, or was damaged, as sentences.
    """

    path: Path
    info: RunInfo
    summary: Summary
    outages: tuple[OutageRow, ...]
    events: tuple[PastEvent, ...]
    film: tuple[Frame, ...]
    torn: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """What a folder holds beside its verdict; as in ``RunData``."""

    events: tuple[PastEvent, ...]
    film: tuple[Frame, ...]


def load_run(path: Path, *, is_partial: bool = False) -> RunData:
    """Read the folder of a run that has a verdict.

    Args:
        path: the folder.
        is_partial: of what stands beside the verdict (outages one by one, events, film)
            a file that is damaged or not there is left out, and said to be.

    Raises:
        UsageError: it is no run folder, it has no verdict yet, it was written in
            another format, or one of its files is damaged.
    """
    info = load_info(path)
    if not has_verdict(path):
        raise UsageError(
            f"{str(path)!r} has no {SUMMARY}: the run has not ended, or it was killed "
            "before it was judged"
        )
    torn: set[str] = set()
    left_out: set[str] = set()
    is_whole = len(paths_of(path)) == 1
    outages: tuple[OutageRow, ...] = ()
    with _leaving_out(left_out if is_partial else None):
        outages = tuple(read_document(path / OUTAGES, OutageList).outages)
    beside = load_beside(
        path, torn, is_whole=is_whole, left_out=left_out, is_partial=is_partial
    )
    return RunData(
        path=path,
        info=info,
        summary=read_document(path / SUMMARY, Summary),
        outages=outages,
        events=beside.events,
        film=beside.film,
        torn=tuple(sorted(torn)),
        missing=(*find_missing(path), *sorted(left_out)),
    )


@contextmanager
def _leaving_out(left_out: set[str] | None) -> Iterator[None]:
    """Note what cannot be read, and go on without it; None: that is an error."""
    try:
        yield
    except UsageError as exc:
        if left_out is None:
            raise
        left_out.add(f"left out: {exc}")


def has_verdict(path: Path) -> bool:
    """Tell whether a run was judged and all of it was written."""
    return (path / SUMMARY).is_file()


def load_info(path: Path) -> RunInfo:
    """Read what was run.

    Raises:
        UsageError: it is no run folder, or the file is damaged.
    """
    if (path / INCIDENT).is_file():
        raise UsageError(
            f"{str(path)!r} is the folder of an incident, which its {INCIDENT} tells "
            f"of; name that of its run, {str(path.absolute().parent.parent)!r}"
        )
    if not (path / RUN).is_file():
        raise UsageError(
            f"{str(path)!r} is not a run folder: it has no {RUN}; name a folder that "
            "`loadprobe run` wrote, for example runs/20260102T030405Z-run"
        )
    return read_document(path / RUN, RunInfo)


def load_beside(
    path: Path,
    torn: set[str],
    *,
    is_whole: bool = True,
    left_out: set[str] | None = None,
    is_partial: bool = False,
) -> Beside:
    """Read events and film.

    Args:
        path: the folder.
        torn: the names of torn files are added to it.
        is_whole: every file of the last segment is there; else one may lack that had
            nothing to hold yet.
        left_out: what is said of damaged files of earlier segments, which are left
            out, is added to it.
        is_partial: files of the last segment are left out in the same way.

    Raises:
        UsageError: a file of the last segment is missing, foreign, of another format,
            or damaged.
    """
    film: list[Frame] = []
    *before, last = load_segments(path)
    damaged: set[str] = set()
    for segment in before:
        try:
            film += film_of(segment, torn)
        except UsageError as exc:
            damaged.add(str(exc))
    events: tuple[PastEvent, ...] = ()
    kept = damaged if is_partial else None
    with _leaving_out(kept):
        events = load_events(path, torn, damaged, is_whole=is_whole)
    with _leaving_out(kept):
        film += film_of(last, torn, is_whole=is_whole)
    if left_out is not None:
        left_out |= damaged
    return Beside(events, tuple(film))


def load_events(
    path: Path, torn: set[str], left_out: set[str], *, is_whole: bool = True
) -> tuple[PastEvent, ...]:
    """Read the events of a run; see ``load_beside``.

    Raises:
        UsageError: as for ``load_beside``.
    """
    events: list[PastEvent] = []
    *before, last = load_segments(path)
    for segment in before:
        try:
            events += _events_of(segment, torn)
        except UsageError as exc:
            left_out.add(str(exc))
    events += _events_of(last, torn, is_whole=is_whole)
    return tuple(events)


def _events_of(
    segment: Segment, torn: set[str], *, is_whole: bool = False
) -> list[PastEvent]:
    path = segment.path / EVENTS
    if not is_whole and not is_begun(path, torn):
        return []
    return list(_read_events(path, torn, segment.shift_ns))


def film_of(segment: Segment, torn: set[str], *, is_whole: bool = False) -> list[Frame]:
    """Return the film of a segment, in the clock that ``load_segments`` tells.

    Raises:
        UsageError: it is missing, although it should be whole, or damaged.
    """
    path, shift_ns = segment.path / CELLS, segment.shift_ns
    if not is_whole and not is_begun(path, torn):
        return []
    frames = read_film_file(path, torn)
    return shifted_film(frames, shift_ns) if shift_ns else frames


def load_segments(path: Path) -> list[Segment]:
    """Return the segments of a run, by time.

    Raises:
        UsageError: what is said of one is damaged, or of another format.
    """
    paths = paths_of(path)
    judged = (at for at in range(len(paths) - 1, -1, -1) if _is_judged(paths[at]))
    return find_segments(path, list(map(read_info, paths)), at=next(judged, -1))


def _is_judged(path: Path) -> bool:
    """Tell whether a segment has a line of what was judged."""
    with suppress(UsageError):
        return any(line.endswith(b"\n") for _, line in raw_lines(path / SEALED))
    return False


def read_info(path: Path) -> SegmentInfo | None:
    """Return what is said of a segment, None if nothing is.

    Args:
        path: the folder of the segment.

    Raises:
        UsageError: it is damaged, or of another format.
    """
    file = path / SEGMENT
    return read_document(file, SegmentInfo) if file.is_file() else None


def _read_events(path: Path, torn: set[str], shift_ns: int) -> Iterator[PastEvent]:
    lines = read_lines(path, EventLine, torn=torn)
    for number, line in enumerate(lines, start=2):
        if number > _MOST_EVENTS:
            raise UsageError(f"{path} has more than {_MOST_EVENTS} events")
        try:
            check_values(msgspec.structs.asdict(line))
            past = PastEvent.of(line)
            yield past.shifted(shift_ns) if shift_ns else past
        except (ValueError, RecursionError) as exc:
            raise UsageError(f"{path}, line {number} is damaged: {exc}") from exc
