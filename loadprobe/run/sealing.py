"""Writes down what a verdict needs while a run lasts, as it becomes certain.

Nothing depends on the run's end: what this writes, ``run.aftermath`` judges when the
process is gone. Nothing is counted here, and nothing is done per arrival.
"""

from collections.abc import Callable

import msgspec

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.results import Sealed
from loadprobe.outputs.folder.folder import RunFolder
from loadprobe.outputs.folder.sealed_changes import SealedChanges
from loadprobe.outputs.folder.sealed_lines import (
    Beginning,
    LatenciesLine,
    Rules,
)
from loadprobe.outputs.folder.segments import Why
from loadprobe.probe.messages import ProbeSnapshot
from loadprobe.run.health import Health
from loadprobe.run.news import Informants, News, Seconds
from loadprobe.run.segmenting import Segmenting

HELD_NS = 400 * NS_PER_MS
"""What was sealed waits for so long, and then for the next seal, which is half a second
away at most: not for as long as a second. When an outage begins or ends nothing waits
at all."""

LATENCIES_EVERY = 10, NS_PER_S, 600 * NS_PER_S
"""Latencies are large: they are written when the run is longer by a part of so much,
after the first time at the soonest and after the second at the latest. Meanwhile the
seconds of ``histograms.ndjson`` have them."""


class Sealing:
    """A sink that writes ``sealed.ndjson`` (see the module).

    Tell it after the folder and after the health: it refers to what they have.

    Args:
        folder: the run folder.
        aggregate: the judged arrivals.
        beginning: what is run, and by what it is judged.
        segments: begins the segments.
        health: how the probes are doing.
        told: who knows the rest.
        is_first: the run has no segment yet.
        now_ns: monotonic clock.

    Attributes:
        is_begun: the segment has its first line.
    """

    def __init__(
        self,
        folder: RunFolder,
        aggregate: Aggregate,
        beginning: Beginning,
        *,
        segments: Segmenting,
        health: Health,
        told: Informants,
        is_first: bool = True,
        now_ns: Callable[[], int] = mono_now_ns,
    ) -> None:
        self._folder = folder
        self._aggregate = aggregate
        self._changes = SealedChanges(aggregate, is_first=is_first)
        self._is_first = is_first
        self._beginning = beginning
        self.is_begun = False
        self._segments = segments
        self._now_ns = now_ns
        self._begun_ns = self._latencies_ns = now_ns()
        self._held_ns: int | None = None
        self._lanes_due: list[str] = []
        self._seconds = Seconds()
        self._news = News(told, health)

    def take_health(self, snapshot: ProbeSnapshot) -> None:
        """Take what lanes did to their target."""
        self._seconds.take_health(snapshot)

    def take_sealed(self, sealed: Sealed) -> None:
        """Take what became certain, and write it if it is time to."""
        self._changes.take(sealed)
        if self._beginning.has_scenario:
            self._seconds.p99 += sealed.p99
        begin_ns = self._aggregate.begin_ns
        if begin_ns is None or self._aggregate.sealed_until_ns <= begin_ns:
            return  # nothing is judged yet
        now_ns = self._now_ns()
        is_urgent = bool(sealed.opened or sealed.closed) or not self.is_begun
        if self._held_ns is None:
            self._held_ns = now_ns
        if is_urgent or now_ns - self._held_ns >= HELD_NS:
            # The first line of a further segment has all there is.
            is_whole = not self.is_begun and not self._is_first
            latencies = self._latencies(now_ns, is_last=is_whole)
            self._write(now_ns, latencies=latencies)
        if not self._folder.retry():
            return  # another segment would have to wait as well
        if self._folder.has_lost_sealed:
            self.begin_segment("loss")
        elif self._segments.is_due:
            self.begin_segment("time")

    def flush(self) -> None:
        """Write what was judged and counted until now: it is about to be shown."""
        if self.is_begun:
            self._write(self._now_ns(), latencies=None)

    def use_rules(self, rules: Rules) -> None:
        """Have the run judged by other rules.

        A segment begins with them, as the last one is read by itself.
        """
        if rules == self._beginning.rules:
            return
        self._beginning = msgspec.structs.replace(self._beginning, rules=rules)
        if self.is_begun:
            self.begin_segment("reload")

    def begin_segment(self, why: Why) -> bool:
        """End the segment here, and go on in a new one; tell whether it was done.

        The new one begins with all that was judged (see ``SealedChanges``). If it
        cannot be made, the old one goes on.
        """
        now_ns = self._now_ns()
        if self.is_begun:
            self._write(now_ns, latencies=None)
        if not self._segments.begin(why):
            return False
        self._changes = SealedChanges(self._aggregate, is_first=False)
        self.is_begun = False
        self._news = self._news.anew(now_ns)
        self._write(now_ns, latencies=self._latencies(now_ns, is_last=True))
        return True

    def end(self, end_ns: int) -> None:
        """Write the rest, after everything was judged.

        Args:
            end_ns: the end of the load.
        """
        now_ns = self._now_ns()
        latencies = self._latencies(now_ns, is_last=True)
        self._write(now_ns, latencies=latencies, end_ns=end_ns)

    def _write(
        self, now_ns: int, *, latencies: LatenciesLine | None, end_ns: int | None = None
    ) -> None:
        line = msgspec.structs.replace(
            self._changes.make_line(),
            beginning=None if self.is_begun else self._beginning,
            latencies=latencies,
            end_ns=end_ns,
        )
        line = self._seconds.add_to(line)
        line = self._news.add_to(line, now_ns, is_last=end_ns is not None)
        self.is_begun = True
        self._held_ns = None
        self._folder.add_sealed(line)

    def _latencies(self, now_ns: int, *, is_last: bool = False) -> LatenciesLine | None:
        """Return the latencies since the last time, if it is time to write them."""
        part, least_ns, most_ns = LATENCIES_EVERY
        pause_ns = min(max((now_ns - self._begun_ns) // part, least_ns), most_ns)
        if now_ns - self._latencies_ns >= pause_ns or is_last:
            self._latencies_ns = now_ns
            self._lanes_due = list(self._aggregate.lane_totals)
        if not self._lanes_due:
            return None
        # One lane with each line: the loop is not to stand still for long.
        count = len(self._lanes_due) if is_last else 1
        lanes, self._lanes_due = self._lanes_due[:count], self._lanes_due[count:]
        series, histograms = self._folder.sizes_bytes
        return self._changes.make_latencies(
            lanes, series_bytes=series, histograms_bytes=histograms
        )
