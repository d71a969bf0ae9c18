"""The run folder: every file a run leaves behind, and what happens on a full disk.

Documents are written to a temporary name and renamed, so a reader sees the old or the
new one, never half of it. No error of the file system ends a run or loses what was
measured: it is kept in memory, tried again, and saved elsewhere at the end.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from loadprobe.clock import NS_PER_S, ClockPair
from loadprobe.core.events import Event
from loadprobe.core.judging.cells import encode_frames
from loadprobe.core.judging.results import Sealed
from loadprobe.core.topology.node_metrics import MetricRow
from loadprobe.core.topology.server_side import ServerRow
from loadprobe.errors import PreflightError
from loadprobe.outputs.folder.appending import AppendFile
from loadprobe.outputs.folder.documents import (
    CELLS,
    CLOUDWATCH,
    EVENTS,
    HISTOGRAMS,
    OUTAGES,
    RUN,
    SEALED,
    SERIES,
    SERVERS,
    SUMMARY,
    encode_document,
    encode_json,
    event_line,
    histogram_rows,
    series_row,
)
from loadprobe.outputs.folder.growing import Rooms, growing_files
from loadprobe.outputs.folder.holding import INCIDENTS
from loadprobe.outputs.folder.locking import FolderLock
from loadprobe.outputs.folder.private import FOLDER_MODE, replace_whole
from loadprobe.outputs.folder.removing import REMOVED, own_files
from loadprobe.outputs.folder.sealed_lines import SealedLine, encode_line
from loadprobe.outputs.folder.segments import (
    FIRST,
    SEGMENT,
    SEGMENTS,
    SegmentInfo,
    number_of,
    segment_path,
    shown_name,
)
from loadprobe.outputs.folder.syncing import Syncing

FREE_BYTES_NEEDED = 50 * 1024 * 1024


def check_writable(directory: Path) -> None:
    """Make the folder for run folders, if need be, and see that it can be used.

    Raises:
        PreflightError: it cannot be made or written, or the disk is nearly full.
    """
    remedy = "set [output] dir to a folder you can write to"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as trial:
            trial.write(b"trial")
        free_bytes = shutil.disk_usage(directory).free
    except OSError as exc:
        raise PreflightError(
            f"cannot write run folders in {str(directory)!r}: {exc.strerror}; {remedy}"
        ) from exc
    if free_bytes < FREE_BYTES_NEEDED:
        raise PreflightError(
            f"{free_bytes / 2**20:.0f} MB are free in {str(directory)!r}, "
            f"{FREE_BYTES_NEEDED // 2**20} MB are needed; free some, or {remedy}"
        )


class RunFolder:
    """Writes the files of one run.

    Args:
        path: the folder, already made (see ``create``).
        clock: to give events their wall time.
        lock: on the folder; None takes it.

    Attributes:
        path: the folder; after ``close`` that which holds everything.
        segment: number of the segment that is written.
        losses: lines and frames that are lost, by file.
    """

    def __init__(
        self, path: Path, *, clock: ClockPair, lock: FolderLock | None = None
    ) -> None:
        self.path = path
        self.segment = self._known = FIRST
        self._clock = clock
        self.losses: Counter[str] = Counter()
        self._rooms = Rooms()
        self._growing = growing_files(path, self.losses, self._rooms)
        self._behind: list[AppendFile] = []
        self._syncing = Syncing(path, list(self._growing.values()))
        self._lock = lock or FolderLock(path)
        self._documents: dict[str, bytes] = {}
        self._unwritten: set[str] = set()
        self._document_error: OSError | None = None
        self._closing_notes: list[str] = []

    @classmethod
    def create(cls, directory: Path, name: str, *, clock: ClockPair) -> "RunFolder":
        """Make ``<directory>/<utc>-<name>``; a taken name gets -2, -3 and so on.

        Raises:
            PreflightError: the folder cannot be made.
        """
        start = datetime.fromtimestamp(clock.wall_ns // NS_PER_S, UTC)
        stem = f"{start:%Y%m%dT%H%M%SZ}-{name}"
        number = 1
        while True:
            path = directory / (stem if number == 1 else f"{stem}-{number}")
            try:
                path.mkdir(mode=FOLDER_MODE, parents=True)
            except FileExistsError:
                number += 1
            except OSError as exc:
                raise PreflightError(
                    f"cannot make the run folder {str(path)!r}: {exc.strerror}; "
                    "set [output] dir to a folder you can write to"
                ) from exc
            else:
                return cls(path, clock=clock)

    @classmethod
    def reopen(
        cls, path: Path, *, clock: ClockPair, lock: FolderLock, after: int, known: int
    ) -> "RunFolder":
        """Return the folder of a run that goes on; begin a segment before all else.

        Args:
            path: the folder.
            clock: to give events their wall time.
            lock: on the folder.
            after: number of the last segment there is.
            known: number of the one that says what was judged.
        """
        folder = cls(path, clock=clock, lock=lock)
        folder.segment, folder._known, folder._growing = after, known, {}
        return folder

    def take_back_verdict(self) -> None:
        """Remove the documents of an end that was none."""
        for name in SUMMARY, OUTAGES:
            with suppress(OSError):
                (self.path / name).unlink()

    @property
    def problems(self) -> list[str]:
        """Return what could not be written so far, as sentences."""
        texts = [
            f"writing {shown_name(file.path)} failed ({_reason(file.error)}); "
            f"{_fate(file)}"
            for file in self._files
            if file.error is not None
        ]
        if self._document_error is not None:
            waiting = ", ".join(sorted(self._unwritten)) or "nothing"
            texts.append(
                f"writing a document failed ({_reason(self._document_error)}); "
                f"still to be written: {waiting}"
            )
        if self._syncing.error is not None:
            texts.append(
                f"what was written did not reach the disk "
                f"({_reason(self._syncing.error)}): a power cut may cost more than "
                "the last 5 s"
            )
        return texts + self._closing_notes

    @property
    def _files(self) -> list[AppendFile]:
        """Return all files that may have something waiting."""
        return [*self._behind, *self._growing.values()]

    @property
    def sizes_bytes(self) -> tuple[int, int]:
        """Return the lengths of SERIES and HISTOGRAMS of the segment."""
        series, histograms = self._growing[SERIES], self._growing[HISTOGRAMS]
        return series.size_bytes, histograms.size_bytes

    @property
    def first_growing(self) -> int:
        """Return the number of the first segment that may grow, or is needed as it is.

        Until the last one says all that was judged, the one before does.
        """
        waiting = [file.path.parent for file in self._behind if file.pending_count]
        is_said = self._growing[SEALED].has_content
        last = self.segment if is_said else self._known
        return min([*map(number_of, waiting), last])

    @property
    def size_bytes(self) -> int:
        """Return the size of the segment that is written."""
        return sum(file.size_bytes for file in self._growing.values())

    @property
    def waiting_bytes(self) -> Mapping[str, int]:
        """Return what could not be written yet, by file."""
        waiting = dict.fromkeys(self._growing, 0)
        for file in self._files:
            waiting[file.path.name] += file.waiting_bytes
        return waiting

    def keep_on_disk(self) -> None:
        """Have what is written reach the disk every few seconds, until ``close``."""
        self._syncing.start()

    def begin_segment(self, info: SegmentInfo) -> bool:
        """End the segment here, and begin one; tell whether that could be done.

        Args:
            info: of the one to begin. The first one is there already.
        """
        number = info.number
        path = segment_path(self.path, number)
        if number != FIRST:
            try:
                path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            except OSError as exc:
                self._document_error = exc
                return False
            if self._growing and self._growing[SEALED].has_content:
                self._known = self.segment
            full = [file for file in self._files if file.flush()]
            self._behind = [file for file in self._files if file not in full]
            self.segment, self._growing = (
                number,
                growing_files(path, self.losses, self._rooms),
            )
            self._syncing.turn_to(path, list(self._growing.values()), leave=full)
        name = str((path / SEGMENT).relative_to(self.path))
        self.write_document(name, info)
        return True

    def take_event(self, event: Event) -> None:
        """Append to ``events.ndjson``."""
        self._add_lines(EVENTS, [event_line(event, self._clock)])

    def take_sealed(self, sealed: Sealed) -> None:
        """Append the seconds, latencies and film frames that became certain."""
        self._add_lines(SERIES, map(series_row, sealed.seconds))
        for latencies in sealed.histograms:
            self._add_lines(HISTOGRAMS, histogram_rows(latencies))
        if sealed.film:
            self._growing[CELLS].append(encode_frames(sealed.film))

    def take_servers(self, rows: Sequence[ServerRow]) -> None:
        """Append what servers told of themselves."""
        self._add_lines(SERVERS, rows)

    def take_metrics(self, rows: Sequence[MetricRow]) -> None:
        """Append what CloudWatch told."""
        self._add_lines(CLOUDWATCH, rows)

    def add_sealed(self, line: SealedLine) -> None:
        """Append to ``sealed.ndjson``; after a line that is lost no other follows.

        A line says what has changed since the one before it. The next segment begins
        with all of it.
        """
        if self.has_lost_sealed:
            self.losses[SEALED] += 1
        else:
            self._growing[SEALED].append(encode_line(line))

    @property
    def has_lost_sealed(self) -> bool:
        """Tell whether ``sealed.ndjson`` of this segment lacks a line."""
        return self._growing[SEALED].dropped > 0

    def retry(self) -> bool:
        """Try to write what waits; tell whether nothing does any more."""
        waiting = [file for file in self._files if file.waiting_bytes]
        left = [file for file in waiting if not file.flush()]
        return not left

    def write_document(self, name: str, document: object) -> None:
        """Write ``run.json``, ``summary.json`` or ``outages.json`` (see documents).

        It replaces an earlier one of the name at once or not at all.
        """
        self._documents[name] = encode_document(document)
        self._unwritten.add(name)
        self._write_documents()

    def close(self) -> Path:
        """Write what is still waiting and return the folder that holds everything.

        That is another one, in the system's temporary folder, if this one cannot be
        completed; ``problems`` says so, and also if that failed too.
        """
        is_complete = self._flush()
        for file in self._files:
            if file.dropped:
                self._closing_notes.append(
                    f"{shown_name(file.path)} lacks its last {file.dropped} chunks: "
                    "they did not fit in memory while writing failed"
                )
        self._closing_notes += self._lost_before()
        if not is_complete:
            self._save_elsewhere()
        if self._syncing.stop():
            for file in self._files:
                file.close()
        self._lock.release()
        return self.path

    def _lost_before(self) -> list[str]:
        """Return what is lost of segments whose files are closed, as sentences."""
        lost = self.losses.copy()
        for file in self._files:
            lost[file.path.name] -= file.dropped
        return [
            f"{name} lacks {count} chunks of earlier segments: they did not fit in "
            "memory while writing failed"
            for name, count in sorted(lost.items())
            if count > 0
        ]

    def _add_lines(self, name: str, rows: Iterable[object]) -> None:
        lines = b"".join(encode_json(row) + b"\n" for row in rows)
        if lines:
            self._growing[name].append(lines)
        if self._unwritten:
            self._write_documents()

    def _flush(self) -> bool:
        self._write_documents()
        grown = [file.flush() for file in self._files]
        return all(grown) and not self._unwritten

    def _write_documents(self) -> None:
        for name in sorted(self._unwritten):
            try:
                replace_whole(self.path / name, self._documents[name])
            except OSError as exc:
                self._document_error = exc
            else:
                self._unwritten.discard(name)
                if "/" in name:  # of a segment: there may be thousands
                    del self._documents[name]

    def _save_elsewhere(self) -> None:
        failed = self.path
        try:
            path = Path(tempfile.mkdtemp(prefix=f"loadprobe-{failed.name}-"))
            for name in SEGMENTS, INCIDENTS:
                if (failed / name).is_dir():
                    shutil.copytree(failed / name, path / name)
            # What grows is written whole below, and so are documents.
            for file in (*own_files(failed), failed / RUN, failed / REMOVED):
                if file.is_file():
                    shutil.copy2(file, path / file.name)
            for growing in self._files:
                growing.copy_to(path / growing.path.relative_to(failed))
            for name, content in self._documents.items():
                (path / name).parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
                (path / name).write_bytes(content)
        except OSError as exc:
            self._closing_notes.append(
                f"{str(failed)!r} is incomplete, and saving it in the temporary folder "
                f"failed too ({_reason(exc)})"
            )
            return
        self.path = path
        self._closing_notes.append(
            f"{str(failed)!r} is incomplete; the complete run is in {str(path)!r}"
        )


def _fate(file: AppendFile) -> str:
    if file.dropped:
        return "memory for what waits is full: the latest is lost"
    if file.pending_count:
        return "what it lacks is kept in memory"
    return "it was completed later"


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
