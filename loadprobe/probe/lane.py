"""One lane's share in a probe process: makes arrivals, judges replies.

Open loop: every arrival is written at its due time, whatever is outstanding. Closed
loop: each worker sends its next arrival when the last one has ended.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from loadprobe.clock import NEVER_NS, NS_PER_MS, mono_now_ns
from loadprobe.config.keys import Probe
from loadprobe.core.judging.columns import Failure
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.load.keyspace import Keyspace
from loadprobe.core.load.schedule import make_schedule
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival, Driver
from loadprobe.probe.content import is_right
from loadprobe.probe.health import take_health
from loadprobe.probe.keys import LaneKeys
from loadprobe.probe.lag import Lag
from loadprobe.probe.making import Maker
from loadprobe.probe.messages import LaneHealth, ScopeBlock, Share

# An overloaded process must still reach its other callbacks.
_MOST_PER_TICK = 2_000
_UNSENT_PAUSE_NS = NS_PER_MS
# A name of this module is found faster than a member of an enum.
_WRITE = OpKind.WRITE
_new_arrival = Arrival.__new__


class LaneRunner:
    """Makes the arrivals of a share of a lane and judges their ends.

    Args:
        share: which lane, and which part of it.
        probe: when an arrival is given up, and when we call ourselves blind.
        version_base: first version to write.
        lag: when the loop of this process was not looking.
    """

    def __init__(
        self, share: Share, probe: Probe, *, version_base: int, lag: Lag
    ) -> None:
        lane = share.lane
        self.name = lane.name
        self._lag = lag
        self._share = share
        self._closed = lane.loop == "closed"
        self._deadline_ns = lane.deadline_ms * NS_PER_MS
        self._give_up_ns = self._deadline_ns + probe.settle_ms * NS_PER_MS
        self._stall_ns = probe.stall_ms * NS_PER_MS
        self._slice = (share.slice_index, share.slice_count)
        self._step = share.slice_count
        keyspace = Keyspace(lane.key_prefix, lane.keys, *share.key_slice)
        self.keys = LaneKeys(lane, keyspace, version_base=version_base)
        self._maker = Maker(share, self.keys)
        self._fill = self._maker.fill
        self._recorders = self._maker.recorders
        self.on_topology = self._maker.on_topology
        self.shard_of = self._maker.shard_of
        self.unread_since = lag.unread_since
        self.looked_since = lag.looked_since
        self._driver: Driver | None = None
        self._due: Iterator[tuple[int, int]] = iter(())
        self._next_index = 0
        self._next_due_ns = NEVER_NS
        self._start_ns = 0
        self._stop_ns = NEVER_NS
        self._worker = 0
        self._turns = share.connections if lane.is_witness else share.workers
        self._in_flight: deque[Arrival] = deque()
        self._outstanding: list[Arrival | None] = [None] * share.outstanding
        self._idle: list[tuple[int, int]] = []
        self._closed_index = share.slice_index
        self._skipped = 0

    def attach(self, driver: Driver) -> None:
        """Set the driver that sends the arrivals."""
        self._driver = driver
        self._submit = driver.submit

    # --- making arrivals ---------------------------------------------------------

    def start(self, schedule_start_ns: int, first_due_ns: int) -> None:
        """Begin at ``first_due_ns``; due times count from ``schedule_start_ns``."""
        self._start_ns = schedule_start_ns
        if self._closed:
            self._idle = [(first_due_ns, w) for w in range(self._share.outstanding)]
            return
        lane = self._share.lane
        schedule = make_schedule(
            lane.schedule,
            rate_per_s=lane.rate_per_s,
            ramp_from_per_s=lane.ramp_from_per_s,
            ramp_s=lane.ramp_s,
            seed=self._share.lane.name,
        )
        self._due = schedule.due_offsets(
            *self._slice, from_offset_ns=first_due_ns - schedule_start_ns
        )
        self._advance()

    def stop(self, at_ns: int) -> None:
        """Make no arrival due at or after a time."""
        self._stop_ns = at_ns
        if self._next_due_ns >= at_ns:
            self._next_due_ns = NEVER_NS

    def _advance(self) -> None:
        self._next_index, offset = next(self._due)
        self._next_due_ns = self._start_ns + offset
        if self._next_due_ns >= self._stop_ns:
            self._next_due_ns = NEVER_NS

    def issue_due(self, now_ns: int) -> tuple[int, int | None]:
        """Send what is due.

        Arrivals overdue by more than the stall threshold are left out: we were blind
        then, and a burst of late ones would say nothing about the target.

        Returns:
            When to be called next, and the due time of the first arrival left out.
        """
        if self._closed:
            return self._issue_idle(now_ns), None
        first_skipped: int | None = None
        too_old = now_ns - self._stall_ns
        made: list[Arrival] = []
        first_index = 0
        while self._next_due_ns <= now_ns:
            if self._next_due_ns < too_old:
                if first_skipped is None:
                    first_skipped = self._next_due_ns
                self._skipped += 1
            else:
                if not made:
                    first_index = self._next_index
                arrival = _new_arrival(Arrival)
                arrival.worker = self._worker
                self._worker = (self._worker + 1) % self._turns
                arrival.due = self._next_due_ns
                made.append(arrival)
            self._advance()
            if len(made) >= _MOST_PER_TICK:
                break
        if made:
            self._fill(made, first_index)
            self._in_flight.extend(made)
            self._submit(made)
        return self._next_due_ns, first_skipped

    # --- closed loop -------------------------------------------------------------

    def _issue_idle(self, now_ns: int) -> int:
        """Let idle workers go on; return when the next one may."""
        if now_ns >= self._stop_ns:
            self._idle.clear()
            return NEVER_NS
        rested = [worker for at, worker in self._idle if at <= now_ns]
        self._idle = [entry for entry in self._idle if entry[0] > now_ns]
        if rested:
            self._issue_next(rested, now_ns)
        return min((at for at, _ in self._idle), default=NEVER_NS)

    def _issue_next(self, workers: Sequence[int], now_ns: int) -> None:
        """Let workers that have nothing outstanding go on."""
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
        index = self._closed_index
        self._closed_index = index + self._step * len(arrivals)
        self._fill(arrivals, index)
        self._submit(arrivals)

    def _ended(self, arrival: Arrival, now_ns: int, *, pause_ns: int = 0) -> None:
        """Let the worker of a closed loop go on."""
        worker = arrival.worker
        self._outstanding[worker] = None
        if now_ns >= self._stop_ns:
            return
        if pause_ns:
            self._idle.append((now_ns + pause_ns, worker))
        else:
            self._issue_next((worker,), now_ns)

    # --- judging -----------------------------------------------------------------

    def expected(self, arrivals: list[Arrival]) -> None:
        """Take arrivals whose reply is literally the expected one (the hot path)."""
        deadline_ns, write = self._deadline_ns, _WRITE
        late: list[Arrival] = []
        for arrival in arrivals:
            due_ns, done_ns = arrival.due, arrival.done
            if arrival.settled or done_ns - due_ns > deadline_ns:
                late.append(arrival)
                continue
            arrival.settled = True
            scope = arrival.scope
            scope.due.append(due_ns)
            scope.sent.append(arrival.sent)
            scope.done.append(done_ns)
            if arrival.op is write:
                key = arrival.key
                assert key is not None
                key.acked(arrival.version, arrival.value)
                scope.acknowledged += 1
        if self._closed:
            self._use_again(
                [a for a in arrivals if a not in late] if late else arrivals
            )
        for arrival in late:
            self.replied(arrival, resp.parse(arrival.expect), arrival.done)

    def _use_again(self, arrivals: Sequence[Arrival]) -> None:
        """Let the workers of served arrivals go on."""
        now_ns = mono_now_ns()
        if now_ns < self._stop_ns:
            self._go_on(arrivals, now_ns)
        else:
            for arrival in arrivals:
                self._outstanding[arrival.worker] = None

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Judge a reply that is late, or not literally the expected one."""
        right = is_right(self.keys.content, arrival, reply)
        if arrival.settled:
            assert self._driver is not None
            self._driver.stats.too_late += 1
            return
        recorder = arrival.scope
        # A reply that came in time and waited for us to read it is not late.
        came_ns = self.unread_since(done_ns)
        if right and came_ns - arrival.due <= self._deadline_ns:
            arrival.settled = True
            recorder.add_served(arrival.due, arrival.sent, done_ns)
        else:
            outcome = Outcome.LATE if right else Outcome.WRONG
            error = ErrorClass.LATE if right else ErrorClass.VALUE
            evidence = (arrival.sent, done_ns)
            if right:
                # It may have queued behind others: what counts is when the silence
                # ended, not when its own turn came.
                assert self._driver is not None
                resumed_ns = self._driver.resumed_ns(arrival.slot)
                if resumed_ns > arrival.due:
                    came_ns = min(came_ns, resumed_ns)
                evidence = self._time_evidence(arrival, came_ns)
            self._settle_failure(arrival, outcome, error, done_ns, evidence)
        if self._closed:
            self._ended(arrival, done_ns)

    def failed(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        *,
        done_ns: int,
        evidence: tuple[int, int],
    ) -> None:
        """Take a failure reported by the driver."""
        if arrival.settled:
            return
        self._settle_failure(arrival, outcome, error, done_ns, evidence)
        if self._closed:
            pause_ns = _UNSENT_PAUSE_NS if outcome is not Outcome.REFUSED else 0
            self._ended(arrival, mono_now_ns(), pause_ns=pause_ns)

    def _settle_failure(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        done_ns: int,
        evidence: tuple[int, int],
    ) -> None:
        arrival.settled = True
        recorder = arrival.scope
        # An unknown write stays open in its history: it may be applied yet.
        if arrival.op is _WRITE and outcome in (Outcome.REFUSED, Outcome.UNSENT):
            assert arrival.key is not None
            arrival.key.failed(arrival.version)
        recorder.add_failure(
            Failure(
                arrival.due,
                arrival.sent or arrival.due,
                done_ns,
                outcome,
                error,
                *evidence,
            )
        )

    def _time_evidence(self, arrival: Arrival, came_ns: int) -> tuple[int, int]:
        """Return the evidence of a failure by time (docs/measuring.md, "Error bars").

        It begins when the target can have spoken again at the earliest, and ends when
        the request had certainly reached it.
        """
        sent_ns = arrival.sent or arrival.due
        return came_ns, sent_ns + self._lag.recent_ns(sent_ns)

    def give_up(self, now_ns: int) -> None:
        """Settle as unknown what has waited for deadline and slack."""
        assert self._driver is not None
        self._driver.deliver()
        cutoff = now_ns - self._give_up_ns
        in_flight = self._in_flight
        while in_flight and (in_flight[0].settled or in_flight[0].due <= cutoff):
            arrival = in_flight.popleft()
            if not arrival.settled:
                self._time_out(arrival)
        if self._closed:
            for waiting in list(self._outstanding):
                if waiting is not None and waiting.due <= cutoff:
                    self._time_out(waiting)
                    self._ended(waiting, now_ns)

    def _time_out(self, arrival: Arrival) -> None:
        assert self._driver is not None
        self._driver.suspect(arrival.slot)
        end_ns = arrival.due + self._give_up_ns
        if arrival.sent:
            outcome, error = Outcome.UNKNOWN, ErrorClass.TIMEOUT
            evidence = self._time_evidence(arrival, end_ns)
        else:  # all that time there was no first connection, or no idle worker
            outcome, error = Outcome.UNSENT, self._driver.waiting_error
            evidence = arrival.due, end_ns
        self._settle_failure(arrival, outcome, error, -1, evidence)

    # --- reporting ---------------------------------------------------------------

    def watermark_ns(self, now_ns: int) -> int:
        """Return a time before which every due arrival is settled.

        Nothing is due from the stop on, so there is nothing to judge after it.
        """
        now_ns = min(now_ns, self._stop_ns)
        if self._closed:
            waiting = [a.due for a in self._outstanding if a is not None]
            return min(waiting, default=now_ns)
        in_flight = self._in_flight
        while in_flight and in_flight[0].settled:
            in_flight.popleft()
        if in_flight:
            return in_flight[0].due
        return min(self._next_due_ns, now_ns)

    @property
    def is_drained(self) -> bool:
        """Tell whether nothing is due and nothing is outstanding."""
        if self._closed:
            return not any(self._outstanding) and not self._idle
        return self._next_due_ns == NEVER_NS and all(
            arrival.settled for arrival in self._in_flight
        )

    def take_blocks(self) -> list[ScopeBlock]:
        """Return what settled since the last call."""
        assert self._driver is not None
        self._driver.deliver()
        return ScopeBlock.take(self._recorders.values())

    def take_health(self) -> LaneHealth:
        """Return the counters since the last call and the level of connections."""
        assert self._driver is not None
        skipped, self._skipped = self._skipped, 0
        return take_health(self.name, self._driver, self._recorders.values(), skipped)
