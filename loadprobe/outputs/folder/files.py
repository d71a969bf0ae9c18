"""Reading one file of a run folder, with errors that say which is not as expected.

A file of another program or of another format is refused; one that grows and was torn
by a crash is read up to the tear.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from loadprobe.core.judging.cells import FILM_MAGIC, Frame, read_film
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import CELLS, SCHEMA_VERSION
from loadprobe.outputs.folder.forms import find_form, step_of
from loadprobe.outputs.folder.large_numbers import check_numbers
from loadprobe.outputs.folder.packed import LONGEST_LINE_BYTES, is_packed, kept_lines
from loadprobe.outputs.folder.regular import open_regular, read_regular
from loadprobe.outputs.folder.segments import shown_name

_MOST_OF_A_HEADER = 200
_UNDECODABLE = (ValueError, RecursionError)  # also what is no UTF-8, or too deep

_T = TypeVar("_T")


class _Version(msgspec.Struct):
    schema_version: int


def is_begun(path: Path, torn: set[str]) -> bool:
    """Tell whether a file that grows is there, with more than a torn beginning."""
    path = find_form(path.parent, path.name) or path
    if is_packed(path):
        return True  # it was whole when it was compressed
    try:
        with open_regular(path) as file:
            start = file.read(_MOST_OF_A_HEADER)
    except OSError:
        return False
    is_whole = len(start) >= len(FILM_MAGIC) if path.name == CELLS else b"\n" in start
    if start and not is_whole:
        torn.add(shown_name(path))
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
                torn.add(shown_name(path))
            return
        try:
            yield decoder.decode(line)
        except _UNDECODABLE as exc:
            where = f"line {number}" if since_byte == 0 else f"after byte {since_byte}"
            raise UsageError(f"{path}, {where} is damaged: {exc}") from exc


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and bytes of all lines of an ndjson file after its header.

    Raises:
        UsageError: the file is missing, foreign, or of another format.
    """
    return _numbered_lines(path, 0)


def _numbered_lines(path: Path, since_byte: int) -> Iterator[tuple[int, bytes]]:
    found = find_form(path.parent, path.name) or path
    if is_packed(found):
        yield from _unpacked_lines(found, since_byte)
        return
    try:
        with open_regular(found) as file:
            _check_version(path, file.readline(LONGEST_LINE_BYTES))
            if since_byte:
                file.seek(since_byte)
            for number, line in enumerate(
                iter(lambda: file.readline(LONGEST_LINE_BYTES), b""), start=2
            ):
                if len(line) == LONGEST_LINE_BYTES:
                    raise UsageError(
                        f"{path}, line {number} is damaged: it is longer than any"
                    )
                yield number, line
    except OSError as exc:
        packed = find_form(path.parent, path.name)
        if isinstance(exc, FileNotFoundError) and packed not in (None, found):
            yield from _numbered_lines(path, since_byte)  # compressed this moment
            return
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


def read_document(path: Path, document_type: type[_T]) -> _T:
    """Read a document.

    Raises:
        UsageError: it is missing, foreign, of another format, or damaged.
    """
    content = _read(path)
    _check_version(path, content)
    try:
        check_numbers(content)
        return msgspec.json.decode(content, type=document_type)
    except _UNDECODABLE as exc:
        raise UsageError(f"{path} is damaged: {exc}") from exc


def _check_version(path: Path, content: bytes) -> None:
    try:
        found = msgspec.json.decode(content, type=_Version).schema_version
    except _UNDECODABLE as exc:
        raise UsageError(
            f"{path} was not written by loadprobe, or is damaged: {exc}"
        ) from exc
    if found != SCHEMA_VERSION:
        raise UsageError(
            f"{path} has schema_version {found}, expected {SCHEMA_VERSION}; "
            "use the loadprobe that wrote it (see versions in run.json)"
        )


def read_film_file(path: Path, torn: set[str]) -> list[Frame]:
    """Return the whole frames of a film.

    Raises:
        UsageError: it is missing, or damaged.
    """
    content = _read(path)
    try:
        frames, is_torn = read_film(content)
    except ValueError as exc:
        raise UsageError(f"{path} is damaged: {exc}") from exc
    if is_torn:  # or longer than what is read of one
        torn.add(shown_name(path))
    return frames


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, exc: OSError) -> UsageError:
    return UsageError(f"cannot read {str(path)!r}: {exc.strerror or exc}")
