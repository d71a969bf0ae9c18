"""Whether the process that writes a run folder is still there.

A lock of the kernel on a file in the folder tells it: it goes with the process however
that ends, and no other process that gets its number later can be taken for it.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from loadprobe.outputs.folder.private import FILE_MODE
from loadprobe.outputs.folder.regular import open_regular

LOCK = "run.lock"


class FolderLock:
    """Held as long as this process writes the folder.

    Args:
        folder: the run folder.

    Attributes:
        is_held: no other process has it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._fd: int | None = None
        self.is_held = False
        # A file system without locks, or a full one: then nobody can tell, no more.
        with suppress(OSError):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, FILE_MODE)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # One that went in between is another file under that name.
            self.is_held = os.fstat(self._fd).st_ino == self._path.stat().st_ino
            os.write(self._fd, b"%d\n" % os.getpid())

    def release(self) -> None:
        """Give the folder free."""
        if self._fd is not None:
            if self.is_held:
                with suppress(OSError):
                    self._path.unlink()
            os.close(self._fd)
            self._fd, self.is_held = None, False


def find_writer(folder: Path) -> int | None:
    """Return the process that writes a run folder, None if none does (any more).

    It is 0 if there is one whose number cannot be read.
    """
    try:
        with open_regular(folder / LOCK) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                words = file.read(32).split()
                return int(words[0]) if words and words[0].isdigit() else 0
    except OSError:
        return None
    return None
