"""The moment from which a page counts. Pure."""

from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS, ClockPair
from loadprobe.outputs.folder.reader import RunData


@dataclass(frozen=True, slots=True)
class Zero:
    """The moment from which a page counts.

    Args:
        clock: that of the run.
        mono_ns: a whole monotonic millisecond.
        wall_ns: the same on the wall.
        length_ms: from there to the end of the run.
    """

    clock: ClockPair
    mono_ns: int
    wall_ns: int
    length_ms: float

    @classmethod
    def of(cls, run: RunData) -> "Zero":
        """Return that of a run."""
        clock, summary = run.info.start.clock, run.summary
        mono_ns = clock.to_mono(summary.start_unix_ns) // NS_PER_MS * NS_PER_MS
        wall_ns = clock.to_wall(mono_ns)
        length_ms = max(1.0, (summary.end_unix_ns - wall_ns) / NS_PER_MS)
        return cls(clock, mono_ns, wall_ns, length_ms)

    def ms(self, wall_ns: int) -> float:
        """Return a wall time as the page counts."""
        return (wall_ns - self.wall_ns) / NS_PER_MS
