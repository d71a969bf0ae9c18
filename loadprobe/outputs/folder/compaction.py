"""Makes the files of a segment smaller that does not grow any more.

It may be killed, or lose the power, at any moment: a file is written under another name
and reaches the disk, then it is renamed, then the manifest says what it is, and only
then the one goes that it was made from. Whatever was begun is done again.
"""

import errno
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path

import msgspec

from loadprobe.outputs.folder.coarsening import coarsen
from loadprobe.outputs.folder.documents import (
    CELLS,
    CLOUDWATCH,
    EVENTS,
    HISTOGRAMS,
    SCHEMA_VERSION,
    SEALED,
    SERIES,
    SERVERS,
)
from loadprobe.outputs.folder.forms import (
    STEPS_S,
    KeptFile,
    SegmentFiles,
    find_form,
    form_name,
    step_of,
)
from loadprobe.outputs.folder.packed import (
    digest_of,
    kept_chunks,
    kept_lines,
    pack,
)
from loadprobe.outputs.folder.private import new_name, sync_folder

PACKED = (EVENTS, HISTOGRAMS, SERIES, SERVERS, CLOUDWATCH, SEALED)
"""Files that are compressed; frames of the film are already."""

COARSENED = (HISTOGRAMS, SERIES, SERVERS)

_LINES_PER_CHUNK = 100
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES})

logger = logging.getLogger(__name__)


