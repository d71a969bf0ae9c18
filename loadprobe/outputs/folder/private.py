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
