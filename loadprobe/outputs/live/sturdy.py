"""Standard output that a run outlives: a closed terminal or pipe costs only the view.

A Ctrl-C ends the reader of a pipe, too, and a hang-up takes the terminal along, while
the run still has to judge and to write what it measured.
"""

import os
import sys
from contextlib import suppress
from typing import TextIO


class SturdyOutput:
    """A text file whose failure is told once, on standard error, and is no more.

    Args:
        file: what is written to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.is_lost = False

    @property
    def encoding(self) -> str:
        """Return how text is encoded."""
        return self._file.encoding

    def write(self, text: str) -> int:
        """Write text, if that can be done."""
        if not self.is_lost:
            try:
                self._file.write(text)
            except OSError as exc:
                self._lose(exc)
        return len(text)

    def flush(self) -> None:
        """Have what was written reach its reader, if there is one."""
        if not self.is_lost:
            try:
                self._file.flush()
            except OSError as exc:
                self._lose(exc)

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return self._file.isatty()

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._file.fileno()

    def _lose(self, error: OSError) -> None:
        """Write nothing more, nor let the interpreter's last flush fail."""
        self.is_lost = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno())
        os.close(nowhere)
        told = (
            f"loadprobe: standard output is gone ({error.strerror}); what follows is "
            "only in the run folder (loadprobe report shows it)\n"
        )
        with suppress(OSError):  # that may be gone as well
            sys.stderr.write(told)
            sys.stderr.flush()