class Compaction:
    """Compacts the files of one segment (see the module).

    Args:
        folder: where they are.
        tick: called again and again while it works: it may sleep.
    """

    def __init__(
        self, folder: Path, *, tick: Callable[[], None] = lambda: None
    ) -> None:
        self._folder = folder
        self._files = SegmentFiles(folder)
        self._tick = tick

    def compact(
        self, step_s: int = 1, *, latencies_s: int | None = None, verify: bool = False
    ) -> None:
        """Compress the files, and have no steps shorter than some seconds.

        With steps longer than a second, ``sealed.ndjson`` goes: the segments after this
        one begin with all that it says.

        Args:
            step_s: length of the steps of the series.
            latencies_s: of the histograms, if it is another one.
            verify: also look at what is as it should be: is it still what was written?

        Raises:
            OSError: there is no room, or nothing can be written.
        """
        if verify:
            self._verify()
        latencies_s = latencies_s or step_s
        # What servers tell takes as much room as latencies, and goes the same way.
        steps = {SERIES: step_s, HISTOGRAMS: latencies_s, SERVERS: latencies_s}
        if self._is_done(steps):
            return
        self._clean()
        for name in PACKED:
            if name == SEALED and step_s > 1:
                self._guard(name, self._drop)
            else:
                self._guard(name, partial(self._make, step_s=steps.get(name, 1)))
        self._guard(CELLS, self._keep_as_it_is)

    def _is_done(self, steps: Mapping[str, int]) -> bool:
        """Tell whether all that was done before: most segments are as they should."""
        known = self._files.manifest().files
        there = {path.name for path in self._folder.iterdir()}
        if any(name in PACKED or name.startswith(".") for name in there):
            return False
        for name in PACKED:
            found = there & {form_name(name, step_s=step_s) for step_s in STEPS_S}
            if not found:
                continue
            kept = known.get(name)
            is_noted = kept is not None and kept.kept_as in found and len(found) == 1
            is_to_go = name == SEALED and steps[SERIES] > 1
            least_s = steps.get(name, 1)
            if not is_noted or is_to_go or step_of(Path(*found)) < least_s:
                return False
        return CELLS in known or CELLS not in there

    def _verify(self) -> None:
        """Set aside what is not what was written any more."""
        for name in (*PACKED, CELLS):
            problem = self._files.check(name, tick=self._tick)
            if problem and find_form(self._folder, name) is not None:
                self._set_aside(name, problem)

    def _clean(self) -> None:
        """Remove what a process left behind that was killed."""
        for path in self._folder.glob(".*.new"):
            path.unlink(missing_ok=True)

    def _guard(self, name: str, compact: Callable[[str], None]) -> None:
        """Compact a file, or set it aside if it is damaged."""
        try:
            compact(name)
        except OSError as exc:
            if exc.errno in _NO_SPACE:
                raise
            self._set_aside(name, f"it cannot be read: {exc.strerror or exc}")
        except ValueError as exc:
            self._set_aside(name, str(exc))

    def _set_aside(self, name: str, why: str) -> None:
        path = self._files.set_aside(name, why)
        fields = {"lp_path": str(path), "lp_reason": why}
        logger.warning("damaged_file_set_aside", extra=fields)

    def _make(self, name: str, *, step_s: int) -> None:
        """Have a file compressed, with steps of so many seconds at least."""
        source = find_form(self._folder, name)
        if source is None:
            return
        known = self._files.manifest().files.get(name)
        target = self._folder / form_name(name, step_s=max(step_s, step_of(source)))
        if source != target:
            problem = self._files.check(name, tick=self._tick)
            if problem:
                raise ValueError(problem)
            if not self._is_made(target, known):
                self._write(name, source, target, step_s)
            for finer in self._finer(name, target):
                finer.unlink(missing_ok=True)
            sync_folder(self._folder)
        elif known is None or known.kept_as != target.name:
            self._note(name, target, content_bytes=None)

    def _is_made(self, target: Path, known: KeptFile | None) -> bool:
        """Tell whether that was done before: only what it was made from did not go."""
        return (
            known is not None
            and known.kept_as == target.name
            and target.is_file()
            and digest_of(target, tick=self._tick) == known.sha256
        )

    def _write(self, name: str, source: Path, target: Path, step_s: int) -> None:
        chunks: Iterable[bytes] = kept_chunks(source)
        if step_s > step_of(source):
            chunks = _coarser(name, self._ticking(kept_lines(source)), step_s)
        new = new_name(target)
        size = pack(chunks, new, tick=self._tick)
        if sum(map(len, self._ticking(kept_chunks(new)))) != size:
            raise OSError(errno.EIO, "it did not reach the disk as it was written")
        new.replace(target)
        sync_folder(self._folder)
        self._note(name, target, content_bytes=size)

    def _note(self, name: str, path: Path, *, content_bytes: int | None) -> None:
        self._files.note(
            name,
            KeptFile(
                kept_as=path.name,
                bytes=path.stat().st_size,
                sha256=digest_of(path, tick=self._tick),
                content_bytes=content_bytes,
            ),
        )

    def _finer(self, name: str, target: Path) -> Iterator[Path]:
        yield self._folder / name
        for step_s in STEPS_S:
            path = self._folder / form_name(name, step_s=step_s)
            if path == target:
                return
            yield path

    def _drop(self, name: str) -> None:
        if find_form(self._folder, name) is None:
            return
        self._files.note(name, KeptFile(kept_as=None))
        for path in (self._folder / name, self._folder / form_name(name)):
            path.unlink(missing_ok=True)

    def _keep_as_it_is(self, name: str) -> None:
        path = self._folder / name
        if not path.is_file():
            return
        if name not in self._files.manifest().files:
            self._note(name, path, content_bytes=None)

    def _ticking(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self._tick()


def _coarser(name: str, lines: Iterator[bytes], step_s: int) -> Iterator[bytes]:
    """Yield the content of a file with longer steps, in pieces of some lines."""
    header = next(lines, b"")
    _check_header(header)
    yield header
    coarse = coarsen(name, lines, step_s)
    while chunk := b"".join(islice(coarse, _LINES_PER_CHUNK)):
        yield chunk


class _Header(msgspec.Struct):
    schema_version: int


def _check_header(line: bytes) -> None:
    try:
        found = msgspec.json.decode(line, type=_Header).schema_version
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ValueError(f"its first line is damaged: {exc}") from exc
    if found != SCHEMA_VERSION:
        raise ValueError(f"it is of another format ({found})")
