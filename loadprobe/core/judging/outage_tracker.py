"""Which arrivals of one scope make which outage.

Pure: arrivals go in by due time, outages come out; no clock is read and the same
arrivals give the same outages however they were batched.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence

from loadprobe.clock import NEVER_NS
from loadprobe.core.intervals import Interval
from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.outage_making import MOST_STRETCHES, OutageMaking
from loadprobe.core.judging.outages import HISTORY_NS, Outage, Row


class OutageTracker:
    """Find the outages of one scope in its due-ordered arrivals.

    Args:
        scope: the scope.
        deadline_ns: deadline of its lane.
        begin_ns: start of the observation, if known.
    """

    def __init__(
        self, scope: Scope, *, deadline_ns: int, begin_ns: int | None = None
    ) -> None:
        self.scope = scope
        self._deadline_ns = self._least_ns = deadline_ns
        self._begin_ns = begin_ns
        self._floor_ns = -NEVER_NS
        self._recent: deque[Row] = deque()
        self._blind: deque[Interval] = deque(maxlen=MOST_STRETCHES)
        self._run: OutageMaking | None = None
        self._closed: list[Outage] = []

    @property
    def is_idle(self) -> bool:
        """Tell whether no outage is going on or waiting for its error bars."""
        return self._run is None

    @property
    def current(self) -> Outage | None:
        """Return the outage that is going on, as known now, or None."""
        run = self._run
        if run is None or run.after:
            return None
        return run.to_outage(limit_ns=run.last_due_ns)

    def unfinished(self, until_ns: int) -> Outage | None:
        """Return the outage that ``close`` would end at a time, or None; nothing ends.

        Unlike ``current`` it may be over, and wait for its error bars.

        Args:
            until_ns: up to where arrivals have been fed.
        """
        run = self._run
        if run is None:
            return None
        return run.to_outage(limit_ns=None if run.after else until_ns)

    def go_on(
        self, going_on: Outage | None, latest: Outage | None, *, round_trip_ns: int
    ) -> None:
        """Go on with what was known before nobody looked.

        Args:
            going_on: the outage that had not ended.
            latest: the last one that had.
            round_trip_ns: see ``OutageMaking``.
        """
        if latest is not None:
            self._floor_ns = latest.last_due_ns
        if going_on is not None:
            self._run = OutageMaking.resumed(
                going_on, self._deadline_ns, round_trip_ns=round_trip_ns
            )

    def use_deadlines(self, least_ns: int, most_ns: int) -> None:
        """Take note between which bounds the deadlines of arrivals lie from now on.

        An outage that is going on keeps those that it had, beside these.
        """
        self._least_ns, self._deadline_ns = least_ns, most_ns
        if self._run is not None:
            self._run.use_deadlines(least_ns, most_ns)

    def seed(self, served: Iterable[Row]) -> None:
        """Replace the served arrivals remembered from before the next ones.

        A scope without failures need not be fed arrival by arrival: before the next
        failure it is enough to name the arrivals served in the last HISTORY_NS, or
        the last one, by due time. Those from before the last outage are left out here.
        """
        assert self._run is None
        self._recent = deque(row for row in served if row[0] > self._floor_ns)

    def feed(self, served: Sequence[Row], failures: Iterable[Failure]) -> None:
        """Take arrivals that are due after all those taken before, each kind by due.

        An arrival served at the same due time as a failed one counts as before it.
        """
        start = 0
        for failure in failures:
            stop = bisect_left(served, (failure.due_ns + 1,), lo=start)
            self._take_served(served[start:stop])
            start = stop
            self._take_failed(failure)
        self._take_served(served[start:])

    def _take_served(self, rows: Sequence[Row]) -> None:
        taken = 0
        while self._run is not None and taken < len(rows):
            row = rows[taken]
            self._close_if_final(row[0])
            if self._run is not None:
                self._run.add_served(row)
                taken += 1
        if taken < len(rows):
            recent = self._recent
            recent.extend(rows[taken:])
            horizon = recent[-1][0] - HISTORY_NS
            while recent[0][0] < horizon:
                recent.popleft()

    def _take_failed(self, failure: Failure) -> None:
        if self._run is not None and self._run.after:
            self._finish_run(limit_ns=None)
        if self._run is None:
            recent = self._recent
            horizon = recent[-1][0] - HISTORY_NS if recent else 0
            self._run = OutageMaking.begun(
                self.scope,
                self._deadline_ns,
                before=[row for row in recent if row[0] >= horizon],
                begin_ns=self._begin_ns,
                due_ns=failure.due_ns,
                blind=self._blind,
            )
            self._run.use_deadlines(self._least_ns, self._deadline_ns)
        self._run.add(failure)

    def _close_if_final(self, until_ns: int) -> None:
        """Close the outage if nothing due from ``until_ns`` on can change its bars."""
        run = self._run
        if run is None or not run.after:
            return
        proof = run.proof
        if proof is not None and max(proof[2], run.after[0][2]) <= until_ns:
            self._finish_run(limit_ns=None)

    def _finish_run(self, *, limit_ns: int | None) -> None:
        run = self._run
        assert run is not None
        self._closed.append(run.to_outage(limit_ns=limit_ns))
        self._recent = deque(run.after)
        self._floor_ns = run.last_due_ns
        self._run = None

    def cut(self, start_ns: int, end_ns: int) -> None:
        """Take note that the probe was blind during [start_ns, end_ns).

        Nothing is known about it: no arrival due then may be fed. Cuts come by time, in
        the order of the arrivals around them.
        """
        self._close_if_final(start_ns)
        if self._run is not None:
            self._run.cut(start_ns, end_ns)
        blind = self._blind
        if blind and blind[-1][1] >= start_ns:
            start_ns = blind.pop()[0]
        blind.append((start_ns, end_ns))

    def advance(self, until_ns: int) -> None:
        """Take note that every arrival due before ``until_ns`` has been fed."""
        self._close_if_final(until_ns)

    def close(self, until_ns: int) -> None:
        """End the observation at ``until_ns``; an outage that goes on stays open."""
        self._close_if_final(until_ns)
        if self._run is not None:
            limit = None if self._run.after else until_ns
            self._finish_run(limit_ns=limit)

    def drain(self) -> tuple[list[Outage], list[Outage]]:
        """Return (outages that are going on and were not returned before, closed)."""
        opened: list[Outage] = []
        current = self.current
        if current is not None and self._run is not None and not self._run.announced:
            self._run.announced = True
            opened.append(current)
        closed, self._closed = self._closed, []
        return opened, closed
