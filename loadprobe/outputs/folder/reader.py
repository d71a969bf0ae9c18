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
from loadprobe.core.judging.cells import Frame, read_film
from loadprobe.core.verdict.summary import OutageList, OutageRow, Summary
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
    """

    path: Path
    info: RunInfo
    summary: Summary
    outages: tuple[OutageRow, ...]
    events: tuple[PastEvent, ...]
    film: tuple[Frame, ...]


class _Version(msgspec.Struct):
    schema_version: int


def load_run(path: Path) -> RunData:
    """Read a run folder.

    Raises:
        UsageError: it is no run folder, it has no verdict yet, it was written in
            another format, or one of its files is damaged.
    """
    if not (path / RUN).is_file():
        raise UsageError(
            f"{str(path)!r} is not a run folder: it has no {RUN}; name a folder that "
            "`loadprobe run` wrote, for example runs/20260102T030405Z-run"
        )
    info = _read_document(path / RUN, RunInfo)
    if not (path / SUMMARY).is_file():
        raise UsageError(
            f"{str(path)!r} has no {SUMMARY}: the run has not ended, or it was killed "
            "before it was judged"
        )
    return RunData(
        path=path,
        info=info,
        summary=_read_document(path / SUMMARY, Summary),
        outages=tuple(_read_document(path / OUTAGES, OutageList).outages),
        events=tuple(_read_events(path / EVENTS)),
        film=tuple(_read_film(path / CELLS)),
    )


def read_lines(path: Path, row_type: type[_T]) -> Iterator[_T]:
    """Yield the lines of an ndjson file after its header; a torn last one is left out.

    Raises:
        UsageError: the file is missing, foreign, of another format, or damaged.
    """
    decoder = msgspec.json.Decoder(row_type)
    try:
        with path.open("rb") as file:
            _check_version(path, file.readline())
            for number, line in enumerate(file, start=2):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                    raise UsageError(
                        f"{path}, line {number} is damaged: {exc}"
                    ) from exc
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _read_events(path: Path) -> Iterator[PastEvent]:
    for number, line in enumerate(read_lines(path, EventLine), start=2):
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


def _read_film(path: Path) -> list[Frame]:
    content = _read(path)
    try:
        return read_film(content)
    except ValueError as exc:
        raise UsageError(f"{path} is damaged: {exc}") from exc


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, exc: OSError) -> UsageError:
    return UsageError(f"cannot read {str(path)!r}: {exc.strerror or exc}")
