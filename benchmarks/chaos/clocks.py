"""A wall clock of one command that can be stepped; this machine's is not touched.

A few lines of C (``clock.c``) are loaded before the C library: every process of the
command then adds a number to CLOCK_REALTIME that is in a file they share.
CLOCK_MONOTONIC is what it was, as when a real clock is stepped.
"""

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")


class SteppedClock:
    """The clock of commands that are started with ``environment``.

    Args:
        folder: for two small files.
    """

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "clock"
        self._library = folder / "clock.so"
        self._offset.write_bytes(struct.pack("q", 0))
        self.is_there = self._compile()

    @property
    def environment(self) -> dict[str, str]:
        """Return what a command needs; nothing if there is no C compiler."""
        if not self.is_there:
            return {}
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._offset)}

    def step_to(self, offset_ns: int) -> None:
        """Let the clock be so many nanoseconds fast (or slow) from now on."""
        with self._offset.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", offset_ns))

    def _compile(self) -> bool:
        compiler = shutil.which("cc")
        if compiler is None:
            return False
        words = (compiler, "-O2", "-shared", "-fPIC", "-o", self._library, _SOURCE)
        return subprocess.run(words, check=False).returncode == 0
