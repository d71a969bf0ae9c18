"""What waits to be sent to a receiver, on disk: it survives the process.

One small file for each receiver, which is replaced whole, so that a reader sees the old
or the new one. One that cannot be read is set aside and never deleted. No error of the
file system ends a run: notices then wait in memory alone.
"""

import fcntl
import os
import threading
from pathlib import Path

import msgspec

from loadprobe.core.verdict.notices import Notice
from loadprobe.core.verdict.occasions import OpenIncident

SCHEMA_VERSION = 1
_LARGEST_BYTES = 64 * 1024 * 1024
_MOST_SET_ASIDE = 9


class Stored(msgspec.Struct, frozen=True):
    """The content of the file.

    Args:
        waiting: notices that are not sent, the oldest first.
        open: incidents that people were told of and that are not over; their times are
            UNIX ns here.
        schema_version: of this document.
    """

    waiting: list[Notice] = []
    open: list[OpenIncident] = []
    schema_version: int = SCHEMA_VERSION


class QueueFile:
    """The file of one receiver; only one process has it at a time.

    Args:
        path: of the file; its folder is made if need be.

    Attributes:
        problem: why it is not used, or None.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: int | None = None
        self._number = 0
        self._saving = threading.Lock()
        self.problem: str | None = None

    def load(self) -> Stored:
        """Take the file, and return what is in it; nothing if it cannot be had."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take()
            return self._read()
        except OSError as exc:
            self._note(exc)
            return Stored()

    def save(self, stored: Stored, number: int) -> None:
        """Write what waits now; an error is noted, and the file stays as it was.

        May be called by several threads.

        Args:
            stored: to be written.
            number: the greater, the newer; what is older than the file is not written.
        """
        with self._saving:
            if self._lock is not None and number > self._number:
                self._number = number
                self._write(stored)

    def _write(self, stored: Stored) -> None:
        part = self._path.with_suffix(".part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(stored))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError as exc:
            self._note(exc)
        else:
            self.problem = None

    def close(self) -> None:
        """Let others have the file."""
        with self._saving:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _take(self) -> None:
        lock = os.open(
            self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, mode=0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def _read(self) -> Stored:
        try:
            with self._path.open("rb") as file:
                content = file.read(_LARGEST_BYTES + 1)
        except FileNotFoundError:
            return Stored()
        try:
            stored = msgspec.json.decode(content, type=Stored)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            stored = None
        if stored is None or stored.schema_version != SCHEMA_VERSION:
            self._set_aside()
            return Stored()
        return stored

    def _set_aside(self) -> None:
        names = (self._path.with_suffix(f".bad{n}") for n in range(1, _MOST_SET_ASIDE))
        free = next((name for name in names if not name.exists()), None)
        if free is None:
            self.problem = "there are too many files that could not be read"
            self.close()
            return
        self._path.replace(free)

    def _note(self, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            reason = "another run of the same name has it"
        else:
            reason = error.strerror or str(error)
        self.problem = (
            f"{str(self._path)!r} cannot be used ({reason}): what waits is lost with "
            "the process"
        )
