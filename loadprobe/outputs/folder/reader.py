"""Reading a run folder back, with errors that say which file is not as expected.

It reads what ``outputs.folder.folder`` writes and nothing else: a folder of another
program or of another format is refused, a file torn by a crash is read up to the tear.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from loadprobe.core.events import Event
from loadprobe.core.events.lines import PlainEvent, read
from loadprobe.core.judging.cells import FILM_MAGIC, Frame, read_film
from loadprobe.core.verdict.outage_document import OutageList, OutageRow
from loadprobe.core.verdict.summary import Summary
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import (
    CELLS,
    EVENTS,
    OUTAGES,
    RUN,
    SCHEMA_VERSION,
    SUMMARY,
    EventLine,
    RunInfo,
)
from loadprobe.outputs.folder.forms import find_form, step_of
from loadprobe.outputs.folder.packed import is_packed, kept_lines

_MOST_OF_A_HEADER = 200

_T = TypeVar("_T")


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
    """

    path: Path
    info: RunInfo
    summary: Summary
    outages: tuple[OutageRow, ...]
    events: tuple[PastEvent, ...]
    film: tuple[Frame, ...]
    torn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """What a folder holds beside its verdict; as in ``RunData``."""

    events: tuple[PastEvent, ...]
    film: tuple[Frame, ...]


class _Version(msgspec.Struct):
    schema_version: int


def load_run(path: Path) -> RunData:
    """Read the folder of a run that has a verdict.

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
    beside = load_beside(path, torn)
    return RunData(
        path=path,
        info=info,
        summary=_read_document(path / SUMMARY, Summary),
        outages=tuple(_read_document(path / OUTAGES, OutageList).outages),
        events=beside.events,
        film=beside.film,
        torn=tuple(sorted(torn)),
    )


def has_verdict(path: Path) -> bool:
    """Tell whether a run was judged and all of it was written."""
    return (path / SUMMARY).is_file()


def load_info(path: Path) -> RunInfo:
    """Read what was run.

    Raises:
        UsageError: it is no run folder, or the file is damaged.
    """
    if not (path / RUN).is_file():
        raise UsageError(
            f"{str(path)!r} is not a run folder: it has no {RUN}; name a folder that "
            "`loadprobe run` wrote, for example runs/20260102T030405Z-run"
        )
    return _read_document(path / RUN, RunInfo)


def load_beside(path: Path, torn: set[str], *, is_whole: bool = True) -> Beside:
    """Read events and film.

    Args:
        path: the folder.
        torn: the names of torn files are added to it.
        is_whole: every file is there; else one may lack that had nothing to hold yet.

    Raises:
        UsageError: a file is missing, foreign, of another format, or damaged.
    """
    events: tuple[PastEvent, ...] = ()
    film: list[Frame] = []
    if is_whole or is_begun(path / EVENTS, torn):
        events = tuple(_read_events(path / EVENTS, torn))
    if is_whole or is_begun(path / CELLS, torn):
        film = _read_film(path / CELLS, torn)
    return Beside(events, tuple(film))


def is_begun(path: Path, torn: set[str]) -> bool:
    """Tell whether a file that grows is there, with more than a torn beginning."""
    path = find_form(path.parent, path.name) or path
    if is_packed(path):
        return True  # it was whole when it was compressed
    try:
        with path.open("rb") as file:
            start = file.read(_MOST_OF_A_HEADER)
    except OSError:
        return False
    is_whole = len(start) >= len(FILM_MAGIC) if path.name == CELLS else b"\n" in start
    if start and not is_whole:
        torn.add(path.name)
    return is_whole


def read_lines(
    path: Path,
    row_type: type[_T],
    *,
    torn: set[str] | None = None,
    since_byte: int = 0,
) -> Iterator[_T]:
    """Yield the lines of an ndjson file after its header; a torn last one is left out.

    Args:
        path: the file.
        row_type: of what kind a line is.
        torn: its name is added to this, if the last line is torn.
        since_byte: lines before are left out; a line begins there.

    Raises:
        UsageError: the file is missing, foreign, of another format, or damaged.
    """
    decoder = msgspec.json.Decoder(row_type)
    for number, line in _numbered_lines(path, since_byte):
        if not line.endswith(b"\n"):
            if torn is not None:
                torn.add(path.name)
            return
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            where = f"line {number}" if since_byte == 0 else f"after byte {since_byte}"
            raise UsageError(f"{path}, {where} is damaged: {exc}") from exc


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and bytes of all lines of an ndjson file after its header.

    Raises:
        UsageError: the file is missing, foreign, or of another format.
    """
    return _numbered_lines(path, 0)


def _numbered_lines(path: Path, since_byte: int) -> Iterator[tuple[int, bytes]]:
    path = find_form(path.parent, path.name) or path
    if is_packed(path):
        yield from _unpacked_lines(path, since_byte)
        return
    try:
        with path.open("rb") as file:
            _check_version(path, file.readline())
            if since_byte:
                file.seek(since_byte)
            yield from enumerate(file, start=2)
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _unpacked_lines(path: Path, since_byte: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a compressed file; all of one with longer steps."""
    try:
        lines = kept_lines(path)
        header = next(lines, b"")
        _check_version(path, header)
        at = len(header)
        for number, line in enumerate(lines, start=2):
            if at >= since_byte or step_of(path) > 1:
                yield number, line
            at += len(line)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    except ValueError as exc:
        raise UsageError(f"{path} is damaged: {exc}") from exc


def _read_events(path: Path, torn: set[str]) -> Iterator[PastEvent]:
    lines = read_lines(path, EventLine, torn=torn)
    for number, line in enumerate(lines, start=2):
        try:
            yield PastEvent.of(line)
        except ValueError as exc:
            raise UsageError(f"{path}, line {number} is damaged: {exc}") from exc


def _read_document(path: Path, document_type: type[_T]) -> _T:
    content = _read(path)
    _check_version(path, content)
    try:
        return msgspec.json.decode(content, type=document_type)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} is damaged: {exc}") from exc


def _check_version(path: Path, content: bytes) -> None:
    try:
        found = msgspec.json.decode(content, type=_Version).schema_version
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise UsageError(
            f"{path} was not written by loadprobe, or is damaged: {exc}"
        ) from exc
    if found != SCHEMA_VERSION:
        raise UsageError(
            f"{path} has schema_version {found}, expected {SCHEMA_VERSION}; "
            "use the loadprobe that wrote it (see versions in run.json)"
        )


def _read_film(path: Path, torn: set[str]) -> list[Frame]:
    content = _read(path)
    try:
        frames, is_torn = read_film(content)
    except ValueError as exc:
        raise UsageError(f"{path} is damaged: {exc}") from exc
    if is_torn:
        torn.add(path.name)
    return frames


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, exc: OSError) -> UsageError:
    return UsageError(f"cannot read {str(path)!r}: {exc.strerror or exc}")
