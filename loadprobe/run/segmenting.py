"""When a segment of a run begins, and what is said of it."""

from collections.abc import Callable

from loadprobe.clock import (
    ClockPair,
    mono_now_ns,
    read_boot_id,
    read_clock_pair,
)
from loadprobe.outputs.folder.documents import Moment
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.segments import FIRST, SegmentInfo, Why


class Segmenting:
    """Begins the segments of a run.

    Args:
        folder: the run folder.
        config_digest: of the configuration.
        length_ns: a segment that is so long ends; None lets it go on.
        now_ns: monotonic clock.
        read_clock: reads both clocks.
    """

    def __init__(
        self,
        folder: RunFolder,
        config_digest: str,
        *,
        length_ns: int | None = None,
        now_ns: Callable[[], int] = mono_now_ns,
        read_clock: Callable[[], ClockPair] = read_clock_pair,
    ) -> None:
        self._folder = folder
        self._now_ns = now_ns
        self._read_clock = read_clock
        self._begun_ns = now_ns()
        self.config_digest = config_digest
        self.length_ns = length_ns

    @property
    def is_due(self) -> bool:
        """Tell whether the segment has been long enough."""
        if self.length_ns is None:
            return False
        return self._now_ns() - self._begun_ns >= self.length_ns

    def begin(self, why: Why) -> bool:
        """Begin a segment, or say what the first one is; tell whether it was done."""
        clock = self._read_clock()
        number = FIRST if why == "start" else self._folder.segment + 1
        info = SegmentInfo(
            number=number,
            clock=Moment(clock.wall_ns, clock.mono_ns),
            boot_id=read_boot_id(),
            config_digest=self.config_digest,
            why=why,
        )
        if not self._folder.begin_segment(info):
            return False
        self._begun_ns = self._now_ns()
        return True
