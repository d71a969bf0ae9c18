"""When the arrivals of a lane are made: by a schedule, or each after the one before.

Two ways behind one interface. *Open loop*: every arrival is sent at its due time,
whatever is outstanding. *Closed loop*: a worker's next arrival is due when its last one
has ended, so there is one outstanding for each worker, and no schedule.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from loadprobe.clock import NEVER_NS, NS_PER_MS, mono_now_ns
from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.load.pace import Pace
from loadprobe.core.load.schedule import Schedule, make_schedule
from loadprobe.drivers.base import Arrival
from loadprobe.probe.making import Fill
from loadprobe.probe.orders import Share
from loadprobe.probe.rates import configured_pace

Submit = Callable[[Sequence[Arrival]], None]

# An overloaded process must still reach its other callbacks.
_MOST_PER_TICK = 2_000
_UNSENT_PAUSE_NS = NS_PER_MS
_new_arrival = Arrival.__new__


class Loop(Protocol):
    """Makes the arrivals of a share of a lane, and knows which are outstanding."""

    def attach(self, submit: Submit) -> None:
        """Send by another driver from now on."""

    def start(self, schedule_start_ns: int, first_due_ns: int) -> None:
        """Begin at ``first_due_ns``; due times count from ``schedule_start_ns``."""

    def change_rate(self, paces: Sequence[Pace], now_ns: int) -> None:
        """Go on at another rate, before or after the start; see ``OpenLoop``."""

    def stop(self, at_ns: int) -> None:
        """Make no arrival due at or after a time."""

    def issue_due(self, now_ns: int) -> tuple[int, int | None]:
        """Send what is due.

        Returns:
            When to be called next, and the due time of the first arrival left out.
        """

    def served(self, arrivals: Sequence[Arrival]) -> None:
        """Take arrivals that ended as expected (the hot path)."""

    def ended(self, arrival: Arrival, now_ns: int) -> None:
        """Take an arrival that ended otherwise, or was given up."""

    def failed(self, arrival: Arrival, outcome: Outcome) -> None:
        """Take an arrival that the driver could not bring to a reply."""

    def take_overdue(self, until_ns: int) -> list[Arrival]:
        """Return what has not ended and was due by a time; it is to be given up."""

    def watermark_ns(self, now_ns: int) -> int:
        """Return a time before which every due arrival has ended; at most now."""

    @property
    def is_drained(self) -> bool:
        """Tell whether nothing is due and nothing is outstanding."""

    def take_skipped(self) -> int:
        """Return how many arrivals were left out since the last call."""


class OpenLoop:
    """Sends by a schedule.

    Args:
        share: which lane, and which part of it.
        stall_ns: arrivals that are overdue by more are left out: we were blind then,
            and a burst of late ones would say nothing about the target.
        fill: completes arrivals (see ``Maker``).
    """

    def __init__(self, share: Share, stall_ns: int, fill: Fill) -> None:
        self._share = share
        self._stall_ns = stall_ns
        self._fill = fill
        self._submit: Submit = _nobody
        self._schedule = self._scheduled([configured_pace(share.lane)])
        self._due: Iterator[tuple[int, int]] = iter(())
        self._next_index = 0
        self._next_due_ns = NEVER_NS
        self._start_ns = 0
        self._has_begun = False
        self._stop_ns = NEVER_NS
        self._turns = share.connections if share.lane.is_witness else share.workers
        self._worker = 0
        self._in_flight: deque[Arrival] = deque()
        self._skipped = 0

    def attach(self, submit: Submit) -> None:
        """Send by another driver from now on."""
        self._submit = submit

    def start(self, schedule_start_ns: int, first_due_ns: int) -> None:
        """Begin in the midst of the schedule, if it began before."""
        self._start_ns = schedule_start_ns
        self._has_begun = True
        self._go_on(self._schedule.first_index(first_due_ns - schedule_start_ns))

    def change_rate(self, paces: Sequence[Pace], now_ns: int) -> None:
        """Go on with the next arrival, which is due at another time by now.

        What was told in time, before the last of the paces begins, changes nothing that
        was sent, and no arrival is lost or doubled. If it was told late, what is due by
        now is left out: other processes sent theirs, and ours went out as they were due
        before.

        Args:
            paces: how the rate goes, as far as it still matters.
            now_ns: monotonic.
        """
        self._schedule = self._scheduled(paces)
        if not self._has_begun:
            return
        now_offset_ns = now_ns - self._start_ns
        if now_offset_ns < paces[-1].from_ns:
            self._go_on(self._next_index)
        else:
            self._go_on(self._schedule.first_index(now_offset_ns + 1))

    def _scheduled(self, paces: Sequence[Pace]) -> Schedule:
        lane = self._share.lane
        return make_schedule(lane.schedule, paces, seed=lane.name)

    def _go_on(self, index: int) -> None:
        """Let our first arrival from an index on be the next one."""
        share = self._share
        self._due = self._schedule.due_offsets(
            share.slice_index, share.slice_count, from_index=index
        )
        self._advance()

    def stop(self, at_ns: int) -> None:
        """Make no arrival due at or after a time."""
        self._stop_ns = at_ns
        if self._next_due_ns >= at_ns:
            self._next_due_ns = NEVER_NS

    def _advance(self) -> int:
        """Go on to the next arrival, and return when it is due."""
        self._next_index, offset = next(self._due)
        due_ns = self._start_ns + offset
        if due_ns >= self._stop_ns:
            due_ns = NEVER_NS
        self._next_due_ns = due_ns
        return due_ns

    def issue_due(self, now_ns: int) -> tuple[int, int | None]:
        """Send what is due, and leave out what is overdue by too much."""
        due_ns = self._next_due_ns
        if due_ns > now_ns:
            return due_ns, None
        first_skipped: int | None = None
        too_old = now_ns - self._stall_ns
        made: list[Arrival] = []
        first_index = 0
        worker, turns = self._worker, self._turns
        while due_ns <= now_ns:
            if due_ns < too_old:
                if first_skipped is None:
                    first_skipped = due_ns
                self._skipped += 1
            else:
                if not made:
                    first_index = self._next_index
                arrival = _new_arrival(Arrival)
                arrival.worker = worker
                worker = (worker + 1) % turns
                arrival.due = due_ns
                made.append(arrival)
            due_ns = self._advance()
            if len(made) >= _MOST_PER_TICK:
                break
        self._worker = worker
        if made:
            self._fill(made, first_index)
            self._in_flight.extend(made)
            self._submit(made)
        return due_ns, first_skipped

    def served(self, arrivals: Sequence[Arrival]) -> None:
        """Do nothing: whatever ends, the schedule goes on."""

    def ended(self, arrival: Arrival, now_ns: int) -> None:
        """Do nothing, either."""

    def failed(self, arrival: Arrival, outcome: Outcome) -> None:
        """Do nothing, either."""

    def take_overdue(self, until_ns: int) -> list[Arrival]:
        """Forget what was due by a time, and what has ended; return what has not."""
        overdue: list[Arrival] = []
        in_flight = self._in_flight
        while in_flight and (in_flight[0].decided or in_flight[0].due <= until_ns):
            arrival = in_flight.popleft()
            if not arrival.decided:
                overdue.append(arrival)
        return overdue

    def watermark_ns(self, now_ns: int) -> int:
        """Return when the oldest arrival was due that is outstanding or to come.

        Nothing is due from the stop on, so there is nothing to judge after it.
        """
        in_flight = self._in_flight
        while in_flight and in_flight[0].decided:
            in_flight.popleft()
        if in_flight:
            return in_flight[0].due
        return min(self._next_due_ns, self._stop_ns, now_ns)

    @property
    def is_drained(self) -> bool:
        """Tell whether nothing is due and nothing is outstanding."""
        return self._next_due_ns == NEVER_NS and all(
            arrival.decided for arrival in self._in_flight
        )

    def take_skipped(self) -> int:
        """Return how many arrivals were left out since the last call."""
        skipped, self._skipped = self._skipped, 0
        return skipped


class ClosedLoop:
    """Lets every worker go on when its arrival has ended.

    The arrival that was served is used again for the next one.

    Args:
        share: which lane, and which part of it.
        fill: completes arrivals (see ``Maker``).
    """

    def __init__(self, share: Share, fill: Fill) -> None:
        self._fill = fill
        self._submit: Submit = _nobody
        self._index = share.slice_index
        self._step = share.slice_count
        self._stop_ns = NEVER_NS
        self._outstanding: list[Arrival | None] = [None] * share.outstanding
        self._idle: list[tuple[int, int]] = []

    def attach(self, submit: Submit) -> None:
        """Send by another driver from now on."""
        self._submit = submit

    def start(self, schedule_start_ns: int, first_due_ns: int) -> None:  # noqa: ARG002
        """Let all workers begin at ``first_due_ns``."""
        self._idle = [(first_due_ns, w) for w in range(len(self._outstanding))]

    def change_rate(self, paces: Sequence[Pace], now_ns: int) -> None:
        """Do nothing: the replies say how fast it goes."""

    def stop(self, at_ns: int) -> None:
        """Make no arrival at or after a time."""
        self._stop_ns = at_ns

    def issue_due(self, now_ns: int) -> tuple[int, int | None]:
        """Let workers go on that have paused for long enough; nothing is left out."""
        if now_ns >= self._stop_ns:
            self._idle.clear()
            return NEVER_NS, None
        rested = [worker for at, worker in self._idle if at <= now_ns]
        self._idle = [entry for entry in self._idle if entry[0] > now_ns]
        if rested:
            self._begin(rested, now_ns)
        return min((at for at, _ in self._idle), default=NEVER_NS), None

    def _begin(self, workers: Sequence[int], now_ns: int) -> None:
        """Let workers go on that have nothing outstanding."""
        arrivals = []
        for worker in workers:
            arrival = self._outstanding[worker] = _new_arrival(Arrival)
            arrival.worker = worker
            arrivals.append(arrival)
        self._go_on(arrivals, now_ns)

    def _go_on(self, arrivals: Sequence[Arrival], now_ns: int) -> None:
        """Make the next arrivals of workers, and send them."""
        for arrival in arrivals:
            arrival.due = now_ns
        index = self._index
        self._index = index + self._step * len(arrivals)
        self._fill(arrivals, index)
        self._submit(arrivals)

    def served(self, arrivals: Sequence[Arrival]) -> None:
        """Let the workers of served arrivals go on."""
        now_ns = mono_now_ns()
        if now_ns < self._stop_ns:
            self._go_on(arrivals, now_ns)
        else:
            for arrival in arrivals:
                self._outstanding[arrival.worker] = None

    def ended(self, arrival: Arrival, now_ns: int) -> None:
        """Let the worker of an arrival go on; the arrival may hear of a late reply."""
        self._outstanding[arrival.worker] = None
        if now_ns < self._stop_ns:
            self._begin((arrival.worker,), now_ns)

    def failed(self, arrival: Arrival, outcome: Outcome) -> None:
        """Let the worker go on: at once after a refusal, which took its time."""
        now_ns = mono_now_ns()
        if outcome is Outcome.REFUSED:
            self.ended(arrival, now_ns)
            return
        self._outstanding[arrival.worker] = None
        if now_ns < self._stop_ns:
            self._idle.append((now_ns + _UNSENT_PAUSE_NS, arrival.worker))

    def take_overdue(self, until_ns: int) -> list[Arrival]:
        """Return what was due by a time; its workers go on when it has ``ended``."""
        return [a for a in self._outstanding if a is not None and a.due <= until_ns]

    def watermark_ns(self, now_ns: int) -> int:
        """Return when the oldest arrival was due that is outstanding."""
        waiting = [a.due for a in self._outstanding if a is not None]
        return min(waiting, default=min(now_ns, self._stop_ns))

    @property
    def is_drained(self) -> bool:
        """Tell whether nothing is outstanding, and no worker will go on."""
        return not any(self._outstanding) and not self._idle

    def take_skipped(self) -> int:
        """Return 0: nothing is due that could be left out."""
        return 0


def make_loop(share: Share, stall_ns: int, fill: Fill) -> OpenLoop | ClosedLoop:
    """Return the loop of a share of a lane; see ``OpenLoop`` for the arguments.

    Its type names both: when compiled, their methods are called directly then, which
    those of a protocol are not.
    """
    if share.lane.loop == "closed":
        return ClosedLoop(share, fill)
    return OpenLoop(share, stall_ns, fill)


def _nobody(arrivals: Sequence[Arrival]) -> None:
    raise AssertionError(f"there is no driver yet to send {len(arrivals)} arrivals")
