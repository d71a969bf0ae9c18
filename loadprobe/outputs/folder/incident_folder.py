"""What is kept longest of a run: a folder for each incident, taken out of its segments.

It holds what is said of the incident, the film, and the seconds and events around it,
in the forms that segments have. It is made under another name: it is whole or absent.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from loadprobe.clock import NEVER_NS, NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.core.judging.cells import FILM_MAGIC, BlindSpan, Frame, encode_frames
from loadprobe.core.verdict.outage_document import OutageRow
from loadprobe.core.verdict.summary import IncidentSummary
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.documents import (
    CELLS,
    EVENTS,
    HISTOGRAMS,
    SCHEMA_VERSION,
    SERIES,
    SERVERS,
    Moment,
    encode_document,
)
from loadprobe.outputs.folder.files import is_begun, raw_lines
from loadprobe.outputs.folder.forms import form_name
from loadprobe.outputs.folder.growing import header_of
from loadprobe.outputs.folder.holding import INCIDENTS, incident_paths
from loadprobe.outputs.folder.packed import pack
from loadprobe.outputs.folder.private import (
    FOLDER_MODE,
    open_private,
    replace_whole,
    sync_folder,
)
from loadprobe.outputs.folder.reader import film_of, load_segments, read_info
from loadprobe.outputs.folder.removing import INCIDENT, read_removals, remove_files
from loadprobe.outputs.folder.segments import Segment, SegmentInfo

AROUND_NS = 60 * NS_PER_S
"""Seconds and events so long before and after an incident are kept with it."""

_SAME_NS = NS_PER_S
"""An incident that began so little earlier or later is the same one, seen better."""


class IncidentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``incident.json``.

    Args:
        schema_version: version of the format.
        run: name of the run folder.
        kind: "outage", or what else made it an incident.
        start_unix_ns: when it began.
        end_unix_ns: when it was over.
        clock: one instant on both clocks, that of the monotonic times in the folder;
            None takes that of the last segment.
        boot_id: of the machine then; "" if it is not known.
        incident: as in ``summary.json``; None if nothing was dark.
        outages: those of it, as in ``outages.json``.
        about: what else is known of it.
    """

    schema_version: int = SCHEMA_VERSION
    run: str
    kind: str = "outage"
    start_unix_ns: int
    end_unix_ns: int
    clock: Moment | None = None
    boot_id: str = ""
    incident: IncidentSummary | None = None
    outages: list[OutageRow] = []
    about: dict[str, object] = {}

    @property
    def is_planned(self) -> bool:
        """Tell whether it was by plan."""
        return self.incident is not None and self.incident.is_planned

    @property
    def start_mono_ns(self) -> int | None:
        """Return when it began, monotonic; None if nobody knows in which clock."""
        if self.clock is None or not self.boot_id:
            return None
        return self.clock.clock.to_mono(self.start_unix_ns)

    def is_of_boot(self, other: "IncidentRecord") -> bool:
        """Tell whether two records are known to be in one monotonic clock."""
        both = self.start_mono_ns, other.start_mono_ns
        return None not in both and self.boot_id == other.boot_id

    def is_same(self, other: "IncidentRecord") -> bool:
        """Tell whether two records are about one incident.

        The wall clock may have been set in between, so it is asked only across starts
        of the machine.
        """
        if (self.kind, self.is_planned) != (other.kind, other.is_planned):
            return False
        mine, theirs = self.start_mono_ns, other.start_mono_ns
        if mine is None or theirs is None or not self.is_of_boot(other):
            mine, theirs = self.start_unix_ns, other.start_unix_ns
        return abs(mine - theirs) <= _SAME_NS

    @property
    def seconds(self) -> list[tuple[str, int]]:
        """Return in which second it began: of the UNIX time ("") and of a boot."""
        found = [("", self.start_unix_ns // _SAME_NS)]
        if self.start_mono_ns is not None:
            found.append((self.boot_id, self.start_mono_ns // _SAME_NS))
        return found


def read_record(path: Path) -> IncidentRecord | None:
    """Return what is said of an incident, None if that cannot be read.

    Args:
        path: its folder.
    """
    try:
        content = (path / INCIDENT).read_bytes()
        return msgspec.json.decode(content, type=IncidentRecord)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


class IncidentFolders:
    """Makes the folders of incidents (see the module).

    Args:
        folder: of the run.
        tick: called again and again while it works.
    """

    def __init__(
        self, folder: Path, *, tick: Callable[[], None] = lambda: None
    ) -> None:
        self._folder = folder
        self._tick = tick
        self._directory = folder / INCIDENTS
        found = {path: read_record(path) for path in incident_paths(folder)}
        self._known = {path: known for path, known in found.items() if known}
        self._by_second: defaultdict[tuple[str, int], list[Path]] = defaultdict(list)
        for path, known in self._known.items():
            self._keep(path, known)
        self._removed_unix_ns = max(
            (
                row.until_unix_ns
                for row in read_removals(folder)
                if row.what == INCIDENTS
            ),
            default=-NEVER_NS,
        )
        self._segments = load_segments(folder)
        info = next(filter(None, map(_info_of, reversed(self._segments))), None)
        self._clock = None if info is None else info.clock

    def is_known(self, record: IncidentRecord) -> bool:
        """Tell whether an incident has a folder."""
        return self._folder_of(record) is not None

    def _folder_of(self, record: IncidentRecord) -> Path | None:
        """Return the folder of an incident, without a look at all others."""
        for clock, second in record.seconds:
            for at in (second - 1, second, second + 1):
                for path in self._by_second.get((clock, at), ()):
                    if self._known[path].is_same(record):
                        return path
        return None

    def write(self, record: IncidentRecord) -> Path | None:
        """Make the folder of an incident, or say anew what it was; return it.

        None if nothing tells how the clock of the run went, or if it had one that was
        removed to make room, or would have been.

        Raises:
            OSError: it cannot be written.
        """
        moment = record.clock or self._clock
        if moment is None:
            return None
        known = self._folder_of(record)
        if known is not None:
            before = self._known[known]
            if not record.is_of_boot(before):  # its files are in the clock of then
                record = msgspec.structs.replace(
                    record, clock=before.clock, boot_id=before.boot_id
                )
            if record != before:
                replace_whole(known / INCIDENT, encode_document(record))
                self._keep(known, record)
            return known
        if record.end_unix_ns <= self._removed_unix_ns + _SAME_NS:
            return None
        record = msgspec.structs.replace(record, clock=moment)
        path = self._free_path(record)
        new = path.with_name(f".{path.name}.new")
        if new.exists():
            remove_files(new)
        new.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._fill(new, record, moment.clock)
        new.rename(path)
        sync_folder(self._directory)
        self._keep(path, record)
        return path

    def _keep(self, path: Path, record: IncidentRecord) -> None:
        self._known[path] = record
        for second in record.seconds:
            if path not in self._by_second[second]:
                self._by_second[second].append(path)

    def _free_path(self, record: IncidentRecord) -> Path:
        begun = datetime.fromtimestamp(record.start_unix_ns // NS_PER_S, UTC)
        number = 1
        while True:
            path = self._directory / f"{begun:%Y%m%dT%H%M%SZ}-{number}"
            if not path.exists():
                return path
            number += 1

    def _fill(self, path: Path, record: IncidentRecord, clock: ClockPair) -> None:
        first_ns = clock.to_mono(record.start_unix_ns) - AROUND_NS
        last_ns = clock.to_mono(record.end_unix_ns) + AROUND_NS
        near = self._between(first_ns, last_ns)
        names = [SERIES, HISTOGRAMS, EVENTS]
        if any(is_begun(segment.path / SERVERS, set()) for segment in near):
            names.append(SERVERS)
        for name in names:
            lines = self._lines(near, name, first_ns, last_ns)
            pack(lines, path / form_name(name), tick=self._tick)
        with open_private(path / CELLS) as file:
            file.write(FILM_MAGIC)
            for segment in near:
                film = _film_between(segment, first_ns, last_ns)
                file.write(encode_frames(film) if film else b"")
                self._tick()
            file.flush()
            os.fsync(file.fileno())
        replace_whole(path / INCIDENT, encode_document(record))
        sync_folder(path)

    def _between(self, first_ns: int, last_ns: int) -> list[Segment]:
        """Return the segments that may know something of a span."""
        ends = [segment.begun_ns for segment in self._segments[1:]]
        return [
            segment
            for segment, end_ns in zip(self._segments, [*ends, NEVER_NS], strict=True)
            if end_ns >= first_ns
            and (segment.begun_ns == NEVER_NS or segment.begun_ns <= last_ns)
        ]

    def _lines(
        self, segments: Iterable[Segment], name: str, first_ns: int, last_ns: int
    ) -> Iterator[bytes]:
        """Yield a file with the lines of a span, in the clock of the last segment."""
        yield header_of(name)
        key, unit_ns = (b"mono_ns", 1) if name == EVENTS else (b"second", NS_PER_S)
        pattern = re.compile(rb'"%b":(\d+)' % key)
        for segment in segments:
            path, shift = segment.path / name, segment.shift_ns // unit_ns
            try:
                for _, line in raw_lines(path) if is_begun(path, set()) else ():
                    self._tick()
                    found = pattern.search(line)
                    if found is None or not line.endswith(b"\n"):
                        continue
                    at = int(found[1]) + shift
                    if first_ns <= at * unit_ns <= last_ns:
                        own = b'"%b":%d' % (key, at)
                        yield line[: found.start()] + own + line[found.end() :]
            except UsageError:
                continue  # it is damaged: what could be read of it is there


def _info_of(segment: Segment) -> SegmentInfo | None:
    try:
        return read_info(segment.path)
    except UsageError:
        return None


def _film_between(segment: Segment, first_ns: int, last_ns: int) -> list[Frame]:
    try:
        return [
            frame
            for frame in film_of(segment, set())
            if _start_ns(frame) <= last_ns and _end_ns(frame) >= first_ns
        ]
    except UsageError:
        return []


def _start_ns(frame: Frame) -> int:
    if isinstance(frame, BlindSpan):
        return frame.start_ns
    return frame.first_ms * NS_PER_MS


def _end_ns(frame: Frame) -> int:
    if isinstance(frame, BlindSpan):
        return frame.end_ns
    return (frame.first_ms + sum(frame.steps) + 1) * NS_PER_MS
