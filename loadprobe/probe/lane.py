"""One lane's share in a probe process: makes arrivals, judges replies.

Open loop: every arrival is written at its due time, whatever is outstanding. Closed
loop: each worker sends its next arrival when the last one has ended.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.config import Probe
from loadprobe.core.columns import Failure, Scope
from loadprobe.core.keyspace import ArrivalPlan, Choice, Keyspace
from loadprobe.core.ledger import History, ReadVerdict
from loadprobe.core.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.schedule import make_schedule
from loadprobe.core.topology import Topology
from loadprobe.core.values import Decoded, ValueCodec
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival, Driver, KeyRecord
from loadprobe.probe.lag import Lag
from loadprobe.probe.messages import LaneHealth, ScopeBlock, Share
from loadprobe.probe.recorder import ScopeRecorder

# An overloaded process must still reach its other callbacks.
_MOST_PER_TICK = 2_000
_UNSENT_PAUSE_NS = NS_PER_MS
_FAR_FUTURE_NS = 1 << 62
# Names of this module are found faster than members of an enum.
_READ, _WRITE = OpKind.READ, OpKind.WRITE
_new_arrival = Arrival.__new__


@dataclass(slots=True)
class _ShardLoad:
    """What is needed to make an arrival for one shard.

    Args:
        keys: its keys: numbers, replaced by their records when used first.
        reads: where its reads are recorded.
        writes: where its writes are recorded.
        cursor: how many arrivals were made.
    """

    keys: list[Any]
    reads: ScopeRecorder
    writes: ScopeRecorder
    cursor: int = 0


@dataclass(slots=True)
class _Counts:
    """Counted since the last snapshot."""

    skipped: int = 0


class Lane:
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
        self.keyspace = Keyspace(
            lane.name, lane.keys, share.slice_index, share.slice_count
        )
        self.codec = ValueCodec(lane.name, lane.value_bytes)
        self._encode = self.codec.encode
        self._keys: dict[int, KeyRecord] = {}
        self._version = version_base
        self._plan: ArrivalPlan | None = None
        self._table: Sequence[Choice] = ()
        self._layout: list[tuple[str, tuple[tuple[int, int], ...]]] = []
        self._shards: list[_ShardLoad] = []
        self._recorders: dict[Scope, ScopeRecorder] = {}
        self._driver: Driver | None = None
        self._due: Iterator[tuple[int, int]] = iter(())
        self._next_index = 0
        self._next_due_ns = _FAR_FUTURE_NS
        self._start_ns = 0
        self._stop_ns = _FAR_FUTURE_NS
        self._worker = 0
        self._in_flight: deque[Arrival] = deque()
        self._outstanding: list[Arrival | None] = [None] * share.workers
        self._idle: list[tuple[int, int]] = []
        self._closed_index = share.slice_index
        self._counts = _Counts()

    def attach(self, driver: Driver) -> None:
        """Set the driver that sends the arrivals."""
        self._driver = driver
        self._submit = driver.submit

    # --- topology --------------------------------------------------------------

    def on_topology(self, topology: Topology) -> None:
        """Choose keys anew, so that every shard of the topology is probed evenly.

        Takes about 0.1 us per key, and nothing if slots stayed where they are: a
        failover moves none.
        """
        layout = [(shard.name, shard.ranges) for shard in topology.shards]
        if layout == self._layout:
            return
        self._layout = layout
        assigned = self.keyspace.assign([shard.ranges for shard in topology.shards])
        before = {load.reads.scope.shard: load for load in self._shards}
        self._shards = []
        for shard, keys in zip(topology.shards, assigned, strict=True):
            load = _ShardLoad(
                keys,
                self._recorder(Scope(self.name, shard.name, OpKind.READ)),
                self._recorder(Scope(self.name, shard.name, OpKind.WRITE)),
            )
            if shard.name in before:
                load.cursor = before[shard.name].cursor
            self._shards.append(load)
        if self._plan is None or len(self._shards) != self._plan.shards:
            lane = self._share.lane
            self._plan = ArrivalPlan(
                len(self._shards),
                slice_index=self._share.slice_index,
                slice_count=self._share.slice_count,
                read_ratio=lane.read_ratio,
                miss_ratio=lane.miss_ratio,
            )
            self._table = self._plan.table

    def _recorder(self, scope: Scope) -> ScopeRecorder:
        recorder = self._recorders.get(scope)
        if recorder is None:
            recorder = self._recorders[scope] = ScopeRecorder(scope)
        return recorder

    # --- making arrivals ---------------------------------------------------------

    def start(self, schedule_start_ns: int, first_due_ns: int) -> None:
        """Begin at ``first_due_ns``; due times count from ``schedule_start_ns``."""
        self._start_ns = schedule_start_ns
        if self._closed:
            self._idle = [(first_due_ns, w) for w in range(self._share.workers)]
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
            self._next_due_ns = _FAR_FUTURE_NS

    def _advance(self) -> None:
        self._next_index, offset = next(self._due)
        self._next_due_ns = self._start_ns + offset
        if self._next_due_ns >= self._stop_ns:
            self._next_due_ns = _FAR_FUTURE_NS

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
        sent = 0
        while self._next_due_ns <= now_ns:
            if self._next_due_ns < too_old:
                if first_skipped is None:
                    first_skipped = self._next_due_ns
                self._counts.skipped += 1
            else:
                worker = self._worker
                self._worker = worker + 1 if worker + 1 < self._share.workers else 0
                arrival = self._make(self._next_index, self._next_due_ns, worker)
                self._in_flight.append(arrival)
                self._submit(arrival)
                sent += 1
            self._advance()
            if sent >= _MOST_PER_TICK:
                break
        return self._next_due_ns, first_skipped

    def _make(self, index: int, due_ns: int, worker: int) -> Arrival:
        arrival = _new_arrival(Arrival)
        arrival.worker = worker
        self._fill(arrival, index, due_ns)
        return arrival

    def _fill(self, arrival: Arrival, index: int, due_ns: int) -> None:
        """Set everything of an arrival but its worker (cheaper than a constructor)."""
        table = self._table
        if table:
            ordinal, op, is_miss = table[index % len(table)]
        else:
            assert self._plan is not None
            ordinal, op, is_miss = self._plan.lookup(index)
        load = self._shards[ordinal]
        # Every round over the keys begins one later, so no pattern repeats.
        cursor = load.cursor
        load.cursor = cursor + 1
        keys = load.keys
        count = len(keys)
        at = (cursor + cursor // count) % count
        key = keys[at]
        if key.__class__ is int:
            key = keys[at] = self._key(key)
        arrival.due = due_ns
        arrival.op = op
        arrival.slot = key.slot
        arrival.sent = 0
        arrival.redirects = 0
        arrival.settled = False
        if op is _WRITE:
            version = self._version
            self._version = version + 1
            value = self._encode(key.index, version)
            key.history.begin_write(version)
            arrival.scope = load.writes
            arrival.key = key
            arrival.command = b"%b%b\r\n" % (key.set_head, value)
            arrival.expect = resp.OK
            arrival.version = version
            arrival.value = value
        elif is_miss:
            arrival.scope = load.reads
            arrival.key = arrival.expect = arrival.value = None
            arrival.command = resp.encode_get(self.keyspace.absent_key(key.index))
            arrival.version = 0
        else:
            history = key.history
            arrival.scope = load.reads
            arrival.key = key
            arrival.command = key.get
            arrival.expect = arrival.value = history.value
            arrival.version = history.acked_version

    def _key(self, number: int) -> KeyRecord:
        """Return the record of a key, made when it is used first."""
        key = self._keys.get(number)
        if key is None:
            name = self.keyspace.key(number)
            key = self._keys[number] = KeyRecord(
                number,
                self.keyspace.slot(number),
                resp.encode_get(name),
                resp.encode_set_head(name, self._share.lane.value_bytes),
                History(),
            )
        return key

    def acknowledged_keys(self) -> list[int]:
        """Return the keys with an acknowledged write of this run."""
        return sorted(n for n, key in self._keys.items() if key.history.acked_version)

    # --- closed loop -------------------------------------------------------------

    def _issue_idle(self, now_ns: int) -> int:
        """Let idle workers go on; return when the next one may."""
        if now_ns >= self._stop_ns:
            self._idle.clear()
            return _FAR_FUTURE_NS
        idle, self._idle = self._idle, []
        for not_before_ns, worker in idle:
            if not_before_ns <= now_ns:
                self._issue_next(worker, now_ns)
            else:
                self._idle.append((not_before_ns, worker))
        return min((at for at, _ in self._idle), default=_FAR_FUTURE_NS)

    def _issue_next(self, worker: int, now_ns: int) -> None:
        index = self._closed_index
        self._closed_index = index + self._step
        arrival = self._outstanding[worker] = self._make(index, now_ns, worker)
        self._submit(arrival)

    def _ended(self, arrival: Arrival, now_ns: int, *, pause_ns: int = 0) -> None:
        """Let the worker of a closed loop go on."""
        worker = arrival.worker
        self._outstanding[worker] = None
        if now_ns >= self._stop_ns:
            return
        if pause_ns:
            self._idle.append((now_ns + pause_ns, worker))
        else:
            self._issue_next(worker, now_ns)

    # --- judging -----------------------------------------------------------------

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Take a reply that is not an error (the hot path)."""
        due_ns = arrival.due
        if (
            reply == arrival.expect
            and not arrival.settled
            and done_ns - due_ns <= self._deadline_ns
        ):
            arrival.settled = True
            scope = arrival.scope
            scope.due_append(due_ns)
            scope.sent_append(arrival.sent)
            scope.done_append(done_ns)
            if arrival.op is _WRITE:
                key, value = arrival.key, arrival.value
                assert key is not None
                assert value is not None
                key.history.acked(arrival.version, value)
                scope.acknowledged += 1
            if self._closed:
                if done_ns < self._stop_ns:
                    index = self._closed_index
                    self._closed_index = index + self._step
                    self._fill(arrival, index, done_ns)
                    self._submit(arrival)
                else:
                    self._outstanding[arrival.worker] = None
            return
        self._judge(arrival, reply, done_ns)

    def _judge(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Judge a reply that is late, or not literally the expected one."""
        right = self._is_right(arrival, reply)
        if arrival.settled:
            assert self._driver is not None
            self._driver.stats.too_late += 1
            return
        recorder = arrival.scope
        assert isinstance(recorder, ScopeRecorder)
        # A reply that came in time and waited for us to read it is not late.
        came_ns = self._lag.unread_since(done_ns)
        if right and came_ns - arrival.due <= self._deadline_ns:
            arrival.settled = True
            recorder.due_append(arrival.due)
            recorder.sent_append(arrival.sent)
            recorder.done_append(done_ns)
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

    def _is_right(self, arrival: Arrival, reply: object) -> bool:
        """Judge the content of a reply and take it into the ledger."""
        recorder = arrival.scope
        assert isinstance(recorder, ScopeRecorder)
        key = arrival.key
        if key is None:
            if reply is not None:
                recorder.wrong += 1
            return reply is None
        if arrival.op is _WRITE:
            if reply != resp.OK:
                recorder.wrong += 1
                return False
            assert arrival.value is not None
            key.history.acked(arrival.version, arrival.value)
            recorder.acknowledged += 1
            return True
        decoded: Decoded | None = None
        if reply is not None:
            found = self.codec.decode(reply) if isinstance(reply, bytes) else None
            if not isinstance(found, Decoded) or found.key != key.index:
                recorder.wrong += 1
                return False
            decoded = found
        verdict = key.history.judge_read(
            None if decoded is None else decoded.version,
            acked_at_send=arrival.version,
            was_present=arrival.value is not None,
        )
        match verdict:
            case ReadVerdict.OK:
                if decoded is not None and isinstance(reply, bytes):
                    key.history.seen(decoded.version, reply)
                return True
            case ReadVerdict.STALE:
                recorder.stale += 1
                return True
            case ReadVerdict.MISSING | ReadVerdict.FUTURE:
                recorder.wrong += 1
                return False

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
        assert isinstance(recorder, ScopeRecorder)
        # An unknown write stays open in its history: it may be applied yet.
        if arrival.op is _WRITE and outcome in (Outcome.REFUSED, Outcome.UNSENT):
            assert arrival.key is not None
            arrival.key.history.failed(arrival.version)
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

    # --- prefill and read-back -----------------------------------------------------

    def make_prefill(self, key: int) -> tuple[bytes, bytes]:
        """Return (command, value) that write a key for the first time."""
        version = self._version
        self._version = version + 1
        value = self._encode(key, version)
        return b"%b%b\r\n" % (self._key(key).set_head, value), value

    def is_good(self, key: int, reply: object) -> bool:
        """Tell whether a reply is a good value of a key; it is remembered then."""
        if not isinstance(reply, bytes):
            return False
        decoded = self.codec.decode(reply)
        if not isinstance(decoded, Decoded) or decoded.key != key:
            return False
        self._key(key).history.seen(decoded.version, reply)
        return True

    def is_lost(self, key: int, reply: object) -> bool:
        """Tell whether the acknowledged write of a key is gone from a reply."""
        history = self._key(key).history
        decoded = self.codec.decode(reply) if isinstance(reply, bytes) else None
        if not isinstance(decoded, Decoded) or decoded.key != key:
            return True
        verdict = history.judge_read(
            decoded.version, acked_at_send=history.acked_version, was_present=True
        )
        return verdict is ReadVerdict.STALE

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
        return self._next_due_ns == _FAR_FUTURE_NS and all(
            arrival.settled for arrival in self._in_flight
        )

    def take_blocks(self) -> list[ScopeBlock]:
        """Return what settled since the last call."""
        blocks = (recorder.take() for recorder in self._recorders.values())
        return [block for block in blocks if block is not None]

    def take_health(self) -> LaneHealth:
        """Return the counters since the last call and the level of connections."""
        assert self._driver is not None
        stats = self._driver.stats
        self._driver.stats = type(stats)()
        counts, self._counts = self._counts, _Counts()
        return LaneHealth(
            lane=self.name,
            connections=self._driver.live_connections(),
            redirects=stats.redirects,
            connects=stats.connects,
            connect_ns=stats.connect_ns,
            refreshes=stats.refreshes,
            borrowed=stats.borrowed,
            too_late=stats.too_late,
            skipped=counts.skipped,
            acknowledged=self._take_counter("acknowledged"),
            stale=self._take_counter("stale"),
            wrong=self._take_counter("wrong"),
        )

    def _take_counter(self, name: str) -> dict[str, int]:
        taken: dict[str, int] = {}
        for recorder in self._recorders.values():
            count = getattr(recorder, name)
            if count:
                shard = recorder.scope.shard
                taken[shard] = taken.get(shard, 0) + count
                setattr(recorder, name, 0)
        return taken
