"""Garbage and memory of a process: what it does to itself while it measures."""

import ctypes
import gc
import resource
from pathlib import Path

from loadprobe.clock import NS_PER_S, mono_now_ns

_FIRST_GENERATION = 50_000
_TIDY_EVERY_NS = 10 * NS_PER_S
_WORTH_IT = 500
_SHARE = 1_000
"""A collection that takes long, because much is alive, is so many times rarer."""
_TIDY_AT_LEAST_EVERY_NS = 30 * NS_PER_S
"""But not rarer than this: it may have taken long because much was let go of, and the
more comes together until the next one, the longer that takes."""


_LIBC = ctypes.CDLL(None)
_TRIM = getattr(_LIBC, "malloc_trim", None)
"""Gives what was freed in between back to the system (glibc, malloc_trim(3))."""

_MALLOPT = getattr(_LIBC, "mallopt", None)
_MALLOPTS = {
    -3: 128 * 1024,  # M_MMAP_THRESHOLD
    -1: 256 * 1024,  # M_TRIM_THRESHOLD
    -8: 2,  # M_ARENA_MAX
}
"""By number (malloc.h of glibc): what is larger than the first has pages of its own."""


def give_back_large_blocks() -> None:
    """Have memory of large blocks go back to the system as soon as they are freed.

    By itself glibc takes them from the heap once one was freed, whatever their size up
    to 32 MB: a page of metrics each second, 256 kB for each connection by TLS. Between
    them small things stay, so the heap grows though ever less of it is used. And each
    thread that makes pages has a heap of its own.
    """
    if _MALLOPT is not None:
        for option, value in _MALLOPTS.items():
            _MALLOPT(option, value)


class Collections:
    """Has collections of garbage be rare and small, and times them."""

    def __init__(self) -> None:
        self._started_ns = 0
        self._lengths_ns: list[int] = []
        self._tidy_ns = 0

    def start(self) -> None:
        """Take what is there out of all collections to come."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(_FIRST_GENERATION, 20, 20)
        gc.callbacks.append(self._on_phase)

    def stop(self) -> None:
        """Time no more of them."""
        gc.callbacks.remove(self._on_phase)

    def tidy(self, now_ns: int) -> None:
        """Collect all there is, if enough was made since, and some time ago.

        For client libraries. What they let go of refers to itself (redis-py 8.1: a
        connection and its handler of notices, an error and its traceback), so nothing
        but a collection frees it. Few such objects hold much: a connection by TLS has
        the authorities of the system, 1 MB in all. So their number alone, by which
        Python decides, is reached after hours and hundreds of megabytes.
        """
        if now_ns < self._tidy_ns:
            return
        young, *older = gc.get_count()
        if young < _WORTH_IT and not any(older):
            return
        begun_ns = mono_now_ns()
        if gc.collect() and _TRIM is not None:
            _TRIM(0)
        took_ns = mono_now_ns() - begun_ns
        pause_ns = max(_TIDY_EVERY_NS, _SHARE * took_ns)
        self._tidy_ns = now_ns + min(pause_ns, _TIDY_AT_LEAST_EVERY_NS)

    def take_ns(self) -> list[int]:
        """Return how long those since the last call took."""
        lengths_ns, self._lengths_ns = self._lengths_ns, []
        return lengths_ns

    def _on_phase(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._started_ns = mono_now_ns()
        else:
            self._lengths_ns.append(mono_now_ns() - self._started_ns)


def rss_bytes() -> int:
    """Return how much memory this process holds."""
    try:
        statm = Path("/proc/self/statm").read_text(encoding="ascii")
    except OSError:  # no /proc: the peak is the next best figure
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(statm.split()[1]) * resource.getpagesize()
