"""A file that only grows, and loses nothing when it cannot.

Every append reaches the operating system before it returns. What a full disk or any
other error refuses is kept in memory, in order, and written with the next append.
"""

import os
from collections import Counter, deque
from pathlib import Path

from loadprobe.outputs.folder.private import FILE_MODE, open_private

PENDING_LIMIT_BYTES = 32 * 1024 * 1024


class WaitingMemory:
    """Memory for what waits to be written; several files may share it.

    Args:
        limit_bytes: how much there is.

    Attributes:
        used_bytes: how much is taken.
    """

    def __init__(self, limit_bytes: int = PENDING_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def has(self, size_bytes: int) -> bool:
        """Tell whether there is room for so much more."""
        return self.used_bytes + size_bytes <= self.limit_bytes


class AppendFile:
    """Appends chunks (whole lines, or whole frames) to one file.

    Args:
        path: the file; made at the first append.
        header: chunk the file begins with.
        room: how much is kept in memory while writing fails; chunks beyond it are
            dropped and counted, newest first.
        losses: dropped chunks are counted there, too, by the name of the file.
        is_optional: without a chunk there is no file.

    Attributes:
        dropped: number of chunks that were dropped.
        error: why writing failed the last time, None if it never did.
        size_bytes: length of the file once everything that waits is written.
    """

    def __init__(
        self,
        path: Path,
        *,
        header: bytes,
        room: WaitingMemory | None = None,
        losses: Counter[str] | None = None,
        is_optional: bool = False,
    ) -> None:
        self.path = path
        self.dropped = 0
        self.error: OSError | None = None
        self.size_bytes = len(header)
        self._pending: deque[bytes] = deque([header])
        self._pending_bytes = len(header)
        self._is_absent = is_optional
        self._header_bytes = len(header)
        self._written_of_first = 0
        self._room = room or WaitingMemory()
        self._room.used_bytes += len(header)
        self._losses = Counter[str]() if losses is None else losses
        self._written_bytes = 0
        self._synced_bytes = 0
        self._fd: int | None = None

    @property
    def pending_count(self) -> int:
        """Return the number of chunks that are not (wholly) in the file yet."""
        return 0 if self._is_absent else len(self._pending)

    @property
    def waiting_bytes(self) -> int:
        """Return how much could not be written yet."""
        return self._pending_bytes if self.error is not None else 0

    def append(self, chunk: bytes) -> None:
        """Write a chunk, after those that are still waiting."""
        if not self._room.has(len(chunk)):
            self.flush()
        if not self._room.has(len(chunk)):
            self.dropped += 1
            self._losses[self.path.name] += 1
            return
        self._is_absent = False
        self._pending.append(chunk)
        self._pending_bytes += len(chunk)
        self._room.used_bytes += len(chunk)
        self.size_bytes += len(chunk)
        self.flush()

    def flush(self) -> bool:
        """Try to write what is waiting; return whether nothing is left.

        ``error`` is the reason of the latest failure; it stays after a success.
        """
        if self._is_absent:
            return True
        try:
            while self._pending:
                self._write_first()
        except OSError as exc:
            self.error = exc
            return False
        return True

    def _write_first(self) -> None:
        if self._fd is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, FILE_MODE)
        first = self._pending[0]
        while self._written_of_first < len(first):
            # A disk that fills up takes a part and refuses the rest the next time.
            rest = memoryview(first)[self._written_of_first :]
            self._written_of_first += os.write(self._fd, rest)
        self._pending.popleft()
        self._pending_bytes -= len(first)
        self._room.used_bytes -= len(first)
        self._written_bytes += len(first)
        self._written_of_first = 0

    @property
    def has_content(self) -> bool:
        """Tell whether more than the header has been written."""
        return self._written_bytes > self._header_bytes

    @property
    def is_open(self) -> bool:
        """Tell whether the file has been made."""
        return self._fd is not None

    def sync(self) -> None:
        """Have what was written reach the disk; any thread may, until ``close``.

        Raises:
            OSError: it did not.
        """
        fd, written_bytes = self._fd, self._written_bytes
        if fd is not None and written_bytes > self._synced_bytes:
            os.fdatasync(fd)
            self._synced_bytes = written_bytes

    def copy_to(self, path: Path) -> None:
        """Write the whole content, file and memory, to another file.

        Raises:
            OSError: the file cannot be read, or the other one not be written.
        """
        if self._is_absent:
            return
        with open_private(path) as copy:
            if self._fd is not None:
                content = self.path.read_bytes()
                copy.write(content[: len(content) - self._written_of_first])
            for chunk in self._pending:
                copy.write(chunk)

    def close(self) -> None:
        """Close the file; what is still waiting is left in memory."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
