"""Files that their owner alone can read, whatever the umask lets others."""

import os
from pathlib import Path
from typing import BinaryIO

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def open_private(path: Path) -> BinaryIO:
    """Open a file to write it anew.

    Raises:
        OSError: it cannot be made or written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, FILE_MODE), "wb")


def replace_whole(path: Path, content: bytes) -> None:
    """Replace a file at once, or not at all.

    Raises:
        OSError: it was not replaced.
    """
    temporary = new_name(path)
    try:
        with open_private(temporary) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def new_name(path: Path) -> Path:
    """Return the name under which a file is made that is to replace another."""
    return path.with_name(f".{path.name}.new")


def sync_folder(path: Path) -> None:
    """Have the names in a folder reach the disk.

    Raises:
        OSError: they did not.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
