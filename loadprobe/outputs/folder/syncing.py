"""Bringing files to the disk while they grow, beside whatever writes them.

What is written survives the end of its process, but not that of the machine: for that
the disk must have it. It may take its time, so a thread waits for it.
"""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.outputs.folder.appending import AppendFile
from loadprobe.outputs.folder.private import sync_folder

SYNC_EVERY_S = 2.0
SLOW_S = 2.0
"""If the disk takes longer, more is lost in a power cut than is promised."""

_STOP_S = 10.0

logger = logging.getLogger(__name__)


class Syncing:
    """Syncs the files of a folder again and again (see the module).

    Args:
        path: the folder.
        files: in the order in which they reach the disk: what others refer to first.

    Attributes:
        error: why it failed the last time, None if it never did.
    """

    def __init__(self, path: Path, files: Sequence[AppendFile]) -> None:
        self._path = path
        self._files = tuple(files)
        self._open = -1
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: OSError | None = None

    def start(self) -> None:
        """Begin."""
        name = "loadprobe-sync"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """End with a last round; return whether nothing uses the files any more.

        A disk that does not answer is not waited for without end.
        """
        if self._thread is None:
            return True
        self._is_over.set()
        self._thread.join(_STOP_S)
        return not self._thread.is_alive()

    def sync(self) -> None:
        """Bring everything that was written until now to the disk."""
        begun_ns = mono_now_ns()
        try:
            for file in self._files:
                file.sync()
            are_open = sum(file.is_open for file in self._files)
            if are_open != self._open:  # the names of new files, and of the folder
                sync_folder(self._path)
                sync_folder(self._path.parent)
                self._open = are_open
        except OSError as exc:
            self.error = exc
        took_s = (mono_now_ns() - begun_ns) / NS_PER_S
        if took_s > SLOW_S:
            fields = {"lp_took_s": round(took_s, 1), "lp_path": str(self._path)}
            logger.warning("slow_disk", extra=fields)

    def _run(self) -> None:
        while not self._is_over.wait(SYNC_EVERY_S):
            self.sync()
        self.sync()
