"""One lane's share in a probe process: has arrivals made, and judges how they end.

When they are made is its loop's affair (``probe.loops``), what they ask for that of its
maker (``probe.making``).
"""

from collections.abc import Sequence

from loadprobe.clock import NS_PER_MS, boot_now_ns
from loadprobe.config.keys import Probe
from loadprobe.core.judging.columns import Failure
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.load.keyspace import Keyspace
from loadprobe.core.load.pace import Pace
from loadprobe.core.load.recorder import is_calm
from loadprobe.core.topology.topology import Topology
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival, Driver
from loadprobe.probe.content import is_right
from loadprobe.probe.deadlines import Deadlines
from loadprobe.probe.health import take_health
from loadprobe.probe.keys import LaneKeys
from loadprobe.probe.lag import Lag
from loadprobe.probe.loops import make_loop
from loadprobe.probe.making import Maker
from loadprobe.probe.messages import (
    LaneHealth,
    ScopeBlock,
)
from loadprobe.probe.orders import Share
from loadprobe.probe.renewing import Renewing

# A name of this module is found faster than a member of an enum.
_WRITE = OpKind.WRITE


class LaneRunner:
    """Makes the arrivals of a share of a lane and judges their ends.

    Args:
        share: which lane, and which part of it.
        probe: when an arrival is given up, and when we call ourselves blind.
        version_base: first version to write.
        lag: when the loop of this process was not looking.

    Attributes:
        keys: of the share.
        unread_since: see ``Sink``.
        looked_since: see ``Sink``.
    """

    _driver: Driver  # from ``attach`` on

    def __init__(
        self, share: Share, probe: Probe, *, version_base: int, lag: Lag
    ) -> None:
        lane = share.lane
        self.name = lane.name
        self.keys = LaneKeys(
            lane,
            Keyspace(lane.key_prefix, lane.keys, *share.key_slice),
            version_base=version_base,
        )
        self._maker = Maker(share, self.keys)
        self._loop = make_loop(share, probe.stall_ms * NS_PER_MS, self._maker.fill)
        self._deadlines = Deadlines(
            lane.deadline_ms * NS_PER_MS, probe.settle_ms * NS_PER_MS
        )
        self._use_deadlines()
        self._too_late = 0
        self._renewing = Renewing(self.keys, self._maker.shard_of)
        self._writes = not lane.read_only and (lane.prefill or lane.read_ratio < 1)
        self._cut_over: int | None = None
        self._lag = lag
        self.unread_since = lag.unread_since
        self.looked_since = lag.looked_since

    def attach(self, driver: Driver) -> None:
        """Set the driver that sends the arrivals."""
        self._driver = driver
        self._loop.attach(driver.submit)
        if self._writes:
            self._renewing.attach(driver.request)

    def _use_deadlines(self) -> None:
        # With the shorter of two the hot path takes nothing for served that was not.
        self._least_deadline_ns = self._deadlines.least_ns
        self._give_up_ns = self._deadlines.give_up_ns

    def change_deadline(self, from_ns: int, deadline_ns: int) -> None:
        """Let arrivals that are due from a time on have another deadline."""
        self._deadlines.change(from_ns, deadline_ns)
        self._use_deadlines()

    def on_topology(self, topology: Topology, cut_over: int = 0) -> None:
        """Spread the arrivals over the shards of a new topology.

        Args:
            topology: it.
            cut_over: number of the cut-over that led to it.
        """
        if self._cut_over is not None and cut_over != self._cut_over:
            self.keys.lifetimes.move(boot_now_ns())
        self._cut_over = cut_over
        self._maker.on_topology(topology)

    def has_left(self, cut_over: int) -> bool:
        """Tell whether it goes to another cluster than after a cut-over of a number."""
        return self._cut_over is not None and cut_over < self._cut_over

    def hold_writes(self, *, is_held: bool) -> None:
        """Read where the schedule says write, or do as it says again."""
        self._maker.hold_writes(is_held=is_held)
        self._renewing.hold(is_held=is_held)

    @property
    def is_renewing(self) -> bool:
        """Tell whether a command is outstanding that renews a key."""
        return self._renewing.out.total() > 0

    def shard_of(self, key: int) -> str:
        """Return the shard that a key belongs to."""
        return self._maker.shard_of(key)

    # --- making ------------------------------------------------------------------

    def start(self, schedule_start_ns: int, first_due_ns: int) -> None:
        """Begin at ``first_due_ns``; due times count from ``schedule_start_ns``."""
        self._loop.start(schedule_start_ns, first_due_ns)

    def change_rate(self, paces: Sequence[Pace], now_ns: int) -> None:
        """Make arrivals at another rate; see ``OpenLoop``."""
        self._loop.change_rate(paces, now_ns)

    def stop(self, at_ns: int) -> None:
        """Make no arrival due at or after a time."""
        self._loop.stop(at_ns)
        self._renewing.stop()

    def issue_due(self, now_ns: int) -> tuple[int, int | None]:
        """Send what is due; see ``Loop`` for what is returned."""
        return self._loop.issue_due(now_ns)

    # --- judging -----------------------------------------------------------------

    def expected(self, arrivals: list[Arrival]) -> None:
        """Take arrivals whose reply is literally the expected one (the hot path)."""
        deadline_ns, write = self._least_deadline_ns, _WRITE
        late: list[Arrival] = []
        for arrival in arrivals:
            due_ns, done_ns = arrival.due, arrival.done
            if arrival.decided or done_ns - due_ns > deadline_ns:
                late.append(arrival)
                continue
            arrival.decided = True
            recorder = arrival.recorder
            recorder.due.append(due_ns)
            recorder.sent.append(arrival.sent)
            recorder.done.append(done_ns)
            if arrival.op is write:
                key = arrival.key
                assert key is not None
                key.acked(arrival.version, arrival.value)
                recorder.acknowledged += 1
        if not late:
            self._loop.served(arrivals)
            return
        others = set(late)
        self._loop.served([arrival for arrival in arrivals if arrival not in others])
        for arrival in late:
            self.replied(arrival, resp.parse(arrival.expect), arrival.done)

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Judge a reply that is late, or not literally the expected one."""
        right = is_right(self.keys.content, arrival, reply, self.keys)
        if arrival.decided:
            self._too_late += 1
            return
        recorder = arrival.recorder
        # A reply that came in time and waited for us to read it is not late.
        came_ns = self.unread_since(done_ns)
        if right and came_ns - arrival.due <= self._deadlines.of(arrival.due):
            arrival.decided = True
            recorder.add_served(arrival.due, arrival.sent, done_ns)
        else:
            outcome = Outcome.LATE if right else Outcome.WRONG
            error = ErrorClass.LATE if right else ErrorClass.VALUE
            evidence = (arrival.sent, done_ns)
            if right:
                # It may have queued behind others: what counts is when the silence
                # ended, not when its own turn came.
                resumed_ns = self._driver.resumed_ns(arrival.slot)
                if resumed_ns > arrival.due:
                    came_ns = min(came_ns, resumed_ns)
                evidence = self._time_evidence(arrival, came_ns)
            self._settle_failure(arrival, outcome, error, done_ns, evidence)
        self._loop.ended(arrival, done_ns)

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
        if arrival.decided:
            return
        self._settle_failure(arrival, outcome, error, done_ns, evidence)
        self._loop.failed(arrival, outcome)

    def too_late(self) -> None:
        """Count an answer to an arrival that had ended before."""
        self._too_late += 1

    def _settle_failure(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        done_ns: int,
        evidence: tuple[int, int],
    ) -> None:
        arrival.decided = True
        recorder = arrival.recorder
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

    @property
    def give_up_ns(self) -> int:
        """Return how long after its due time any arrival is given up, as of now."""
        return self._give_up_ns

    def give_up(self, now_ns: int) -> None:
        """Give up as unknown what has waited for deadline and slack."""
        self._driver.deliver()
        for arrival in self._loop.take_overdue(now_ns - self._give_up_ns):
            self._time_out(arrival)
            self._loop.ended(arrival, now_ns)
        if self._deadlines.is_changing:
            self._deadlines.forget(now_ns)
            self._use_deadlines()
        self._renewing.look(boot_now_ns())

    def _time_out(self, arrival: Arrival) -> None:
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
        """Return a time before which every due arrival is decided."""
        return self._loop.watermark_ns(now_ns)

    @property
    def is_drained(self) -> bool:
        """Tell whether nothing is due and nothing is outstanding."""
        return self._loop.is_drained

    def is_calm(self, most: int) -> bool:
        """Tell whether few were decided since the last blocks, and all were served."""
        self._driver.deliver()
        return is_calm(self._maker.recorders.values(), most)

    def take_blocks(self) -> list[ScopeBlock]:
        """Return what decided since the last call."""
        self._driver.deliver()
        return ScopeBlock.take(self._maker.recorders.values())

    def take_health(self) -> LaneHealth:
        """Return the counters since the last call and the level of connections."""
        too_late, self._too_late = self._too_late, 0
        return take_health(
            self.name,
            self._driver,
            self._maker.recorders.values(),
            skipped=self._loop.take_skipped(),
            renewed=self._renewing.take_renewed(),
            too_late=too_late,
        )
