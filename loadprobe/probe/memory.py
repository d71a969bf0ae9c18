"""Garbage and memory of a probe process: what it does to itself while it measures."""

import gc
import resource
from pathlib import Path

from loadprobe.clock import mono_now_ns

_FIRST_GENERATION = 50_000


class Collections:
    """Has collections of garbage be rare and small, and times them."""

    def __init__(self) -> None:
        self._started_ns = 0
        self._lengths_ns: list[int] = []

    def start(self) -> None:
        """Take what is there out of all collections to come."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(_FIRST_GENERATION, 20, 20)
        gc.callbacks.append(self._on_phase)

    def stop(self) -> None:
        """Time no more of them."""
        gc.callbacks.remove(self._on_phase)

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
