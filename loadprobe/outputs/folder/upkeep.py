"""Keeps a run folder small while a run lasts: a process of its own, of low priority.

It compacts what does not grow any more, and removes what is too old or too much. The
run does not depend on it: it may fail, or be killed, and the next one goes on.

It reads its order from standard input and writes its report to standard output.
"""

import fcntl
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from loadprobe.clock import NS_PER_S, mono_now_ns, wall_now_ns
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.compaction import Compaction
from loadprobe.outputs.folder.holding import (
    INCIDENTS,
    held_incidents,
    held_segments,
    incident_paths,
    segment_paths,
)
from loadprobe.outputs.folder.incident_folder import IncidentFolders, IncidentRecord
from loadprobe.outputs.folder.private import FILE_MODE
from loadprobe.outputs.folder.removing import (
    Removal,
    note_removal,
    own_files,
    remove_files,
)
from loadprobe.outputs.folder.retention import (
    Remove,
    Retention,
    Shrink,
    Step,
    StoredItem,
    by_age,
    to_make_room,
)

BYTES_PER_GB = 1_000_000_000
LOCK = "upkeep.lock"

_WORK_NS = 10_000_000
_REST_PER_WORK = 3
_NICE = 19
_NEVER = threading.Event()


class Order(msgspec.Struct, frozen=True):
    """What is to be done.

    Args:
        folder: of the run.
        retention: what is kept.
        first_growing: number of the first segment that may grow; None leaves the last
            one alone.
        verify: also look at files that are as they should be.
        incidents: that are over, and have no folder yet.
        now_unix_ns: the time, None for that of the clock.
    """

    folder: str
    retention: Retention = Retention()
    first_growing: int | None = None
    verify: bool = False
    incidents: list[IncidentRecord] = []
    now_unix_ns: int | None = None


class Report(msgspec.Struct, frozen=True):
    """What was found and done.

    Args:
        segments_bytes: size of all segments that do not grow.
        incidents_bytes: of the folders of incidents.
        segments: how many of these there are.
        incidents: how many folders there are.
        damaged: files that were set aside, until now.
        removed_segments: by this order.
        removed_incidents: by this order.
        problem: why not all could be done, "" if it could.
    """

    segments_bytes: int = 0
    incidents_bytes: int = 0
    segments: int = 0
    incidents: int = 0
    damaged: int = 0
    removed_segments: int = 0
    removed_incidents: int = 0
    problem: str = ""


class Throttle:
    """Lets work be done at most a quarter of the time, some milliseconds at once.

    Args:
        now_ns: monotonic clock.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        now_ns: Callable[[], int] = mono_now_ns,
        sleep: Callable[[float], object] = _NEVER.wait,
    ) -> None:
        self._now_ns = now_ns
        self._sleep = sleep
        self._since_ns = now_ns()

    def __call__(self) -> None:
        """Rest if it is time to."""
        worked_ns = self._now_ns() - self._since_ns
        if worked_ns < _WORK_NS:
            return
        self._sleep(worked_ns * _REST_PER_WORK / NS_PER_S)
        self._since_ns = self._now_ns()


class UpkeepWork:
    """Carries an order out (see the module).

    Args:
        order: what is to be done.
        tick: called again and again while it works.
        disk_ratio: returns how full the disk is.
    """

    def __init__(
        self,
        order: Order,
        *,
        tick: Callable[[], None] = lambda: None,
        disk_ratio: Callable[[Path], float] | None = None,
    ) -> None:
        self._order = order
        self._folder = Path(order.folder)
        self._tick = tick
        self._disk_ratio = disk_ratio or used_ratio
        self._now_unix_ns = order.now_unix_ns or wall_now_ns()
        self._removed = {"segments": 0, "incidents": 0}
        self._problem = ""

    def carry_out(self) -> Report:
        """Do it, as far as it can be done, and return what was found."""
        self._write_incidents()
        for step in by_age(self._segments(), self._order.retention, self._now_unix_ns):
            self._take(step)
        self._make_room()
        return self._report()

    def _write_incidents(self) -> None:
        """Take incidents out of the segments, before anything becomes coarser."""
        if not self._order.incidents:
            return
        try:
            folders = IncidentFolders(self._folder, tick=self._tick)
            for record in self._order.incidents:
                folders.write(record)
        except OSError as exc:
            self._problem = f"an incident was not written: {exc.strerror or exc}"
        except UsageError as exc:
            self._problem = str(exc)

    def _make_room(self) -> None:
        """Remove what is too much, the oldest first."""
        why = self._too_much()
        if not why:
            return
        incidents = held_incidents(self._folder)
        for step in to_make_room(self._segments(), incidents, why):
            self._take(step)
            if not self._too_much():
                return
        self._problem = self._problem or f"there is more than {why} allows"

    def _too_much(self) -> str:
        """Return the key that says that there is too much, "" if there is not."""
        retention = self._order.retention
        if self._disk_ratio(self._folder) > retention.max_disk_ratio:
            return "max_disk_ratio"
        size = sum(map(size_of, self._held()))
        return "retain_gb" if size > retention.retain_gb * BYTES_PER_GB else ""

    def _segments(self) -> list[StoredItem]:
        return held_segments(self._folder, first_growing=self._order.first_growing)

    def _held(self) -> list[Path]:
        return [*segment_paths(self._folder), *incident_paths(self._folder)]

    def _take(self, step: Step) -> None:
        try:
            if isinstance(step, Shrink):
                compaction = Compaction(step.held.path, tick=self._tick)
                compaction.compact(
                    step.step_s,
                    latencies_s=step.latencies_s,
                    verify=self._order.verify,
                )
            else:
                self._remove(step)
        except OSError as exc:
            self._problem = f"{step.held.path}: {exc.strerror or exc}"

    def _remove(self, step: Remove) -> None:
        held = step.held
        is_incident = held.path.parent.name == INCIDENTS
        what = "incidents" if is_incident else "segments"
        remove_files(held.path, is_whole_run=held.path == self._folder)
        self._removed[what] += 1
        span = held.begun_unix_ns, held.ended_unix_ns
        note_removal(self._folder, Removal(what, 1, *span, step.why))

    def _report(self) -> Report:
        segments = [held.path for held in self._segments()]
        incidents = incident_paths(self._folder)
        damaged = (path.glob("*.damaged*") for path in segments)
        return Report(
            segments_bytes=sum(map(size_of, segments)),
            incidents_bytes=sum(map(size_of, incidents)),
            segments=len(segments),
            incidents=len(incidents),
            damaged=sum(1 for found in damaged for _ in found),
            removed_segments=self._removed["segments"],
            removed_incidents=self._removed["incidents"],
            problem=self._problem,
        )


def used_ratio(folder: Path) -> float:
    """Return how full a disk is, as ``df`` tells it: 1 if we can write no more."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0.0
    used = found.f_blocks - found.f_bfree
    usable = used + found.f_bavail
    return used / usable if usable else 0.0


def size_of(path: Path) -> int:
    """Return how many bytes the files of a segment or an incident take."""
    with suppress(OSError):
        return sum(file.stat().st_size for file in own_files(path))
    return 0


def main() -> int:
    """Carry out an order from standard input; return the exit code.

    Another process that keeps the same folder is left alone.
    """
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    with suppress(OSError):
        os.nice(_NICE)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    with os.fdopen(os.open(Path(order.folder) / LOCK, flags, FILE_MODE)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        report = UpkeepWork(order, tick=Throttle()).carry_out()
    sys.stdout.buffer.write(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
