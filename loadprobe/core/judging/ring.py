"""The last second or two of judged arrivals, from which the film is cut.

Pure. Whether a millisecond belongs to the film is known only once the arrivals after it
are judged, so arrivals wait here; what leaves is kept if an outage was near.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.intervals import Interval, union
from loadprobe.core.judging.cells import Frame, make_chunk
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.outages import HISTORY_NS, Outage, Row

FILM_LONGEST_NS = 60 * NS_PER_S
"""Of a longer outage the film shows this much from its start, and its end."""


@dataclass(frozen=True, slots=True)
class Slab:
    """Judged arrivals of one scope, due in [start_ns, until_ns).

    ``due``, ``sent`` and ``done`` are the columns of the served ones; the first and the
    last of them are due at ``low_ns`` and ``high_ns`` (meaningless without any).
    ``due_times`` are those of the served ones, in a closed loop each once (there many
    coincide).
    """

    start_ns: int
    until_ns: int
    due: "array[int]"
    sent: "array[int]"
    done: "array[int]"
    failures: Sequence[Failure]
    low_ns: int
    high_ns: int
    due_times: Collection[int]


def _windows(outage: Outage, margin_ns: int, *, is_over: bool) -> list[Interval]:
    """Return when the film shows what was around an outage, in whole milliseconds."""
    first, last = outage.first_due_ns, outage.last_due_ns
    spans = [(first, min(last, first + FILM_LONGEST_NS))]
    if is_over:
        spans.append((last, last))
        if outage.unseen:
            spans.append((outage.hull_end_ns, outage.hull_end_ns))
    return [
        (
            (start - margin_ns) // NS_PER_MS * NS_PER_MS,
            (end + margin_ns) // NS_PER_MS * NS_PER_MS + NS_PER_MS,
        )
        for start, end in spans
    ]


class Ring:
    """Keep the latest judged arrivals per scope and cut the film from older ones.

    Args:
        margin_ns: how much of the film is shown before and after an outage.
    """

    def __init__(self, *, margin_ns: int) -> None:
        self.margin_ns = margin_ns
        self._keep_ns = margin_ns + HISTORY_NS
        self._slabs: dict[Scope, list[Slab]] = {}
        self._windows: list[Interval] = []

    def push(self, scope: Scope, slab: Slab) -> None:
        """Take newly judged arrivals of a scope."""
        if not slab.due and not slab.failures:
            return  # as of a shard that is gone, ever after
        self._slabs.setdefault(scope, []).append(slab)

    def served(self, scope: Scope, since_ns: int) -> list[Row]:
        """Return the served arrivals of a scope due since then, as far as kept."""
        rows: list[Row] = []
        for slab in self._slabs.get(scope, ()):
            if slab.until_ns > since_ns:
                rows += sorted(zip(slab.due, slab.sent, slab.done, strict=True))
        return rows[bisect_left(rows, (since_ns,)) :]

    def leave(
        self,
        now_ns: int | None,
        *,
        going_on: Iterable[Outage],
        closed: Iterable[Outage],
    ) -> list[Frame]:
        """Let go of old arrivals and return the film of those near an outage.

        Args:
            now_ns: arrivals due before have been judged; None lets all arrivals go.
            going_on: outages that are going on.
            closed: outages that ended since the last call.
        """
        new = [w for o in going_on for w in _windows(o, self.margin_ns, is_over=False)]
        new += [w for o in closed for w in _windows(o, self.margin_ns, is_over=True)]
        if new:
            self._windows = union([*self._windows, *new])
        frames: list[Frame] = []
        for scope, slabs in self._slabs.items():
            while slabs and (
                now_ns is None or slabs[0].until_ns <= now_ns - self._keep_ns
            ):
                self._cut_film(scope, slabs.pop(0), frames)
        if now_ns is not None:
            oldest = min(
                (s[0].start_ns for s in self._slabs.values() if s), default=now_ns
            )
            self._windows = [w for w in self._windows if w[1] > oldest]
        return frames

    def _cut_film(self, scope: Scope, slab: Slab, frames: list[Frame]) -> None:
        for start, end in self._windows:
            if end <= slab.start_ns or start >= slab.until_ns:
                continue
            chunk = make_chunk(
                scope,
                [due for due in slab.due if start <= due < end],
                [f for f in slab.failures if start <= f.due_ns < end],
            )
            if chunk is not None:
                frames.append(chunk)
