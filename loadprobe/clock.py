"""The only module that reads a clock.

Monotonic times are CLOCK_MONOTONIC nanoseconds, shared by all processes of one
host, so arrivals of several probe processes can be ordered without any exchange.
Wall times are UNIX nanoseconds and are used for display and for other machines only.
"""

import time
from dataclasses import dataclass
from pathlib import Path

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_HOUR = 3_600 * NS_PER_S
NEVER_NS = 1 << 62
"""Later than any time: what does not happen, or does not end."""

mono_now_ns = time.monotonic_ns
"""Return CLOCK_MONOTONIC in nanoseconds (bare C function: it runs per operation)."""


_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_now_ns() -> int:
    """Return CLOCK_BOOTTIME in nanoseconds, which goes on while the machine sleeps.

    It is shared by all processes of a host, too, and begins anew with each start. For
    what passes for others meanwhile: the TTL of keys. Without it (it is Linux' own)
    CLOCK_MONOTONIC.
    """
    return time.clock_gettime_ns(_BOOT)


def wall_now_ns() -> int:
    """Return the UNIX time in nanoseconds."""
    return time.time_ns()


def read_boot_id() -> str:
    """Return what tells this start of the machine from all others; "" if nothing does.

    The monotonic clock begins anew with each (random(4): boot_id).
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True, slots=True)
class BootClock:
    """What times of ``boot_now_ns`` mean to a process that reads them later.

    Args:
        boot_id: of which start of the machine they are (see ``read_boot_id``).
        now_ns: of now.
        to_wall_ns: what leads to UNIX times.
    """

    boot_id: str
    now_ns: int
    to_wall_ns: int


def read_boot_clock() -> BootClock:
    """Read the clock that goes on while the machine sleeps."""
    now_ns = boot_now_ns()
    return BootClock(read_boot_id(), now_ns, wall_now_ns() - now_ns)


def process_cpu_ns() -> int:
    """Return the CPU time (user and system) of this process in nanoseconds."""
    return time.process_time_ns()


def thread_cpu_ns() -> int:
    """Return the CPU time (user and system) of this thread in nanoseconds."""
    return time.thread_time_ns()


@dataclass(frozen=True, slots=True)
class ClockPair:
    """One reading of both clocks, so that monotonic times can be shown as wall times.

    Args:
        mono_ns: the monotonic reading.
        wall_ns: the wall reading of the same instant.
    """

    mono_ns: int
    wall_ns: int

    def to_wall(self, mono_ns: int) -> int:
        """Return the wall time of a monotonic time, in nanoseconds."""
        return self.wall_ns + mono_ns - self.mono_ns

    def to_mono(self, wall_ns: int) -> int:
        """Return the monotonic time of a wall time, in nanoseconds."""
        return self.mono_ns + wall_ns - self.wall_ns


def read_clock_pair() -> ClockPair:
    """Read both clocks as close together as possible (best of five readings)."""
    best: ClockPair | None = None
    best_gap = NEVER_NS
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best_gap:
            best_gap = after - before
            best = ClockPair((before + after) // 2, wall)
    assert best is not None
    return best
