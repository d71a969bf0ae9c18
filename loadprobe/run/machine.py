"""What the machine tells of itself: its cores, and the time others took from it."""

import os
from pathlib import Path

_STAT = Path("/proc/stat")
_TIMES = 8
"""user, nice, system, idle, iowait, irq, softirq, steal: those of guests are in them
(proc_stat(5))."""


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_steal(stat: Path = _STAT) -> tuple[int, int]:
    """Return (stolen, all) time of all cores since the start of the machine, in ticks.

    Where that is not told (no Linux) both are 0.
    """
    try:
        words = stat.read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return 0, 0
    times = [int(word) for word in words[1 : 1 + _TIMES]]
    if len(times) < _TIMES:
        return 0, 0
    return times[-1], sum(times)
