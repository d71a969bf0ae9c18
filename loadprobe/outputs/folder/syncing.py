"""Bringing files to the disk while they grow, beside whatever writes them.

What is written survives the end of its process, but not that of the machine: for that
the disk must have it. It may take its time, so a thread waits for it.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.outputs.folder.appending import AppendFile
from loadprobe.outputs.folder.private import sync_folder
from loadprobe.outputs.folder.segments import SEGMENTS

SYNC_EVERY_S = 2.0
SLOW_S = 2.0
"""If the disk takes longer, more is lost in a power cut than is promised."""

_STOP_S = 10.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Files:
    """Those of a folder; ``known`` is how many were there when it was synced."""

    folder: Path
    files: Sequence[AppendFile]
    known: int = -1

    def sync(self) -> None:
        for file in self.files:
            file.sync()
        are_open = sum(file.is_open for file in self.files)
        if are_open != self.known:  # the names of new files, and of the folder
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
            if self.folder.parent.name == SEGMENTS:
                sync_folder(self.folder.parent.parent)
            self.known = are_open


class Syncing:
    """Syncs the files of a folder again and again (see the module).

    Args:
        path: the folder of the files.
        files: in the order in which they reach the disk: what others refer to first.

    Attributes:
        error: why it failed the last time, None if it never did.
    """

    def __init__(self, path: Path, files: Sequence[AppendFile]) -> None:
        self._files = _Files(path, tuple(files))
        self._left: deque[AppendFile] = deque()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: OSError | None = None

    def start(self) -> None:
        """Begin."""
        name = "loadprobe-sync"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def turn_to(
        self, path: Path, files: Sequence[AppendFile], *, leave: Sequence[AppendFile]
    ) -> None:
        """Sync other files from now on.

        Args:
            path: their folder.
            files: in the order in which they reach the disk.
            leave: files that are complete: they are synced once more, and closed.
        """
        self._left += leave
        self._files = _Files(path, tuple(files))
        if self._thread is None:
            self.sync()

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
            self._close_left()
            self._files.sync()
        except OSError as exc:
            self.error = exc
        took_s = (mono_now_ns() - begun_ns) / NS_PER_S
        if took_s > SLOW_S:
            fields = {"lp_took_s": round(took_s, 1), "lp_path": str(self._files.folder)}
            logger.warning("slow_disk", extra=fields)

    def _close_left(self) -> None:
        while self._left:
            file = self._left.popleft()
            try:
                file.sync()
            finally:
                file.close()

    def _run(self) -> None:
        while not self._is_over.wait(SYNC_EVERY_S):
            self.sync()
        self.sync()
