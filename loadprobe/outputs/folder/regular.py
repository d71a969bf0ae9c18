"""Opening files of a run folder that may be somebody else's.

Rule: what is opened to be read is a regular file of the folder itself. A pipe would be
waited for, a device has no end, and a link leads to what its maker cannot read but the
reader can.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW

MOST_BYTES = 512 * 1024 * 1024
"""Of a file that is read as a whole; the largest that are written have a tenth."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read it.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    try:
        file = os.fdopen(os.open(path, _FLAGS), "rb")
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise OSError(exc.errno, "it is a link, not a file") from exc
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


def read_regular(path: Path) -> bytes:
    """Return what is in a file.

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
    """
    with open_regular(path) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES >> 20} MiB")
    return content
