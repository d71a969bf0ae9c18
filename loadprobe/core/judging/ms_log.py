"""The latest millisecond samples, bounded, for any number of consumers.

Pure. There is one log; every consumer reads it at its own pace with a cursor of its
own. A slow consumer holds up nobody: what it did not read in time is counted as missed.
"""

from collections import deque
from collections.abc import Iterable

from loadprobe.core.judging.ms_samples import MsSamples

LOG_BYTES = 24_000_000
"""Room for a minute of twelve scopes that fail in every millisecond."""

LOG_MS = 600_000
WINDOW_MS = 90_000
"""Longer than the usual longest pause between two scrapes, which is a minute."""

WINDOW_SAMPLES = 120_000
"""Samples on one page at most; a line of text each, of about 110 bytes."""


class MsLog:
    """Keeps batches of samples until they are old, or there is no room.

    Args:
        capacity_bytes: memory for all batches.
        keep_ms: how long a sample is kept at most.
    """

    def __init__(
        self, *, capacity_bytes: int = LOG_BYTES, keep_ms: int = LOG_MS
    ) -> None:
        self._capacity_bytes = capacity_bytes
        self._keep_ms = keep_ms
        self._batches: deque[tuple[int, MsSamples]] = deque()
        self._size_bytes = 0
        self._added = 0
        self._gone = 0

    @property
    def size_bytes(self) -> int:
        """Return about how much memory the batches take."""
        return self._size_bytes

    @property
    def gone(self) -> int:
        """Return how many samples were added and are not kept any more."""
        return self._gone

    def add(self, batches: Iterable[MsSamples], *, until_ms: int) -> None:
        """Take newly sealed samples.

        Args:
            batches: not empty; those of a series come by time.
            until_ms: everything due before is sealed.
        """
        for batch in batches:
            self._batches.append((self._added, batch))
            self._added += len(batch)
            self._size_bytes += batch.size_bytes
        while self._batches and (
            self._size_bytes > self._capacity_bytes
            or self._batches[0][1].ms[-1] < until_ms - self._keep_ms
        ):
            _, batch = self._batches.popleft()
            self._gone += len(batch)
            self._size_bytes -= batch.size_bytes

    def cursor(self) -> "MsCursor":
        """Return a place in the log: a new consumer, who begins with what is kept."""
        return MsCursor(self)

    def after(self, at: int) -> list[tuple[int, MsSamples]]:
        """Return the batches that begin at sample number ``at`` or later, numbered."""
        found: list[tuple[int, MsSamples]] = []
        for entry in reversed(self._batches):
            if entry[0] < at:
                break
            found.append(entry)
        return found[::-1]


class MsCursor:
    """How far one consumer has read a log.

    Attributes:
        missed: samples that were gone before this consumer read them.
    """

    def __init__(self, log: MsLog) -> None:
        self._log = log
        self._at = log.gone
        self.missed = 0

    def take(self, limit: int | None = None) -> list[MsSamples]:
        """Return batches that were not read yet, oldest first.

        Args:
            limit: about how many samples; at least one batch is returned if there is
                any. None is all.
        """
        if self._at < self._log.gone:
            self.missed += self._log.gone - self._at
            self._at = self._log.gone
        taken: list[MsSamples] = []
        count = 0
        for number, batch in self._log.after(self._at):
            if taken and limit is not None and count + len(batch) > limit:
                break
            taken.append(batch)
            count += len(batch)
            self._at = number + len(batch)
        return taken


class MsWindow:
    """What a page shows of a log: the latest samples, the same ones to every reader.

    Args:
        log: the log.
        keep_ms: how far the page reaches back.
        capacity: how many samples there are on it at most; older ones make room.
    """

    def __init__(
        self, log: MsLog, *, keep_ms: int = WINDOW_MS, capacity: int = WINDOW_SAMPLES
    ) -> None:
        self._cursor = log.cursor()
        self._keep_ms = keep_ms
        self._capacity = capacity
        self._batches: deque[MsSamples] = deque()
        self._count = 0
        self._unshown = 0
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Return how many samples no page has shown nor will show."""
        return self._dropped + self._cursor.missed

    def advance(self, until_ms: int) -> None:
        """Move on to a time up to which everything is sealed."""
        for batch in self._cursor.take():
            self._batches.append(batch)
            self._count += len(batch)
            self._unshown += len(batch)
        while self._batches:
            oldest = self._batches[0]
            is_old = oldest.ms[-1] < until_ms - self._keep_ms
            if not is_old and self._count <= self._capacity:
                break
            self._batches.popleft()
            shown = self._count - self._unshown
            self._count -= len(oldest)
            if shown < len(oldest):
                self._unshown -= len(oldest)
                if not is_old:
                    self._dropped += len(oldest)

    def show(self) -> list[MsSamples]:
        """Return all batches, which are on a page now."""
        self._unshown = 0
        return list(self._batches)
