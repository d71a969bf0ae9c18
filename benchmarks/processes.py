"""CPU time and memory of a process with all its descendants, from /proc (Linux)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measurement import BenchmarkError

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_UTIME, _CSTIME = 11, 14  # fields of /proc/PID/stat, counted after the command's name


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree of processes has used, and holds.

    Args:
        processes: how many are alive.
        cpu_seconds: user and system time, that of ended children included.
        rss_bytes: resident memory; pages that several share count for each of them.
        pss_bytes: the same with shared pages divided among those that share them.
    """

    processes: int
    cpu_seconds: float
    rss_bytes: int
    pss_bytes: int


def read_usage(root: int) -> Usage:
    """Return what a process and its descendants use now.

    Raises:
        BenchmarkError: there is no such process.
    """
    cpu_seconds, rss_bytes, pss_bytes, count = 0.0, 0, 0, 0
    for pid in tree_of(root):
        try:
            own = Path(f"/proc/{pid}")
            fields = (own / "stat").read_text().rpartition(")")[2].split()
            rss = int((own / "statm").read_text().split()[1])
            pss_bytes += _pss_bytes(own)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in between; its parent has its time
        cpu_seconds += sum(map(int, fields[_UTIME : _CSTIME + 1])) / _TICKS_PER_S
        rss_bytes += rss * _PAGE_BYTES
        count += 1
    if not count:
        raise BenchmarkError(f"reading what process {root} uses: it has ended")
    return Usage(count, cpu_seconds, rss_bytes, pss_bytes)


def cpu_seconds_of_children(root: int) -> float:
    """Return the CPU time of the descendants of a process, without its own."""
    ticks = 0
    for pid in tree_of(root):
        if pid == root:
            continue
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(map(int, stat.rpartition(")")[2].split()[_UTIME : _UTIME + 2]))
    return ticks / _TICKS_PER_S


def read_rss_bytes(pid: int) -> int:
    """Return the resident memory of one process, without its descendants."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE_BYTES


def tree_of(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [(task / "children").read_text().split() for task in tasks]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in (int(word) for words in children for word in words):
        yield from tree_of(child)


def _pss_bytes(own: Path) -> int:
    for line in (own / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
