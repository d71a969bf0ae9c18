"""Files that a configuration names: read as far as they can be meant.

A device without an end would fill the memory, and a pipe that nobody writes to would be
waited for without an end, by a run that is to measure meanwhile.
"""

import errno
import os
import select
import stat
from pathlib import Path

LARGEST_BYTES = 4 * 1024 * 1024
_PATIENCE_S = 5.0
_CHUNK_BYTES = 64 * 1024


def read_bounded(path: Path | str, most_bytes: int = LARGEST_BYTES) -> bytes:
    """Return the content of a file, or what somebody writes into a pipe.

    Args:
        path: of the file.
        most_bytes: a longer one is refused.

    Raises:
        OSError: it cannot be read, is longer, or nothing comes for five seconds.
        ValueError: there cannot be such a path.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        parts: list[bytes] = []
        left = most_bytes + 1
        while left > 0 and (part := _read(descriptor, min(left, _CHUNK_BYTES))):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(descriptor)
    if left <= 0:
        raise OSError(errno.EFBIG, f"it is longer than {most_bytes} bytes")
    return b"".join(parts)


def read_bounded_text(path: Path | str, most_bytes: int = LARGEST_BYTES) -> str:
    """Return the same as text.

    Raises:
        OSError: as for ``read_bounded``.
        ValueError: there cannot be such a path, or it is no UTF-8 text.
    """
    text = read_bounded(path, most_bytes).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_bounded(path: Path | str, most_bytes: int = LARGEST_BYTES) -> None:
    """Check a file before a library opens it, which waits for pipes, by its path.

    Args:
        path: of the file.
        most_bytes: a longer one is refused.

    Raises:
        OSError: it is not there, is no regular file, or is longer.
        ValueError: there cannot be such a path.
    """
    found = os.stat(path)  # noqa: PTH116 - links are followed, as the library does
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if found.st_size > most_bytes:
        raise OSError(errno.EFBIG, f"it is longer than {most_bytes} bytes")


def _read(descriptor: int, most_bytes: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, most_bytes)
        except BlockingIOError:
            if not select.select([descriptor], [], [], _PATIENCE_S)[0]:
                raise OSError(errno.ETIMEDOUT, "nobody writes into it") from None
